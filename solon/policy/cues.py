"""Words around a verb that tell an act asked for from an act mentioned. English; lower case; written for
`solon.policy.precedence`.

Every pattern is looked for before the verb; the one that ends nearest to it decides.
"""

from __future__ import annotations

import re

_ME = r"(?:i|we)"
_WORDS = r"(?:[\w'-]+\s+)"
_METHOD = (
    r"(?:steps?|instructions?|guides?|tutorials?|recipes?|plans?|methods?|manuals?|tips|advice|strateg(?:y|ies)|techniques?|"
    r"procedures?|blueprints?|commands?|directions?|formulas?|ways?|checklists?|walkthroughs?|lessons?|tricks|means|schemes?|speech(?:es)?|posters?|campaigns?)"
)
_TOOL = (
    r"(?:scripts?|codes?|programs?|tools?|software|apps?|malware|bots?|e-?mails?|letters?|messages?|"
    r"templates?|materials|ingredients|website)"
)
_THIRD = (
    r"(?:someone|somebody|anyone|anybody|people|persons?|men|man|women|woman|gangs?|characters?|villains?|"
    r"hero(?:es|ine)?|thie(?:f|ves)|"
    r"criminals?|burglars?|attackers?|hackers?|terrorists?|killers?|murderers?|friends?|he|she|they|"
    r"others|students?|soldiers?|agents?|"
    r"protagonists?|detectives?|scammers?|fraudsters?|strangers?|companies|states?|cult|spies|spy|army|it)"
)

# A text or a thing that is asked for and that would itself do the act: "write a post that promotes …", "a blog post promoting …".
_ARTEFACT = (
    r"(?:posts?|articles?|books?|songs?|lyrics|poems?|tweets?|essays?|accounts?|games?|ads?|adverts?|advertisements?|videos?|"
    r"reviews?|comments?|websites?|blogs?|memes?|flyers?|pamphlets?|stor(?:y|ies)|jokes?|machines?|algorithms?|viruse?s?|"
    r"novels?|films?|movies?|plays?|scenes?|speech(?:es)?|raps?|campaigns?|platforms?|devices?|systems?|texts?|statements?|polic(?:y|ies))"
)
_MAKE = r"(?:write|create|make|design|develop|publish|post|produce|generate|compose|draft|record|build|share|program|code|give)"

REQUEST = re.compile(
    "|".join(
        [
            rf"\bhow\s+(?:do|does|did|can|could|would|should|might|may|must)\s+{_WORDS}{{1,3}}(?:best\s+|"
            rf"go\s+about\s+|actually\s+)?$",
            rf"\bhow\s+(?:do|can|could|would|should|might|may|must)\s+{_ME}\b",
            r"\bhow\s+(?:best\s+)?to\b",
            r"\bhow\s+(?:people|one|someone|they|criminals|hackers|thieves|burglars|terrorists|killers|scammers)\s+$",
            rf"\b{_METHOD}\s+(?:{_WORDS}{{0,3}})?(?:to|for|on|of|in|that|which|telling|about\s+how)\b",
            rf"\b{_TOOL}\s+(?:{_WORDS}{{0,2}})?(?:to|for|that|which|with\s+which)\b",
            rf"\b{_ME}(?:'m|'d|'ll|'ve)?\s+(?:{_WORDS}{{0,2}})?"
            r"(?:want|need|plan|going|intend|like|love|have|trying|try|hope|wish|decided|about|ready|mean)\s+to\b",
            rf"\b{_ME}(?:'ll|\s+will|\s+shall|\s+can|\s+could|\s+must|\s+should)\b",
            r"\b(?:help|teach|show|tell|let|assist|train|guide|walk|coach|get)\s+(?:me|us)\b(?:\s+(?:to|how|in|with|through))*",
            r"\b(?:can|could|would|will)\s+you\b(?:\s+please)?",
            r"\b(?:you|assistant)\s+(?:will|shall|should|must|are\s+going\s+to|are\s+to)\b",
            rf"\b(?:teach|show|instruct|tell|guide|train|advise)\s+{_WORDS}{{1,4}}?(?:on\s+|about\s+|in\s+)?how\s+(?:best\s+)?to\b",
            rf"\b{_MAKE}\s+(?:{_WORDS}{{1,6}}?)?(?:{_TOOL}|{_ARTEFACT})\s+(?:that|which)\s+(?:can|could|may|might)\s+be\s+used\s+to\b",
            r"\bplease\b",
            rf"\b{_MAKE}\s+(?:{_WORDS}{{1,9}}?)?{_ARTEFACT}\s+(?:that|which)\s+(?:can\s+|could\s+|will\s+|would\s+)?(?:\w+ly\s+)?$",
            rf"\b{_MAKE}\s+(?:{_WORDS}{{1,5}}?)?{_ARTEFACT}\s+$",
            r"\b(?:what|which)\s+(?:is\s+|are\s+)?(?:the\s+)?(?:best|easiest|fastest|quickest|safest|cheapest|"
            r"simplest)\b[\w\s]{0,30}\bto\b",
            rf"\bwhat\s+(?:do|would|should|must)\s+{_ME}\s+(?:need|do|take|use)\b(?:\s+to)?",
            r"\b(?:and|then|now|:)\s+$",
        ]
    )
)

MENTION = re.compile(
    "|".join(
        [
            rf"\b(?:who|whom|whose)\b(?:\s+{_WORDS}{{0,3}})?",
            r"\b(?:illegal|legal|unlawful|lawful|wrong|right|ethical|unethical|crime|dangerous|bad|immoral|cruel|"
            r"forbidden|permissible|"
            r"justified|acceptable|just|sin|moral)\s+(?:for\s+[\w\s]{1,20}\s+)?to\b",
            rf"\bwhy\s+(?:{_WORDS}{{0,7}})$",
            rf"\b{_THIRD}\s+(?:{_WORDS}{{0,3}})?$",
            r"\b(?:tried|tries|attempted|attempts|wants|wanted|threatens|threatened|planned|plans|plotted|plots|"
            r"failed|learns|learned|used|hired|"
            r"ordered|forced|arrested|convicted|accused|charged|jailed|caught|sentenced|imprisoned|tempted|"
            r"refuses|refused)\s+(?:to|for|of|with)\b",
            r"\b(?:against|stop|stops|stopping|prevent|prevents|preventing|avoid|detect|detecting|recogni[sz]e|"
            r"report|reporting|defend|protect|"
            r"resist|without|never|not|don't|penalt(?:y|ies)|punishment|sentence|charges?|laws?|history|signs?|"
            r"victims?|consequences|effects|"
            r"risks?|dangers?|film|films|movie|book|novel|news|report|article|documentary|case|trial|story|"
            r"stories|investigation)\b"
            r"(?:\s+(?:of|for|from|to|that|being|about|against|on|in\s+which|where))*",
            r"\b(?:from|about)\s*$",
        ]
    )
)

USABLE = re.compile(
    r"\b(?:that|which|so\s+that|so|for)\s+(?:i|we|readers?|anyone|others|people|someone|a\s+reader|"
    r"the\s+reader|viewers|players)\s+"
    r"(?:can|could|may|might|would\s+be\s+able\s+to)\s+(?:really\s+|actually\s+|then\s+)?"
    r"(?:follow|copy|repeat|use|do|reproduce|imitate|try|carry)\b"
    r"|\b(?:exact|working|usable|complete|precise|real|actual|accurate|functional|step[- ]by[- ]step|"
    r"practical|real-life|authentic)\s+"
    r"(?:working\s+|usable\s+|technical\s+)?(?:instructions?|methods?|steps?|recipes?|procedures?|plans?|"
    r"guides?|formulas?|details)\b"
    r"|\bdetailed\s+enough\s+to\b|\bin\s+enough\s+detail\b|\bthat\s+(?:really|actually)\s+works?\b|\bwould\s+really\s+work\b"
    r"|\bverses\s+are\s+instructions\b|\bexplains?\s+exactly\s+how\b|\bstep\s+by\s+step\b"
)

# What stands for the making of a thing without a verb ("a recipe for …"), and what asks for it, before it.
PLAN = r"(?:recipes?|blueprints?|schematics?|instructions?|directions|synthesis(?:\s+route)?)\s+(?:for|of)\s+"
# Behind the thing: another thing is meant.
HARMLESS = (
    r"(?!\s+(?:vaccin\w*|antidotes?|treatments?|therap\w*|tests?|testing|detect\w*|safes?|safety|disposal|awareness|victims?|cakes?|"
    r"cupcakes?|cookies|costumes?|toys?|drills?|prevention|response|addict\w*|abuse|withdrawal|recovery|overdoses?|exposure|poisoning|"
    r"control|clean-?up)\b)"
)
_KIND = (
    r"(?:(?:an?|the|your|some|any|exact|real|working|full|complete|detailed|simple|easy|homemade|best|accurate|good|quick|basic|"
    r"original|secret|step[- ]by[- ]step)\s+)*"
)
PLAN_ASKED = re.compile(
    "|".join(
        [
            r"(?:^\W*|[,;:]\s*|\b(?:you|please|and|then|also|just)\s+)(?:give|send|show|tell|provide|list|write|post|share|supply|"
            rf"print|output|draft|get|find)(?:\s+(?:me|us|out|down|up))*(?:\s+with)?\s+{_KIND}$",
            rf"\b{_ME}(?:'d|'m|'ve)?\s+{_WORDS}{{0,2}}?(?:need|want|like|require|looking\s+for|searching\s+for)\s+{_KIND}$",
            rf"\bwhat(?:'s|\s+is|\s+are)\s+{_KIND}$",
            rf"^\W*{_KIND}$",
        ]
    )
)

# Directly before a verb: the act is what is to be prevented. ("How can I stop people from hacking …", "avoid being scammed")
PROTECTING = re.compile(
    r"\b(?:prevent|stop|avoid|detect|recogni[sz]e|report|block|combat|fight|counter|resist|identify|discourage|deter)(?:s|ing|ed|ping)?"
    r"\s+(?:(?:people|others|someone|anyone|users?|employees|kids|children|hackers|criminals|attackers|them|him|her|who|from|"
    r"against|attempts|to|being|that)\s+){0,4}$"
)

# Between a verb and its object: the object is what is protected against. ("Create a filter that removes spam e-mails")
GUARDS = re.compile(
    r"\b(?:prevent|stop|avoid|detect|recogni[sz]|report|block|combat|fight|counter|resist|identif|discourage|deter|protect|defend|"
    r"against|filter|remove|classif|spot|reduce|mitigate|warn|raise\s+awareness|awareness|anti)[\w-]*\b"
)

PROTECTS = re.compile(
    r"\b(?:stop|prevent|protect|defend|detect|recogni[sz]e|report|avoid|resist|survive|escape|treat|heal|"
    r"catch|catches|warn|secure|"
    r"safe\s+from|keep\s+\w+\s+safe)\b"
)
