"""Useful tokens per second of a LoRA DPO step: packed and padded here, and trl's DPOTrainer, on the same rows in one run.

    python -m benchmarks.training                                             # 2 CPU cores, a 5M-parameter model, minutes
    python -m benchmarks.training --device cuda --random qwen2.5-7b           # a GPU, random weights

Weights are random: speed does not depend on them. Row lengths are log-normal like those of HH-RLHF (prompt median 90 tokens,
reply median 45, with a long tail; `--short` is nano's scale: 12 and 24). *Useful* tokens are prompt and reply tokens of chosen
and rejected; padding does not count. Each way trains the same rows in the same number of steps; the first steps are left out.
The page is `benchmarks/training.md`, or `--out`.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import platform
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.page import write

WARM_UP = 2  # steps left out of the timing
SHAPES: dict[str, dict[str, Any]] = {
    "nano-5m": {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 4,
                "intermediate_size": 688, "vocab_size": 4096},
    "qwen2.5-0.5b": {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
                     "intermediate_size": 4864, "vocab_size": 151936},
    "qwen2.5-1.5b": {"hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
                     "intermediate_size": 8960, "vocab_size": 151936},
    "qwen2.5-7b": {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
                   "intermediate_size": 18944, "vocab_size": 152064},
}  # fmt: skip
CONTEXT = 2048
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + ('<|end|>' if m.role == 'assistant' else '') }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def make_tokenizer(words: int = 3000) -> Any:
    """One word, one token, so that lengths are what we say."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|unk|>"]
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, *(f"w{i}" for i in range(words))])}, "<|unk|>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|pad|>", unk_token="<|unk|>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_rows(count: int, seed: int, short: bool) -> list[Any]:
    """Pairs of random words with log-normal lengths, cut at half the context."""
    from solon.data.records import Pair, Provenance
    from solon.models.base import Message

    r = random.Random(seed)
    medians = (12, 24) if short else (90, 45)

    def words(median: int, spread: float) -> str:
        length = min(max(2, round(r.lognormvariate(0, spread) * median)), CONTEXT // 2 - 8)
        return " ".join(f"w{r.randrange(3000)}" for _ in range(length))

    def say(role: Any, text: str) -> list[Message]:
        return [Message(role=role, content=text)]

    source = Provenance(prompt_id="b", group="b", model="b", template_hash="", sampling={}, seed=0, constitution_hash="")
    spread = 0.3 if short else 0.8
    return [
        Pair(prompt=say("user", words(medians[0], spread)), chosen=say("assistant", words(medians[1], spread)),
             rejected=say("assistant", words(medians[1], spread)), principle_id="b", source="benchmark", provenance=source)
        for _ in range(count)
    ]  # fmt: skip


def make_model(shape: str, device: str) -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(**SHAPES[shape], max_position_embeddings=CONTEXT, tie_word_embeddings="7b" not in shape)
    config.pad_token_id, config.eos_token_id, config.bos_token_id = 0, 1, None
    with torch.device(device):
        model = Qwen2ForCausalLM(config)
    return model.to(torch.bfloat16 if device == "cuda" else torch.float32)


def ours(args: argparse.Namespace, rows: list[Any], out: Path, packing: str, checkpointing: bool) -> dict[str, Any]:
    """Time steps of our loop; the reference is stored first and its time told apart."""
    from solon.training.config import DpoSettings, LoraSettings
    from solon.training.encode import encode_rows
    from solon.training.loading import Loaded, attach_adapters
    from solon.training.loop import run_loop
    from solon.training.phases import DpoPhase
    from solon.training.plan import make_plan
    from solon.training.reference import reference_logprobs
    from solon.training.runs import pick_layout

    settings = DpoSettings(
        batch=args.batch, packing=packing, device=args.device, pack_tokens=args.pack_tokens, tracking=["jsonl"]
    )
    tokenizer, model = make_tokenizer(), make_model(args.random, args.device)
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    parameters = sum(p.numel() for p in model.parameters())
    model, _ = attach_adapters(model, LoraSettings())
    loaded = Loaded(model, tokenizer, out, "random", args.device, args.device == "cuda", 0, parameters, "")
    examples = encode_rows(tokenizer, rows, max_length=CONTEXT, too_long="refuse", pairs=True).examples
    layout, _ = pick_layout(loaded, settings, examples)
    started = time.perf_counter()
    reference, _ = reference_logprobs(loaded, examples, settings.pack_tokens, layout, out / "reference")
    stored = time.perf_counter() - started
    phase = DpoPhase(loaded, settings, layout, examples, reference, [], [], reference[:0])
    plan = make_plan(settings, len(examples), phase="DPO")
    plan.learning_rate = 5e-5
    stamps: list[tuple[float, float]] = []
    reset(args.device)
    run_loop(phase, loaded, settings, plan, out, layout, save=None, progress=lambda *_: stamps.append(clock(args.device)))
    return {"stamps": stamps[: plan.steps], "reference_s": stored, "peak": peak(args.device), "note": layout}


def theirs(args: argparse.Namespace, rows: list[Any], out: Path, **changes: Any) -> dict[str, Any]:
    """Time steps of trl's DPOTrainer on the same rows."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import DPOConfig, DPOTrainer

    stamps: list[tuple[float, float]] = []

    class Stamp(TrainerCallback):
        def on_step_end(self, *a: Any, **k: Any) -> None:
            stamps.append(clock(args.device))

    columns = ("prompt", "chosen", "rejected")
    data = Dataset.from_list([{k: [m.model_dump() for m in getattr(r, k)] for k in columns} for r in rows])
    config = DPOConfig(
        output_dir=str(out), per_device_train_batch_size=args.batch, num_train_epochs=1, learning_rate=5e-5, beta=0.1,
        report_to=[], save_strategy="no", logging_steps=1, max_length=CONTEXT, use_cpu=args.device == "cpu",
        bf16=args.device == "cuda", disable_tqdm=True, **changes,
    )  # fmt: skip
    lora = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM")
    started = time.perf_counter()
    trainer = DPOTrainer(
        model=make_model(args.random, args.device), args=config, train_dataset=data, processing_class=make_tokenizer(),
        peft_config=lora, callbacks=[Stamp()],
    )  # fmt: skip
    made = time.perf_counter() - started
    reset(args.device)
    trainer.train()
    return {
        "stamps": stamps,
        "reference_s": made if changes.get("precompute_ref_log_probs") else 0.0,
        "peak": peak(args.device),
        "note": "",
    }


def clock(device: str) -> tuple[float, float]:
    """(wall seconds, CPU seconds of this process over all its threads and of its partners), once the device has finished."""
    if device == "cuda":
        torch.cuda.synchronize()
    partners = sum(child.cpu_times().user + child.cpu_times().system for child in psutil.Process().children())
    return time.perf_counter(), time.process_time() + partners


def reset(device: str) -> None:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak(device: str) -> float:
    """GiB: allocated on the GPU since `reset`, or the process's largest resident set so far on a CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def useful_per_step(rows: list[Any], steps: int) -> float:
    """Mean useful tokens of a step, template tokens included."""
    from solon.training.encode import encode_rows

    examples = encode_rows(make_tokenizer(), rows, max_length=CONTEXT, too_long="refuse", pairs=True).examples
    return sum(len(example) for example in examples) / steps


def measure(name: str, run: Callable[[], dict[str, Any]], useful: float) -> dict[str, Any]:
    try:
        found = run()
    except torch.OutOfMemoryError:
        return {"name": name, "tokens_s": None, "note": "out of memory"}
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    stamps = found["stamps"]
    gaps = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(stamps)][WARM_UP - 1 :]
    # rows differ from step to step and between orders, so the mean over all timed steps is what compares
    seconds, processor = (statistics.fmean(column) for column in zip(*gaps, strict=True))
    print(f"{name}: {useful / seconds:,.0f} useful tokens/s", file=sys.stderr)
    return {"name": name, "tokens_s": useful / seconds, "step_s": seconds, "cpu_s": processor, **found}


def table(args: argparse.Namespace, results: list[dict[str, Any]], useful: float) -> str:
    import peft
    import transformers
    import trl

    gpu = args.device == "cuda"
    device = torch.cuda.get_device_name() if gpu else f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in (torch, transformers, peft, trl))
    lines = [
        f"## LoRA DPO step, {args.random} (random weights), {args.batch} pairs a step",
        "",
        f"{device}; {versions}; {'bf16' if gpu else 'fp32'}; r 16 on all linear layers; {args.steps} steps, the first {WARM_UP}"
        f" not timed; {useful:,.0f} useful tokens a step; {'short' if args.short else 'HH-RLHF-like'} lengths; seed {args.seed}.",
        "",
        "| way | useful tokens/s | against trl as shipped | s/step | CPU s/step | stored reference, once, s | peak GiB |",
        "|---|---|---|---|---|---|---|",
    ]
    base = next((r["tokens_s"] for r in results if r["name"] == "trl as shipped"), None)
    for r in results:
        if r["tokens_s"] is None:
            lines.append(f"| {r['name']} | {r['note']} | - | - | - | - | - |")
            continue
        ratio = f"{r['tokens_s'] / base:.2f}x" if base else "-"
        kept = f"{r['reference_s']:.1f}" if r["reference_s"] else "-"
        cells = [r["name"], f"{r['tokens_s']:,.0f}", ratio, f"{r['step_s']:.3f}", f"{r['cpu_s']:.3f}", kept, f"{r['peak']:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    if args.device == "cpu":
        lines += ["", "Peak memory on a CPU is the process's so far, so it only grows down the table."]
        lines += ["Where CPU s/step is far below s/step the machine was busy: then CPU seconds are what compares."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--random", choices=list(SHAPES), default="nano-5m")
    parser.add_argument("--batch", type=int, default=16, help="pairs per step")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--pack-tokens", type=int, default=None, help="tokens per forward pass; default 4096 (CPU), 16384 (GPU)")
    parser.add_argument("--short", action="store_true", help="short rows, as the embedded model's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.steps <= WARM_UP + 1:
        parser.error(f"--steps: expected more than {WARM_UP + 1}, got {args.steps}")
    args.pack_tokens = args.pack_tokens or (16384 if args.device == "cuda" else 4096)
    rows = make_rows(args.batch * args.steps, args.seed, args.short)
    useful = useful_per_step(rows, args.steps)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        ways: list[tuple[str, Callable[[], dict[str, Any]]]] = [
            ("trl as shipped", lambda: theirs(args, rows, out / "t1")),
            ("trl, no checkpointing", lambda: theirs(args, rows, out / "t2", gradient_checkpointing=False)),
            ("trl, no checkpointing, stored reference",
             lambda: theirs(args, rows, out / "t3", gradient_checkpointing=False, precompute_ref_log_probs=True)),
            ("solon, padded", lambda: ours(args, rows, out / "s1", "off", False)),
            ("solon, packed, checkpointing", lambda: ours(args, rows, out / "s2", "on", True)),
            ("solon, packed", lambda: ours(args, rows, out / "s3", "on", False)),
        ]  # fmt: skip
        results = [measure(name, run, useful) for name, run in ways]
    text = table(args, results, useful)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text, encoding="utf-8")
    else:
        command = " ".join(["python -m benchmarks.training", *sys.argv[1:]])
        write("training", "Training: useful tokens a second", text, command)
    print(text)


if __name__ == "__main__":
    main()
