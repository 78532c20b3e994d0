"""Optimizers, schedulers, random streams and plain values as typed JSON plus tensors; never pickle.

A part may be: an object with `state_dict` and `load_state_dict`; a `torch.Generator`; a dict (restored in place); or, under the
name `rng`, `True`, which stands for the streams of Python, NumPy, torch and every CUDA device.
"""

from __future__ import annotations

import base64
import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from solon.checkpoints.errors import CorruptManifest, MissingPart, UnsupportedState, WrongModel
from solon.checkpoints.tensors import refuse_unsupported

Fetch = Callable[[str], torch.Tensor]  # stored tensor name -> fresh CPU tensor


def snapshot(name: str, part: Any) -> Any:
    """The state to store for one part.

    Raises:
        UnsupportedState: the object offers no state.
    """
    if name == "rng" and part is True:
        return rng_state()
    if isinstance(part, torch.Generator):
        return {"generator": part.get_state()}
    if isinstance(part, dict):
        return part
    if callable(getattr(part, "state_dict", None)) and callable(getattr(part, "load_state_dict", None)):
        return part.state_dict()
    raise UnsupportedState(
        f"part {name!r}: expected state_dict and load_state_dict, a torch.Generator or a dict, got {type(part).__name__}",
        mend="pass rng=True for the random streams; wrap other values in a dict",
    )


def rng_state() -> dict[str, Any]:
    """The present state of all global random streams."""
    algorithm, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # type: ignore[misc]
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    numpy = {"algorithm": algorithm, "keys": torch.from_numpy(np.asarray(keys).copy()), "rest": (position, has_gauss, cached)}
    return {"python": random.getstate(), "numpy": numpy, "torch": torch.get_rng_state(), "cuda": list(cuda)}


def set_rng_state(state: dict[str, Any]) -> None:
    """Put all global random streams back. CUDA streams of devices that are absent are left out."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    numpy = state["numpy"]
    np.random.set_state((numpy["algorithm"], numpy["keys"].numpy(), *numpy["rest"]))
    torch.set_rng_state(state["torch"])
    for device, cuda in enumerate(state["cuda"][: torch.cuda.device_count() if torch.cuda.is_available() else 0]):
        torch.cuda.set_rng_state(cuda, device)


def encode(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """`value` as typed JSON; its tensors are put into `tensors` under `path`.

    Raises:
        UnsupportedState: names the path of a value without a typed form.
    """
    if isinstance(value, torch.Tensor):
        refuse_unsupported(path, value)
        return {"$": "tensor", "v": _file(value, path, tensors), "device": value.device.type}
    if isinstance(value, np.ndarray):
        return _encode_array(value, path, tensors)
    if isinstance(value, np.generic) and value.dtype.names is None and not value.dtype.hasobject:
        return {"$": "numpy_scalar", "dtype": value.dtype.str, "v": _text(value.tobytes())}
    leaf = _encode_leaf(value)
    return _encode_collection(value, path, tensors) if leaf is NotImplemented else leaf


def _encode_leaf(value: Any) -> Any:
    """Plain values; NotImplemented for what is none."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value) if _whole(value) else {"$": "text", "v": _text(value.encode("utf-8", "surrogatepass"))}
    if isinstance(value, int):
        return int(value) if abs(value) < 2**53 else {"$": "int", "v": str(int(value))}
    if isinstance(value, float):
        return {"$": "float", "v": value.hex()}
    if isinstance(value, complex):
        return {"$": "complex", "v": [value.real.hex(), value.imag.hex()]}
    if isinstance(value, bytes):
        return {"$": "bytes", "v": _text(value)}
    if isinstance(value, (torch.dtype, torch.device)):
        return {"$": type(value).__name__, "v": str(value).removeprefix("torch.")}
    return NotImplemented


def _encode_array(value: np.ndarray[Any, Any], path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Arrays of dtypes that torch has become tensors; text, dates and the like are written out."""
    try:
        tensor = torch.from_numpy(np.ascontiguousarray(value)).reshape(value.shape)
        return {"$": "numpy", "v": _file(tensor, path, tensors)}
    except (TypeError, ValueError):
        if value.dtype.hasobject or value.dtype.names is not None:
            raise UnsupportedState(
                f"{path}: an array of dtype {value.dtype} has no typed form", mend="keep arrays of numbers or text"
            ) from None
        return {"$": "array", "dtype": value.dtype.str, "shape": list(value.shape), "v": _text(value.tobytes())}


def _file(tensor: torch.Tensor, path: str, tensors: dict[str, torch.Tensor]) -> str:
    """Put a tensor under its path, or beside it: keys such as 1 and "1", or "a/b", can name one place twice."""
    while path in tensors:
        path += "'"
    tensors[path] = tensor
    return path


def _whole(text: str) -> bool:
    """Whether a text can be written as UTF-8: it holds no lone surrogates."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _encode_collection(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    def items(values: Any) -> list[Any]:
        return [encode(item, f"{path}/{index}", tensors) for index, item in enumerate(values)]

    if type(value) is list:
        return items(value)
    if isinstance(value, tuple):  # named tuples come back as plain ones
        return {"$": "size" if isinstance(value, torch.Size) else "tuple", "v": items(value)}
    if isinstance(value, (set, frozenset)):
        tag = "frozenset" if isinstance(value, frozenset) else "set"
        return {"$": tag, "v": items(sorted(value, key=lambda item: (type(item).__name__, repr(item))))}
    if type(value) is deque:
        return {"$": "deque", "v": items(value), "maxlen": value.maxlen}
    if isinstance(value, dict):
        tag = {Counter: "counter", OrderedDict: "ordered", defaultdict: "dict"}.get(type(value), "dict")
        if tag == "dict" and all(isinstance(key, str) and key != "$" and _whole(key) for key in value):
            return {str.__str__(key): encode(item, f"{path}/{key}", tensors) for key, item in value.items()}
        pairs = [[encode(k, f"{path}/key", tensors), encode(v, f"{path}/{k}", tensors)] for k, v in value.items()]
        return {"$": tag, "v": pairs}
    raise UnsupportedState(
        f"{path}: {type(value).__name__} has no typed form", mend="keep only numbers, text, tensors and collections of them"
    )


def decode(tree: Any, fetch: Fetch) -> Any:
    """The inverse of `encode`; tensors come from `fetch`, fresh, on the CPU."""
    if isinstance(tree, list):
        return [decode(item, fetch) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "$" not in tree:
        return {key: decode(item, fetch) for key, item in tree.items()}
    tag, value = tree["$"], tree["v"]
    if tag in ("counter", "ordered", "dict"):
        pairs = [(decode(k, fetch), decode(v, fetch)) for k, v in value]
        plain = dict(pairs)
        return Counter(plain) if tag == "counter" else OrderedDict(plain) if tag == "ordered" else plain
    return _LEAVES[tag](tree, value, fetch)


def _array(dtype: str, data: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(data), np.dtype(dtype)).copy()


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise CorruptManifest(f"{name!r} is no dtype of torch", mend="restore another checkpoint, or upgrade torch")
    return found


_LEAVES: dict[str, Callable[[Any, Any, Fetch], Any]] = {
    "int": lambda tree, value, fetch: int(value),
    "float": lambda tree, value, fetch: float.fromhex(value),
    "tensor": lambda tree, value, fetch: fetch(value),
    "numpy": lambda tree, value, fetch: fetch(value).numpy(),
    "array": lambda tree, value, fetch: _array(tree["dtype"], value).reshape(tree["shape"]),
    "numpy_scalar": lambda tree, value, fetch: _array(tree["dtype"], value)[0],
    "bytes": lambda tree, value, fetch: base64.b64decode(value),
    "text": lambda tree, value, fetch: base64.b64decode(value).decode("utf-8", "surrogatepass"),
    "complex": lambda tree, value, fetch: complex(*map(float.fromhex, value)),
    "dtype": lambda tree, value, fetch: _dtype(value),
    "device": lambda tree, value, fetch: torch.device(value),
    "tuple": lambda tree, value, fetch: tuple(decode(item, fetch) for item in value),
    "size": lambda tree, value, fetch: torch.Size(decode(item, fetch) for item in value),
    "deque": lambda tree, value, fetch: deque((decode(item, fetch) for item in value), tree.get("maxlen")),
    "set": lambda tree, value, fetch: {decode(item, fetch) for item in value},
    "frozenset": lambda tree, value, fetch: frozenset(decode(item, fetch) for item in value),
}


def check(name: str, part: Any, stored: dict[str, Any]) -> None:
    """Refuse, before anything is written, a part that the stored state cannot go into.

    Raises:
        MissingPart: the checkpoint has no such part. WrongModel: an optimizer with other groups or parameter counts.
    """
    if name not in stored:
        raise MissingPart(
            f"the checkpoint holds no part {name!r} (it holds: {', '.join(sorted(stored)) or 'none'})",
            mend=f"save with {name}=…, or restore without it",
        )
    if isinstance(part, torch.optim.Optimizer):
        groups = decode(stored[name], lambda _: torch.empty(0)).get("param_groups", [])
        want = [len(group["params"]) for group in groups]
        have = [len(group["params"]) for group in part.param_groups]
        if want != have:
            raise WrongModel(
                f"{name}: the checkpoint's groups hold {want} parameters, the optimizer's {have}", mend="build the same groups"
            )


def apply(name: str, part: Any, tree: Any, fetch: Fetch) -> None:
    """Put stored state back into a part. Torch optimizers are written in place, without the casts of `load_state_dict`."""
    state = decode(tree, fetch)
    if name == "rng" and part is True:
        set_rng_state(state)
    elif isinstance(part, torch.Generator):
        part.set_state(state["generator"])
    elif isinstance(part, dict):
        part.clear()
        part.update(state)
    elif isinstance(part, torch.optim.Optimizer) and set(state) == {"state", "param_groups"}:
        _apply_optimizer(part, state, tree)
    else:
        part.load_state_dict(state)


def _apply_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], tree: Any) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    devices = _stored_devices(tree)
    for index, parameter in enumerate(parameters):
        stored = state["state"].get(index)
        if stored is None:
            optimizer.state.pop(parameter, None)
            continue
        live = optimizer.state[parameter]
        for key in [k for k in live if k not in stored]:
            del live[key]
        for key, value in stored.items():
            if not isinstance(value, torch.Tensor):
                live[key] = value
                continue
            present = live.get(key)
            if isinstance(present, torch.Tensor) and present.shape == value.shape and present.dtype == value.dtype:
                with torch.no_grad():
                    present.copy_(value)
            else:
                live[key] = value.to(parameter.device) if devices.get((index, key), "cpu") != "cpu" else value
    for group, stored in zip(optimizer.param_groups, state["param_groups"], strict=True):
        for key in [k for k in group if k != "params" and k not in stored]:
            del group[key]
        group.update({key: value for key, value in stored.items() if key != "params"})


def _stored_devices(tree: Any) -> dict[tuple[int, str], str]:
    """(parameter index, key) -> device type, read from the typed tree of an optimizer's `state`."""
    found: dict[tuple[int, str], str] = {}
    states = tree["state"]
    for index, entries in states["v"] if isinstance(states, dict) and "$" in states else []:
        if isinstance(entries, dict) and "$" not in entries:
            for key, value in entries.items():
                if isinstance(value, dict) and value.get("$") == "tensor":
                    found[(index, key)] = value.get("device", "cpu")
    return found
