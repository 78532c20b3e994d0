"""Model folders read as they are: every weight from the files, none rounded, none made up."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from solon.errors import ModelError

log = logging.getLogger("solon.checkpoints")
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def load_folder(folder: Path, **options: Any) -> Any:
    """The causal language model of a folder, in evaluation mode.

    Args:
        options: of `from_pretrained`. Without a dtype, or with "auto", the weights keep that of their files.

    Raises:
        ModelError: transformers cannot read it, or weights are missing or of other shapes, which it would fill with random
            numbers. Weights that the model has no place for are only told of in the log.
    """
    from transformers import AutoModelForCausalLM

    loader: Any = AutoModelForCausalLM
    if options.get("dtype", "auto") == "auto":
        options["dtype"] = stored_dtype(folder)
    try:
        model, report = loader.from_pretrained(folder, output_loading_info=True, ignore_mismatched_sizes=True, **options)
    except Exception as error:  # whatever a damaged file, a wrong setting or foreign code raises
        raise ModelError(
            f"{folder}: its model cannot be loaded ({type(error).__name__}: {_first_line(error)})",
            mend="name a causal language model's folder; save or download it again",
        ) from error
    _refuse_made_up(folder, report)
    return model.eval()


def _refuse_made_up(folder: Path, report: dict[str, Any]) -> None:
    wrong = [f"{name} is missing" for name in sorted(report["missing_keys"])]
    wrong += [f"{name} is {list(there)}, the model has {list(here)}" for name, there, here in sorted(report["mismatched_keys"])]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ModelError(
            f"{folder}: its weights are not those of its configuration: {'; '.join(wrong[:5])}{more}",
            mend="save or download it again, with the config.json that belongs to it",
        )
    if unused := sorted(report["unexpected_keys"]):
        log.warning("%s: %d tensors have no place in the model and are left out, first %s", folder, len(unused), unused[0])


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no reason given")


def stored_dtype(folder: Path) -> torch.dtype | str:
    """The dtype of the floating tensors in a folder's safetensors, to load them as they are: `config.json` may say another, which
    would round them. "auto" where they are of several dtypes, or there are no such files.
    """
    from safetensors import SafetensorError, safe_open

    found: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, "pt") as tensors:
                found |= {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
        except (SafetensorError, OSError):
            return "auto"  # the loader will say what is wrong with it
    floats = found & set(FLOATS)
    return FLOATS[floats.pop()] if len(floats) == 1 else "auto"
