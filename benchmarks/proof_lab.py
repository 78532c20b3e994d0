"""Randomised proofs of experiments and of stores under stress: ways out, processes, full disks, wrong models, no code.

    python benchmarks/proof_lab.py --exits 300 --kills 100 --rounds 40 --disks 200 --wrong 300 --loads 200 --seed 1 [--json]

As in proof_checkpoints.py, whose modules and counters are used; `make test` runs the same functions with small counts.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script: the folder above is what holds the package `benchmarks`

from benchmarks.proof_checkpoints import Countdown, Proof, bits, flags, fork, pointers, random_module, scramble, small_model
from solon import lab
from solon.checkpoints import Retention, Store
from solon.checkpoints.errors import CheckpointError, DiskFull, TiesChanged, WrongModel
from solon.checkpoints.tensors import as_integers, model_slots
from solon.errors import SolonError


def tame(module: nn.Module) -> nn.Module:
    """Zeros in place of NaN and Inf, which a baseline may not hold; every other bit stays as it was drawn."""
    with torch.no_grad():
        for slot in model_slots(module):
            tensor = slot.tensor.detach()
            if not (tensor.is_floating_point() or tensor.is_complex()) or not tensor.numel():
                continue
            plain = torch.view_as_real(tensor) if tensor.is_complex() else tensor
            sick = ~torch.isfinite(plain.to(torch.float64))
            as_integers(plain).masked_fill_(sick, 0)
    return module


# -- I8: every way out of an experiment ----


def prove_exits(count: int, seed: int) -> Proof:
    """I8: however the block of an experiment is left, the model is bit for bit what it was unless the outcome says kept; then it
    is bit for bit what the checkpoint says. Signals are sent from another thread at random moments, also after the block."""
    proof, outcomes = (
        Proof("every way out of an experiment", count, seed),
        dict.fromkeys(("kept", "rolled_back", "errored", "refused"), 0),
    )
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            outcome, text = _one_exit(Path(folder) / "store", seed * 1_000_003 + number)
        outcomes[outcome] += 1
        proof.failures += [f"case {number}: {text}"] if text else []
    proof.note = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in outcomes.items())
    return proof


WAYS = ("raise", "SIGINT", "SIGTERM", "worse", "better", "nan", "test raises", "nonsense", "structure")


def _one_exit(path: Path, seed: int) -> tuple[str, str]:
    rng = random.Random(seed)
    model = tame(random_module(seed) if rng.random() < 0.7 else small_model(seed))
    way, store = rng.choice(WAYS), Store(path)
    before, at = bits(model), pointers(model)
    results = iter([_losses(3.0), {"better": _losses(2.0), "nonsense": "fine"}.get(way, _losses(4.0))])

    def test(_: nn.Module) -> Any:
        value = next(results)
        if way == "test raises" and value != _losses(3.0):
            raise ValueError("the test broke")
        return value

    block = lab.experiment(model, test=test, store=store, require_interval=rng.random() < 0.8)
    with suppress(KeyboardInterrupt, SystemExit, ArithmeticError), _struck(way, rng.random() * 0.08):
        with block:
            scramble(model, rng, 0.8)
            if way != "nan":
                tame(model)
            if way == "structure":
                model.register_buffer("extra", torch.ones(2))
                model.eval()
            if way == "raise":
                raise ArithmeticError
        time.sleep(0.02 if way.startswith("SIG") else 0)
    kept = block.outcome == "kept"
    if block.outcome == "open" and block.baseline is not None:
        return "errored", f"{way}: the experiment was left open"
    if kept:
        store.verify(str(block.checkpoint))
        return "kept", f"{way}: differs from the kept checkpoint" if store.changed(model, block.checkpoint) else ""
    if bits(model) != before or pointers(model) != at:
        return "errored", f"{way}: not what it was ({block.outcome})"
    left = "pins are left" if store.pins() else ""
    return block.outcome if block.outcome != "open" else "refused", left


def _losses(mean: float) -> list[float]:
    return [mean + 0.01 * i for i in range(6)]


@contextmanager
def _struck(way: str, after_s: float) -> Iterator[None]:
    """A signal to this process from another thread, `after_s` seconds from now; SIGTERM is an exception, as in the program."""
    if not way.startswith("SIG"):
        yield
        return

    def leave(_number: int, _frame: Any) -> None:
        raise SystemExit(143)

    old = signal.signal(signal.SIGTERM, leave)
    timer = threading.Timer(after_s, os.kill, (os.getpid(), getattr(signal, way)))
    timer.start()
    try:
        yield
    finally:
        with suppress(KeyboardInterrupt, SystemExit):
            timer.join()
            time.sleep(0.001)
        signal.signal(signal.SIGTERM, old)


# -- SIGKILL within an experiment ----


def prove_experiment_kills(count: int, seed: int) -> Proof:
    """An experiment killed by SIGKILL at any durable step is found by `recover`, which restores the baseline bit for bit."""
    proof, found = Proof("SIGKILL within an experiment, then recover", count, seed), 0
    with tempfile.TemporaryDirectory() as folder:
        steps = _steps(lambda: _experiments(Path(folder) / "store"))
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            path, point = Path(folder) / "store", number * steps // count
            child = fork()
            if child == 0:
                Countdown(point).install()
                _experiments(path)
                os._exit(0)
            os.waitpid(child, 0)
            text, recovered = _after_experiment(path)
        found += recovered
        proof.failures += [f"killed at step {point} of {steps}: {text}"] if text else []
    proof.note = f"{steps} durable steps; {found} left an experiment open, all recovered"
    return proof


def _steps(action: Callable[[], None]) -> int:
    """How many durable calls `action` makes in a process of its own."""
    read, write = os.pipe()
    child = fork()
    if child == 0:
        countdown = Countdown(10**9)
        countdown.install()
        action()
        os.write(write, str(10**9 - countdown.left).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return int(os.read(read, 32))


def _experiments(path: Path) -> None:
    """One experiment that is rolled back and one that is kept, on the same model."""
    model = small_model()
    for means in ((3.0, 4.0), (3.0, 2.0)):
        results = iter([_losses(mean) for mean in means])
        with lab.experiment(model, test=lambda _, results=results: next(results), store=path) as edit:
            edit.scale("1.weight", 1.5)
            edit.add("3.weight", 0.25)


def _after_experiment(path: Path) -> tuple[str, int]:
    try:
        store, model = Store(path), small_model()
        baselines = {record["baseline"] for record in lab.interrupted(store)}
        scramble(model, random.Random(0), 1.0)
        done = lab.recover(store, model)
        if {record["baseline"] for record in done} != baselines or not all(r["verified"] and r["restored"] for r in done):
            return f"not recovered: {done}", len(done)
        if done and bits(model) != bits(small_model()):
            return "the recovered model is not the baseline", len(done)
        if store.pins() or lab.recover(store):
            return "something is still open", len(done)
        for info in store.log():
            store.verify(info.id)
        with lab.experiment(small_model(), store=store):
            pass
        return "" if store.fsck() else f"damaged: {store.fsck().problems}", len(done)
    except SolonError as error:
        return f"{type(error).__name__}: {error}", 0


# -- I9: several processes ----


def prove_processes(rounds: int, seed: int) -> Proof:
    """I9: two savers and a collector on one store, one of the three killed at a random moment; nothing listed is damaged."""
    proof, listed = Proof("three processes on one store, one of them killed", rounds, seed), 0
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            text, count = _one_round(Path(folder) / "store", random.Random(seed * 7919 + number))
        listed += count
        proof.failures += [f"round {number}: {text}"] if text else []
    proof.note = f"{listed} checkpoints listed in all, each verified"
    return proof


def _one_round(path: Path, rng: random.Random) -> tuple[str, int]:
    Store(path).save(small_model(), metadata={"state": "baseline"})
    children = []
    for role in ("saver", "saver", "collector"):
        child = fork()
        if child == 0:
            _role(role, path, rng.randrange(2**32) + len(children))
        children.append(child)
    time.sleep(rng.random() * 0.2)
    victim = rng.choice(children)
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    codes = {child: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
    if any(code != 0 for child, code in codes.items() if child != victim):
        return f"a process failed: {codes}", 0
    try:
        store = Store(path)
        log = store.log()
        for info in log:
            store.verify(info.id)
        report = store.fsck()
        numbers = [info.sequence for info in log]
        if report.damaged or len(set(numbers)) != len(numbers) or not log[0].baseline:
            return f"{report.problems or numbers}", len(log)
        store.verify(store.save(small_model(1)))
        return "", len(log)
    except CheckpointError as error:
        return f"{type(error).__name__}: {error}", 0


def _role(role: str, path: Path, seed: int) -> None:
    try:
        store, rng = Store(path), random.Random(seed)
        model = small_model()
        for _ in range(8):
            if role == "collector":
                store.gc(grace_s=0, retention=Retention(keep_last=3))
                time.sleep(0.005)
            else:
                scramble(model, rng, 0.5)
                store.save(model)
        os._exit(0)
    except BaseException:  # noqa: BLE001
        import traceback

        traceback.print_exc()
        os._exit(1)


# -- full disks ----


def prove_full_disks(count: int, seed: int) -> Proof:
    """A disk with room for a part of a save: it is committed and verifies, or DiskFull is raised and nothing has changed."""
    proof = Proof("saves on a disk that fills up", count, seed)
    with tempfile.TemporaryDirectory() as folder, _small_disk(Path(folder), proof) as disk:
        refused = 0
        for number in range(count):
            text, full = _one_disk(disk, random.Random(seed * 104729 + number))
            refused += full
            proof.failures += [f"case {number}: {text}"] if text else []
    proof.note += f"; {refused} refused, {count - refused} committed"
    return proof


@contextmanager
def _small_disk(folder: Path, proof: Proof) -> Iterator[Path]:
    """A tmpfs of 4 MiB, or where this user may not mount one, a limit on the size of files."""
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False)
    proof.note = "on a tmpfs of 4 MiB" if made.returncode == 0 else "by a limit on file sizes (no tmpfs may be mounted here)"
    try:
        yield folder
    finally:
        if made.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)


def _one_disk(disk: Path, rng: random.Random) -> tuple[str, bool]:
    path, filler = disk / f"store{rng.randrange(10**9)}", disk / "filler"
    store, model = Store(path), small_model()
    first = store.save(model)
    scramble(model, rng, 1.0)
    before, room = bits(model), rng.randrange(400_000)
    try:
        with _room(disk, filler, room):
            try:
                saved, full = store.save(model), False
            except DiskFull:
                saved, full = first, True
        if bits(model) != before:
            return "the model was touched", full
        if [info.id for info in store.log()] != ([first] if full else [first, saved]):
            return f"the log has {len(store.log())} lines", full
        if full and list(path.rglob("*.tmp")):
            return "an unfinished file was left", full
        for info in store.log():
            store.verify(info.id)
        return ("" if store.fsck() else f"damaged: {store.fsck().problems}"), full
    finally:
        subprocess.run(["rm", "-rf", str(path)], check=True)


@contextmanager
def _room(disk: Path, filler: Path, room: int) -> Iterator[None]:
    """Leave `room` bytes on the disk; where it is no small one, forbid files larger than that."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    if free < 2**23:
        filler.write_bytes(b"x" * max(0, free - room))
        try:
            yield
        finally:
            filler.unlink()
        return
    limits, old = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(room, 1), limits[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)


# -- wrong models, and code ----


def prove_wrong_models(count: int, seed: int) -> Proof:
    """A checkpoint of one random module restored into another is refused before any write, unless it fits."""
    proof, fitted = Proof("restores into a wrong model", count, seed), 0
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        for number in range(count):
            one, other = random_module(seed * 31 + number), random_module(seed * 31 + number + 1_000_000)
            saved = store.save(one)
            before, at, modes = bits(other), pointers(other), flags(other)
            try:
                store.restore(saved, other)
                fitted += 1
                proof.failures += [f"case {number}: accepted"] if bits(one) != bits(other) else []
            except (WrongModel, TiesChanged):
                if (bits(other), pointers(other), flags(other)) != (before, at, modes):
                    proof.failures.append(f"case {number}: refused, but touched")
    proof.note = f"{count - fitted} refused untouched, {fitted} fitted"
    return proof


RUNS_CODE = ("exec", "compile", "pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "marshal.loads", "ctypes.dlopen")


def prove_no_code(count: int, seed: int) -> Proof:
    """I10: opening a store and restoring from it runs no code from it: no event of Python's audit hook says so."""
    proof = Proof("loading runs no code", count, seed, note=f"watched by an audit hook: {', '.join(RUNS_CODE)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        modules = [random_module(seed * 17 + number) for number in range(count)]
        state = {"step": 3, "moments": [torch.ones(3), torch.zeros(2)], "order": (1, {2, 3}), "dtype": torch.float32}
        names = [Store(path).save(module, state=dict(state), rng=True) for module in modules]
        read, write = os.pipe()
        child = fork()
        if child == 0:
            events: list[str] = []
            Store(path).restore(names[0], modules[0], state={}, rng=True)  # what is imported on first use
            sys.addaudithook(lambda event, _: events.append(event) if event in RUNS_CODE else None)
            for name, module in zip(names, modules, strict=True):
                store = Store(path)
                store.restore(name, module, state={}, rng=True)
            os.write(write, json.dumps(events[:20]).encode())
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            proof.failures.append("the process failed")
        else:
            proof.failures += json.loads(os.read(read, 4096))
    return proof


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    counts = {"exits": 300, "kills": 100, "rounds": 40, "disks": 200, "wrong": 300, "loads": 200}
    for name, count in counts.items():
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("solon").setLevel(logging.CRITICAL + 1)
    proofs = [
        prove_experiment_kills(options.kills, options.seed),
        prove_processes(options.rounds, options.seed),
        prove_no_code(options.loads, options.seed),
        prove_exits(options.exits, options.seed),
        prove_full_disks(options.disks, options.seed),
        prove_wrong_models(options.wrong, options.seed),
    ]
    if options.json:
        print(json.dumps([asdict(proof) for proof in proofs]))
    else:
        print("\n".join(proof.text() for proof in proofs))
    return int(any(proof.failures for proof in proofs))


if __name__ == "__main__":
    sys.exit(main())
