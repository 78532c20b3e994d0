"""Randomised proofs of the checkpoint store: bit-exact restores, found damage, kills at every durable step.

    python benchmarks/proof_checkpoints.py --modules 500 --flips 1000 --kills 200 --seed 1 [--json]

Each function returns a Proof with its count and the failures, as sentences; an empty list is success. `make test` runs the same
functions with small counts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from solon.checkpoints import Retention, Store
from solon.checkpoints.errors import CheckpointError
from solon.checkpoints.restoring import images_of
from solon.checkpoints.tensors import DTYPES, flatten, model_slots

SHAPES: list[tuple[int, ...]] = [(), (0,), (3, 0), (1,), (7,), (5, 3), (2, 3, 4), (64, 65), (1, 1, 9)]
DURABLE = ["open", "write", "fsync", "fdatasync", "rename", "replace", "unlink", "ftruncate", "mkdir"]


@dataclass
class Proof:
    """What was tried and what failed."""

    name: str
    count: int
    seed: int
    failures: list[str] = field(default_factory=list)
    note: str = ""

    def text(self) -> str:
        """A line for people, and the first failures."""
        verdict = f"{len(self.failures)} FAILED" if self.failures else "all held"
        lines = [f"{self.name}: {self.count} cases, seed {self.seed}: {verdict}. {self.note}".rstrip()]
        return "\n".join([*lines, *(f"  {text}" for text in self.failures[:20])])


def fork() -> int:
    """`os.fork` for a child that computes: OpenMP's threads do not come along, and it would wait for them for ever."""
    torch.set_num_threads(1)
    return os.fork()


def random_bits(tensor: torch.Tensor, rng: random.Random) -> None:
    """Fill with random bytes: NaN payloads, infinities, -0.0 and denormals all occur. Booleans stay 0 or 1."""
    count = tensor.numel() * tensor.element_size()
    data = torch.frombuffer(bytearray(rng.randbytes(count)) or bytearray(1), dtype=torch.uint8)[:count].clone()
    if tensor.dtype is torch.bool:
        data &= 1
    value = data.view(tensor.dtype).reshape(tensor.shape)
    with torch.no_grad():
        if tensor.is_contiguous():
            flatten(tensor).view(torch.uint8).copy_(data)
        else:
            tensor.copy_(value)


def random_module(seed: int) -> nn.Module:
    """A module tree of odd tensors: all dtypes, strides, empty, 0-d, ties by object and by memory, overlapping views."""
    rng = random.Random(seed)
    root = nn.Module()
    places = [root]
    for i in range(rng.randint(0, 3)):
        child = nn.Module()
        rng.choice(places).add_module(f"m{i}", child)
        places.append(child)
    for i in range(rng.randint(1, 8)):
        dtype = DTYPES[rng.choice(sorted(DTYPES))]
        tensor = _strided(torch.empty(rng.choice(SHAPES), dtype=torch.uint8).to(dtype), rng)
        random_bits(tensor, rng)
        _register(rng.choice(places), f"t{i}", tensor, rng)
    _tie(places, rng)
    for module in root.modules():
        module.training = rng.random() < 0.5
    return root


def _strided(tensor: torch.Tensor, rng: random.Random) -> torch.Tensor:
    kind = rng.choice(["plain", "plain", "transposed", "sliced"])
    if kind == "transposed" and tensor.dim() >= 2:
        return tensor.transpose(0, 1)
    if kind == "sliced" and tensor.dim() >= 1 and tensor.shape[0] > 1:
        return (
            torch.cat([tensor.view(torch.uint8).reshape(-1)] * 2)
            .view(tensor.dtype)
            .reshape(-1)[::2]
            .reshape(-1)[: tensor.shape[0]]
        )
    return tensor


def _register(module: nn.Module, name: str, tensor: torch.Tensor, rng: random.Random) -> None:
    if rng.random() < 0.6:
        floats = tensor.is_floating_point() or tensor.is_complex()
        module.register_parameter(name, nn.Parameter(tensor, requires_grad=floats and rng.random() < 0.8))
    else:
        module.register_buffer(name, tensor, persistent=rng.random() < 0.7)


def _tie(places: list[nn.Module], rng: random.Random) -> None:
    parameters = [p for module in places for p in module.parameters(recurse=False)]
    if not parameters:
        return
    chosen = rng.choice(parameters)
    if rng.random() < 0.5:
        rng.choice(places).register_parameter("same_object", chosen)
    if rng.random() < 0.3:
        rng.choice(places).register_parameter("same_memory", nn.Parameter(chosen.detach(), requires_grad=False))
    if rng.random() < 0.3 and chosen.dim() and chosen.shape[0] > 2:
        rng.choice(places).register_buffer("view", chosen.detach()[1:])


def bits(module: nn.Module) -> dict[str, bytes]:
    """Every name, aliases included -> its logical bytes."""
    slots = model_slots(module)
    images = images_of(slots)
    return {name: images[slot.name].tobytes() for slot in slots for name in slot.names}


def pointers(module: nn.Module) -> dict[str, int]:
    """Every name -> address of its first element."""
    return {name: slot.tensor.data_ptr() for slot in model_slots(module) for name in slot.names}


def ties(module: nn.Module) -> set[frozenset[str]]:
    """Groups of exact aliases."""
    return {frozenset(slot.names) for slot in model_slots(module) if len(slot.names) > 1}


def flags(module: nn.Module) -> tuple[dict[str, bool], dict[str, bool]]:
    """(training by module, requires_grad by parameter)."""
    grads = {n: p.requires_grad for n, p in module.named_parameters(remove_duplicate=False)}
    return {n: m.training for n, m in module.named_modules()}, grads


def scramble(module: nn.Module, rng: random.Random, share: float = 0.6) -> None:
    """New random bits in some tensors, and other modes."""
    for slot in model_slots(module):
        if rng.random() < share:
            random_bits(slot.tensor.detach(), rng)
    for inner in module.modules():
        inner.training = rng.random() < 0.5


def prove_modules(count: int, seed: int) -> Proof:
    """I1, I2, I3, I6: for random modules, restore(save(m)) is bit-identical in place, ties hold, unchanged saves are small."""
    proof = Proof("bit-exact restore of random modules", count, seed)
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            text = _one_module(Path(folder) / "store", seed * 1_000_003 + number)
            proof.failures += [f"module {number}: {text}"] if text else []
    return proof


def _one_module(path: Path, seed: int) -> str:
    rng = random.Random(seed + 1)
    module, store = random_module(seed), Store(path)
    before, at, tied, modes = bits(module), pointers(module), ties(module), flags(module)
    first = store.save(module) if rng.random() < 0.7 else store.save_async(module).result()
    size = store.disk_usage()["physical"]
    store.save(module)
    if store.disk_usage()["physical"] - size > 65536:
        return "an unchanged save wrote more than 64 KB"
    scramble(module, rng)
    if rng.random() < 0.5:
        store.save(module)
    if rng.random() < 0.3:
        store = Store(path)  # another process knows no fingerprints
    store.restore(first, module, changed_only=rng.random() < 0.6, undo=rng.random() < 0.5)
    if bits(module) != before:
        return "bits differ after restore"
    if pointers(module) != at:
        return "a tensor moved"
    if ties(module) != tied:
        return "ties changed"
    return "" if flags(module) == modes else "flags differ"


def small_model(seed: int = 0) -> nn.Module:
    """A tied toy language model of about 200 KB."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Embedding(256, 96), nn.Linear(96, 96), nn.LayerNorm(96), nn.Linear(96, 256, bias=False))
    model[3].weight = model[0].weight
    return model


def prove_flips(count: int, seed: int) -> Proof:
    """I4: after one random bit flip or truncation anywhere in the store, a restore raises a named error and leaves the model
    untouched, or restores exactly; and then fsck has found the damage."""
    proof = Proof("one bit flipped or a file cut short", count, seed)
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        model = small_model()
        store = Store(path)
        first = store.save(model)
        saved = bits(model)
        scramble(model, rng)
        store.save(model)
        files = [f for f in path.rglob("*") if f.is_file() and f.stat().st_size]
        raised = 0
        for number in range(count):
            file = rng.choices(files, [f.stat().st_size for f in files])[0] if rng.random() < 0.7 else rng.choice(files)
            original = file.read_bytes()
            file.write_bytes(damaged(original, rng))
            text, named = _after_damage(path, first, model, saved)
            raised += named
            proof.failures += [f"case {number}, {file.relative_to(path)}: {text}"] if text else []
            file.write_bytes(original)
    proof.note = f"{raised} refused by restore, the others restored exactly and were found by fsck"
    return proof


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One bit flipped (7 in 10), or cut short."""
    if rng.random() < 0.3:
        return data[: rng.randrange(len(data))]
    at, bit = rng.randrange(len(data)), rng.randrange(8)
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def _after_damage(path: Path, name: str, model: nn.Module, saved: dict[str, bytes]) -> tuple[str, bool]:
    from solon.errors import SolonError

    before = bits(model)
    try:
        store = Store(path)
        store.restore(name, model)
    except SolonError:
        return ("the model was touched" if bits(model) != before else ""), True
    if bits(model) != saved:
        return "restored other bits without an error", False
    scramble(model, random.Random(0))
    report = store.fsck()
    return ("" if not report.ok else "fsck found nothing"), False


class Countdown:
    """Kills this process, by SIGKILL, at the n-th call of a durable system call; a write is first done by half."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def install(self) -> None:
        for name in DURABLE:
            setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                if name == "write":
                    real(args[0], memoryview(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call


def workload(path: Path, seed: int) -> None:
    """Saves, retention and collection, as the killed process does them."""
    model, store, rng = small_model(), Store(path), random.Random(seed)
    for number in range(4):
        scramble(model, rng, 0.5)
        store.save(model, metadata={"number": number, "state": "baseline" if number == 1 else "testing"})
        store.journal.append({"kind": "note", "number": number})
    store.prune(Retention(keep_last=1))
    store.gc(grace_s=0)
    scramble(model, rng, 0.5)
    store.save_async(model).result()


def count_steps(seed: int) -> int:
    """How many durable calls the workload makes."""
    total = 10**9

    with tempfile.TemporaryDirectory() as folder:
        read, write = os.pipe()
        child = fork()
        if child == 0:
            countdown = Countdown(total)
            countdown.install()
            workload(Path(folder) / "store", seed)
            os.write(write, str(total - countdown.left).encode())
            os._exit(0)
        os.waitpid(child, 0)
        return int(os.read(read, 32))


def prove_kills(count: int, seed: int) -> Proof:
    """I5, I7: killed at any durable step of save, prune, gc or journal, every listed checkpoint verifies, the store saves on, and
    the baseline is still there once it was listed."""
    steps = count_steps(seed)
    proof = Proof("SIGKILL during save, prune and gc", count, seed, note=f"the workload has {steps} durable steps")
    for number in range(count):
        point = number * steps // count
        for at in range(point, max(point - 4, -1), -1):  # a run that crosses a second makes a trash folder more, or less
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "store"
                killed = _killed_at(path, seed, at)
                text = _after_kill(path) if killed else "the process was not killed"
            if killed:
                break
        proof.failures += [f"killed at step {point} of {steps}: {text}"] if text else []
    return proof


def _killed_at(path: Path, seed: int, point: int) -> bool:
    """Run the workload in a child that kills itself at a durable step; False when it ended before."""
    child = fork()
    if child == 0:
        Countdown(point).install()
        workload(path, seed)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _after_kill(path: Path) -> str:
    try:
        store = Store(path)
        for info in store.log():
            store.verify(info.id)
        report = store.fsck()
        if report.damaged:
            return f"damaged: {report.problems}"
        listed = {info.id for info in store.log()}
        numbers = [info.metadata["number"] for info in store.log() if "number" in info.metadata]
        if numbers and max(numbers) >= 1 and 1 not in numbers:
            return f"the baseline is gone: {numbers}"
        model = small_model()
        new = store.save(model)
        store.gc(grace_s=0)
        store.verify(new)
        if not listed <= {info.id for info in store.log()}:
            return "a listed checkpoint vanished"
        list(store.journal.lines())
        for info in store.log():
            store.restore(info.id, model)
    except CheckpointError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", type=int, default=500)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    proofs = [
        prove_kills(options.kills, options.seed),
        prove_modules(options.modules, options.seed),
        prove_flips(options.flips, options.seed),
    ]
    if options.json:
        print(json.dumps([asdict(proof) for proof in proofs]))
    else:
        print("\n".join(proof.text() for proof in proofs))
    return int(any(proof.failures for proof in proofs))


if __name__ == "__main__":
    sys.exit(main())
