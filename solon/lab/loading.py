"""Loading base models from disk or hub by the guide's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from solon.checkpoints.folders import load_folder
from solon.errors import ModelError


def folder_of(name: str) -> Path:
    """The folder of weights that a MODEL names. To look at weights no tokenizer is needed, so a folder may be without one.

    Raises:
        ModelError: nothing of that name, or a server.
    """
    from solon.models import resolve_path

    here = Path(name).expanduser()
    return here if (here / "config.json").is_file() else resolve_path(name)


class ModelManager:
    """Loads a causal language model (`.model` after `load_model()`), and its tokenizer when it is first asked for (`.tokenizer`).

    Args:
        name: `nano`, a folder, a run or a hub id. options: passed to `from_pretrained`; the dtype is that of the files
            unless one is named.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self.name, self.options = name, options
        self.model: Any = None
        self._tokenizer: Any = None

    def load_model(self) -> Any:
        """Load, in evaluation mode; returns the model.

        Raises:
            ModelError: it cannot be found, reached or understood.
        """
        self.model = load_folder(folder_of(self.name), **self.options)
        return self.model

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer.

        Raises:
            ModelError: the folder has none.
        """
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            try:
                self._tokenizer = AutoTokenizer.from_pretrained(folder_of(self.name))
            except (OSError, ValueError, TypeError) as error:
                raise ModelError(
                    f"{self.name}: its tokenizer cannot be loaded ({error})", mend="name a folder that holds one"
                ) from error
        return self._tokenizer

    def load_weights_into(self, model: Any) -> None:
        """Put the base weights into a live model of the same kind, in place: the last step of the fallback chain.

        Raises:
            ModelError. WrongModel: names or shapes differ; nothing was written.
        """
        import torch

        from solon.checkpoints.errors import WrongModel
        from solon.checkpoints.tensors import model_slots

        fresh = {
            name: slot.tensor for slot in model_slots(ModelManager(self.name, **self.options).load_model()) for name in slot.names
        }
        slots = model_slots(model)
        wrong = [s.name for s in slots if s.name not in fresh or fresh[s.name].shape != s.tensor.shape]
        if wrong:
            raise WrongModel(
                f"{self.name} does not fit: {', '.join(wrong[:5])}; nothing was written", mend="name the model's own base"
            )
        with torch.no_grad():
            for slot in slots:
                slot.tensor.copy_(fresh[slot.name])
