"""Loading base models from disk or hub by the guide's name."""

from __future__ import annotations

from typing import Any

from solon.errors import ModelError


class ModelManager:
    """Loads a causal language model and its tokenizer: `.model`, `.tokenizer` after `load_model()`.

    Args:
        name: `nano`, a folder, a run or a hub id. options: passed to `from_pretrained`.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self.name, self.options = name, options
        self.model: Any = None
        self.tokenizer: Any = None

    def load_model(self) -> Any:
        """Load, in evaluation mode; returns the model.

        Raises:
            ModelError: it cannot be found, reached or understood.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from solon.models import resolve_path

        folder = resolve_path(self.name)
        try:
            self.model = AutoModelForCausalLM.from_pretrained(folder, **self.options).eval()
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{self.name}: cannot be loaded ({error})", mend="name a model folder, or a hub id that is reachable"
            ) from error
        return self.model

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
