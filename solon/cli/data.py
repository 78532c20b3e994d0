"""`solon data …`: make, import, mix, split, clean, check, describe and export data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from solon.cli.output import JsonFlag, console, emit
from solon.errors import DataError

PRINTED = 5  # problems and warnings of a kind that are printed

app = typer.Typer(help="Make, import, mix, split, check and export data.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="JSONL of any row shape, or CSV, TSV, Parquet; .gz is fine.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="The file to write; F.card.md and F.manifest.json come beside it.")]
Seed = Annotated[int, typer.Option("--seed")]
Near = Annotated[
    float, typer.Option("--threshold", help="Jaccard similarity of word 5-grams from which rows are near-duplicates.")
]
Language = Annotated[str, typer.Option("--language", help="en, fr, de or es: the language that replies should be in.")]


def _said(manifest: dict[str, Any], path: Path, as_json: bool) -> None:
    """One line on stderr about what was written, then its notes; with `--json` the manifest on stdout."""
    print(f"{path}: {manifest['rows']:,} rows, sha256 {manifest['sha256'][:16]}", file=sys.stderr)
    for note in manifest["notes"]:
        print(f"  {note}", file=sys.stderr)
    if as_json:
        emit({"path": str(path), **manifest})


def _pairs(given: Sequence[str] | None, flag: str) -> dict[str, str]:
    found = {}
    for text in given or ():
        name, mark, value = text.partition("=")
        if not mark or not name.strip() or not value.strip():
            raise DataError(f"{flag}: expected NAME=VALUE, got {text!r}", mend=f"write for example {flag} prompt=question")
        if name.strip() in found:
            raise DataError(f"{flag}: expected each name once, got {name.strip()!r} twice", mend="keep one of them")
        found[name.strip()] = value.strip()
    return found


def _counts(text: str, flag: str) -> dict[str, int | str]:
    """`easy:40%,medium:30%` as {"easy": "40%", …}; whole numbers become counts."""
    found: dict[str, int | str] = {}
    for part in text.split(","):
        name, mark, value = part.rpartition(":")
        if not mark:
            raise DataError(
                f"{flag}: expected NAME:COUNT,NAME:COUNT, got {part!r}", mend=f"write {flag} types=safe_request:100,…"
            )
        if name.strip() in found:
            raise DataError(f"{flag}: expected each name once, got {name.strip()!r} twice", mend="keep one of them")
        found[name.strip()] = int(value) if value.strip().removeprefix("-").isdecimal() else value.strip()
    return found


def _numbers(given: Sequence[str] | None, flag: str) -> dict[str, float]:
    found = {}
    for name, text in _pairs(given, flag).items():
        try:
            found[name] = float(text)
        except ValueError as error:
            raise DataError(f"{flag} {name}: expected a number, got {text!r}", mend=f"write {flag} {name}=0.8") from error
    return found


def judges() -> Any:
    """The filters' judgements, as the evaluation part makes them."""
    from solon.data.quality import Judges
    from solon.evaluation.filters import differs, has_preamble
    from solon.evaluation.rules import label_reply
    from solon.evaluation.text import looped

    def refuses(prompt: str, reply: str) -> bool:
        return label_reply(prompt, reply)[0] == "refusal"

    return Judges(preamble=has_preamble, refuses=refuses, differs=differs, repeats=looped)


@app.command()
def generate(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="laws, trading, governed or probes.")],
    out: Out,
    n: Annotated[int | None, typer.Option("-n", help="How many rows.")] = None,
    constitution: Annotated[str | None, typer.Option("--constitution", help="A library name or a path.")] = None,
    seed: Seed = 0,
    quota: Annotated[
        list[str] | None,
        typer.Option(
            "--quota",
            help="AXIS=NAME:COUNT,NAME:COUNT; shares like 40% or 2/5 work too. Axes: laws, types, difficulties (laws); "
            "categories (trading, governed).",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="trading: train or evaluation, two parts that share no scenario.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Generate examples to exact quotas; what cannot hold is refused with the arithmetic."""
    from solon.data.generate import generate_file

    options: dict[str, Any] = {axis: _counts(text, "--quota") for axis, text in _pairs(quota, "--quota").items()}
    if split is not None:
        options["split"] = split
    _said(generate_file(kind, out, n=n, constitution=constitution, seed=seed, options=options), out, as_json)


@app.command("import")
def import_(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="ailuminate, hh-rlhf, gsm8k, …, jsonl, csv or parquet.")],
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    out: Out,
    columns: Annotated[list[str] | None, typer.Option("--map", help="FIELD=COLUMN, for jsonl, csv and parquet.")] = None,
    hazard: Annotated[list[str] | None, typer.Option("--hazard", help="Keep these hazards only.")] = None,
    persona: Annotated[list[str] | None, typer.Option("--persona", help="Keep these personas only.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many rows.")] = None,
    licence: Annotated[str, typer.Option("--licence", help="The licence of the file, for the card.")] = "",
    encoding: Annotated[str | None, typer.Option("--encoding", help="When it is neither UTF-8 nor marked UTF-16.")] = None,
    max_malformed: Annotated[
        float, typer.Option("--max-malformed", min=0, max=1, help="Share of rows that may be malformed.")
    ] = 0.01,
    as_json: JsonFlag = False,
) -> None:
    """Convert a published data set or a file of your own, streaming. Malformed rows are counted and shown."""
    from solon.data.sources import import_file

    report = import_file(
        kind, file, out, columns=_pairs(columns, "--map"), hazards=tuple(hazard or ()), personas=tuple(persona or ()),
        limit=limit, licence=licence, encoding=encoding, max_malformed=max_malformed,
    )  # fmt: skip
    _said(report.manifest, out, as_json)


@app.command()
def mix(
    file: Annotated[Path, typer.Argument(metavar="MIX.yaml", help="Sources with shares, a total and a seed.")],
    out: Out,
    total: Annotated[int | None, typer.Option("-n", "--total", min=1, help="Examples to draw; overrides the file.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Overrides the file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Mix sources by shares of the examples drawn, exactly; token shares are reported."""
    from solon.data.mixing import mix_files

    _said(mix_files(file, out, seed=seed, total=total), out, as_json)


@app.command()
def split(
    file: File,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder for train.jsonl, validation.jsonl, test.jsonl, split.json.")
    ],
    validation: Annotated[str, typer.Option("--validation", help="Share, for example 0.1 or 10%.")] = "0.1",
    test: Annotated[str, typer.Option("--test")] = "0.1",
    seed: Annotated[str, typer.Option("--seed", help="A number, or auto: what meets the shares best by law or hazard.")] = "0",
    like: Annotated[
        Path | None, typer.Option("--like", help="An earlier split.json: its seed, and its groups stay where they are.")
    ] = None,
    add_to_train: Annotated[Path | None, typer.Option("--add-to-train", help="A file whose rows all go to train.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Split by prompt group, by hash: adding rows later moves nothing. The table by law or hazard shows what it gave."""
    from solon.data.splitting import split_file

    if seed != "auto" and not seed.lstrip("-").isdecimal():
        raise DataError(f"--seed: expected a whole number or auto, got {seed!r}", mend="write --seed 0")
    chosen = None if seed == "auto" else int(seed)
    record = split_file(file, out, validation=validation, test=test, seed=chosen, like=like, add_to_train=add_to_train)
    if as_json:
        emit({name: value for name, value in record.items() if name != "groups"})
        return
    for side, count in record["rows"].items():
        print(f"{side:<11} {count:>8,} rows  {record['groups_by_side'].get(side, 0):>8,} groups")
    for name, table in record["strata"].items():
        print(f"  {name:<32} " + "  ".join(f"{side} {count}" for side, count in table.items()))
    for warning in record["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"seed {record['seed']}, split {record['hash'][:16]}")


@app.command("trading-set")
def trading_set(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="Own rows of instruction and response (and context).")],
    ethical: Annotated[Path, typer.Option("--ethical", help="Rows of `generate trading`; all are trained on.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="The folder for train_dataset.jsonl, validation_dataset.jsonl, dataset_metadata.json."),
    ],
    validation: Annotated[str, typer.Option("--validation", help="Share of the own rows, exactly.")] = "20%",
    seed: Seed = 0,
    as_json: JsonFlag = False,
) -> None:
    """A trading fine-tuning set in the documented files: own rows split exactly, ethical rows merged into training."""
    from solon.data.scenarios.trading_dataset import write_files

    found = write_files(out, base, ethical, validation=validation, seed=seed)
    if as_json:
        emit(found)
        return
    for name in ("train_examples", "validation_examples", "ethical_examples_added", "total_examples"):
        print(f"{name:<24} {found[name]:>8,}")


@app.command()
def dedupe(
    file: File,
    out: Out,
    by: Annotated[str, typer.Option("--by", help="record: conversation and replies; prompt: the conversation alone.")] = "record",
    exact_only: Annotated[bool, typer.Option("--exact-only", help="Keep near-duplicates.")] = False,
    threshold: Near = 0.8,
    as_json: JsonFlag = False,
) -> None:
    """Leave out exact repeats, then near-duplicates; what was left out stands in F.dropped.jsonl."""
    from solon.data.dedupe import dedupe as remove
    from solon.data.example import to_row
    from solon.data.files import write_rows
    from solon.data.sources import load_examples

    if by not in ("record", "prompt"):
        raise DataError(f"--by: expected record or prompt, got {by!r}", mend="use one of these")
    kept, dropped = remove(load_examples(file), by=by, near=not exact_only, threshold=threshold)  # type: ignore[arg-type]
    exact = sum(repeat.reason == "exact" for repeat in dropped)
    note = f"{exact:,} exact repeats and {len(dropped) - exact:,} near-duplicates left out."
    more = {"dropped": len(dropped)}
    manifest = write_rows(out, map(to_row, kept), made_by="dedupe", inputs=[file], notes=[note], more=more)
    _write_dropped(out, dropped, file)
    _said(manifest, out, as_json)


def _write_dropped(out: Path, dropped: Sequence[Any], file: Path) -> None:
    from solon.data.files import write_rows

    path = out.with_name(out.name.removesuffix(".gz").removesuffix(".jsonl") + ".dropped.jsonl")
    write_rows(path, dropped, made_by="dedupe or filter", inputs=[file], notes=[f"What was left out of {out.name}, and why."])


@app.command("filter")
def filter_(
    file: File,
    out: Out,
    language: Language = "",
    minimum: Annotated[
        list[str] | None, typer.Option("--min", help="FIELD=NUMBER: also leave out rows below it, for example safety_score=0.8.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Leave out rows with a preamble, no change, a refusal of something harmless, odd lengths, another language, or a loop."""
    from collections import Counter

    from solon.data.example import to_row
    from solon.data.files import write_rows
    from solon.data.quality import screened
    from solon.data.sources import load_examples

    kept, dropped = screened(load_examples(file), judges(), language, _numbers(minimum, "--min"))
    reasons = dict(Counter(finding.reason for finding in dropped))
    if not kept:
        raise DataError(
            f"{file}: expected rows that pass the filters, got none: {reasons}", mend="look at them with solon data check"
        )
    note = (
        f"{len(dropped):,} rows left out: " + (", ".join(f"{name} {count:,}" for name, count in reasons.items()) or "none") + "."
    )
    manifest = write_rows(out, map(to_row, kept), made_by="filter", inputs=[file], notes=[note], more={"dropped": reasons})
    _write_dropped(out, dropped, file)
    _said(manifest, out, as_json)


@app.command()
def select(
    file: File,
    out: Out,
    where: Annotated[
        list[str],
        typer.Option("--where", help="FIELD=VALUE,VALUE: for example law_category=1,2 or difficulty=hard; all must hold."),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Keep the rows with these values, such as those of one law, type or difficulty."""
    from solon.data.example import to_row
    from solon.data.files import write_rows
    from solon.data.quality import selected
    from solon.data.sources import load_examples

    wanted = {name: [v.strip() for v in text.split(",") if v.strip()] for name, text in _pairs(where, "--where").items()}
    examples = load_examples(file)
    kept = selected(examples, wanted)
    note = f"{len(kept):,} of {len(examples):,} rows, selected by {' and '.join(where)}."
    _said(write_rows(out, map(to_row, kept), made_by="select", inputs=[file], notes=[note]), out, as_json)


@app.command()
def balance(
    file: File,
    out: Out,
    over: Annotated[str, typer.Option("--over", help="Facets, comma between.")] = "hazard,principle,persona",
    per_cell: Annotated[
        int | None, typer.Option("--per-cell", min=1, help="Rows per combination; default: the rarest one's.")
    ] = None,
    present_only: Annotated[bool, typer.Option("--present-only", help="Ignore combinations that have no rows.")] = False,
    seed: Seed = 0,
    as_json: JsonFlag = False,
) -> None:
    """The same number of rows for every combination of hazard, principle and persona."""
    from solon.data.example import to_row
    from solon.data.files import write_rows
    from solon.data.quality import balanced
    from solon.data.sources import load_examples

    names = [name.strip() for name in over.split(",") if name.strip()]
    kept = balanced(load_examples(file), names, per_cell=per_cell, seed=seed, present_only=present_only)
    _said(write_rows(out, map(to_row, kept), made_by=f"balance --over {','.join(names)}", inputs=[file], seed=seed), out, as_json)


@app.command()
def stats(file: File, as_json: JsonFlag = False) -> None:
    """What a file holds: counts by every facet, distinct texts, lengths."""
    from solon.data.describe import stats as describe
    from solon.data.sources import load_examples

    found = describe(load_examples(file))
    if as_json:
        emit(found)
        return
    print(f"{found['rows']:,} rows, {found['multi_turn']:,} with several turns, {found['without_response']:,} without a reply")
    print("distinct: " + ", ".join(f"{count:,} {name}" for name, count in found["distinct"].items()))
    for side, sizes in found["words"].items():
        print(f"words of {side}: " + ", ".join(f"{name} {value:,}" for name, value in sizes.items()))
    for facet, tally in found["counts"].items():
        print(facet)
        for value, count in sorted(tally.items(), key=lambda item: (-item[1], item[0]))[:30]:
            print(f"  {value:<40} {count:>8,}  {count / found['rows']:6.1%}")


@app.command()
def capacity(
    file: File,
    principles: Annotated[int, typer.Option("--principles", help="How many principles each prompt is answered by.")],
    as_json: JsonFlag = False,
) -> None:
    """How many pairs a prompt set can give, by hazard and persona."""
    from solon.data.describe import capacity as count
    from solon.data.sources import load_examples

    found = count(load_examples(file), principles)
    if as_json:
        emit(found)
        return
    print(f"{found['prompts']:,} prompts x {principles} principles = {found['pairs']:,} pairs")
    limits = f"{found['refusal_only']:,} prompts may only be refused, {found['repeated']:,} are repeats"
    print(f"usable: {found['usable_pairs']:,} ({limits})")
    for facet in ("by_hazard", "by_persona"):
        print(facet.replace("_", " "))
        for value, prompts in found[facet].items():
            print(f"  {value:<24} {prompts:>7,} prompts  {prompts * principles:>8,} pairs")


@app.command()
def check(
    file: File,
    hazard_detail: Annotated[bool, typer.Option("--hazard-detail", help="Fail on actionable detail in hazardous rows.")] = False,
    against: Annotated[list[Path] | None, typer.Option("--against", help="Fail on text shared with these files.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings as well.")] = False,
    language: Language = "",
    as_json: JsonFlag = False,
) -> None:
    """Check a file. Exit 1 when there is a problem."""
    from solon.data.checking import check_file

    report = check_file(file, judges(), hazard_detail=hazard_detail, against=against or (), language=language)
    if as_json:
        emit(report)
    else:
        _print_check(report)
    sys.exit(1 if report["problems"] or (strict and report["warnings"]) else 0)


def _print_check(report: dict[str, Any]) -> None:
    """The first few of each kind; `--json` lists more, and the counts are complete."""
    from collections import Counter

    out = console()
    seen: Counter[str] = Counter()
    for level, style in (("problems", "red"), ("warnings", "yellow")):
        for found in report[level]:
            seen[found["check"]] += 1
            if seen[found["check"]] <= PRINTED:
                line = " ".join(f"{level[:-1]}: row {found['row']} {found['id']}: {found['check']}: {found['detail']}".split())
                out.print(line[:200], style=style, markup=False, soft_wrap=True)
    for level in ("problems", "warnings"):
        tally = report["counts"][level]
        print(f"{sum(tally.values())} {level}" + "".join(f", {count} {name}" for name, count in tally.items()))
    if report["not_run"]:
        print(f"not run: {', '.join(report['not_run'])}")


@app.command()
def export(
    file: File,
    form: Annotated[str, typer.Option("--format", help="alpaca, chat, completion, trl-preference, trl-sft or parquet.")],
    out: Out,
    only_complete: Annotated[
        bool, typer.Option("--only-complete", help="Leave out rows that lack what the format needs.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a file in a format that other trainers read."""
    from solon.data.exports import export_file

    _said(export_file(file, form, out, only_complete=only_complete), out, as_json)


@app.command()
def agreement(
    ratings: Annotated[Path, typer.Argument(metavar="RATINGS.csv", help="item, rater, rating; or a column for each rater.")],
    level: Annotated[list[str] | None, typer.Option("--level", help="nominal, ordinal, interval, ratio.")] = None,
    seed: Seed = 0,
    as_json: JsonFlag = False,
) -> None:
    """Krippendorff's alpha, Fleiss' and Cohen's kappa, with intervals."""
    from solon.data.agreement import LEVELS, load_ratings
    from solon.data.agreement import agreement as measure

    for name in level or ():
        if name not in LEVELS:
            raise DataError(f"--level: expected one of {', '.join(LEVELS)}, got {name!r}", mend="use one of these")
    found = measure(load_ratings(ratings), tuple(level) if level else None, seed)  # type: ignore[arg-type]
    if as_json:
        emit(found)
        return
    print(f"{found['items']} items, {found['raters']} raters, {found['ratings']} ratings, {found['missing']} missing")
    for name, value in found["krippendorff_alpha"].items():
        print(f"Krippendorff's alpha, {name:<9} {_shown(value)}")
    print(f"Fleiss' kappa                   {_shown(found['fleiss_kappa'])}")
    for pair in found["cohen_kappa"]:
        print(f"Cohen's kappa, {' and '.join(pair['raters']):<16} {_shown(pair)}")
    print(found["interval"])


def _shown(value: dict[str, Any] | None) -> str:
    if value is None:
        return "not defined: no item was rated by all"
    if value["value"] is None:
        return "not defined: nothing to compare, or every rating is the same"
    return f"{value['value']:.3f}  [{value['low']:.3f}, {value['high']:.3f}]  n {value['n']}"


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="A")],
    after: Annotated[Path, typer.Argument(metavar="B")],
    as_json: JsonFlag = False,
) -> None:
    """What changed between two versions of a file. Exit 0 when nothing did, 1 when something did."""
    from solon.data.describe import diff as compare
    from solon.data.sources import load_examples

    found = compare(load_examples(before), load_examples(after), (before, after))
    if as_json:
        emit(found)
    else:
        _print_diff(found)
    sys.exit(1 if found["added"] or found["removed"] or found["changed"] else 0)


def _print_diff(found: dict[str, Any]) -> None:
    rows = found["rows"]
    print(f"{rows['before']:,} -> {rows['after']:,} rows")
    print(
        ", ".join(f"{len(found[name]):,} {name}" for name in ("added", "removed", "changed"))
        + f", {found['unchanged']:,} unchanged"
    )
    for sign, names in (("+", found["added"]), ("-", found["removed"])):
        for name in names[:20]:
            print(f"{sign} {name}")
    for change in found["changed"][:20]:
        print(f"~ {change['id']}: {', '.join(change['fields'])}")
    for facet, values in found["counts"].items():
        print(f"{facet}: " + ", ".join(f"{value} {a} -> {b}" for value, (a, b) in values.items()))
    for name, (a, b) in found["manifest"].items():
        print(f"manifest {name}: {a} -> {b}")
