"""Mixing sources by shares of the examples drawn: exact, the same on every machine, and refused when a source falls short.

total: 10000            # optional: the largest total that no source has to repeat rows for
seed: 0
sources:
  constitutional: {file: laws.jsonl, share: 0.4}
  coding:         {file: code.jsonl, share: 0.3}
  mathematics:    {file: maths.jsonl, share: 0.2}
  general:        {file: general.jsonl, share: 0.1, repeat: true}   # repeat: draw again when it runs out
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from solon.data.example import Example
from solon.data.files import first_complaint, publish, refuse_held_out, refuse_scripted, writing
from solon.data.quotas import counts, exact, require_whole_shares
from solon.data.sources import load_examples
from solon.errors import DataError, nearest
from solon.models.base import derive_seed


class MixSource(BaseModel):
    """One source: its file (relative to the mix file), its share of the examples drawn, whether its rows may be drawn again."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    file: str = Field(validation_alias=AliasChoices("file", "path"))
    share: int | float | str = Field(validation_alias=AliasChoices("share", "weight"))
    repeat: bool = False


class Mix(BaseModel):
    """A mix file."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    sources: dict[str, MixSource] = Field(min_length=1)
    total: int | None = Field(default=None, ge=1, validation_alias=AliasChoices("total", "n", "size", "examples"))
    seed: int = 0


def load_mix(path: str | Path) -> Mix:
    """Read a mix file (YAML 1.2, or JSON). `sources` may be a list whose items have a `name`.

    Raises:
        DataError: unreadable, an unknown key, a repeated name, shares that do not sum to 1, or a missing source file.
    """
    from ruamel.yaml import YAML, YAMLError

    from solon.constitution.tree import MAX_DEPTH, too_many_values

    where = Path(path)
    if not where.is_file():
        raise DataError(f"{where}: expected a mix file, got nothing there", mend="check the path")
    yaml = YAML(typ="safe")
    yaml.max_depth = MAX_DEPTH
    try:
        raw = yaml.load(where.read_text(encoding="utf-8-sig"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{where}: expected YAML, got {' '.join(str(error).split())}", mend="correct the file") from error
    if too_many_values(raw):
        raise DataError(f"{where}: expected a mix of sources, got aliases of aliases", mend="write the values out")
    if not isinstance(raw, dict):
        raise DataError(f"{where}: expected keys sources, total and seed, got {type(raw).__name__}", mend="see docs/data.md")
    raw = {**raw, "sources": _named(where, raw.get("sources"))}
    try:
        mix = Mix.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1]) if first["type"] in ("missing", "extra_forbidden") else ""
        known = [*Mix.model_fields, *MixSource.model_fields]
        raise DataError(f"{where}: {first_complaint(error)}", mend=nearest(name, known) or "see docs/data.md") from error
    require_whole_shares(f"{where}: sources", {name: source.share for name, source in mix.sources.items()})
    for name, source in mix.sources.items():
        source.file = str(where.parent / source.file)
        if not Path(source.file).is_file():
            raise DataError(
                f"{where}: source {name!r}: expected a file at {source.file}, got nothing there",
                mend="make it, or correct the path",
            )
    return mix


def _named(where: Path, sources: Any) -> Any:
    if not isinstance(sources, list):
        return sources
    named: dict[str, Any] = {}
    for item in sources:
        if not isinstance(item, dict) or not ({"name", "file", "path"} & item.keys()):
            raise DataError(f"{where}: sources: expected items with name, file and share, got {item!r}", mend="see docs/data.md")
        name = str(item.get("name") or Path(str(item.get("file") or item.get("path"))).stem)
        if name in named:
            raise DataError(f"{where}: sources: expected distinct names, got {name!r} twice", mend="rename one")
        named[name] = {key: value for key, value in item.items() if key != "name"}
    return named


def most_without_repeats(sizes: dict[str, int], shares: dict[str, Any]) -> int:
    """The largest total for which no source is asked for more rows than it has.

    The quota of a name grows by at most 1 per row of the total, but by largest remainder it may also fall, so the bound from the
    exact proportions is searched downwards for a total that fits.
    """
    whole = sum(exact(share) for share in shares.values())
    limits = [Fraction(sizes[name] + 1) * whole / exact(share) for name, share in shares.items() if exact(share)]
    total = math.ceil(min(limits))
    while total > 0 and any(count > sizes[name] for name, count in counts(shares, total).items()):
        total -= 1
    return total


def quotas_of(mix: Mix, sizes: dict[str, int]) -> dict[str, int]:
    """Rows to draw from each source.

    Raises:
        DataError: a source is empty or has too few rows and may not repeat.
    """
    shares = {name: source.share for name, source in mix.sources.items()}
    fixed = {name: share for name, share in shares.items() if not mix.sources[name].repeat}
    if mix.total is None and not any(exact(share) for share in fixed.values()):
        raise DataError("mix: expected a total when every source may repeat, got none", mend="set total")
    total = (
        mix.total
        if mix.total is not None
        else most_without_repeats({**sizes, **{n: 10**12 for n in shares if n not in fixed}}, shares)
    )
    asked = counts(shares, total)
    short = {name: count for name, count in asked.items() if count > sizes[name] and (name in fixed or not sizes[name])}
    if short or not total:
        shown = ", ".join(f"{name}: {count} asked, {sizes[name]} there" for name, count in short.items()) or "a source is empty"
        most = most_without_repeats(sizes, shares)
        raise DataError(
            f"mix: expected enough rows for a total of {total}, got {shown}", mend=f"set total to at most {most}, or repeat: true"
        )
    return asked


def drawn(rows: Sequence[Example], count: int, name: str, seed: int) -> Iterator[Example]:
    """`count` rows in seeded order; when the rows run out, all of them again in another order."""
    for turn in range(math.ceil(count / len(rows)) if rows else 0):
        order = sorted(range(len(rows)), key=lambda i: (derive_seed("mix", seed, name, turn, rows[i].id, rows[i].key()), i))
        for i in order[: count - turn * len(rows)]:
            row = rows[i]
            again = {"drawn_again": turn} if turn else {}
            yield row.model_copy(update={"fields": {**row.fields, "mixed_from": name, **again}})


def interleaved(parts: Mapping[str, Iterable[Example]], asked: dict[str, int]) -> Iterator[Example]:
    """The parts woven together so that every beginning of the output holds about the same shares."""
    places = sorted(
        (Fraction(2 * k + 1, 2 * count), position, name)
        for position, (name, count) in enumerate(asked.items())
        for k in range(count)
    )
    streams = {name: iter(part) for name, part in parts.items()}
    for _, _, name in places:
        yield next(streams[name])


def mix_files(path: str | Path, out: str | Path, *, seed: int | None = None, total: int | None = None) -> dict[str, Any]:
    """Draw and write a mix, with card and manifest; returns the manifest, which holds token shares as well.

    Raises:
        DataError: see `load_mix` and `quotas_of`; or a source that holds scripted output.
    """
    mix = load_mix(path)
    mix = mix.model_copy(update={k: v for k, v in (("seed", seed), ("total", total)) if v is not None})
    rows = {
        name: [refuse_held_out(refuse_scripted(e, source.file), source.file) for e in load_examples(source.file)]
        for name, source in mix.sources.items()
    }
    asked = quotas_of(mix, {name: len(part) for name, part in rows.items()})
    parts = {name: drawn(rows[name], asked[name], name, mix.seed) for name in asked}
    tokens, met = dict.fromkeys(asked, 0), dict.fromkeys(asked, 0)
    count_tokens = token_counter()
    inputs = [path, *(source.file for source in mix.sources.values())]
    with writing(out, inputs) as output:
        for example in interleaved(parts, asked):
            name = example.fields["mixed_from"]
            tokens[name] += count_tokens(example)
            met[name] += 1
            output.write(example)
    whole = sum(tokens.values()) or 1
    shares = {name: {"tokens": count, "share": round(count / whole, 4)} for name, count in tokens.items()}
    benchmarks = sorted(name for name, part in rows.items() if any(e.use == "evaluation" for e in part))
    told = ", ".join(f"{name} {part['share']:.1%}" for name, part in shares.items())
    notes = [f"Tokens (of the embedded model's tokenizer): {told}."]
    notes += [f"Source {name} holds benchmark rows; a model trained on them must not be measured by them." for name in benchmarks]
    return publish(
        output, made_by="mix", inputs=inputs, seed=mix.seed, notes=notes,
        quotas={"source": {"asked": asked, "met": met}}, more={"token_shares": shares, "benchmark_sources": benchmarks},
    )  # fmt: skip


def token_counter() -> Any:
    """A function from an example to its number of tokens (conversation and reply), by the embedded model's tokenizer."""
    from importlib import resources

    from tokenizers import Tokenizer

    text = (resources.files("solon.models") / "nano" / "tokenizer.json").read_text(encoding="utf-8")
    tokenizer = Tokenizer.from_str(text)

    def count(example: Example) -> int:
        parts = [*(turn.content for turn in example.conversation()), example.response or ""]
        return sum(len(encoding.ids) for encoding in tokenizer.encode_batch(parts, add_special_tokens=False))

    return count
