"""Saving and restoring: exactness, refusals, and what happens when something goes wrong midway."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import random
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from solon.checkpoints import Retention, Store, UndeclaredEdit, restoring
from solon.checkpoints import errors as refused
from solon.checkpoints.tensors import CHUNK
from solon.errors import InputError


def load_proof() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "proof_checkpoints.py"
    spec = importlib.util.spec_from_file_location("proof_checkpoints", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


proof = load_proof()


@pytest.fixture
def model() -> nn.Module:
    return proof.small_model()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


# -- exactness ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_random_modules_come_back_bit_for_bit() -> None:
    assert proof.prove_modules(25, seed=7).failures == []


def test_damage_is_found_and_the_model_left_alone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert proof.prove_flips(40, seed=7).failures == []


@pytest.mark.slow
def test_killed_at_durable_steps_every_listed_checkpoint_verifies() -> None:
    assert proof.prove_kills(10, seed=7).failures == []


def train(model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: object, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        tokens = torch.randint(0, 256, (16,))
        noise = random.random() + float(np.random.rand())
        loss = nn.functional.cross_entropy(nn.functional.dropout(model(tokens), 0.1), tokens) * (1 + noise)
        loss.backward()
        optimizer.step()
        scheduler.step()  # type: ignore[attr-defined]
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", ["adamw", "sgd", "adagrad"])
def test_training_continues_as_if_never_interrupted(store: Store, kind: str) -> None:
    model = proof.small_model()
    optimizer = {
        "adamw": lambda: torch.optim.AdamW(model.parameters(), lr=1e-2, amsgrad=True),
        "sgd": lambda: torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9),
        "adagrad": lambda: torch.optim.Adagrad(model.parameters(), lr=1e-2),
    }[kind]()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3, 3, 5])
    progress = {"step": 2, "best": float("inf"), "order": (1, 2), "big": 2**60}
    train(model, optimizer, scheduler, 2)
    saved = store.save(model, optimizer=optimizer, scheduler=scheduler, progress=progress, rng=True)
    wanted = train(model, optimizer, scheduler, 4)
    progress.clear()
    store.restore(saved, model, optimizer=optimizer, scheduler=scheduler, progress=progress, rng=True)
    assert progress == {"step": 2, "best": float("inf"), "order": (1, 2), "big": 2**60}
    assert train(model, optimizer, scheduler, 4) == wanted


def test_a_fresh_optimizer_takes_the_stored_state_without_casts(store: Store) -> None:
    layer = nn.Linear(4, 4).bfloat16()
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 4, dtype=torch.bfloat16)).sum().backward()
    optimizer.step()
    state = optimizer.state[layer.weight]
    state["exp_avg"] = state["exp_avg"].float() / 3  # float32 moments of a bfloat16 weight: load_state_dict would round them
    wanted = state["exp_avg"].clone()
    saved = store.save(layer, optimizer=optimizer)
    fresh = torch.optim.AdamW(layer.parameters())
    store.restore(saved, layer, optimizer=fresh)
    assert torch.equal(fresh.state[layer.weight]["exp_avg"], wanted)


def test_generator_part(store: Store, model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(5)
    saved = store.save(model, sampler=generator)
    wanted = torch.rand(3, generator=generator)
    store.restore(saved, model, sampler=generator)
    assert torch.equal(torch.rand(3, generator=generator), wanted)


def test_hooks_and_inference_tensors_survive(store: Store, model: nn.Module) -> None:
    calls: list[int] = []
    model[1].register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        model.register_buffer("odd", torch.ones(3))
    saved = store.save(model)
    with torch.inference_mode():
        model.odd.zero_()
    store.restore(saved, model)
    model(torch.tensor([1]))
    assert calls == [1]
    assert model.odd.tolist() == [1, 1, 1]


def test_the_autograd_version_moves_so_that_stale_graphs_are_noticed(store: Store) -> None:
    layer = nn.Linear(3, 3)
    saved = store.save(layer)
    version = layer.weight._version
    store.restore(saved, layer)
    assert layer.weight._version > version


def test_no_pickle_anywhere(store: Store, model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2), 1)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("pickle was used")

    for name in ("loads", "load", "dumps", "dump", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, never)
    saved = store.save(model, optimizer=optimizer, rng=True)
    Store(store.path).restore(saved, model, optimizer=optimizer, rng=True)


def test_saving_values_without_a_typed_form_names_the_path(store: Store, model: nn.Module) -> None:
    with pytest.raises(refused.UnsupportedState, match="@extra/inner/1"):
        store.save(model, extra={"inner": [1, object()]})
    with pytest.raises(refused.UnsupportedState, match="load_state_dict"):
        store.save(model, extra=3)
    assert store.log() == []


# -- only what changed ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_row_of_a_large_tensor_writes_one_chunk(store: Store) -> None:
    table = nn.Embedding(5 * CHUNK // 4 // 64 // 2, 64)  # 40 MiB
    first = store.save(table)
    before = store.disk_usage()["physical"]
    with torch.no_grad():
        table.weight[-1] += 1
    second = store.save(table)
    assert store.disk_usage()["physical"] - before < CHUNK + 65536
    done = store.restore(first, table, changed_only=True)
    assert 0 < done.bytes_written <= CHUNK
    assert store.diff(first, second).changed[0].fraction == pytest.approx(64 / table.weight.numel())


def test_trusted_journal_reads_and_writes_only_what_was_declared(store: Store, model: nn.Module) -> None:
    saved = store.save(model)
    before = proof.bits(model)
    store.declare(model, ["3.weight"])  # tied to 0.weight
    with torch.no_grad():
        model[0].weight.mul_(2)
    second = store.save(model, trust_journal=True)
    assert store.diff(saved, second).names == ["0.weight"]
    store.declare(model, ["1.bias"])
    with torch.no_grad():
        model[1].bias.add_(1)
    done = store.restore(saved, model, changed_only=True, trust_journal=True)
    assert set(done.written) == {"0.weight", "1.bias"}
    assert proof.bits(model) == before


def test_edits_behind_the_journals_back_raise_the_alarm(store: Store, model: nn.Module) -> None:
    saved = store.save(model)
    store.declare(model, ["1.weight"])
    with torch.no_grad():
        model[1].weight.mul_(2)
        model[2].bias.data.fill_(5)  # .data moves no autograd version
    assert store.undeclared(model) == ["2.bias"]
    with pytest.warns(UndeclaredEdit, match=r"2\.bias"):
        store.save(model)
    with pytest.warns(UndeclaredEdit, match=r"1\.bias"):
        model[1].bias.data.fill_(3)
        done = store.restore(saved, model, changed_only=True)
    assert done.undeclared == ("1.bias",)
    assert store.changed(model) == []


def test_without_declarations_nobody_is_alarmed(store: Store, model: nn.Module) -> None:
    store.save(model)
    proof.scramble(model, random.Random(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.save(model)


def test_background_save_is_of_the_moment_it_was_asked_for(store: Store, model: nn.Module) -> None:
    before = proof.bits(model)
    pending = store.save_async(model)
    proof.scramble(model, random.Random(2), 1.0)
    name = pending.result()
    store.restore(name, model)
    assert proof.bits(model) == before


def test_another_models_same_weights_cost_nothing(store: Store, model: nn.Module) -> None:
    store.save(model)
    before = store.disk_usage()["chunks"]
    store.save(proof.small_model())
    assert store.disk_usage()["chunks"] == before


# -- refusals --------------------------------------------------------------------------------------------------------------


def untouched(model: nn.Module, error: type[Exception], match: str, action: object) -> None:
    before, at = proof.bits(model), proof.pointers(model)
    with pytest.raises(error, match=match):
        action()  # type: ignore[operator]
    assert proof.bits(model) == before
    assert proof.pointers(model) == at


@pytest.mark.parametrize(
    ("other", "match"),
    [
        (lambda: nn.Sequential(nn.Embedding(256, 96), nn.Linear(96, 96)), "missing in the model: 2.weight"),
        (lambda: proof.small_model().double(), "stored float32"),
        (lambda: nn.Sequential(*proof.small_model(), nn.Linear(2, 2)), "unknown to the checkpoint: 4.weight"),
    ],
)
def test_wrong_model_is_refused_before_any_write(store: Store, model: nn.Module, other: object, match: str) -> None:
    saved = store.save(model)
    wrong = other()  # type: ignore[operator]
    untouched(wrong, refused.WrongModel, match, lambda: store.restore(saved, wrong))


def test_lost_tie_is_refused_and_made_again_on_request(store: Store, model: nn.Module) -> None:
    saved = store.save(model)
    before = proof.bits(model)
    model[3].weight = nn.Parameter(model[3].weight.detach().clone())
    untouched(model, refused.TiesChanged, "retie=True", lambda: store.restore(saved, model))
    store.restore(saved, model, retie=True)
    assert model[3].weight is model[0].weight
    assert proof.bits(model) == before


def test_new_tie_is_refused(store: Store, model: nn.Module) -> None:
    model[3].weight = nn.Parameter(model[3].weight.detach().clone())
    saved = store.save(model)
    model[3].weight = model[0].weight
    untouched(model, refused.TiesChanged, "untie", lambda: store.restore(saved, model, retie=True))


class Odd(torch.Tensor):
    pass


@pytest.mark.parametrize(
    ("tensor", "match"),
    [
        (torch.empty(2, device="meta"), "meta"),
        (torch.eye(3).to_sparse(), "sparse"),
        (torch.eye(3).to_sparse_csr(), "sparse"),
        (torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "quantised"),
        (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested"),
        (torch.ones(3).as_subclass(Odd), "subclass"),
    ],
    ids=["meta", "sparse", "csr", "quantised", "nested", "subclass"],
)
def test_tensors_that_are_no_plain_memory_are_named(store: Store, tensor: torch.Tensor, match: str) -> None:
    module = nn.Module()
    module.register_buffer("strange", tensor)
    with pytest.raises(refused.UnsupportedTensor, match=f"strange.*{match}") as caught:
        store.save(module)
    assert caught.value.mend
    assert store.log() == []


def test_lazy_parameters_are_named(store: Store) -> None:
    with pytest.raises(refused.UnsupportedTensor, match="forward pass"):
        store.save(nn.LazyLinear(3))


def test_state_outside_parameters_and_buffers_is_never_lost_in_silence(store: Store) -> None:
    class Packed(nn.Linear):
        def _save_to_state_dict(self, destination: dict[str, object], prefix: str, keep: bool) -> None:  # as quantised ones do
            super()._save_to_state_dict(destination, prefix, keep)
            destination[prefix + "packed"] = (1, 2)

    class Extra(nn.Linear):
        def get_extra_state(self) -> object:
            return 3

    for kind, key in ((Packed, "packed"), (Extra, "_extra_state")):
        with pytest.raises(refused.UnsupportedTensor, match=f"1: .*{kind.__name__} keeps {key} outside"):
            store.save(nn.Sequential(nn.Linear(2, 2), kind(2, 2)))
    assert store.log() == []


def test_self_overlapping_tensor_is_refused_on_restore(store: Store) -> None:
    module = nn.Module()
    module.register_buffer("windows", torch.arange(6.0).as_strided((3, 3), (1, 1)))
    saved = store.save(module)
    untouched(module, refused.UnsupportedTensor, "overlap", lambda: store.restore(saved, module))


def test_unknown_names(store: Store, model: nn.Module) -> None:
    saved = store.save(model, tag="first")
    with pytest.raises(refused.UnknownCheckpoint, match=saved):
        store.restore(saved[:-1] + "x", model)
    with pytest.raises(refused.UnknownCheckpoint, match="first"):
        store.manifest("firts")
    with pytest.raises(refused.UnknownTensor, match=r"1\.weight"):
        store.declare(model, ["1.wieght"])
    with pytest.raises(refused.UnknownTensor, match=r"1\.weight"):
        store.tensor(saved, "1.wieght")
    with pytest.raises(refused.MissingPart, match="optimizer"):
        store.restore(saved, model, optimizer=torch.optim.AdamW(model.parameters()))


def test_optimizer_with_other_groups_is_refused(store: Store, model: nn.Module) -> None:
    saved = store.save(model, optimizer=torch.optim.SGD(model.parameters(), lr=1))
    other = torch.optim.SGD(list(model.parameters())[:2], lr=1)
    untouched(model, refused.WrongModel, "parameters", lambda: store.restore(saved, model, optimizer=other))


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Exception, match="other files"):
        Store(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_unhealthy_models_are_marked_or_refused(store: Store, model: nn.Module) -> None:
    with torch.no_grad():
        model[1].weight[0, 0] = float("nan")
    with pytest.raises(refused.UnhealthyModel, match=r"1\.weight \(1 NaN"):
        store.save(model, refuse_unhealthy=True)
    assert store.log() == []
    saved = store.save(model)
    assert store.log()[0].poisoned
    assert store.health(saved)["1.weight"].nan == 1


# -- torn restores -----------------------------------------------------------------------------------------------------------


def change_between_passes(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """From the `after`-th chunk on, the second reading finds one bit of the file flipped; later readings find it mended."""
    monkeypatch.setattr(restoring, "HOLD", 0)
    real, reads = restoring.InPlace._again, {"second": 0}

    def again(self: restoring.InPlace, name: str) -> object:
        reads["second"] += 1
        if reads["second"] <= after:
            return real(self, name)
        index = self.reader.index
        place = index[name]
        flip(place.pack, place.offset)
        try:
            return real(self, name)
        finally:
            flip(place.pack, place.offset)
            index.bad.clear()
            index._rebuild()

    monkeypatch.setattr(restoring.InPlace, "_again", again)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_chunk_that_changes_between_the_passes_tears(store: Store, model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = store.save(model)
    proof.scramble(model, random.Random(3), 1.0)
    with monkeypatch.context() as patch:
        change_between_passes(patch, after=2)
        with pytest.raises(refused.TornRestore, match="changed between") as caught:
            store.restore(saved, model)
    assert caught.value.written == ("0.weight", "1.weight")
    with pytest.raises(refused.ModelUnusable, match=r"0\.weight"):
        store.save(model)
    store.restore(saved, model, changed_only=True)
    assert proof.bits(model) == proof.bits(proof.small_model())
    store.save(model)


def test_with_undo_even_a_torn_restore_leaves_the_model(store: Store, model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    saved = store.save(model, optimizer=optimizer)
    train(model, optimizer, scheduler, 1)
    moments = optimizer.state[model[1].weight]["exp_avg"].clone()
    change_between_passes(monkeypatch, after=3)
    untouched(model, refused.TornRestore, "changed", lambda: store.restore(saved, model, undo=True, optimizer=optimizer))
    assert torch.equal(optimizer.state[model[1].weight]["exp_avg"], moments)
    store.save(model)


def test_ctrl_c_during_the_copy_arrives_after_it(store: Store, model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    saved = store.save(model)
    before = proof.bits(model)
    proof.scramble(model, random.Random(4), 1.0)
    real = restoring.InPlace.write

    def write(self: restoring.InPlace) -> None:
        signal.raise_signal(signal.SIGINT)
        real(self)

    monkeypatch.setattr(restoring.InPlace, "write", write)
    with pytest.raises(KeyboardInterrupt):
        store.restore(saved, model)
    assert proof.bits(model) == before


def test_saving_again_heals_a_damaged_chunk(store: Store, model: nn.Module) -> None:
    saved = store.save(model)
    pack = next((store.path / "packs").iterdir())
    data = bytearray(pack.read_bytes())
    data[1000] ^= 4
    pack.write_bytes(data)
    untouched(model, refused.CorruptChunk, "does not match", lambda: store.restore(saved, model))
    store.save(model)
    store.restore(saved, model)
    assert saved in {info.id for info in store.log()}


# -- retention and collection --------------------------------------------------------------------------------------------------


def many(store: Store, model: nn.Module, count: int) -> list[str]:
    names = []
    for number in range(count):
        with torch.no_grad():
            model[1].weight.fill_(number)
        state = "baseline" if number == 0 else "testing"
        names.append(store.save(model, metadata={"state": state, "loss": [3.0, 1.0, float("nan"), 2.0, 5.0, 4.0][number]}))
    return names


def test_retention_never_takes_baseline_tag_pin_or_newest(store: Store, model: nn.Module) -> None:
    names = many(store, model, 6)
    store.tag(names[1], "keep-me")
    store.pin(names[2], "experiment-1")
    gone = store.prune(Retention(keep_last=0, keep_best=("loss", 1, "min")))
    assert gone == [names[3], names[4]]  # the best by loss is names[1]; NaN is never best
    for index in (0, 1, 2, 5):
        with pytest.raises(refused.Protected):
            store.delete(names[index])
    store.unpin("experiment-1")
    store.delete(names[2])


@pytest.mark.parametrize(
    "rule", [{"keep_last": -1}, {"keep_last": 1.5}, {"keep_every": 0}, {"keep_best": ("loss", 1, "least")}], ids=str
)
def test_rules_of_retention_that_are_none(store: Store, rule: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(rule))):
        Retention(**rule)  # type: ignore[arg-type]
    for grace in (-1.0, float("nan")):
        with pytest.raises(InputError, match="grace"):
            store.gc(grace_s=grace)


def test_collection_frees_what_nothing_needs_and_nothing_else(store: Store, model: nn.Module) -> None:
    names = many(store, model, 6)
    kept = {name: store.verify(name) for name in (names[0], names[5])}
    store.prune(Retention(keep_last=1))
    before = store.disk_usage()
    assert store.gc(dry_run=True).trashed_packs
    assert store.disk_usage()["physical"] == before["physical"]
    report = store.gc()
    assert len(report.trashed_packs) == 4
    assert store.disk_usage()["trash"] > 0
    assert store.gc(grace_s=0).freed_bytes > 0
    assert store.disk_usage()["trash"] == 0
    assert set(kept) == {info.id for info in store.log()}
    assert store.fsck().ok
    for name in kept:
        store.verify(name)


def test_collection_rewrites_thin_packs(store: Store, model: nn.Module) -> None:
    many(store, model, 1)
    proof.scramble(model, random.Random(5), 1.0)
    second = store.save(model)
    with torch.no_grad():
        model[0].weight.zero_()
    third = store.save(model)
    store.delete(second)
    report = store.gc(grace_s=0)
    assert report.rewritten_packs
    store.verify(third)
    assert store.fsck().ok


def test_disk_usage_adds_up(store: Store, model: nn.Module) -> None:
    first, second = many(store, model, 2)
    use = store.disk_usage()
    weight = 96 * 96 * 4
    assert use["unique"] == {first: weight, second: weight}
    total = (256 * 96 + 96 * 96 + 96 * 3) * 4
    assert use["logical"] == 2 * total
    # ones and zeros of the norm and biases share chunks by content: bias of Linear differs, norm bias is zeros
    assert use["chunks"] == total + weight
    assert use["physical"] >= use["chunks"]


# -- machines ------------------------------------------------------------------------------------------------------------------


def test_two_processes_on_one_store(store: Store) -> None:
    children = []
    for seed in (1, 2):
        child = os.fork()
        if child == 0:
            try:
                model, mine, rng = proof.small_model(), Store(store.path), random.Random(seed)
                for _ in range(6):
                    proof.scramble(model, rng, 0.5)
                    mine.save(model)
                mine.gc(grace_s=0)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    log = store.log()
    assert [info.sequence for info in log] == list(range(1, 13))
    for info in log:
        store.verify(info.id)
    assert store.fsck().ok


def test_unfinished_packs_of_the_dead_go_and_those_of_the_living_stay(store: Store, model: nn.Module) -> None:
    from solon.checkpoints.packs import PackWriter

    packs, data = store.path / "packs", np.ones(5000, np.uint8)
    with PackWriter(packs) as living:
        living.add("0" * 64, data)
        child = os.fork()
        if child == 0:
            PackWriter(packs).add("1" * 64, data)
            os._exit(0)  # no `with`: the file stays, as after a kill
        os.waitpid(child, 0)
        assert len(list(packs.glob("*.tmp"))) == 2
        store.save(model)
        assert len(list(packs.glob("*.tmp"))) == 2  # both are young
        for file in packs.glob("*.tmp"):
            os.utime(file, (0, 0))
        store.save(model)
        assert list(packs.glob("*.tmp")) == [living.temp]


def test_a_held_lock_is_reported(store: Store, model: nn.Module) -> None:
    from solon.checkpoints.files import locked

    other = Store(store.path, lock_timeout_s=0.05)
    with locked(store.path / "lock"), pytest.raises(refused.StoreBusy, match="another process"):
        other.save(model)
    assert other.log() == []
    other.save(model)


def test_read_only(store: Store, model: nn.Module) -> None:
    saved = store.save(model)
    closed = Store(store.path, read_only=True)
    files = sorted(p for p in store.path.rglob("*"))
    closed.restore(saved, model)
    for action in (lambda: closed.save(model), lambda: closed.tag(saved, "x"), closed.gc, lambda: closed.delete(saved)):
        with pytest.raises(refused.ReadOnlyStore):
            action()
    assert sorted(store.path.rglob("*")) == files


def test_a_file_size_limit_stops_the_save_and_nothing_is_committed(store: Store, model: nn.Module) -> None:
    """RLIMIT_FSIZE makes write() fail as a full disk or quota does, without needing a disk to fill."""
    import resource
    import signal

    first = store.save(model)
    proof.scramble(model, random.Random(6), 1.0)
    before = proof.bits(model)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        with pytest.raises(refused.DiskFull, match="nothing was committed"):
            store.save(model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert [info.id for info in store.log()] == [first]
    assert not list(store.path.rglob("*.tmp"))
    assert proof.bits(model) == before
    store.verify(store.save(model))


def test_space_is_asked_for_before_the_first_byte(store: Store, model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    from solon.checkpoints import files

    monkeypatch.setattr(files, "free_bytes", lambda folder: 1000)
    with pytest.raises(refused.DiskFull, match="1,000 free"):
        store.save(model)
    assert list((store.path / "packs").iterdir()) == []


# -- comparing, naming, journal ----


def test_diff_by_hand(store: Store) -> None:
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 4.0]]))
    a = store.save(layer)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 1.0]]))
    b = store.save(layer)
    (one,) = store.diff(a, b).changed
    assert (one.name, one.l2, one.relative, one.largest, one.fraction) == ("weight", 3.0, 0.6, 3.0, 0.5)
    assert one.cosine == pytest.approx((9 + 4) / (5 * 10**0.5))
    assert store.diff(a, a).changed == []


def test_log_is_oldest_first_with_parents(store: Store, model: nn.Module) -> None:
    names = many(store, model, 3)
    log = store.log()
    assert [info.id for info in log] == names
    assert [info.parent for info in log] == [None, names[0], names[1]]
    assert log[0].baseline
    store.restore(names[0], model)
    store.save(model, tag="branch")
    assert store.log()[-1].parent == names[0]
    assert store.resolve("branch") == store.head() == store.resolve("head")
    assert store.resolve(names[1][-8:]) == names[1]


def test_journal_is_a_chain(store: Store) -> None:
    for number in range(5):
        store.journal.append({"kind": "edit", "number": number, "delta": float("nan")})
    assert [r["number"] for r in store.journal.records("edit")] == list(range(5))
    file = store.journal.file
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])  # a crash in mid-line
    store.journal.append({"kind": "edit", "number": 9})
    assert [r["number"] for r in store.journal.records()] == [0, 1, 2, 3, 9]
    lines = whole.splitlines(keepends=True)
    for bad in (b"".join([lines[0], *lines[2:]]), whole.replace(b'"number":2', b'"number":7')):
        file.write_bytes(bad)
        with pytest.raises(refused.CorruptStore):
            store.journal.records()
        assert not store.fsck().ok


def test_manifests_are_canonical_json(store: Store, model: nn.Module) -> None:
    import rfc8785

    saved = store.save(model, metadata={"note": "é", "value": float("inf")})
    data = (store.path / "manifests" / f"{saved}.json").read_bytes()
    assert rfc8785.dumps(json.loads(data)) == data
    assert json.loads(data)["ties"] == [["0.weight", "3.weight"]]


@pytest.mark.slow
def test_recorded_health_covers_chunks_that_another_process_saved(store: Store) -> None:
    """One chunk of a large tensor changes after a restore in a new process: the NaN in its other chunk is still counted."""
    table = nn.Embedding(CHUNK // 4 // 64 * 2, 64)  # two chunks
    with torch.no_grad():
        table.weight[0, 0] = float("nan")
    first = store.save(table)
    fresh = Store(store.path)
    fresh.restore(first, table)
    with torch.no_grad():
        table.weight[-1, 0] = 7.0
    found = fresh.health(fresh.save(table))["weight"]
    assert (found.count, found.nan, found.absmax) == (table.weight.numel(), 1, 7.0)


@pytest.mark.parametrize("allowed", [True, False], ids=["direct", "refused"])
def test_large_packs_are_written_past_the_cache_and_hold_the_same_bytes(
    store: Store, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    import errno
    import fcntl

    from solon.checkpoints import files

    monkeypatch.setattr(files, "DIRECT_AFTER", 8192)
    monkeypatch.setattr(files, "STAGE", 16384)
    real, direct = files.write_all, []

    def write_all(fd: int, data: memoryview) -> None:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            direct.append(data.nbytes)
            if not allowed:
                raise OSError(errno.EINVAL, "alignment")  # as file systems with larger blocks answer
        real(fd, data)

    monkeypatch.setattr(files, "write_all", write_all)
    model, rng = proof.small_model(), random.Random(8)
    for _ in range(3):
        proof.scramble(model, rng, 1.0)
        before = proof.bits(model)
        saved = store.save(model)
        proof.scramble(model, rng, 1.0)
        store.restore(saved, model)
        assert proof.bits(model) == before
    assert direct
    assert store.fsck().ok
