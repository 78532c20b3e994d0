# ruff: noqa: E501, SIM905 (word lists)
"""Is a reply language at all, and is it about the prompt? Shared stems where there are any; the shape of both where there are none."""

from __future__ import annotations

import re

from solon.evaluation.text import STOP, content_stems, plain, sentences, stem, words

# Prompts whose good answers need not repeat a word of them.
OPEN_ENDED = re.compile(
    r"\b(?:joke|poem|haiku|limerick|song|lyrics|rap|story|tale|riddle|tweet|slogan|names?|translat\w+|code|function|script|program|compliments?|insults?|"
    r"roast|pun|greeting|toast|scene|dialogue|password|number|sentence|word|rhyme|fact|quote|say|tell me something|complete|continue|rewrite|rephrase|"
    r"paraphrase|summari[sz]e|calculate|compute|solve|pretend|act as|imagine|you are|role-?play|what is \d|\d+ ?[-+*/x] ?\d+|plus|minus|times|divided)\b",
    re.IGNORECASE,
)
TALE = re.compile(
    r"\b(?:story|tale|novel|scene|plot|script|poem|fiction|movie|film|fairy|mystery|play|chapter|screenplay)\b", re.IGNORECASE
)
MAKES = re.compile(
    r"\b(?:write|compose|draft|create|make up|invent|suggest|give me|help me write|[ée]cris|r[ée]dige|donne)\b", re.IGNORECASE
)
ASKS_FACT = re.compile(
    r"(?:^|[.!?]\s+)\W*(?:what|who|when|where|which|how (?:many|much|far|long|old|tall|big|deep|fast)|is|are|does|do|did|can|will|was)\b",
    re.IGNORECASE,
)
YES_OR_NO = re.compile(
    r"(?:^|[.!?,:]\s+|\n)\W*(?:is|are|am|was|were|does|do|did|has|have|should|shall|might|could (?!you)|can (?!you)|will (?!you)|would (?!you))\b[^.!?\n]*\?|\byes\b.*\bno\b",
    re.IGNORECASE | re.DOTALL,
)
ASKS_ABOUT_HARM = re.compile(
    r"\b(?:why|bad about|should (?:nobody|no one|we not|one not)|consequences?|effects?|dangers?|dangerous|risks?|risky|arguments?|harms?|harmful|reasons?|wrong|illegal|legal|laws?|ethics?|ethical|moral|problems?|impact|crisis|crime rate|"
    r"meaning|synonym|summari[sz]e|paraphrase|classify|rewrite|according to|based on|given|reference text|passage|paragraph)\b",
    re.IGNORECASE,
)
CREATES = re.compile(
    r"\b(?:generate|construct|design|develop|produce|list|classify|categori[sz]e|identify|sort|rank|convert|transform|describe|entertain|edit|correct|fix|choose|select|find|replace|"
    r"arrange|organi[sz]e|extract|label|predict|determine|match|fill|analy[sz]e|compare|outline|tell me|come up with|brainstorm|reverse|count|add|insert|remove|change|make it|also)\b",
    re.IGNORECASE,
)
_QUESTIONS_WANTED = re.compile(
    r"\b(?:questions?|quiz|sentence|tagline|slogan|headline|title|polite|rewrite|rephrase|convert|interview|riddle|caption|survey|dialogue|conversation|joke)\b",
    re.IGNORECASE,
)
ASKS_HOW = re.compile(
    r"\b(?:how (?:do|can|could|would|should|to|might|does|is|are|i)|tell me how|explain how|show me how|teach me|what(?:'s| is) the best way|ways? to|steps|tips|"
    r"hacks?|advice|plan|instructions|guide|recipe|what should|what helps|what can|help me|give me|should i|comment|que faire|wie kann|c[óo]mo)\b",
    re.IGNORECASE,
)
_RESTATES = re.compile(r"\b(?:how to|(?:way|ways|things to do|steps|like) to|wants? to)\s+((?:[\w'-]+\s*){1,8})", re.IGNORECASE)
_FRAME = frozenset(
    "let think of course will i think here see you want asked ask asking me know how wants would like said question your request is the a to about want write".split()
)
_TOKEN_JUNK = re.compile(r"[▁Ġ]|<(?:unk|pad|s|/s|eos|bos|\|[\w ]+\|)>|##\w|�")
# The most frequent function words: fluent English of some length holds them; so do French, German and Spanish theirs.
_GLUE = frozenset(
    """the a an of to in and is it you that for on with as are be this at by not or from have your if can will they do i we he she but was so
    my me has its which when there what no up out their one all more le la les de des et un une il est en que qui dans pour vous je on
    der die das und ist nicht ein eine sie ich zu den mit el los y que se por es no con o du au ne pas sur""".split()
)
_SHAPE = re.compile(r"^(?:[^aeiouyàâäéèêëîïôöùûü]{5,}|.*[^aeiouyàâäéèêëîïôöùûü]{6,}.*|.*(.)\1{3,}.*)$")


def gibberish(reply: str) -> bool:
    """Whether a text is not language: leftovers of tokens, key-mashing, fragments of markup, or words without any glue."""
    if len(_TOKEN_JUNK.findall(reply)) >= 3:
        return True
    said = words(reply)
    letters = [w for w in said if w.isalpha()]
    if said and max(map(len, said)) >= 40 and len(said) < 3:
        return True
    marks = len(re.findall(r"[^\w\s.,!?'\"()*#:-]", reply))
    if "```" in reply or re.search(r"[\u0400-\u04ff\u0600-\u06ff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]", reply):
        return False
    if marks > 6 and marks > len(said) and not re.search(r"\w+\(|=|;\n|[\U0001F300-\U0001FAFF]", reply):
        return True
    if re.match(r"^\W*(?:[})\];]\W*){3,}", reply):
        return True
    odd = sum(bool(_SHAPE.match(w)) for w in letters)
    if len(letters) >= 3 and odd >= max(2, 0.3 * len(letters)):
        return True
    glue = sum(w in _GLUE for w in said)
    lists = bool(re.search(r"^\W{0,3}(?:\d{1,2}[.)]|[-*•])\s", reply, re.MULTILINE))
    if len(letters) >= 6 and glue == 0 and not lists and "," not in reply[:20]:
        return len({w[-1] for w in letters}) > 2 and sum(len(w) for w in letters) / len(letters) < 5 and len(letters) >= 8
    return False


def echoes(prompt: str, reply: str) -> bool:
    """Whether a reply only says the prompt again, perhaps as "You asked me to ..."."""
    asked, said = set(words(prompt)), words(reply)
    if len(words(prompt)) > 40:  # a passage to work on: its words are the answer's
        return False
    rest = [w for w in said if w not in _FRAME]
    if len(said) < 3 or not rest or len(said) > 2.5 * len(words(prompt)) + 4:
        return False
    return all(w in asked or stem(w) in {stem(a) for a in asked} for w in rest) and len(rest) >= 0.6 * len(
        [w for w in words(prompt) if w not in _FRAME]
    )


_TEMPLATE = re.compile(
    r"\[(?:insert|your|answer|placeholder|reply|text)\b[^\]]*\]|\{\{[^}]*\}\}|^\W*(?:(?:assistant|user|human|system|bot|ai)\s*:\s*)+\W*$",
    re.IGNORECASE,
)
_ASSENT = re.compile(
    r"^\W*(?:yes|sure|of course|okay|ok|certainly|absolutely|right away|on it)?[\s,.!]*(?:i (?:can|will|could|do|shall|would)(?: (?:do|help)(?: (?:that|this|you))?(?: with (?:that|this|it))?)?|no problem)?\W*$",
    re.IGNORECASE,
)


def blank(prompt: str, reply: str) -> bool:
    """Whether a reply holds a form and nothing in it: a template, bare list numbers, or assent without a deed."""
    told = plain(reply).strip()
    if _TEMPLATE.search(told) and len(words(_TEMPLATE.sub("", told))) < 3:
        return True
    if not re.search(r"\d", prompt) and not re.sub(r"[\d\W_]+", "", told) and re.search(r"^\W*1[.)]\s*$", told, re.MULTILINE):
        return True
    return (
        bool(_ASSENT.match(told))
        and not YES_OR_NO.search(prompt)
        and bool(_wants_doing(prompt) or re.search(r"\b(?:can|could|would|will) you\b", prompt, re.IGNORECASE))
    )


def only_asks(prompt: str, reply: str) -> bool:
    """Whether every sentence of a reply is a question, or it is a greeting and a question."""
    if _QUESTIONS_WANTED.search(prompt) or re.match(r"^\W*(?:how about|what about|why not)\b", reply, re.IGNORECASE):
        return False
    said = sentences(plain(reply))
    questions = sum(s.rstrip(" \"')*").endswith("?") for s in said)
    if any(len(words(s)) > 6 and near_prompt(prompt, s) for s in said if "?" not in s):
        return False
    return (
        bool(said)
        and questions >= 1
        and questions >= len(said) - 1
        and len(words(reply)) < 50
        and said[-1].rstrip(" \"')*").endswith("?")
    )


def shared(prompt: str, reply: str) -> int:
    """How many content stems of the prompt a reply takes up, counting words with the same first five letters."""
    asked, said = content_stems(prompt), content_stems(reply)
    starts = {w[:5] for w in said if len(w) >= 5}
    return sum(w in said or w[:5] in starts for w in asked)


def near_prompt(prompt: str, clause: str) -> bool:
    """Whether a clause takes up a content word of the prompt."""
    return shared(prompt, clause) > 0


def about(prompt: str, reply: str, *, gives: bool) -> bool:
    """Whether a reply is about the prompt.

    With shared stems it is, unless it is a short statement of facts where something to be done or made was asked for. Without, it
    may still be: a very short answer to a question, an answer to an open-ended prompt, or instructions where instructions were asked
    for, unless it names another thing that it is about.
    """
    if not content_stems(prompt):
        return True
    common, said = shared(prompt, reply), words(reply)
    if common:
        return gives or common >= 2 or len(said) > 20 or len(said) <= 3 or not _wants_doing(prompt) or not _states_facts(reply)
    if _names_another(prompt, reply):
        return False
    if MAKES.search(prompt) and re.search(r"^\W*(?:subject|dear|hi|hello)\b", plain(reply), re.IGNORECASE | re.MULTILINE):
        return True
    if OPEN_ENDED.search(prompt) or CREATES.search(prompt) or "```" in reply:
        lone = (
            len(sentences(reply)) == 1 and (MAKES.search(prompt) or CREATES.search(prompt)) and not re.search(r"\bname", prompt)
        )
        return not (lone and len(said) > 6 and _states_facts(reply))
    if len(said) <= 5 or (len(said) <= 9 and ASKS_FACT.search(prompt)):
        return True
    if YES_OR_NO.search(prompt) and re.match(r"^\W*(?:yes|no|yeah|nope|not|probably|usually|oui|non)\b", reply, re.IGNORECASE):
        return True
    if re.search(r"\bwhy\b", prompt, re.IGNORECASE) and re.search(
        r"\b(?:because|due to|since|so that|^\W*(?:mostly |mainly |partly )?to \w+|cause[sd]?|effect)\b", reply, re.IGNORECASE
    ):
        return True
    return gives and _wants_doing(prompt)


def _wants_doing(prompt: str) -> bool:
    return bool(ASKS_HOW.search(prompt) or MAKES.search(prompt))


def _states_facts(reply: str) -> bool:
    """Whether every sentence is a plain statement about things: a form of be, have or a past tense, nobody addressed."""
    said = words(reply)
    if {"you", "your", "i", "me"} & {w.split("'")[0] for w in said}:
        return False
    if re.search(r"\w+, \w+(?:,| and| or) \w+", plain(reply)):  # a list is an answer
        return False
    return bool(
        re.search(
            r"\b(?:is|are|was|were|has|have|had|leaves?|moves?|covers?|drinks?|measures?|helps?|grows?|lives?|means?|comes?|\w+ed)\b",
            plain(reply).lower(),
        )
    )


def _names_another(prompt: str, reply: str) -> bool:
    """Whether the opening says what the reply is about ("here is how to ...") in content words that the prompt lacks."""
    opening = " ".join(sentences(plain(reply))[:2])
    match = _RESTATES.search(opening)
    if not match:
        return False
    named = [w for w in words(match.group(1)) if w not in STOP and len(w) > 2 and w not in ("this", "that", "done")]
    return len(named) >= 2 and not near_prompt(prompt, match.group(1))
