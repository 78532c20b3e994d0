"""Load a base model for training: weights, tokenizer, device, precision, adapters, and who the base is."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solon.errors import ConfigError, EnvironmentRefused, ModelError
from solon.models.fingerprint import adapter_hash, check_base, model_hash, weights_hash
from solon.models.locate import locate
from solon.models.template import ensure_chat_template
from solon.training.config import LoraSettings, PhaseSettings
from solon.training.dropout import quicken_dropout
from solon.training.targets import choose_targets, describe_targets, lora_parameters


@contextmanager
def quiet() -> Iterator[None]:
    """Without the remarks that our libraries make about each other: deprecations, progress bars, file-system hints."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(level)


@dataclass
class Loaded:
    """A model ready to train. `model` is a PEFT model when adapters are on; `identity` names the base's bytes."""

    model: Any
    tokenizer: Any
    folder: Path
    identity: str
    device: str
    bf16: bool
    trainable: int
    parameters: int
    adapts: str

    def autocast(self) -> AbstractContextManager[Any]:
        """bfloat16 autocast when the precision asks for it, otherwise nothing."""
        import torch

        return torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16) if self.bf16 else nullcontext()

    @property
    def context(self) -> int:
        """Most tokens the model can attend to; 2048 when its configuration does not say."""
        config = self.model.config
        return int(getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 2048)


def choose_device(wanted: str) -> str:
    """`auto` takes a GPU when there is one; under torchrun each process takes its own.

    Raises:
        EnvironmentRefused: a wanted GPU is absent.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise EnvironmentRefused("device: expected a CUDA GPU, found none", mend="set device: auto or cpu")
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def wants_bf16(precision: str, device: str) -> bool:
    """`auto` is bfloat16 on a GPU that has it."""
    import torch

    if precision != "auto":
        return precision == "bf16"
    return device.startswith("cuda") and torch.cuda.is_bf16_supported()


def _quantisation(kind: str) -> Any:
    if kind == "none":
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise EnvironmentRefused(
            f"quantise: {kind} needs bitsandbytes, which is not installed", mend='pip install "solon[quant]"'
        )
    import torch
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )


def read_base(folder: Path, dtype: Any, quantisation: Any = None) -> tuple[Any, Any]:
    """(model, tokenizer) from a folder, on the CPU unless quantised.

    Raises:
        ModelError: the folder is not a causal language model that transformers can load.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    options = {"quantization_config": quantisation} if quantisation is not None else {}
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"model: expected a causal language model in {folder}, got {type(error).__name__}: {str(error)[:200]}",
            mend="the folder needs config.json, safetensors weights and tokenizer files",
        ) from error
    ensure_chat_template(tokenizer, folder.name)
    return model, tokenizer


def load_for_training(path: str | Path, settings: PhaseSettings, adapter: Path | None = None) -> Loaded:
    """Load base and tokenizer; attach fresh adapters, or continue `adapter` (then its own rank and targets hold).

    Raises:
        ModelError, EnvironmentRefused, ConfigError: what can't be loaded or honoured.
    """
    import torch
    from transformers import set_seed

    folder, device = locate(str(path)).weights_only(), choose_device(settings.device)
    bf16 = wants_bf16(settings.precision, device)
    # A frozen base may be held in bfloat16; weights that are trained themselves stay in float32.
    dtype = torch.bfloat16 if bf16 and device.startswith("cuda") and settings.lora.enabled else torch.float32
    identity = model_hash(folder)
    model, tokenizer = read_base(folder, dtype, _quantisation(settings.quantise))
    if settings.quantise == "none":
        model.to(device)
    if settings.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    parameters = sum(p.numel() for p in model.parameters())
    set_seed(settings.seed)  # adapters start from the seed
    if not settings.lora.enabled:
        if adapter is not None and not (adapter / "config.json").is_file():
            raise ConfigError("adapter: given, but lora.enabled is false", mend="merge the adapter first, or enable LoRA")
        model.requires_grad_(True)
        return Loaded(model, tokenizer, folder, identity, device, bf16, parameters, parameters, f"all {parameters:,} parameters")
    adapts = ""
    if adapter is None:
        model, adapts = attach_adapters(model, settings.lora)
    else:
        model = continue_adapter(model, adapter, folder)
    if device == "cpu":
        quicken_dropout(model)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    adapts = adapts or f"adapter {adapter} continued: {trainable:,} trainable parameters ({trainable / parameters:.2%})"
    return Loaded(model, tokenizer, folder, identity, device, bf16, trainable, parameters, adapts)


def start_name(start: Path | None) -> str:
    """Hash of the adapter (or full model) that training starts from; `none` for a fresh start."""
    if start is None:
        return "none"
    return weights_hash(start) if (start / "config.json").is_file() else adapter_hash(start)


def start_from(loaded: Loaded, start: Path | None) -> None:
    """Without LoRA: put the weights of an earlier full training (same architecture) into the base that was loaded.

    Until this is called the model is the base, which is when the reference is measured.
    """
    if start is None or hasattr(loaded.model, "peft_config"):
        return
    import torch

    earlier, _ = read_base(start, torch.float32)
    try:
        loaded.model.load_state_dict(earlier.state_dict())
    except RuntimeError as error:
        raise ModelError(
            f"{start}: expected weights of the same architecture as {loaded.folder}", mend="name its base"
        ) from error


def attach_adapters(model: Any, lora: LoraSettings) -> tuple[Any, str]:
    """(PEFT model with fresh adapters, the line that describes them); the count is checked against the real parameters."""
    from peft import LoraConfig, get_peft_model

    targets = choose_targets(model, lora.targets)
    expected, text = lora_parameters(model, targets, lora.r), describe_targets(model, targets, lora.r)
    config = LoraConfig(r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM")  # type: ignore[arg-type]
    with quiet():
        wrapped = get_peft_model(model, config)
    actual = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    if actual != expected:
        raise ModelError(
            f"LoRA: computed {expected:,} trainable parameters, PEFT made {actual:,}", mend="name lora.targets yourself"
        )
    return wrapped, text


def continue_adapter(model: Any, adapter: Path, folder: Path) -> Any:
    """Load an adapter for further training.

    Raises:
        ModelError: the adapter was made for another base, or is not one.
    """
    from peft import PeftModel

    if not (adapter / "adapter_config.json").is_file():
        raise ModelError(
            f"adapter: expected a PEFT folder, {adapter} has no adapter_config.json", mend="name the folder that train sft wrote"
        )
    check_base(adapter, folder)
    with quiet():
        continued = PeftModel.from_pretrained(model, adapter, is_trainable=True)
    # PEFT looks the base's configuration up at every save, over the network unless this is a folder
    continued.peft_config["default"].base_model_name_or_path = str(folder)
    return continued
