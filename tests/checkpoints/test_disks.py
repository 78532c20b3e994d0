"""A really full disk and a really read-only one: small tmpfs mounts, where the machine allows them."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from solon.checkpoints import Store
from solon.checkpoints import errors as refused
from tests.checkpoints.test_store import proof


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    point = tmp_path / "disk"
    point.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(point)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield point
    subprocess.run(["umount", str(point)], check=True)


def test_full_disk(small_disk: Path) -> None:
    model, store = proof.small_model(), Store(small_disk / "store")
    rng = random.Random(1)
    saved: list[str] = []
    with pytest.raises(refused.DiskFull) as caught:
        for _ in range(100):
            proof.scramble(model, rng, 1.0)
            saved.append(store.save(model))
    assert "free space" in caught.value.mend
    assert len(saved) > 2
    assert [info.id for info in store.log()] == saved
    assert store.fsck().ok
    before = proof.bits(model)
    store.restore(saved[0], model)
    assert proof.bits(model) != before
    for name in saved[:-2]:
        store.delete(name)
    store.gc(grace_s=0)
    store.verify(store.save(model))


def test_disk_that_fills_up_while_writing(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the look ahead: the write itself hits ENOSPC."""
    from solon.checkpoints import packs, store

    for module in (packs, store):
        monkeypatch.setattr(module, "require_space", lambda folder, needed: None)
    big = torch.nn.Linear(1024, 1024)
    kept = Store(small_disk / "store")
    with pytest.raises(refused.DiskFull, match="nothing was committed"):
        kept.save(big)
    assert kept.log() == []
    assert not list(small_disk.rglob("*.tmp"))


def test_read_only_disk(small_disk: Path) -> None:
    model, store = proof.small_model(), Store(small_disk / "store")
    saved = store.save(model)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    before = proof.bits(model)
    proof.scramble(model, random.Random(2), 1.0)
    closed = Store(small_disk / "store")
    closed.restore(saved, model)
    assert proof.bits(model) == before
    assert closed.fsck().ok
    with torch.no_grad():
        model[1].bias.add_(1)
    for action in (lambda: closed.save(model), lambda: closed.tag(saved, "x"), closed.gc):
        with pytest.raises(refused.ReadOnlyStore):
            action()
    with pytest.raises(refused.ReadOnlyStore):
        Store(small_disk / "other")


@pytest.mark.parametrize("late", ["publish", "set_ref"])
def test_a_save_that_fails_at_its_very_end_lists_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str) -> None:
    """The disk fills up after the pack is written: while the manifest is put in place, or its tag is written."""
    from solon.checkpoints import catalogue, files

    store, model = Store(tmp_path / "store"), proof.small_model()
    first = store.save(model)
    proof.scramble(model, random.Random(3), 1.0)

    def full(*_: object, **__: object) -> None:
        raise refused.DiskFull("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(files.NewFile if late == "publish" else catalogue.Catalogue, late, full)
        with pytest.raises(refused.DiskFull):
            store.save(model, tag="mine")
    assert [info.id for info in store.log()] == [info.id for info in Store(store.path).log()] == [first]
    assert store.head() == first
    assert not list(store.path.rglob("*.tmp"))
    assert store.resolve(store.save(model, tag="mine")) == store.head()
