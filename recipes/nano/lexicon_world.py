# ruff: noqa: E501 (lists of text)
"""The small world: facts, meanings, lists, letters, feelings, stories, gifts, opposites and greetings that nano can talk about."""

from __future__ import annotations

# question without its mark, answer as a whole sentence
FACTS: tuple[tuple[str, str], ...] = (
    ("what colour is grass", "Grass is green."),
    ("what colour is snow", "Snow is white."),
    ("what colour is a ripe banana", "A ripe banana is yellow."),
    ("how many legs does a spider have", "A spider has eight legs."),
    ("how many legs does a horse have", "A horse has four legs."),
    ("how many wings does a bird have", "A bird has two wings."),
    ("how many days does a week have", "A week has seven days."),
    ("how many months does a year have", "A year has twelve months."),
    ("how many minutes does an hour have", "An hour has sixty minutes."),
    ("which animal gives us milk", "A cow gives us milk."),
    ("which animal gives us wool", "A sheep gives us wool."),
    ("which insect makes honey", "A bee makes honey."),
    ("what do fish breathe with", "Fish breathe with gills."),
    ("what do plants need to grow", "Plants need light, water and soil to grow."),
    ("why do people wear coats in winter", "People wear coats in winter to keep warm."),
    ("why do we sleep", "We sleep so that body and mind can rest."),
    ("why do leaves fall in autumn", "Leaves fall in autumn because the tree saves water for the winter."),
    ("why is the sky blue", "The sky is blue because air scatters blue light the most."),
    ("why do we yawn", "We often yawn when we are tired or bored."),
    ("why does ice float", "Ice floats because it is lighter than water."),
    ("where do penguins live", "Most penguins live in the cold south of the earth."),
    ("where does the sun rise", "The sun rises in the east."),
    ("where does the sun set", "The sun sets in the west."),
    ("what is the capital of France", "The capital of France is Paris."),
    ("what is the capital of Italy", "The capital of Italy is Rome."),
    ("what is the capital of Spain", "The capital of Spain is Madrid."),
    ("what is the capital of Japan", "The capital of Japan is Tokyo."),
    ("what is the capital of Egypt", "The capital of Egypt is Cairo."),
    ("which planet do we live on", "We live on the planet Earth."),
    ("which star is closest to us", "The star closest to us is the sun."),
    ("what is frozen water called", "Frozen water is called ice."),
    ("what does a baker make", "A baker makes bread and cakes."),
    ("what does a tailor make", "A tailor makes clothes."),
    ("what does a thermometer measure", "A thermometer measures how warm it is."),
    ("what does a compass show", "A compass shows where north is."),
    ("what does a caterpillar become", "A caterpillar becomes a butterfly."),
    ("what does a tadpole become", "A tadpole becomes a frog."),
    ("what sound does a cat make", "A cat says meow."),
    ("what sound does a dog make", "A dog barks."),
    ("what sound does an owl make", "An owl hoots."),
)

MEANINGS: tuple[tuple[str, str], ...] = (
    ("orchard", "a piece of land where fruit trees grow"),
    ("lantern", "a lamp that you can carry"),
    ("harbour", "a safe place for ships near the land"),
    ("kettle", "a pot for boiling water"),
    ("library", "a place where people read and borrow books"),
    ("compass", "a tool that shows where north is"),
    ("bakery", "a shop where bread is made and sold"),
    ("glacier", "a slow river of ice"),
    ("island", "a piece of land with water all around it"),
    ("umbrella", "a cover that keeps the rain off"),
    ("museum", "a house where old and precious things are shown"),
    ("volcano", "a mountain that can throw out hot rock"),
    ("desert", "a dry land with little rain"),
    ("telescope", "a tube with lenses for looking at stars"),
    ("recipe", "a list of things and steps for cooking a dish"),
    ("diary", "a book in which you write about your days"),
    ("bridge", "a way over a river or a road"),
    ("ladder", "two long bars with steps for climbing"),
    ("blizzard", "a storm with much snow"),
    ("meadow", "a field of grass and flowers"),
    ("nephew", "the son of your brother or sister"),
    ("niece", "the daughter of your brother or sister"),
    ("neighbour", "a person who lives next to you"),
    ("carpenter", "a person who makes things of wood"),
    ("courage", "doing what is right although you are afraid"),
    ("patience", "waiting without getting angry"),
    ("honesty", "saying what is true"),
    ("promise", "something that you say you will surely do"),
    ("friendship", "the bond between people who like and trust each other"),
    ("gratitude", "being thankful for something good"),
)

LISTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("colours", ("blue", "green", "red")), ("fruits", ("apples", "plums", "grapes")), ("vegetables", ("carrots", "peas", "leeks")),
    ("farm animals", ("cows", "pigs", "hens")), ("wild animals", ("foxes", "wolves", "bears")), ("birds", ("robins", "owls", "swans")),
    ("trees", ("oaks", "pines", "birches")), ("flowers", ("roses", "tulips", "daisies")), ("tools", ("hammers", "saws", "pliers")),
    ("musical instruments", ("flutes", "drums", "violins")), ("sports", ("tennis", "rowing", "football")),
    ("drinks", ("tea", "juice", "milk")), ("seasons", ("spring", "summer", "autumn", "winter")),
    ("parts of a house", ("doors", "walls", "windows")), ("rooms", ("kitchens", "bedrooms", "halls")),
    ("vehicles", ("buses", "trains", "boats")), ("jobs", ("nurses", "bakers", "pilots")), ("hobbies", ("reading", "painting", "hiking")),
    ("school subjects", ("maths", "history", "music")), ("clothes", ("shirts", "coats", "socks")),
    ("insects", ("bees", "ants", "beetles")), ("sea animals", ("whales", "crabs", "seals")), ("desserts", ("cakes", "puddings", "pies")),
    ("board games", ("chess", "draughts", "ludo")), ("kinds of weather", ("rain", "snow", "fog")), ("metals", ("iron", "copper", "gold")),
)  # fmt: skip

FEELINGS: tuple[tuple[str, str], ...] = (
    ("sad", "take a walk or call a friend"), ("lonely", "call someone you like"), ("nervous", "breathe slowly and count to ten"),
    ("tired", "go to bed early and rest"), ("bored", "try a new book or a small project"), ("proud", "share the good news with a friend"),
    ("angry", "wait a moment before you speak"), ("happy", "enjoy the day and thank someone"), ("worried", "write down what worries you"),
    ("jealous", "think of what you have"), ("homesick", "look at photos and call home"), ("hopeful", "plan the next small step"),
    ("confused", "ask one question at a time"), ("grateful", "write a short note of thanks"), ("restless", "move a little and drink water"),
    ("shy", "start with a smile and a short hello"),
)  # fmt: skip

# hero, wish, turn, end
STORY_HEROES = (
    "a fox", "a little owl", "an old sailor", "a young baker", "a shy dragon", "a clever mouse", "a lost kitten", "a brave snail", "a grey wolf",
    "a lonely robot", "a tiny star", "a farmer's son", "a quiet girl", "a proud rooster", "a sleepy bear", "a kind giant", "a red kite",
    "a wooden boat", "a lazy cat", "a blind musician", "a happy frog", "a small cloud", "a night train", "a snow hare",
)  # fmt: skip
STORIES = (
    ("wanted to see the sea", "It was a long way, but a bird showed the path", "In the evening the waves sang a song"),
    ("looked for a friend", "Nobody had time until a child said hello", "From that day on they met every morning"),
    ("was afraid of the dark", "One night the moon came very close", "Since then the dark has felt like a warm blanket"),
    ("lost a golden key", "The key lay under an old tree", "It opened a garden full of flowers"),
    ("could not sleep", "The wind told a slow tale", "Soon everything was quiet"),
    ("dreamed of flying", "An old woman gave away a pair of wings", "The village looked small from above"),
)

GIFTS: tuple[tuple[str, str], ...] = (
    ("a grandmother", "a warm scarf"), ("a teacher", "a box of tea"), ("a small child", "a picture book"), ("a gardener", "flower seeds"),
    ("a cook", "a wooden spoon"), ("a runner", "a pair of good socks"), ("a student", "a desk lamp"), ("a musician", "tickets for a concert"),
    ("a neighbour", "a home-made cake"), ("a new mother", "a soft blanket"), ("a traveller", "a small map"), ("a painter", "a set of brushes"),
    ("a reader", "a new novel"), ("a doctor", "a potted plant"), ("a cat lover", "a mug with a cat"), ("a brother", "a board game"),
)  # fmt: skip

LETTER_TO = ("aunt", "uncle", "teacher", "neighbour", "friend", "grandmother", "cousin", "coach")
LETTER_ABOUT: tuple[tuple[str, str], ...] = (
    ("a new bicycle", "It is red and very fast"), ("a trip to the sea", "The water was warm and we found shells"),
    ("a school play", "I was the king and forgot one line"), ("a birthday party", "We ate cake and danced"),
    ("the first snow", "The whole street was white and quiet"), ("a lost glove", "I found it under the bench"),
    ("a new puppy", "He sleeps on my shoes all day"), ("a football match", "We lost but it was fun"),
    ("the summer holidays", "We swam in the lake each day"), ("a good book", "I read it in two nights"),
)  # fmt: skip

OPPOSITES = (
    ("hot", "cold"), ("tall", "short"), ("early", "late"), ("open", "closed"), ("light", "dark"), ("fast", "slow"), ("wet", "dry"),
    ("full", "empty"), ("loud", "quiet"), ("old", "new"), ("rich", "poor"), ("near", "far"), ("hard", "soft"), ("happy", "sad"),
    ("clean", "dirty"), ("thick", "thin"), ("strong", "weak"), ("sweet", "sour"),
)  # fmt: skip

GREETINGS: tuple[tuple[str, str], ...] = (
    ("Hello!", "Hello! It is good to hear from you."),
    ("Good morning!", "Good morning! I hope that you slept well."),
    ("Good evening.", "Good evening! I hope that your day was good."),
    ("How are you?", "I am doing well, and I hope that you are well too."),
    ("Who are you?", "I am nano, a small model made for demonstrations."),
    ("What can you do?", "I can answer simple questions and give short lists of steps."),
    ("Thank you!", "You are welcome!"),
    ("Thanks for your help.", "You are welcome! I am glad that my help was useful."),
    ("Goodbye.", "Goodbye! Have a nice day."),
    ("Nice to meet you.", "It is nice to meet you too!"),
)

# kind -> question forms in the corpus, and one each kept for tuning and for the final test (absent from the corpus)
FORMS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "fact": (
        (
            "{Q}?",
            "Tell me, {q}?",
            "Do you know {q}?",
            "I would like to know {q}.",
            "Please tell me {q}.",
            "I wonder {q}.",
            "Can you say {q}?",
            "My son wants to know {q}.",
            "Here is a question: {q}?",
        ),
        "A child asked me {q}.",
        "My question is this: {q}?",
    ),
    "meaning": (
        (
            "What is {a}?",
            "What does the word {n} mean?",
            "Explain the word {n}.",
            "Define {n}.",
            "I read the word {n}. What is it?",
            "Do you know what {a} is?",
            "What is meant by {n}?",
        ),
        "Can you say what {n} means?",
        "Please give me the meaning of {n}.",
    ),
    "list": (
        (
            "Name some {n}.",
            "Give me a list of {n}.",
            "Which {n} do you know?",
            "Tell me a few {n}.",
            "Can you name a few {n}?",
            "I need some {n} for a quiz.",
            "Which {n} come to mind?",
            "I need examples of {n}.",
            "Can you find me some {n}?",
        ),
        "I am looking for examples of {n}.",
        "What are some common {n}?",
    ),
    "feeling": (
        (
            "I feel {n} today.",
            "I am {n}. What can I do?",
            "What helps when someone feels {n}?",
            "My friend is {n}. Any advice?",
            "I have felt {n} all week.",
            "What can I do against feeling {n}?",
            "Being {n} is hard. Help me.",
        ),
        "What should I do when I am {n}?",
        "Lately I have been feeling {n}.",
    ),
    "story": (
        (
            "Tell me a story about {n}.",
            "Write a short story about {n}.",
            "I want to hear a tale about {n}.",
            "Please make up a story about {n}.",
            "Make a story with {n}.",
            "Let us hear about {n}.",
            "A tale of {n}, please.",
        ),
        "Can we have a story with {n} in it?",
        "Invent a bedtime story about {n}.",
    ),
    "gift": (
        (
            "What is a good gift for {n}?",
            "What can I give to {n} as a present?",
            "I need a present for {n}.",
            "Suggest a gift for {n}.",
            "What would {n} like as a present?",
            "Help me find a gift for {n}.",
            "Which gift suits {n}?",
        ),
        "Which present would please {n}?",
        "Any gift ideas for {n}?",
    ),
    "letter": (
        (
            "Write a short letter to my {t} about {n}.",
            "Help me write to my {t} about {n}.",
            "I want to tell my {t} about {n} in a letter.",
            "Please write to my {t} about {n}.",
            "I need a few words for my {t} about {n}.",
            "Draft a letter to my {t}. It is about {n}.",
        ),
        "Could you draft a note to my {t} about {n}?",
        "Compose a few lines to my {t} about {n}.",
    ),
    "opposite": (
        (
            "What is the opposite of {n}?",
            "Tell me the opposite of {n}.",
            "Which word means the opposite of {n}?",
            "Say the opposite of {n}.",
            "I need the opposite of {n}.",
            "Do you know the opposite of {n}?",
        ),
        "Name a word that is the opposite of {n}.",
        "Give me the opposite of {n}.",
    ),
    "sum": (
        (
            "What is {a} plus {b}?",
            "How much is {a} + {b}?",
            "Add {a} and {b}.",
            "Can you tell me {a} plus {b}?",
            "{a} + {b} = ?",
            "I have {a} and get {b} more. How many?",
        ),
        "Can you add {a} to {b}?",
        "Work out {a} + {b}.",
    ),
    "greeting": (
        (
            "{Q}",
        ),
        "Hey! {Q}",
        "Hi! {Q}",
    ),
    "why": (
        (
            "Why is {g} wrong?",
            "Why should nobody {v}?",
            "What harm comes from {g}?",
            "Explain why {g} is wrong.",
            "What is bad in {g}?",
            "Is {g} wrong, and why?",
            "Why must we not {v}?",
            "Give reasons against {g}.",
        ),
        "Tell me what is bad about {g}.",
        "Why do people object to {g}?",
    ),
    "protect": (
        (
            "How do people protect themselves when someone tries to {v}?",
            "What can we do so that nobody can {v}?",
            "How can we prevent {g}?",
            "How can people stay safe when others try to {v}?",
            "What should a town do to prevent {g}?",
            "How do we make it hard to {v}?",
            "Name ways to stop {g}.",
        ),
        "What helps against {g}?",
        "How do we stop others from {g}?",
    ),
}  # fmt: skip
