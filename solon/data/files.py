"""Files that data is written to: outputs that appear whole, with a card and a manifest beside them, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from glob import escape
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

import solon
from solon.data.example import Example
from solon.data.records import PROBE
from solon.errors import NO_ROOM, DataError

SCRIPTED = "scripted"


def first_complaint(error: ValidationError) -> str:
    """`field: what was expected, got …` of the first thing that pydantic refused."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    got = repr(first["input"])
    return f"{name + ': ' if name else ''}{first['msg'].replace('Input should be', 'expected')}, got {got[:80]}"


def is_scripted(example: Example) -> bool:
    """Whether the row was made by the scripted test double, whose output is never data."""
    provenance = example.fields.get("provenance")
    model = provenance.get("model", "") if isinstance(provenance, dict) else ""
    return SCRIPTED in (example.source, model) or bool(example.fields.get(SCRIPTED))


def refuse_scripted(example: Example, where: str) -> Example:
    """The example, unless the scripted test double made it.

    Raises:
        DataError: it did.
    """
    if is_scripted(example):
        raise DataError(f"{where}: expected a model's own words, got scripted output", mend="make rows with a real model")
    return example


def refuse_held_out(example: Example, where: str) -> Example:
    """The example, unless a generator made it for evaluation only. Benchmark rows pass: whoever mixes them in is told so.

    Raises:
        DataError: it is an edge case of a principle, or of the held-out part of the trading generator.
    """
    context = example.fields.get("context")
    if example.split == PROBE or (isinstance(context, dict) and context.get("split") == "evaluation"):
        raise DataError(f"{where}: expected rows to train on, got one that was made for evaluation only", mend="leave it out")
    return example


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass
class Output:
    """A file being written: rows counted, bytes hashed, facets tallied for the card."""

    path: Path
    file: IO[bytes]
    rows: int = 0
    _nested: Counter[tuple[str, str]] = field(default_factory=Counter)
    _combinations: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def write(self, row: BaseModel | Mapping[str, Any]) -> None:
        """Append one row as a line of JSON."""
        value = row.model_dump(mode="json") if isinstance(row, BaseModel) else row
        try:
            self.file.write(to_json(value) + b"\n")
        except (ValueError, UnicodeError) as error:
            raise DataError(
                f"{self.path}: row {self.rows + 1}: cannot be written as JSON ({error})", mend="mend its text"
            ) from error
        self.rows += 1
        self.tally(value)

    def tally(self, value: Mapping[str, Any]) -> None:
        """Count the row under every facet that the card shows. Rows are counted by combination, which is four times as fast."""
        if "form" in value:
            self._combinations[_facet_values(value)] += 1
            if _KNOWN_FIELDS.isdisjoint(value.get("fields") or ()):
                return
            value = {"fields": value["fields"]}
        self._nested.update(facets_of(value))

    def tallies(self) -> dict[str, Counter[str]]:
        """Facet -> value -> rows."""
        found: dict[str, Counter[str]] = {}
        for values, count in self._combinations.items():
            for name, value in facets_of(dict(zip(FACETS, values, strict=True))):
                found.setdefault(name, Counter())[value] += count
        for (name, value), count in self._nested.items():
            found.setdefault(name, Counter())[value] += count
        return found


FACETS = ("form", "set", "hazard", "persona", "principle", "language", "split", "source", "licence", "use")
_facet_values = itemgetter(*FACETS)
NESTED = {
    "fields": ("example_type", "law_category", "difficulty", "kind", "mixed_from", "category", "subject", "locale"),
    "context": ("category",),
    "training_metadata": ("category", "domain", "escalate"),
    "": ("example_type", "law_category", "difficulty", "kind", "principle_id"),
}


_KNOWN_FIELDS = frozenset({*NESTED["fields"], "context", "training_metadata"})


def facets_of(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(facet, value) pairs of a row as written, of any shape; empty values are left out."""
    for name in FACETS:
        if isinstance(value.get(name), str) and value[name] and len(value[name]) <= 80:
            yield name, value[name]
    for parent, names in NESTED.items():
        inner = value.get(parent) if parent else value
        if not isinstance(inner, Mapping):
            continue
        for name in names:
            if inner.get(name) not in (None, "", []):
                yield name, str(inner[name])
        if parent == "fields":
            yield from facets_of({key: inner[key] for key in ("context", "training_metadata") if key in inner})


@contextmanager
def writing(path: str | Path, inputs: Iterable[str | Path] = (), *, parquet: bool = False) -> Iterator[Output]:
    """An output that replaces `path` only when the block ends well; on an error nothing is left behind.

    Raises:
        DataError: the folder can't be made or written, or `path` is a folder, one of the `inputs`, or named like another format.
    """
    target = _target(path, inputs, parquet)
    _sweep(target)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        raw = partial.open("wb")
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror}", mend="choose another place for -o") from error
    try:
        packed = target.suffix == ".gz"
        file: Any = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) if packed else raw
        output = Output(target, file)
        yield output
        if packed:
            file.close()
        raw.flush()
        os.fsync(raw.fileno())
        raw.close()
        partial.replace(target)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise DataError(f"{target}: cannot be written: {error.strerror}", mend="make room, or choose another place") from error
    finally:
        with suppress(OSError):
            raw.close()
        partial.unlink(missing_ok=True)


def _target(path: str | Path, inputs: Iterable[str | Path], parquet: bool) -> Path:
    target = Path(path)
    ending = Path(target.name.lower().removesuffix(".gz")).suffix
    if ending in ((".json", ".jsonl", ".ndjson", ".csv", ".tsv") if parquet else (".parquet", ".csv", ".tsv")):
        written, name = ("Parquet", "out.parquet") if parquet else ("JSON lines", "out.jsonl")
        raise DataError(
            f"-o {target}: expected a name for {written}, got one that ends in {ending}", mend=f"write for example -o {name}"
        )
    if not target.name or target.is_dir():
        raise DataError(f"-o: expected the name of a file, got the folder {str(path)!r}", mend="write for example -o out.jsonl")
    for source in inputs:
        if target.exists() and Path(source).exists() and target.samefile(source):
            raise DataError(
                f"-o {target}: expected another file than the input, which would be lost",
                mend="write to a new file, then rename it",
            )
    return target


def _sweep(target: Path) -> None:
    """Remove what writers of this file left that were killed."""
    for partial in target.parent.glob(f".{escape(target.name)}.*.partial"):
        owner = partial.name.split(".")[-2]
        if owner.isdecimal() and not _runs(int(owner)):
            partial.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def write_rows(path: str | Path, found: Iterable[BaseModel | Mapping[str, Any]], **about: Any) -> dict[str, Any]:
    """Write rows with card and manifest; returns the manifest. `about`: see `publish`."""
    with writing(path, about.get("inputs", ())) as output:
        for row in found:
            output.write(row)
    return publish(output, **about)


def created() -> str:
    """Now, in UTC; SOURCE_DATE_EPOCH when that is set, so that a build can be repeated byte for byte."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")


def publish(
    output: Output,
    *,
    made_by: str,
    inputs: Iterable[str | Path] = (),
    licences: Iterable[str] = (),
    seed: int | None = None,
    quotas: Mapping[str, Mapping[str, Mapping[str, int]]] | None = None,
    notes: Iterable[str] = (),
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `F.card.md` and `F.manifest.json` beside an output; returns the manifest.

    Args:
        made_by: the command, for example "generate laws".
        inputs: files it was made from; their hashes are recorded.
        quotas: quota name -> {"asked": counts, "met": counts}.
        notes: sentences for the card, for example what was dropped.
        more: further entries of the manifest.
    """
    tallies = output.tallies()
    manifest = {
        "file": output.path.name,
        "sha256": sha256_of(output.path),
        "bytes": output.path.stat().st_size,
        "rows": output.rows,
        "created": created(),
        "made_by": made_by,
        "solon": solon.__version__,
        "seed": seed,
        "inputs": {str(Path(p)): sha256_of(Path(p)) for p in inputs},
        "licences": sorted({*licences, *tallies.get("licence", ())} - {""}),
        "quotas": {name: {k: dict(v) for k, v in both.items()} for name, both in (quotas or {}).items()},
        "counts": {facet: dict(sorted(tally.items())) for facet, tally in sorted(tallies.items())},
        "notes": list(notes),
        **(more or {}),
    }
    _replace(Path(f"{output.path}.manifest.json"), json.dumps(manifest, indent=2, ensure_ascii=False, default=str) + "\n")
    _replace(Path(f"{output.path}.card.md"), card(manifest))
    return manifest


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def card(manifest: Mapping[str, Any]) -> str:
    """A manifest as a page: what the file is, what went in, what was asked and met, what it holds."""
    lines = [f"# {manifest['file']}", "", f"{manifest['rows']:,} rows, made by `solon data {manifest['made_by']}`.", ""]
    lines += ["| | |", "|---|---|", f"| sha256 | `{manifest['sha256']}` |", f"| created | {manifest['created']} |"]
    lines.append(
        f"| made with | solon {manifest['solon']}" + (f", seed {manifest['seed']} |" if manifest["seed"] is not None else " |")
    )
    lines.append(f"| licences | {'; '.join(manifest['licences']) or 'none stated'} |")
    lines += [f"| input | `{path}` sha256 `{digest[:16]}…` |" for path, digest in manifest["inputs"].items()]
    for name, both in manifest["quotas"].items():
        lines += ["", f"## Quota: {name}", "", "| value | asked | met |", "|---|---|---|"]
        asked, met = both.get("asked", {}), both.get("met", {})
        lines += [f"| {value} | {asked.get(value, 0):,} | {met.get(value, 0):,} |" for value in {**asked, **met}]
    for facet, tally in manifest["counts"].items():
        lines += ["", f"## Rows by {facet.replace('_', ' ')}", "", "| value | rows |", "|---|---|"]
        shown = sorted(tally.items(), key=lambda item: (-item[1], item[0]))
        lines += [f"| {value.replace('|', '&#124;')} | {count:,} |" for value, count in shown[:40]]
        lines += [f"| {len(shown) - 40} more | {sum(c for _, c in shown[40:]):,} |"] if len(shown) > 40 else []
    if manifest["notes"]:
        lines += ["", "## Notes", "", *(f"- {note}" for note in manifest["notes"])]
    return "\n".join(lines) + "\n"


def manifest_of(path: str | Path) -> dict[str, Any]:
    """The manifest beside a data file; empty when there is none."""
    beside = Path(f"{path}.manifest.json")
    if not beside.exists():
        return {}
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{beside}: expected JSON, got {error}", mend="make the file again, or remove its manifest") from error
    return found if isinstance(found, dict) else {}
