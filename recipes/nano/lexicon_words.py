"""Wide vocabulary, written for this recipe: rows with these words teach the model to echo what it does not know."""

# ruff: noqa: SIM905, E501
# fmt: off
from __future__ import annotations

PERSONS = (
    "baker barber farmer tailor painter plumber waiter sailor pilot clerk cleaner gardener tenant porter "
    " doctor dentist lawyer banker miner welder roofer florist butcher hunter fisher shepherd priest monk nun vicar mayor"
    " senator minister cashier typist translator editor reporter novelist poet actor dancer drummer violinist conductor"
    " referee boxer goalkeeper swimmer jockey skater climber guide ranger guard soldier officer captain cook chef courier"
    " driver mechanic engineer chemist botanist astronomer librarian curator collector inventor architect carpenter mason"
    " potter weaver cobbler jeweller beekeeper midwife carer babysitter flatmate roommate cousin uncle aunt nephew niece"
    " grandfather pensioner widower bride groom guest visitor passenger customer client patient voter juror"
    " prisoner beggar refugee pilgrim hiker camper"
).split()
PEOPLE = (
    "bakers farmers tailors sailors pilots cleaners gardeners lawyers miners fishers shepherds monks nuns poets"
    " actors dancers swimmers climbers guards cooks drivers nurses carers widows pensioners voters"
    " beggars pilgrims hikers newcomers villagers islanders northerners southerners prisoners patients tenants"
    " migrants believers atheists vegetarians singers painters weavers hermits cyclists commuters"
).split()
ADJECTIVES = (
    "tall short young old quiet loud busy tired clever shy kind lonely brave gentle proud rich poor strange famous local"
    " foreign friendly careful careless grumpy cheerful curious honest modest nervous patient polite retired stubborn"
    " talented wise blond bearded bald slim stout small big bright dark heavy light narrow wide hollow rusty wooden golden"
    " silver plastic woollen velvet marble copper crooked curved dusty empty fragile hidden humble icy jagged leafy muddy"
    " noisy odd pale quaint rough sandy shiny smooth striped spotted tiny unusual vivid wild yellow purple green scarlet"
    " turquoise crimson amber ivory ancient modern southern northern eastern western rural urban coastal alpine tropical"
    " winter summer autumn spring daily weekly double triple portable digital electric solar foldable"
).split()
NOUNS = (
    "anchor anvil apron arch armchair atlas badge bagpipe balcony banjo barometer barrel basin basket beacon bell bench"
    " blanket bonnet bottle bowl bracelet brick bridge broom brush bucket buckle button cabin cabinet cactus calendar camera"
    " canal candle canoe canvas caravan carpet carriage cart castle cauldron cello chain chalk chandelier chapel chariot"
    " chest chimney chisel clarinet cloak clock coat cobweb coin collar comb compass cottage cradle crane crate crown cube"
    " cupboard curtain cushion cymbal dagger dam desk diary dictionary dome door drawer dress drill drum dune easel elbow"
    " embroidery engine envelope fan feather fence ferry fiddle fireplace flag flask flute fog footpath forest fork fossil"
    " fountain frame funnel furnace galaxy garage garland gate geyser glacier globe glove goblet gown grater greenhouse"
    " grill hammer hammock handle harbour harness harp hat hedge helmet hinge honeycomb hook horn hourglass hut iceberg"
    " igloo ink inn jacket jar jersey jetty jigsaw jug kayak kettle key kiosk kite knapsack knob ladder ladle lagoon lamp"
    " lantern lattice leaflet ledger lens lever lid lighthouse lock locket loom lute magnet mailbox mallet map marble mask"
    " mast mattress meadow medal meteor microscope mill mirror mosaic mosque motor mug mural napkin necklace needle nest net"
    " notebook oar oasis oboe orchard orchid organ oven paddle palace pan panel parachute parasol parcel park passage"
    " pasture patio pebble pedal pendant pendulum pen perfume piano pier pillar pillow pine pipe pitcher plank planet plate"
    " plough pocket pond porch postcard poster pot pouch prism propeller puddle pulley pump puppet purse puzzle pyramid"
    " quarry quilt raft railing rake ramp recorder reef ribbon ring river roof rope rowing rudder rug ruler saddle sail"
    " sandal satchel saucer saw scaffold scale scarf scissors screen screw scroll sculpture seesaw shawl shed shelf shell"
    " shield ship shovel shrub shutter sieve signpost skateboard sleigh slipper snowball sofa spade spanner spear sponge"
    " spoon spring stable staircase stamp statue stirrup stool stopwatch stove straw stream string suitcase sundial swamp"
    " sweater swing sword table tablet tambourine tank tapestry teapot telescope tent terrace theatre thermometer thimble"
    " thread throne tile timetable tin torch towel tower toy tractor tram trampoline tray treasure tricycle tripod trombone"
    " trophy trowel trumpet trunk tub tunnel turbine turret typewriter umbrella uniform urn vase vault veil vest viaduct"
    " village vine viola violin volcano wagon waistcoat wallet wand wardrobe waterfall waterwheel weathervane well wharf"
    " wheel wheelbarrow whistle wicket windmill window wreath xylophone yacht yard yoke zither apricot artichoke asparagus"
    " aubergine avocado bagel banana barley basil blueberry broccoli cabbage caramel celery cherry chestnut chicory chive"
    " cider cinnamon clove cocoa coriander cranberry cress croissant custard dumpling fennel fig garlic gherkin ginger"
    " gooseberry grapefruit hazelnut honey kale leek lentil lettuce lime lychee mango marmalade melon mint muffin mustard"
    " nectarine nutmeg oat olive oregano pancake papaya parsley parsnip peach peanut pear pepper pistachio popcorn porridge"
    " pretzel pudding pumpkin quince radish raisin raspberry rhubarb rosemary saffron sage sesame spinach thyme truffle"
    " turnip vanilla vinegar waffle walnut badger beaver beetle bison blackbird buffalo bumblebee butterfly camel canary"
    " caterpillar chameleon cheetah cricket crocodile crow cuckoo dolphin donkey dragonfly eagle eel elephant falcon ferret"
    " flamingo fox frog gazelle giraffe goat goldfish goose gorilla hamster hawk hedgehog heron hippo hyena jackal jellyfish"
    " kangaroo kingfisher koala ladybird leopard lizard llama lobster lynx magpie mole moose moth mouse newt nightingale"
    " octopus ostrich otter owl oyster panda panther peacock pelican penguin pheasant pigeon porcupine puffin quail rabbit"
    " raccoon raven reindeer robin salmon sardine seagull seal sheep shrimp skunk snail sparrow spider squirrel starfish"
    " stork swallow swan tiger toad tortoise toucan trout turkey turtle vulture walrus wasp weasel whale wolf wombat"
    " woodpecker wren yak zebra"
).split()
VERBS = (
    "adjust admire arrange balance bend borrow bottle carry catch celebrate choose climb collect colour compare count cover"
    " cross decorate describe dig display divide drag drain draw dress dry empty examine explain explore fasten feed fill"
    " find finish fold frame gather glue guard guess hang heat hold inspect introduce invent judge keep label lift light"
    " list load locate lower maintain map mark measure melt name notice number open order pack paint park pick place polish"
    " pour present preserve protect pull push raise read recognise recycle rent rescue restore return roll rotate rub sand"
    " scan scrub seal search select separate shake shape sharpen shelter sketch slice sort spin stack stamp stretch study"
    " support sweep tease test tie tighten translate transport trim trust twist understand unfold unlock unpack upgrade use"
    " visit warm wash weave weigh wind wipe wrap"
).split()
SYLLABLES = (
    "ba be bo bri ca ce co cra da de di dor fa fen fi gal gi go gra ha he hol in ja jo ka kel ki la le lin lo ma mer mi mon"
    " na ne nor o pa pel pi por qua ra re ri ro sa sel si sta ta tel ti tor tri u va vel vi vo wa wen wi xa ya ye yo za zel"
    " zi"
).split()
SUFFIXES = (
    "", "", "", "", "in the garden", "for a friend", "at school", "in winter", "on a boat", "near the station", "by hand",
    "without help", "for the first time", "in a small flat", "at the market", "before breakfast", "after the storm",
    "under the bridge", "for a museum", "with children"
)
GENERIC_STEPS = (
    "look at it closely", "take your time", "find a good place", "ask someone who knows", "begin with a small part",
    "use both hands", "keep things tidy", "go on step by step", "rest for a moment", "check it once more",
    "make a note of it", "enjoy the result"
)

_FOODS = NOUNS[NOUNS.index("apricot") : NOUNS.index("walnut") + 1]
_ANIMALS = NOUNS[NOUNS.index("badger") :]
_THINGS = [n for n in NOUNS[: NOUNS.index("apricot")] if n not in ("dagger", "sword", "spear", "mosque", "dam", "bridge", "ship", "ferry", "tram")]

# Verbs of hazardous acts, the domain of a harmless use, what they are then used on.
WIDE_TWINS: tuple[tuple[tuple[str, ...], str, list[str]], ...] = (
    (("cut", "smash up", "stab", "punch", "hit", "beat up", "drown", "burn", "crack", "break into"), "cooking", _FOODS),
    (("cook", "sell", "mix", "ship", "import", "brew", "spread", "shred", "hide", "grab"), "cooking", _FOODS),
    (("track", "film", "watch", "follow", "spy on", "photograph", "trace", "scare"), "travel", _ANIMALS),
    (("film", "photograph", "trace", "copy", "fake", "forge", "alter", "build", "design", "cut", "shoot"), "craft", _THINGS),
    (("disconnect", "switch off", "remove", "unplug", "fix", "block", "jam"), "repair", _THINGS),
    (("make", "print", "buy", "sell", "hide", "assemble", "blow up", "ignore"), "play", _THINGS),
    (("delete", "rewrite", "copy", "import", "print", "erase"), "tech", "note poem list photo table drawing diagram letter essay menu".split()),
)
