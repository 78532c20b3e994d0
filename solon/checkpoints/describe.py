"""How to build a model again: the JSON files of a transformers model, kept with its checkpoint so that an export loads."""

from __future__ import annotations

import json
import platform
from functools import cache, reduce
from pathlib import Path
from typing import Any

import torch
from torch import nn

from solon.checkpoints.manifest import plain

CONFIG = "config.json"


def describe(model: nn.Module) -> dict[str, Any]:
    """File name -> contents; empty for models that have no configuration of their own.

    Whether input and output embeddings are one tensor is taken from the memory, not from what the configuration says.
    """
    files: dict[str, Any] = {}
    for name, part in ((CONFIG, "config"), ("generation_config.json", "generation_config")):
        text = getattr(getattr(model, part, None), "to_json_string", None)
        if callable(text):
            files[name] = plain(json.loads(text()))
    if CONFIG in files:
        files[CONFIG].setdefault("architectures", [type(model).__name__])
        tied = embeddings_tied(model)
        if tied is not None:
            files[CONFIG]["tie_word_embeddings"] = tied
    return files


@cache
def environment() -> dict[str, Any]:
    """Versions and machine: what a repetition needs to know beside weights and seeds."""
    import solon

    versions = {"solon": solon.__version__, "torch": torch.__version__, "python": platform.python_version()}
    return {**versions, "machine": platform.platform()}


def embeddings_tied(model: nn.Module) -> bool | None:
    """Whether the input and output embeddings are one tensor; None for models without both."""
    ends = [getattr(model, f"get_{end}_embeddings", lambda: None)() for end in ("input", "output")]
    weights = [getattr(end, "weight", None) for end in ends]
    if weights[0] is None or weights[1] is None:
        return None
    return bool(weights[0].data_ptr() == weights[1].data_ptr())


def write_description(files: dict[str, Any], folder: Path, dtypes: set[str]) -> None:
    """Write the files, and correct tie and dtype in a `config.json` that came from elsewhere, or was changed since by hand: a tie
    made, or a rounding done, by loading would be wrong weights without a word.

    Args:
        dtypes: names of the floating dtypes of the weights. Of several the configuration's own stays when it is one of them, as
            in models that keep some modules in float32; else the one that holds them all.
    """
    for name, content in files.items():
        if not (folder / name).exists():
            _write_json(folder / name, content)
    found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    true = _dtype(dtypes, found.get("dtype", found.get("torch_dtype")))
    true |= {key: value for key, value in files.get(CONFIG, {}).items() if key == "tie_word_embeddings"}
    if any(found.get(key) != value for key, value in true.items()):
        found.pop("torch_dtype", None)
        _write_json(folder / CONFIG, {**found, **true})


def _dtype(names: set[str], own: Any) -> dict[str, Any]:
    if not names or (len(names) > 1 and own in names):
        return {}
    widest = reduce(torch.promote_types, (getattr(torch, name) for name in sorted(names)))
    return {"dtype": str(widest).removeprefix("torch.")}


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
