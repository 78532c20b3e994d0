"""The nine-test report: six tests of a trained run, three of its governance, each run now and shown with its evidence.

    report = safety_report("trading", run="runs/mine")
    report.passed                   # only when all nine passed; NOT RUN is not passed

The six: data integrity, split leakage, the model loads with the right parameter count, validation loss against the base,
generation sanity, adapter hash. The three: limits enforced, consensus, emergency shutdown (`solon.governance.drills`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solon.constitution import Constitution, load
from solon.governance.drills import Check, consensus_drill, emergency_drill, limits_drill, not_run, run_check

REFERENCES = 64
PROMPTS = 8
SIX = ("data integrity", "split leakage", "model loads", "validation loss", "generation sanity", "adapter hash")
NEEDS: dict[str, tuple[str, ...]] = {
    "data integrity": ("pairs.jsonl",),
    "split leakage": ("pairs.jsonl", "evaluation/base.jsonl", "evaluation/tuned.jsonl"),
    "model loads": ("model",),
    "validation loss": ("prompts.jsonl", "model|adapter"),
    "generation sanity": ("prompts.jsonl", "model|adapter"),
    "adapter hash": ("adapter",),
}


@dataclass(frozen=True)
class SafetyReport:
    """Nine checks in order."""

    checks: tuple[Check, ...]
    constitution: str
    run: str

    @property
    def passed(self) -> bool:
        return len(self.checks) == 9 and all(check.status == "PASS" for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "constitution_hash": self.constitution,
            "run": self.run,
            "checks": [check.as_dict() for check in self.checks],
        }

    def text(self) -> str:
        """The report for people."""
        lines = []
        for number, check in enumerate(self.checks, start=1):
            lines.append(f"{number}. {check.name}: {check.status} ({check.seconds:.1f} s)")
            lines += [f"     {item}" for item in check.evidence]
        count = sum(check.status == "PASS" for check in self.checks)
        lines.append(f"{count} of 9 passed: {'PASSED' if self.passed else 'FAILED'}")
        return "\n".join(lines)


def safety_report(constitution: Constitution | str | Path, *, run: Path | str | None = None, schedules: int = 60) -> SafetyReport:
    """Run the nine tests. Without a run the six that need one are NOT RUN, and the report fails."""
    chosen = constitution if isinstance(constitution, Constitution) else load(constitution)
    six = _six(Path(run)) if run is not None else [not_run(name, "no run was given: --run runs/NAME") for name in SIX]
    three = [limits_drill(chosen), consensus_drill(chosen, schedules=schedules), emergency_drill(chosen)]
    return SafetyReport((*six, *three), chosen.hash, "" if run is None else str(run))


def _six(run: Path) -> list[Check]:
    bodies: dict[str, Callable[[Check, Path], None]] = dict(
        zip(SIX, (_integrity, _leakage, _loads, _loss, _generates, _adapter), strict=True)
    )
    if not (run / "manifest.json").is_file():
        return [not_run(name, f"{run}: expected a run folder with manifest.json, got none") for name in SIX]
    return [_unfinished(run, name) or run_check(name, lambda c, body=body: body(c, run)) for name, body in bodies.items()]  # type: ignore[misc]


def _unfinished(run: Path, name: str) -> Check | None:
    """NOT RUN where what a test reads was not made yet; what a finished run has lost is looked for, and its absence fails."""
    made = _made(run)
    missing = [needed for needed in NEEDS[name] if not any(_there(run, made, each) for each in needed.split("|"))]
    mend = "let the run finish: solon run with the same --out continues it"
    return not_run(name, f"expected {missing[0].replace('|', ' or ')} in {run}, got none; {mend}") if missing else None


def _there(run: Path, made: list[str], name: str) -> bool:
    return (run / name).exists() or any(output == name or output.startswith(f"{name}/") for output in made)


def _made(run: Path) -> list[str]:
    """The outputs of the manifest; none where it cannot be read, which the tests that need it say."""
    try:
        return list(_manifest(run)["outputs"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _manifest(run: Path) -> dict[str, Any]:
    return json.loads((run / "manifest.json").read_text(encoding="utf-8"))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _integrity(check: Check, run: Path) -> None:
    """What the run began with and what it made have the hashes of the manifest, and every pair is a well-formed record.

    A user's own file stands in the manifest under the path that was given; what counts is the copy in the run folder.
    """
    from solon.data.records import Pair

    manifest = _manifest(run)
    inputs = {name: digest for name, digest in manifest["inputs"].items() if _copied(name)}
    for what, files in (("inputs", inputs), ("outputs", manifest["outputs"])):
        wrong = _changed(run, files)
        check.expect(
            bool(files) and not wrong, f"{len(files)} {what}, {len(wrong)} differ from the manifest: {', '.join(wrong) or '-'}"
        )
    extra = [name for name in _kept(run) if name not in manifest["outputs"]]
    check.expect(not extra, f"{len(extra)} files that the manifest does not name: {', '.join(extra) or '-'}")
    pairs = [Pair.model_validate_json(line) for line in (run / "pairs.jsonl").read_text(encoding="utf-8").splitlines() if line]
    same = sum(pair.kind == "pair" and pair.chosen == pair.rejected for pair in pairs)
    check.expect(bool(pairs) and not same, f"{len(pairs)} training rows are well formed; {same} have chosen equal to rejected")


def _copied(name: str) -> bool:
    return name in ("config.yaml", "prompts.jsonl") or (Path(name).parent == Path() and Path(name).stem == "constitution")


def _changed(run: Path, files: Mapping[str, str]) -> list[str]:
    """Files that are missing, or do not have the hash they should have."""
    from solon.run.folder import sha256_file

    return [name for name, digest in files.items() if not (run / name).is_file() or sha256_file(run / name) != digest]


def _kept(run: Path) -> list[str]:
    """Rows, models and results in a run folder: what stands for the run, and so has to be in its manifest."""
    single = [run / name for name in ("pairs.jsonl", "dropped.jsonl", "summary.json", "report.html")]
    several = [file for folder in ("adapter", "model", "evaluation") for file in sorted((run / folder).glob("*"))]
    return [file.relative_to(run).as_posix() for file in (*single, *several) if file.is_file()]


def _leakage(check: Check, run: Path) -> None:
    """No prompt, and no group of prompts, is in training and in evaluation.

    The split `unseen_wording` asks about trained topics in new words, on purpose and under that name; its prompts must be new.
    """
    trained = {row["provenance"]["group"] for row in _rows(run / "pairs.jsonl")}
    asked = {_words(row["prompt"][-1]["content"]) for row in _rows(run / "pairs.jsonl")}
    rows = [row for name in ("base", "tuned") for row in _rows(run / "evaluation" / f"{name}.jsonl")]
    tested = {row["group"] for row in rows if row.get("split") != "unseen_wording"}
    reworded = {row["group"] for row in rows} - tested
    texts = {_words(row["messages"][-1]["content"]) for row in rows}
    check.expect(bool(trained) and bool(tested), f"{len(trained)} groups in training, {len(tested)} in evaluation")
    check.expect(
        not trained & tested,
        f"{len(trained & tested)} groups are on both sides (not counted: {len(reworded)} that the split unseen_wording rewords)",
    )
    check.expect(
        not asked & texts,
        f"{len(asked & texts)} of {len(texts)} evaluated prompts were trained on (case, blanks and punctuation ignored)",
    )


def _words(text: str) -> str:
    """Without case, blanks and punctuation; a text of signs alone stays as it is."""
    return " ".join(re.findall(r"\w+", text.lower())) or text.strip()


def _loads(check: Check, run: Path) -> None:
    """The model loads whole, every parameter is finite, and their number is the base's."""
    import torch
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    from solon.models import locate

    if not check.expect((run / "model").is_dir(), f"{run / 'model'} is a folder"):
        return
    loaded: Any = AutoModelForCausalLM.from_pretrained(run / "model", output_loading_info=True, local_files_only=True)
    model, loading = loaded
    for state in ("missing", "unexpected", "mismatched"):  # what is missing would be random
        names = sorted(str(name) for name in loading[f"{state}_keys"])
        check.expect(not names, f"{len(names)} tensors of the model's files are {state}: {', '.join(names[:5]) or '-'}")
    count = sum(parameter.numel() for parameter in model.parameters())
    bad = [name for name, parameter in model.named_parameters() if not torch.isfinite(parameter).all()]
    check.expect(not bad, f"{count} parameters, {len(bad)} tensors with values that are not finite")
    base = locate(_manifest(run)["models"]["trained"]).folder
    stored = 0
    for file in sorted(Path(base).glob("*.safetensors")) if base is not None else []:
        with safe_open(file, framework="pt") as tensors:
            stored += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    tied = model.get_output_embeddings() is not None and model.config.tie_word_embeddings
    head = model.get_output_embeddings().weight.numel() if tied else 0
    check.expect(stored in (count, count + head), f"the base holds {stored}{' (its head is tied)' if tied else ''}")


def _loss(check: Check, run: Path) -> None:
    """Benign references that neither model was trained on, predicted now by both: the tuned one is not clearly worse."""
    from solon.data.records import Prompt
    from solon.evaluation.stats import paired_bootstrap
    from solon.evaluation.tasks import benign_perplexity
    from solon.models import open_model

    prompts = [Prompt.model_validate(row) for row in _rows(run / "prompts.jsonl")]
    held = [p for p in prompts if p.set == "benign" and p.split in ("benign", "file") and p.reference.strip()][:REFERENCES]
    if len(held) < 10:
        check.status, check.evidence = "NOT RUN", [f"{len(held)} held-out references; at least 10 are needed"]
        return
    base = benign_perplexity(open_model(_manifest(run)["models"]["trained"]), held)
    tuned = benign_perplexity(open_model(str(run)), held)
    per = [[item.nats / item.tokens for item in items] for items in (base, tuned)]
    loss = [sum(i.nats for i in items) / sum(i.tokens for i in items) for items in (base, tuned)]
    difference = paired_bootstrap(per[0], per[1])
    check.expect(
        all(math.isfinite(value) for value in loss),
        f"loss per token on {len(held)} held-out references: base {loss[0]:.4f}, tuned {loss[1]:.4f} nats",
    )
    check.expect(
        difference.low <= 0.1,
        f"difference {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}] nats; clearly worse is above 0.1",
    )


def _generates(check: Check, run: Path) -> None:
    """Replies to held-out benign prompts: not empty, not all alike, not one word over and over, and they end."""
    from solon.models import Message, Request, Sampling, open_model

    rows = [row for row in _rows(run / "prompts.jsonl") if row["set"] == "benign" and row["split"] in ("benign", "file")][
        :PROMPTS
    ]
    if not rows:
        check.status, check.evidence = "NOT RUN", ["no benign prompts in the run"]
        return
    sampling = Sampling(temperature=0.0, max_new_tokens=128)
    asked = [Request(id=row["id"], messages=(Message(role="user", content=row["prompt"]),), sampling=sampling) for row in rows]
    replies = open_model(str(run)).generate(asked)
    texts = [reply.text.strip() for reply in replies]
    empty = sum(not text or reply.finish == "error" for text, reply in zip(texts, replies, strict=True))
    check.expect(not empty, f"{len(texts)} replies, {empty} empty or failed")
    check.expect(len(texts) == 1 or len(set(texts)) > 1, f"{len(set(texts))} different replies")
    loops = [text for text in texts if len(text.split()) >= 12 and len(set(text.split())) < len(text.split()) / 4]
    check.expect(not loops, f"{len(loops)} replies repeat themselves")
    cut = sum(reply.finish == "length" for reply in replies)
    check.expect(cut <= len(replies) / 2, f"{cut} of {len(replies)} did not end within {sampling.max_new_tokens} tokens")


def _adapter(check: Check, run: Path) -> None:
    """The adapter is the one of the manifest, and it was trained on the base that stands in it."""
    manifest = _manifest(run)
    expected = {name: digest for name, digest in manifest["outputs"].items() if name.startswith("adapter/")}
    wrong = _changed(run, expected)
    same = f"{len(expected) - len(wrong)} of {len(expected)} adapter files have the manifest's hash"
    check.expect(bool(expected) and not wrong, f"{same}; others: {', '.join(wrong) or '-'}")
    note = run / "adapter" / "solon_base.json"
    base = json.loads(note.read_text(encoding="utf-8")).get("model", "") if note.is_file() else ""
    own = str(manifest["models"].get("trained_identity") or "")
    check.expect(bool(own) and base == own, f"trained on base {base[:16] or 'unknown'}; the run's is {own[:16] or 'unknown'}")
