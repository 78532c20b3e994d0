"""Which parts of a YAML file are read: all of our own, only the known blocks of a foreign one (a training configuration, say).

In a foreign file the known blocks are read as strictly as in our own, the other keys are listed as ignored, and a key that nearly
spells a known one is refused wherever it stands: a typing slip must not switch a limit off.
"""

from __future__ import annotations

from functools import lru_cache

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from solon.constitution.draft import GOVERNANCE_EXTRAS, Draft
from solon.constitution.keys import BLOCKS, GROUPS, KEYS, LIMIT_GROUPS
from solon.constitution.tree import edits

META = ("solon", "id", "version", "title", "language", "precedence", "preamble")
WORDS = ("meta_principles", "principles", "laws")
OWN = (*META, "limits", "governance", "meta_learning", "emergency", "gates", "domains", "escalation", "signatures")
OWN_YAML = (*OWN, *WORDS, *GROUPS, "constitutional_constraints")
LOOSE = GOVERNANCE_EXTRAS[1:]  # may stand at the top of a foreign file
# `orders` is too common a word to be claimed in a file that is not ours
FOREIGN = ("limits", "constitutional_constraints", *LIMIT_GROUPS[:-1], *BLOCKS, *LOOSE, "laws")


def is_own(names: set[str], *, front_matter: bool) -> bool:
    """Whether a mapping is a constitution of ours rather than a file that carries limits among other things."""
    return front_matter or "solon" in names or names <= {*OWN_YAML, *KEYS, *LOOSE}


def read_blocks(draft: Draft, root: Node, *, front_matter: bool) -> dict[str, tuple[Node, Node]]:
    """Read every block of numbers into the draft; returns the top level, for those who read the words.

    Raises:
        ConstitutionError: a key or value was refused.
    """
    top = draft.reader.mapping(root, "top level")
    own = is_own(set(top), front_matter=front_matter)
    known = OWN if front_matter else OWN_YAML
    for name, (at, node) in top.items():
        if (own or name in FOREIGN or name in KEYS) and _read_block(draft, name, at, node, own=own):
            continue
        if own:
            if name not in known:
                draft.reader.unknown(at, name, known)
        elif name not in FOREIGN:
            _pass_over(draft, name, at, node)
    return top


def _read_block(draft: Draft, name: str, at: Node, node: Node, *, own: bool) -> bool:
    """Whether the block was one of numbers, and is read."""
    if name in KEYS:
        draft.add_limit(at, KEYS[name], node)
    elif name in GROUPS:
        draft.add_group(name, node)
    elif name in ("limits", "constitutional_constraints"):
        draft.add_limits(node, name)
    elif name in LOOSE:
        draft.add_extra(name, at, node)
    elif own and name == "gates":
        draft.add_gates(node)
    elif own and name == "domains":
        draft.add_domains(node)
    elif own and name == "escalation":
        draft.add_escalation(node)
    elif own and name == "signatures":
        draft.add_signatures(node)
    else:
        return False
    return True


def _pass_over(draft: Draft, name: str, at: Node, node: Node) -> None:
    if near := _near(name) or _near_block(name, node):
        draft.reader.refuse(at, name, f"{near} or another word", repr(name), f"did you mean {near!r}?")
    draft.ignored.append(name)
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        if isinstance(here, SequenceNode):
            waiting += here.value
        elif isinstance(here, MappingNode):
            for key, value in here.value:
                if isinstance(key, ScalarNode):
                    _refuse_slip(draft, name, key)
                waiting.append(value)


def _refuse_slip(draft: Draft, block: str, key: ScalarNode) -> None:
    near = _near(key.value)
    if not near:
        return
    if near == key.value:
        mend = "move it to the top level, to its group, or under constitutional_constraints:"
        draft.reader.refuse(key, near, "it in a block that is read", f"it inside {block}", mend)
    draft.reader.refuse(key, key.value, f"{near} or another word", repr(key.value), f"did you mean {near!r}?")


@lru_cache(maxsize=4096)
def _near(name: str) -> str:
    """The known key that a foreign key is or nearly is (at most two edits); empty if none."""
    return _nearest(name, (*KEYS, *LOOSE, "constitutional_constraints"), 2)


def _near_block(name: str, node: Node) -> str:
    """The same for names of blocks. They are common words, so only the top level counts, and only what could be such a block."""
    if isinstance(node, ScalarNode):
        return _nearest(name, tuple(known for known in FOREIGN if len(known) >= 9), 2)
    long, short = (tuple(known for known in FOREIGN if (len(known) >= 6) is wanted) for wanted in (True, False))
    return _nearest(name, long, 2) or _nearest(name, short, 1)


def _nearest(name: str, known: tuple[str, ...], most: int) -> str:
    word = name.lower().replace("-", "_")
    return next((other for other in known if edits(word, other, most) <= most), "")
