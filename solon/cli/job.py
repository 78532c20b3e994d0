"""The verbs of the main job: init, run, estimate, pairs, train, eval, compare, report, chat."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from solon.cli.output import JsonFlag, console, emit

ConfigFlag = Annotated[Path | None, typer.Option("--config", help="A YAML file of settings.")]
ConstitutionFlag = Annotated[str | None, typer.Option("--constitution", help="A library name or a path.")]
PromptsFlag = Annotated[str | None, typer.Option("--prompts", help="builtin, or a .jsonl, .csv or .txt file.")]
ModelFlag = Annotated[str | None, typer.Option("--model", help="nano, a folder, a hub id, URL#name, runs/NAME or BASE+ADAPTER.")]
TrainModelFlag = Annotated[str | None, typer.Option("--train-model", help="The model to train, when --model is served.")]
OutFlag = Annotated[str | None, typer.Option("--out", help="The run folder.")]
SeedFlag = Annotated[int | None, typer.Option("--seed")]
MaxFlag = Annotated[
    int | None, typer.Option("--max-prompts", help="At most so many prompts of each set and split (built-in set: of training).")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="dotted.key=value, for example train.dpo.beta=0.2", metavar="[KEY=VALUE]...")
]


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    app.command()(init)
    app.command()(run)
    app.command()(estimate)
    app.command()(pairs)
    train = typer.Typer(help="Train on rows that are there already.", no_args_is_help=True)
    train.command("sft")(train_sft)
    train.command("dpo")(train_dpo)
    app.add_typer(train, name="train")
    app.command("eval")(evaluate)
    app.command()(compare)
    app.command()(report)
    app.command()(chat)


def _config(config: Path | None, overrides: list[str] | None, **flags: Any) -> Any:
    from solon.run.config import load_config

    return load_config(config, flags, overrides or [])


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for your own work.")], as_json: JsonFlag = False
) -> None:
    """Write a commented constitution template and run.yaml into a folder."""
    from solon.run.verbs import init as begin

    paths = begin(directory)
    if as_json:
        emit({"files": [str(path) for path in paths]})
        return
    for path in paths:
        print(path)
    print(f"next: edit {directory}/constitution.md, then: solon check {directory}/constitution.md")
    print(f"      solon run --config {directory}/run.yaml")


def run(
    overrides: Overrides = None,
    config: ConfigFlag = None,
    constitution: ConstitutionFlag = None,
    prompts: PromptsFlag = None,
    model: ModelFlag = None,
    train_model: TrainModelFlag = None,
    out: OutFlag = None,
    seed: SeedFlag = None,
    max_prompts: MaxFlag = None,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the resolved settings and leave.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run the whole job: pairs, SFT, DPO, paired evaluation, report. The same command continues an interrupted run."""
    from solon.run.config import plain_config, render_config

    settings = _config(
        config,
        overrides,
        constitution=constitution,
        prompts=prompts,
        model=model,
        train_model=train_model,
        out=out,
        seed=seed,
        max_prompts=max_prompts,
    )
    if print_config:
        shown = settings.resolved()
        emit(plain_config(shown)) if as_json else print(render_config(shown), end="")
        return
    from solon.run.pipeline import run as run_all
    from solon.run.progress import Reporter

    summary = run_all(settings, Reporter(quiet=False))
    if as_json:
        emit({"out": str(settings.folder), **summary})
    else:
        print_summary(summary)
        print(f"\nreport: {settings.folder / 'report.html'}")
    sys.exit(0 if all(g["passed"] for g in summary["gates"]) else 1)


def print_summary(summary: dict[str, Any]) -> None:
    """The verdict and the main table."""
    from rich.table import Table

    from solon.release.wording import p_value

    out = console()
    table = Table(box=None, pad_edge=False)
    for name, right in (
        ("metric", 0),
        ("split", 0),
        ("n", 1),
        ("base", 1),
        ("tuned", 1),
        ("difference", 1),
        ("p (Holm)", 1),
        ("trivial", 1),
    ):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for row in summary["metrics"]:
        difference = row["difference"]
        table.add_row(
            row["name"],
            row["split"],
            str(row["tuned"]["n"]),
            interval(row["base"]),
            interval(row["tuned"]),
            interval(difference, signed=True),
            p_value(difference) if difference.get("p_holm") is not None else "",
            _trivial(row),
        )
    out.print(table)
    if summary.get("criteria"):
        out.print(_ratings_table(summary["criteria"]))
    for warning in [*summary["warnings"], *_unscored(summary["metrics"])]:
        out.print(f"warning: {warning}", style="yellow", markup=False)
    out.print(f"\n{summary['verdict']}", style="bold", markup=False)


def _ratings_table(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    from solon.release.wording import p_value

    table = Table("rated by", "criterion", "split", "n", "base", "tuned", "difference", "p (Holm)", "refuse all", box=None)
    for row in rows:
        change = row["difference"]
        p = "" if change["p_holm"] is None else p_value(change)
        cells = [row["rubric"], row["criterion"], row["split"], str(row["tuned"]["n"]), interval(row["base"])]
        refused = row["trivial"]["refuse_all"]
        last = "-" if refused is None else f"{refused:.3f}"
        table.add_row(*cells, interval(row["tuned"]), interval(change, signed=True), p, last)
    return table


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def interval(entry: dict[str, Any], *, signed: bool = False) -> str:
    """`value [low, high]`, or why there is none."""
    if entry.get("value") is None:
        return "not measured"
    form = "+.3f" if signed else ".3f"
    return f"{entry['value']:{form}} [{entry['low']:{form}}, {entry['high']:{form}}]"


def estimate(
    overrides: Overrides = None,
    config: ConfigFlag = None,
    constitution: ConstitutionFlag = None,
    prompts: PromptsFlag = None,
    model: ModelFlag = None,
    train_model: TrainModelFlag = None,
    out: OutFlag = None,
    seed: SeedFlag = None,
    max_prompts: MaxFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Tokens, time, memory and disk of a run, from a short trial of the model. Writes nothing."""
    from solon.run.estimate import estimate as work_out

    found = work_out(
        _config(
            config,
            overrides,
            constitution=constitution,
            prompts=prompts,
            model=model,
            train_model=train_model,
            out=out,
            seed=seed,
            max_prompts=max_prompts,
        )
    )
    if as_json:
        emit(found)
    else:
        for key, value in found.items():
            print(f"{key:<28} {value}")


def pairs(
    overrides: Overrides = None,
    config: ConfigFlag = None,
    constitution: ConstitutionFlag = None,
    prompts: PromptsFlag = None,
    model: ModelFlag = None,
    out: OutFlag = None,
    seed: SeedFlag = None,
    max_prompts: MaxFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Make pairs.jsonl and dropped.jsonl only."""
    from solon.run.progress import Reporter
    from solon.run.verbs import pairs as make

    settings = _config(
        config, overrides, constitution=constitution, prompts=prompts, model=model, out=out, seed=seed, max_prompts=max_prompts
    )
    found = make(settings, Reporter())
    if as_json:
        emit(found)
    else:
        print(f"{found['accepted']} pairs and {found['retain']} retain rows in {found['out']}")
        print(f"dropped: {found['dropped'] or 'none'}")


DataFlag = Annotated[
    Path, typer.Option("--data", help="pairs.jsonl, or rows of any shape of solon data (laws, trading, mixes, imports).")
]
StartFlag = Annotated[str, typer.Option("--model", help="The model to start from.")]
TrainOut = Annotated[Path, typer.Option("--out", help="Where adapter/ and model/ are written.")]


def train_sft(
    data: DataFlag,
    model: StartFlag,
    out: TrainOut,
    overrides: Overrides = None,
    config: ConfigFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Supervised fine-tuning on chosen replies and retain rows. Overrides: epochs=1 learning_rate=5e-4 lora.r=8 ..."""
    _train("sft", data, model, out, overrides, config, as_json)


def train_dpo(
    data: DataFlag,
    model: StartFlag,
    out: TrainOut,
    overrides: Overrides = None,
    config: ConfigFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Direct preference optimisation on pairs, with retain rows as a likelihood term. Overrides: beta=0.2 epochs=2 ..."""
    _train("dpo", data, model, out, overrides, config, as_json)


def _train(
    phase: str, data: Path, model: str, out: Path, overrides: list[str] | None, config: Path | None, as_json: bool
) -> None:
    from solon.run.progress import Reporter
    from solon.run.verbs import train_only

    found = train_only(phase, data, model, out, overrides or [], Reporter(), config)
    emit(found) if as_json else print(found["text"])


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    out: Annotated[Path, typer.Option("--out", help="Where the rows are written.")],
    baseline: Annotated[str | None, typer.Option("--baseline", help="A model to compare with, on the same prompts.")] = None,
    prompts: PromptsFlag = None,
    constitution: ConstitutionFlag = None,
    overrides: Overrides = None,
    config: ConfigFlag = None,
    seed: SeedFlag = None,
    max_prompts: MaxFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure a model on every prompt of a file, or on the built-in held-out ones; beside a baseline if one is named."""
    from solon.run.progress import Reporter
    from solon.run.verbs import evaluate_only

    flags = {"prompts": prompts, "constitution": constitution, "seed": seed, "max_prompts": max_prompts}
    found = evaluate_only(model, baseline, _config(config, overrides, out=str(out), model=model, **flags), Reporter())
    emit(found) if as_json else print_evaluation(found)


def print_evaluation(found: dict[str, Any]) -> None:
    """A comparison's table, or one model's numbers."""
    if "verdict" in found:
        print_summary(found)
        return
    for row in found["metrics"]:
        print(f"{row['name']:<22} {row['split']:<16} n {row['n']:<5} {interval(row):<22} {_trivial(row)}")
    for line in _unscored(found["metrics"]):
        print(f"warning: {line}")
    for row in found.get("criteria", []):
        print(f"{row['rubric']} {row['criterion']:<16} {row['split']:<16} n {row['n']:<5} {interval(row)}")


def _trivial(row: dict[str, Any]) -> str:
    """What a model that always refuses, or always complies, gets."""
    return "refuse {} comply {}".format(*(_plain(row["trivial"].get(k)) for k in ("refuse_all", "comply_all")))


def _unscored(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each split and side with replies that no scorer could judge, for they are in no metric."""
    most: dict[tuple[str, str], int] = {}
    stages: tuple[str, ...] = ("base", "tuned")
    for row in rows:
        sides = [s for s in stages if s in row] or [""]
        for side in sides:
            lost = (row[side] if side else row).get("unscored", 0)
            most[row["split"], side] = max(lost, most.get((row["split"], side), 0))
    return [
        f"{' '.join(filter(None, (side, split)))}: {lost} of the prompts got no reply that can be scored (see evaluation/)"
        for (split, side), lost in most.items()
        if lost
    ]


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B")],
    as_json: JsonFlag = False,
) -> None:
    """Compare the tuned models of two runs on the same prompts."""
    from solon.release.compare import render_comparison

    found, text = render_comparison(run_a, run_b)
    emit(found) if as_json else print(text)


def report(run_folder: Annotated[Path, typer.Argument(metavar="RUN")], as_json: JsonFlag = False) -> None:
    """Write report.html of a run folder again."""
    from solon.release.report import render

    path = render(run_folder)
    emit({"path": str(path)}) if as_json else print(path)


def chat(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.7,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Talk to a model in the terminal; an empty line or Ctrl-D ends it."""
    from solon.run.verbs import chat as talk

    talk(model, temperature=temperature, seed=seed)
