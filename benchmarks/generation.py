"""How much batched generation gains over one request at a time: `python -m benchmarks.generation [MODEL] [--random SHAPE]`.

Both sides answer the same requests with the same sampling in the same run, alternating; useful tokens only (padding, and what
lies after the end token, excluded). Writes and prints a Markdown page. Repeats and medians, because a single run says little.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.page import spread, table, write
from solon.models import Message, Request, Sampling, open_model, resolve_path
from solon.models.shares import shares_for

# hidden, MLP, layers, heads, KV heads, vocabulary
SHAPES = {"llama-5m": (256, 688, 6, 8, 4, 4096), "qwen2.5-0.5b": (896, 4864, 24, 14, 2, 151936)}
OPENINGS = ["How do I", "Please tell me how to", "What is the best way to", "In simple words, explain how to"]
DEEDS = ["bake bread", "write a polite letter", "fix a bicycle", "plant a tree", "learn a song", "plan a walk by the lake"]


def random_model(shape: str, folder: Path) -> Path:
    """Random weights of a known shape, with a byte-level tokenizer of its vocabulary size (most entries unused)."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    hidden, mlp, layers, heads, kv_heads, vocabulary = SHAPES[shape]
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    raw.train_from_iterator(OPENINGS + DEEDS, trainer)
    template = (
        "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<|pad|>", eos_token="<|end|>", chat_template=template)
    torch.manual_seed(0)
    kinds: tuple[Any, Any] = (Qwen2Config, Qwen2ForCausalLM) if shape.startswith("qwen") else (LlamaConfig, LlamaForCausalLM)
    config_type, model_type = kinds
    config = config_type(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=mlp, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, max_position_embeddings=2048, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    model_type(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def workload(count: int, longest: int, *, lengths: bool) -> list[Request]:
    """Requests of various prompts. `lengths`: a limit per request (log-normal), for weights that never say the end token."""
    rng = random.Random(0)
    requests = []
    for number in range(count):
        text = f"{rng.choice(OPENINGS)} {', '.join(rng.sample(DEEDS, rng.randint(1, 4)))}?"
        limit = min(longest, max(4, round(longest / 2 * rng.lognormvariate(0, 0.5)))) if lengths else longest
        sampling = Sampling(temperature=0.7, max_new_tokens=limit)
        requests.append(
            Request(id=f"{number:04d}", messages=(Message(role="user", content=text),), sampling=sampling, seed=number)
        )
    return requests


def seconds(model: Any, work: Any) -> tuple[float, int]:
    """(wall time, useful tokens) of one run of `work`."""
    import torch

    def wait() -> None:
        if model.model.device.type == "cuda":
            torch.cuda.synchronize()

    wait()
    start = time.perf_counter()
    tokens = work()
    wait()
    return time.perf_counter() - start, tokens


def batched(model: Any, requests: list[Request]) -> int:
    completions = model.generate(requests)
    assert not any(completion.error for completion in completions), "a request failed"
    return sum(completion.completion_tokens for completion in completions)


def one_by_one(model: Any, requests: list[Request]) -> int:
    """transformers' own `generate`, one request at a time, the same sampling, its prompt rendered just as well."""
    import torch

    tokens = 0
    for request in requests:
        torch.manual_seed(request.seed)
        ids = torch.tensor([model.prompt_ids(request)], device=model.model.device)
        sampling = request.sampling
        out = model.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=sampling.temperature, top_k=0, top_p=1.0,
            max_new_tokens=sampling.max_new_tokens, eos_token_id=sorted(model.stop_ids), pad_token_id=model.pad,
        )  # fmt: skip
        tokens += out.shape[1] - ids.shape[1]
    return tokens


def shared(model: Any, requests: int) -> str:
    """How many requests are decoded at a time."""
    processes = shares_for(model.model, requests)
    if processes == 1:
        return f"{model.batch_size} decoded at a time"
    return f"all shared by {processes} processes of one thread each"


def measure(model: Any, requests: list[Request], alone: int, repeats: int) -> dict[str, list[float]]:
    """Useful tokens per second of each side, a value per repeat; a warm-up first."""
    batched(model, requests[: model.batch_size])
    one_by_one(model, requests[:2])
    sample = requests[:: max(1, len(requests) // alone)][:alone]  # one by one is slow: an even sample of the same requests
    rates: dict[str, list[float]] = {"batched": [], "one by one": []}
    for _ in range(repeats):
        for name, work in (("batched", lambda: batched(model, requests)), ("one by one", lambda: one_by_one(model, sample))):
            wall, tokens = seconds(model, work)
            rates[name].append(tokens / wall)
    return rates


def report(model: Any, what: str, requests: list[Request], rates: dict[str, list[float]]) -> str:
    """The body of the page."""
    parameters = sum(parameter.numel() for parameter in model.model.parameters())
    ratios = [fast / slow for fast, slow in zip(rates["batched"], rates["one by one"], strict=True)]
    longest = max(request.sampling.max_new_tokens for request in requests)
    rows = [(name, spread(values, "tokens/s", 4)) for name, values in rates.items()]
    return (
        f"{what}: {parameters:,} parameters, {str(model.model.dtype).removeprefix('torch.')}, on {where(model)}. {len(requests)} "
        f"requests, temperature 0.7, at most {longest} new tokens each, {shared(model, len(requests))}; both sides alternate "
        "in one run.\n\n"
        + table(("side", "useful tokens/s: median (range, repeats)"), [*rows, ("ratio of a repeat", spread(ratios, "x"))])
        + "\nUseful: up to and including the end token; padding is not counted. One by one is `model.generate` of transformers "
        "on an even sample of the same requests.\n"
    )


def where(model: Any) -> str:
    """The device in words."""
    import torch

    device = model.model.device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {torch.get_num_threads()} threads"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", help="a model folder; without one, nano if it is there, else random weights")
    parser.add_argument("--random", choices=sorted(SHAPES), help="random weights of this shape instead")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--alone", type=int, default=24, help="requests of the one-at-a-time side")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    nano = Path(__file__).parents[1] / "solon" / "models" / "nano" / "config.json"
    spec = asked.model or ("nano" if nano.exists() else None)
    shape = asked.random or (None if spec else "llama-5m")
    with tempfile.TemporaryDirectory() as scratch:
        folder = random_model(shape, Path(scratch)) if shape else resolve_path(str(spec))
        model: Any = open_model(str(folder), device=asked.device, dtype=asked.dtype, batch_size=asked.batch_size)
        requests = workload(asked.requests, asked.max_new_tokens, lengths=shape is not None)
        rates = measure(model, requests, asked.alone, asked.repeats)
        body = report(model, f"random weights, {shape}" if shape else str(spec), requests, rates)
        print(body)
        name = "-".join(["generation", *([shape] if shape else []), *([model.model.device.type] if shape else [])])
        write(
            name,
            "Generation: batched against one request at a time",
            body,
            " ".join(["python -m benchmarks.generation", *sys.argv[1:]]),
        )


if __name__ == "__main__":
    main()
