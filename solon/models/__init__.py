"""Models: one protocol (`base`), and what stands behind it.

`open_model` turns what a user writes (`nano`, a folder, a hub id, `http://host:port/v1#name`, `runs/NAME`, `BASE+ADAPTER`)
into something that completes requests. Importing this package does not import torch; opening a local model does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from solon.models.base import (
    Completion,
    Dialogue,
    Message,
    Model,
    Progress,
    Request,
    Sampling,
    content_hash,
    converse_in_rounds,
    derive_seed,
)
from solon.models.fingerprint import local_identity, served_identity
from solon.models.locate import Located, locate
from solon.models.scripted import Scripted

if TYPE_CHECKING:
    from solon.models.recorded import Recorded

__all__ = [
    "Completion", "Dialogue", "Located", "Message", "Model", "Progress", "Recorded", "Request", "Sampling", "Scripted",
    "content_hash", "converse_in_rounds", "derive_seed", "identity_of", "locate", "open_model", "resolve_path",
]  # fmt: skip


def open_model(
    spec: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int = 64,
    concurrency: int = 32,
    timeout: float = 300.0,
    adapter: str | None = None,
    template_options: dict[str, Any] | None = None,
) -> Model:
    """Open a model by the MODEL grammar.

    Args:
        spec: `nano` | a folder | a hub id | `http://host:port/v1#name` (several URLs: comma) | `runs/NAME` | `BASE+ADAPTER_DIR`.
        device: `auto` (cuda, else mps, else cpu) or a torch device; local models only.
        dtype: `auto` (bfloat16 on a GPU, float32 on a CPU) or a torch dtype name; local models only.
        batch_size: requests that a local model completes together.
        concurrency: requests in flight at a served model.
        timeout: seconds that one request to a served model may take.
        adapter: a PEFT adapter folder, as if the spec were `BASE+ADAPTER_DIR`.
        template_options: extra variables for the chat template, e.g. `{"enable_thinking": False}`.

    Raises:
        ModelError: the spec names nothing that can be opened, or the server does not answer.
        EnvironmentRefused: the device that was asked for is absent.
    """
    found = locate(spec, adapter=adapter)
    if found.urls:
        from solon.models.http import HTTPModel

        return HTTPModel(
            found.urls, found.served, name=spec, concurrency=concurrency, timeout=timeout, template_options=template_options
        )
    from solon.models.hf import HFModel

    return HFModel.load(
        found.folder, name=spec if adapter is None else f"{spec}+{adapter}", adapter=found.adapter, device=device, dtype=dtype,
        batch_size=batch_size, template_options=template_options,
    )  # fmt: skip


def identity_of(spec: str) -> str:
    """The identity that `open_model(spec)` would have, without loading weights or asking a server.

    Raises:
        ModelError: the spec names nothing.
    """
    found = locate(spec)
    if found.urls:
        return served_identity(found.urls, found.served, {})
    return local_identity(found.folder, found.adapter, {})


def resolve_path(spec: str) -> Path:
    """The folder of full weights that `spec` names, for training to start from.

    Raises:
        ModelError: the spec names a server, an adapter, or nothing.
    """
    return locate(spec).weights_only()


def __getattr__(name: str) -> Any:
    if name == "Recorded":
        from solon.models.recorded import Recorded

        return Recorded
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
