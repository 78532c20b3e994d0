"""Values as typed JSON and back; states that cannot be; stores used by several threads; forged files."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter, OrderedDict, deque
from pathlib import Path
from typing import Any

import blake3
import numpy as np
import pytest
import rfc8785
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from solon.checkpoints import Store
from solon.checkpoints import errors as refused
from solon.checkpoints.packs import END, MAGIC, TAIL
from solon.checkpoints.parts import decode, encode
from solon.errors import InputError


def there_and_back(value: Any) -> Any:
    tensors: dict[str, torch.Tensor] = {}
    tree = json.loads(rfc8785.dumps(encode(value, "@part", tensors)))  # as in a manifest
    return decode(tree, tensors.__getitem__)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
keys = st.text() | st.integers() | st.none() | st.tuples(st.integers(), st.text())
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.dictionaries(keys, inner).map(OrderedDict)
        | st.lists(inner).map(lambda x: deque(x, maxlen=len(x) + 1))
        | st.frozensets(st.integers() | st.text())
        | st.sets(st.integers() | st.text())
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(values)
@settings(max_examples=50, deadline=None)
def test_any_plain_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    assert told(there_and_back(value)) == told(value)


def told(value: Any) -> Any:
    """A value with its types, such that NaN equals NaN, -0.0 is not 0.0, and sets have an order."""
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(map(repr, value))
    if isinstance(value, dict):
        pairs = [(told(key), told(item)) for key, item in value.items()]
        return type(value), pairs if isinstance(value, OrderedDict) else sorted(pairs, key=repr)
    if isinstance(value, (list, tuple, deque)):
        return type(value), [told(item) for item in value], getattr(value, "maxlen", None)
    return type(value), repr(value)


@pytest.mark.parametrize(
    "value",
    [
        np.float64(0.1), np.float32(3), np.int64(-4), np.bool_(True), np.longdouble(2), torch.Size([2, 3]), torch.bfloat16,
        torch.device("cpu"), Counter("aab"), "\ud800", {"\ud800": 1}, {"$": 1}, deque([1, 2], maxlen=2), 2**80, -0.0,
    ],
    ids=repr,
)  # fmt: skip
def test_types_are_kept(value: Any) -> None:
    found = there_and_back(value)
    assert type(found) is type(value)
    assert found == value
    assert repr(found) == repr(value)
    assert getattr(found, "maxlen", None) == getattr(value, "maxlen", None)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3).T, np.array(3.5), np.array([], np.int8), np.arange(3, dtype=">i4"), np.array(["a", "bcd"]),
        np.array(["2026-11-28"], "datetime64[D]"), np.array([True, False]), np.array([1 + 2j]), np.arange(4, dtype=np.longdouble),
    ],
    ids=lambda a: str(a.dtype),
)  # fmt: skip
def test_arrays_are_kept(array: np.ndarray[Any, Any]) -> None:
    found = there_and_back({"a": array})["a"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert np.array_equal(found, array)


def test_keys_that_name_one_place_keep_their_own_tensors() -> None:
    value = {1: torch.ones(1), "1": torch.zeros(1), "a/b": torch.full((1,), 2.0), "a": {"b": torch.full((1,), 3.0)}}
    found = there_and_back(value)
    assert [found[1].item(), found["1"].item(), found["a/b"].item(), found["a"]["b"].item()] == [1, 0, 2, 3]


@pytest.mark.parametrize(
    "value", [object(), lambda: 0, range(3), np.array([object()]), np.zeros(1, [("x", "f4")])], ids=lambda v: type(v).__name__
)
def test_what_has_no_typed_form_is_named(value: Any) -> None:
    with pytest.raises(refused.UnsupportedState, match="@part/inner"):
        there_and_back({"inner": value})


# -- wrong arguments ----


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    store, layer = Store(tmp_path / "s"), nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"expected a torch\.nn\.Module, got dict"):
        store.save({"weight": layer.weight})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="metadata: expected a dict, got str"):
        store.save(layer, metadata="why")  # type: ignore[arg-type]
    for tag in ("", "head", "latest", "../x", "a b"):
        with pytest.raises(InputError, match="tag"):
            store.save(layer, tag=tag)
    for ref in (None, 3, ""):
        with pytest.raises(refused.UnknownCheckpoint):
            store.restore(ref, layer)  # type: ignore[arg-type]
    assert store.log() == []
    saved = store.save(layer, metadata={"file": "\udcff", "when": object(), 3: float("nan")})
    assert store.log()[0].metadata["file"] == "?"
    assert store.manifest(saved).metadata["3"] == "nan"


def test_the_baseline_of_an_edit_is_not_a_baseline_itself(tmp_path: Path) -> None:
    store, layer = Store(tmp_path / "s"), nn.Linear(2, 2)
    first = store.save(layer, metadata={"baseline": True})
    store.save(layer, metadata={"state": "modified", "baseline": first})
    assert [info.baseline for info in store.log()] == [True, False]


def test_compiled_models_have_the_same_names(tmp_path: Path) -> None:
    class Compiled(nn.Module):  # what torch.compile puts around a module, without the ten seconds that its import takes
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self._orig_mod = inner

    store, model = Store(tmp_path / "s"), nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    first, wanted = store.save(Compiled(model)), model[0].weight.clone()
    with torch.no_grad():
        model[0].weight.zero_()
    store.restore(first, model)
    assert torch.equal(model[0].weight, wanted)
    assert store.diff(first, store.save(model)).names == []
    assert set(store.manifest(first).names()) == {"0.weight", "0.bias", "1.weight", "1.bias"}


# -- several threads ----


def test_threads_share_one_store(tmp_path: Path) -> None:
    store, failures = Store(tmp_path / "s"), []

    def work(seed: int) -> None:
        try:
            for number in range(6):
                layer = nn.Linear(300, 300)
                wanted = layer.weight.clone()
                saved = store.save(layer) if number % 2 else store.save_async(layer).result()
                with torch.no_grad():
                    layer.weight.zero_()
                store.restore(saved, layer, changed_only=bool(seed % 2))
                assert torch.equal(layer.weight, wanted)
        except BaseException as error:  # noqa: BLE001
            failures.append(repr(error))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.log()) == 24
    assert store.fsck()


def test_a_background_save_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, layer = Store(tmp_path / "s"), nn.Linear(2, 2)

    def full(*_: object) -> None:
        raise refused.DiskFull("the disk is full")

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr("solon.checkpoints.packs.require_space", full)
        patch.setattr("solon.checkpoints.packs.SPACE_CHECK", 0)
        pending = store.save_async(layer)
        with pytest.raises(refused.DiskFull):
            pending.result()
    assert "the disk is full" in caplog.text
    assert store.log() == []
    store.save(layer)


# -- forged files: their hashes are right, their contents are not ----


def forge(store: Store, change: Any) -> None:
    (file,) = (store.path / "manifests").iterdir()
    record = json.loads(file.read_bytes())
    change(record)
    record["hash"] = "0" * 64
    data = json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
    file.write_bytes(data.replace(b'"hash":"' + b"0" * 64, b'"hash":"' + blake3.blake3(data).hexdigest().encode()))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["entries"]["weight"].update(shape=[10**9, 10**9]),
        lambda r: r["entries"]["weight"].update(shape=[-2, -2]),
        lambda r: r["entries"]["weight"].update(dtype="object"),
        lambda r: r["entries"]["weight"].update(chunks=["../../etc/passwd"] * 2),
        lambda r: r.update(entries=[]),
        lambda r: r.update(ties=3),
        lambda r: r.pop("flags"),
        lambda r: r.update(format=99),
        lambda r: r.update(id="checkpoint_20990101_000000_00000000"),
    ],
)
def test_a_forged_manifest_is_never_listed_and_never_restored(tmp_path: Path, change: Any) -> None:
    layer = nn.Linear(2, 2)
    saved = Store(tmp_path / "s").save(layer)
    store = Store(tmp_path / "s")
    forge(store, change)
    assert store.log() == []
    assert not store.fsck()
    with pytest.raises((refused.CorruptStore, refused.UnknownCheckpoint)):
        store.restore(saved, layer)


def test_a_forged_dtype_calls_nothing(tmp_path: Path) -> None:
    layer, state = nn.Linear(2, 2), {"kind": torch.float32}
    saved = Store(tmp_path / "s").save(layer, state=state)
    store = Store(tmp_path / "s")
    forge(store, lambda r: r["parts"]["state"]["kind"].update(v="load"))
    with pytest.raises(refused.CorruptStore, match="no dtype"):
        store.restore(saved, layer, state=state)


def test_a_pack_whose_table_points_outside_is_refused(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    saved = Store(tmp_path / "s").save(layer)
    (pack,) = (tmp_path / "s" / "packs").iterdir()
    footer = json.dumps([["0" * 64, 8, 2**62]]).encode()
    pack.write_bytes(MAGIC + b"x" * 64 + footer + TAIL.pack(blake3.blake3(footer).digest(), len(footer), END))
    store = Store(tmp_path / "s")
    assert "outside the file" in str(store.fsck().problems)
    with pytest.raises(refused.MissingChunk, match="outside the file"):
        store.restore(saved, layer)
