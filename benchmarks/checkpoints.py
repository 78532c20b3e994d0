"""The store against torch.save, safetensors and torch.distributed.checkpoint, in one run, as ratios to the machine's own floors.

    python -m benchmarks.checkpoints [--small] [--repeats 5] [--folder DIR] [--json]

At full size the figures go to benchmarks/checkpoints.md. The model has Qwen2.5-0.5B's shapes in bf16 with the tied embedding
(988,065,536 bytes); `--small` keeps 2 of its 24 layers and a fourteenth of its vocabulary. Every number is the median of the
repeats; compared things are measured in turn, round by round.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

from solon.checkpoints import Store, model_health

MIB = 2**20
PEAK = "MB: extra peak of the whole restore"
PAIRS = 5  # one-layer saves and their floor are short, so each round measures them so many times, in turn
BLOCK = np.random.default_rng(0).integers(0, 256, 16 * MIB, dtype=np.uint8)


def qwen(layers: int = 24, vocabulary: int = 151936) -> nn.Module:
    """Qwen2.5-0.5B's tensors (hidden 896, 14 heads, 2 key-value heads, feed-forward 4864), random, bf16, tied."""
    hidden, key_value, forward = 896, 128, 4864
    torch.manual_seed(0)

    def linear(n_in: int, n_out: int, bias: bool) -> nn.Linear:
        return nn.Linear(n_in, n_out, bias=bias, dtype=torch.bfloat16)

    def layer() -> nn.Module:
        attention = nn.ModuleDict(
            {
                "q_proj": linear(hidden, hidden, True),
                "k_proj": linear(hidden, key_value, True),
                "v_proj": linear(hidden, key_value, True),
                "o_proj": linear(hidden, hidden, False),
            }
        )
        mlp = nn.ModuleDict({"gate_proj": linear(hidden, forward, False), "up_proj": linear(hidden, forward, False)})
        mlp["down_proj"] = linear(forward, hidden, False)
        norms = {name: nn.RMSNorm(hidden, dtype=torch.bfloat16) for name in ("input_layernorm", "post_attention_layernorm")}
        return nn.ModuleDict({"self_attn": attention, "mlp": mlp, **norms})

    model = nn.ModuleDict(
        {
            "embed_tokens": nn.Embedding(vocabulary, hidden, dtype=torch.bfloat16),
            "layers": nn.ModuleList([layer() for _ in range(layers)]),
            "norm": nn.RMSNorm(hidden, dtype=torch.bfloat16),
        }
    )
    whole = nn.ModuleDict({"model": model, "lm_head": linear(hidden, vocabulary, False)})
    whole["lm_head"].weight = model["embed_tokens"].weight
    return whole.requires_grad_(False)


class Bench:
    """Runs each measurement once per round and keeps the times, in seconds."""

    def __init__(self, model: nn.Module, folder: Path) -> None:
        self.model, self.folder = model, folder
        self.times: dict[str, list[float]] = {}
        self.tensors = list(model.parameters())
        self.bytes = sum(p.numel() * p.element_size() for p in self.tensors)
        self.layer = f"model.layers.{len(model['model']['layers']) // 2}."  # type: ignore[index, arg-type]
        self.edited = [n for n, _ in model.named_parameters() if n.startswith(self.layer)]
        self.layer_bytes = sum(p.numel() * 2 for n, p in model.named_parameters() if n in self.edited)
        self.random = torch.Generator().manual_seed(0)

    def time(self, name: str, action: Callable[[], Any]) -> Any:
        os.sync()
        start = time.perf_counter()
        result = action()
        self.times.setdefault(name, []).append(time.perf_counter() - start)
        return result

    def edit(self) -> None:
        """Fresh random contents for one layer: bytes that no chunk has yet."""
        with torch.no_grad():
            for name, tensor in self.model.named_parameters():
                if name in self.edited:
                    tensor.normal_(std=0.02, generator=self.random)

    def path(self, name: str) -> Path:
        """A fresh path; what was there is removed."""
        path = self.folder / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        return path


def floors(bench: Bench) -> None:
    """Memory read (numpy bitwise or), and a buffered write of the whole model with fsync."""
    bench.time("floor: memory read", lambda: memory_read(bench))
    write_floor(bench, "floor: write whole", bench.bytes)


def write_floor(bench: Bench, name: str, total: int) -> None:
    """Write `total` bytes into a fresh file."""
    path = bench.path("raw")  # removing the old file is not part of what is measured, here and below
    bench.time(name, lambda: write_file(path, BLOCK, total))


def memory_read(bench: Bench) -> None:
    """Read every byte once: numpy's bitwise or over 64-bit words, in blocks of 1 MiB."""
    for tensor in bench.tensors:
        array = tensor.view(torch.uint8).reshape(-1).numpy()
        words = array[: len(array) // 8 * 8].view(np.uint64)
        for start in range(0, len(words), MIB // 8):
            np.bitwise_or.reduce(words[start : start + MIB // 8])


def write_file(path: Path, block: np.ndarray[Any, Any], total: int) -> None:
    """Write `total` bytes, fsync the file and its folder."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    while total > 0:
        total -= os.write(fd, block.data[: min(total, len(block))])
    os.fsync(fd)
    os.close(fd)
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """fsync a file or a folder."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def saves(bench: Bench) -> None:
    """First, unchanged and one-layer saves of the store, beside the whole saves of the others."""
    from safetensors.torch import save_model

    files = {name: bench.path(name) for name in ("t.pt", "s.safetensors", "dcp")}

    def torch_save() -> None:
        torch.save(bench.model.state_dict(), files["t.pt"])
        sync_path(files["t.pt"])
        sync_path(bench.folder)

    def safetensors_save() -> None:
        save_model(bench.model, str(files["s.safetensors"]))
        sync_path(files["s.safetensors"])
        sync_path(bench.folder)

    bench.time("torch.save + fsync", torch_save)
    bench.time("safetensors + fsync", safetensors_save)
    bench.time("distributed.checkpoint", lambda: dcp_save(bench))
    store = Store(bench.path("store"))
    bench.time("store: first save", lambda: store.save(bench.model))
    bench.time("store: unchanged save", lambda: store.save(bench.model))
    bench.edit()
    bench.time("store: one layer, found by scan", lambda: store.save(bench.model))
    for _ in range(PAIRS):
        write_floor(bench, "floor: write layer", bench.layer_bytes)
        bench.edit()
        store.declare(bench.model, bench.edited)
        bench.time("store: one layer, declared", lambda: store.save(bench.model, trust_journal=True))
    bench.edit()
    store.declare(bench.model, bench.edited)
    pending = bench.time(
        "store: stall of a background save, one layer declared", lambda: store.save_async(bench.model, trust_journal=True)
    )
    pending.result()


def dcp_save(bench: Bench) -> None:
    import torch.distributed.checkpoint as dcp

    dcp.save(bench.model.state_dict(), storage_writer=dcp.FileSystemWriter(bench.folder / "dcp"), no_dist=True)


def restores(bench: Bench) -> None:
    """Whole and changed-only restores into the live model, after the saves of this round; files are warm unless it says cold."""
    import torch.distributed.checkpoint as dcp
    from safetensors.torch import load_file

    store = Store(bench.folder / "store")
    target = store.log()[0].id
    state = bench.model.state_dict()

    def torch_load() -> None:
        bench.model.load_state_dict(torch.load(bench.folder / "t.pt", weights_only=True))

    page_cache(bench.folder, cold=True)
    bench.time("torch.load + load_state_dict, cold", torch_load)
    bench.time("store: whole restore, verified, cold", lambda: store.restore(target, bench.model))
    page_cache(bench.folder, cold=False)
    bench.time("torch.load + load_state_dict", torch_load)
    bench.time(
        "safetensors load_file + load_state_dict",
        lambda: bench.model.load_state_dict(load_file(bench.folder / "s.safetensors"), strict=False),
    )
    bench.time(
        "distributed.checkpoint load",
        lambda: dcp.load(state, storage_reader=dcp.FileSystemReader(bench.folder / "dcp"), no_dist=True),
    )
    peak = extra_memory(lambda: bench.time("store: whole restore, verified", lambda: store.restore(target, bench.model)))
    bench.times.setdefault(PEAK, []).append(peak)
    bench.edit()
    bench.time("store: changed only, found by scan", lambda: store.restore(target, bench.model, changed_only=True))
    bench.edit()
    store.declare(bench.model, bench.edited)
    bench.time("store: changed only, declared", lambda: store.restore(target, bench.model, changed_only=True, trust_journal=True))
    if store.changed(bench.model, target):
        raise SystemExit("the declared restore did not restore everything")


def page_cache(folder: Path, *, cold: bool) -> None:
    """Have every file below `folder` in the page cache, or none."""
    for path in folder.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            if cold:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            else:
                while os.read(fd, 16 * MIB):
                    pass
            os.close(fd)


def extra_memory(action: Callable[[], Any]) -> float:
    """MB of anonymous memory above the start, sampled each millisecond."""
    ctypes.CDLL(None).malloc_trim(0)  # else freed memory of earlier steps would be reused unseen
    process, peak, stop = psutil.Process(), [0], threading.Event()

    def private() -> int:
        found = process.memory_info()
        return int(found.rss - found.shared)

    start = private()

    def watch() -> None:
        while not stop.wait(0.001):
            peak[0] = max(peak[0], private() - start)

    thread = threading.Thread(target=watch)
    thread.start()
    action()
    stop.set()
    thread.join()
    return peak[0] / 1e6


def health(bench: Bench) -> None:
    """The one-pass check beside the three obvious reductions."""

    def naive() -> None:
        for tensor in bench.tensors:
            torch.isnan(tensor).any().item()
            torch.isinf(tensor).any().item()
            tensor.abs().max().item()

    bench.time("floor: memory read again", lambda: memory_read(bench))
    bench.time("health: whole model", lambda: model_health(bench.model))
    bench.time("health: isnan, isinf, abs().max()", naive)


def many(bench: Bench, count: int = 20) -> float:
    """Disk bytes of `count` checkpoints, each with the same layer changed, over the model's bytes."""
    store = Store(bench.path("many"))
    for _ in range(count):
        bench.edit()
        store.declare(bench.model, bench.edited)
        store.save(bench.model, trust_journal=True)
    return float(store.disk_usage()["physical"] / bench.bytes)


def gates(times: dict[str, list[float]], ratio: float) -> list[dict[str, Any]]:
    """Each promised ratio, taken within a round, its median over the rounds, and the bound."""

    rounds = len(times["torch.save + fsync"])

    def by_round(name: str) -> list[float]:
        each = len(times[name]) // rounds
        return [statistics.median(times[name][i * each : (i + 1) * each]) for i in range(rounds)]

    def over(a: str, b: str) -> float:
        return statistics.median(x / y for x, y in zip(by_round(a), by_round(b), strict=True))

    declared, layer = times["store: one layer, declared"], times["floor: write layer"]
    budget = statistics.median(x / (3 * y + 0.005) for x, y in zip(declared, layer, strict=True))
    rows = [
        ("unchanged save / memory read", over("store: unchanged save", "floor: memory read"), 2.5, "at most"),
        ("declared one-layer save / (3 x its write floor + 5 ms)", budget, 1, "at most"),
        (
            "torch.save + fsync / declared one-layer save",
            over("torch.save + fsync", "store: one layer, declared"),
            10,
            "at least",
        ),
        ("first save / safetensors + fsync", over("store: first save", "safetensors + fsync"), 1.5, "at most"),
        (
            "torch.load / declared changed-only restore",
            over("torch.load + load_state_dict", "store: changed only, declared"),
            20,
            "at least",
        ),
        ("health / memory read", over("health: whole model", "floor: memory read again"), 2.5, "at most"),
        ("obvious health / health", over("health: isnan, isinf, abs().max()", "health: whole model"), 10, "at least"),
        ("extra memory of a whole restore, MB", statistics.median(times[PEAK]), 64, "at most"),
        ("20 one-layer checkpoints, model sizes", ratio, 2, "at most"),
    ]
    return [
        {
            "gate": name,
            "value": round(value, 3),
            "bound": bound,
            "sense": sense,
            "ok": value <= bound if sense == "at most" else value >= bound,
        }
        for name, value, bound, sense in rows
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; its disk is what is measured")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-checkpoints-") as folder:
        load = os.getloadavg()[0]
        bench = Bench(qwen(2, 151936 // 14) if options.small else qwen(), Path(folder))
        for _ in range(options.repeats):
            for step in (floors, saves, restores, health):
                step(bench)
        ratio = many(bench)
    medians = {name: statistics.median(times) for name, times in bench.times.items()}
    medians.pop(PEAK)
    report = {
        "bytes": bench.bytes, "layer_bytes": bench.layer_bytes, "repeats": options.repeats, "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores", "load": load,
        "seconds": medians, "gates": gates(bench.times, ratio),
    }  # fmt: skip
    print(json.dumps(report) if options.json else text(report, bench.times))
    if not options.small:
        write_page(report, bench.times)
    return int(not options.small and not all(gate["ok"] for gate in report["gates"]))


def text(report: dict[str, Any], times: dict[str, list[float]]) -> str:
    lines = [
        f"{report['bytes']:,} bytes, one layer {report['layer_bytes']:,}; medians of {report['repeats']}; {report['machine']}"
    ]
    lines += [
        f"{1000 * s:10.1f} ms  ({1000 * min(times[n]):.1f}-{1000 * max(times[n]):.1f})  {n}" for n, s in report["seconds"].items()
    ]
    lines += [
        f"{'ok  ' if g['ok'] else 'MISS'} {g['value']:10.3f} {g['sense']} {g['bound']}  {g['gate']}" for g in report["gates"]
    ]
    return "\n".join(lines)


def write_page(report: dict[str, Any], times: dict[str, list[float]]) -> None:
    """benchmarks/checkpoints.md: the promised ratios, then every time."""
    from benchmarks.page import spread, table, write

    gates = [
        (g["gate"], f"{g['value']:g}", f"{g['sense']} {g['bound']:g}", "yes" if g["ok"] else "**no**") for g in report["gates"]
    ]
    rows = [(name, spread([1000 * t for t in times[name]], "ms", 4)) for name in report["seconds"]]
    body = (
        f"Qwen2.5-0.5B's shapes, bf16, tied embedding: {report['bytes']:,} bytes in 290 tensors; one layer is 12 of them, "
        f"{report['layer_bytes']:,} bytes. {report['repeats']} rounds; each measures everything once, a one-layer save and its "
        f"floor {PAIRS} times in turn; one torch thread; load average {report['load']:.1f} at the start. A ratio is taken within "
        "each round; its median is shown, so that the disk's moods (it is shared) fall on both sides. Every peer's file is "
        "synced, as the store's is. Files are in the page cache when they are read, except where it says cold.\n\n"
        + table(["promise", "measured", "bound", "held"], gates)
        + "\nMedian, and least to most:\n\n"
        + table(["what", "time"], rows)
        + "\nHealth on a GPU (`python -m benchmarks.health_gpu`) was not measured here: this machine has none.\n"
    )
    write("checkpoints", "Checkpoints against their peers", body, "python -m benchmarks.checkpoints")


if __name__ == "__main__":
    sys.exit(main())
