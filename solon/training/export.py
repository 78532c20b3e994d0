"""What a finished phase writes: a PEFT adapter with a record of its base, and a merged folder that loads on its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from solon.errors import CheckFailed, ModelError
from solon.models.fingerprint import BASE_RECORD, check_base, record_base
from solon.models.locate import locate
from solon.training.encode import template_hash
from solon.training.loading import Loaded, quiet, read_base

MERGE_TOLERANCE = 1e-3  # largest difference of a logit in float32, before rounding to the stored dtype
PROBE_TOKENS = 32


def write_adapter(loaded: Loaded, out: Path, name: str) -> Path:
    """Write `out` as a PEFT folder with tokenizer, and with which base weights and chat template it belongs to."""
    staging = _staging(out)
    loaded.model.save_pretrained(staging)
    settings = json.loads((staging / "adapter_config.json").read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = str(loaded.folder) if Path(name).exists() else name
    (staging / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    loaded.tokenizer.save_pretrained(staging)
    record_base(staging, loaded.folder, name)
    record = json.loads((staging / BASE_RECORD).read_text(encoding="utf-8"))
    record |= {"model": loaded.identity, "template": template_hash(loaded.tokenizer)}
    (staging / BASE_RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return _publish(staging, out)


def write_model(loaded: Loaded, out: Path) -> Path:
    """Write a fully trained model (no adapter) in the dtype that its base is stored in."""
    staging = _staging(out)
    dtype = stored_dtype(loaded.folder)
    trained = next(loaded.model.parameters()).dtype
    loaded.model.to(dtype).save_pretrained(staging)
    loaded.model.to(trained)
    loaded.tokenizer.save_pretrained(staging)
    return _publish(staging, out)


def write_merged(model_path: str | Path, adapter: Path, out: Path) -> dict[str, float]:
    """Merge `adapter` into its base and write a folder that `AutoModelForCausalLM.from_pretrained` loads.

    The merge is done in float32 and its logits are compared with the adapter's on fixed tokens before anything is written;
    then the weights are stored in the base's dtype. Tied embeddings stay tied.

    Returns:
        `merge`: largest logit difference of the merge itself; `stored`: that of the written folder, rounding included.

    Raises:
        CheckFailed: the merged model computes something else. ModelError: wrong base.
    """
    from peft import PeftModel

    folder = locate(str(model_path)).weights_only()
    check_base(adapter, folder)
    base, tokenizer = read_base(folder, torch.float32)
    tied = tie_of(base)
    with quiet():
        model = PeftModel.from_pretrained(base, adapter).eval()
    probe = torch.randint(0, base.config.vocab_size, (1, PROBE_TOKENS), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(input_ids=probe).logits
        merged = model.merge_and_unload()
        difference = float((merged(input_ids=probe).logits - expected).abs().max())
    if not difference <= MERGE_TOLERANCE:
        raise CheckFailed(
            f"merge: expected the merged model to equal base + adapter, a logit differs by {difference:.2g}",
            mend="use the adapter folder instead of model/, and report this model's architecture",
        )
    if tie_of(merged) != tied:
        raise CheckFailed("merge: expected tied embeddings to stay tied", mend="leave the embeddings out of lora.targets")
    staging = _staging(out)
    merged.to(stored_dtype(folder)).save_pretrained(staging)
    tokenizer_of(adapter, tokenizer).save_pretrained(staging)
    reloaded, _ = read_base(staging, torch.float32)
    with torch.no_grad():
        stored = float((reloaded.eval()(input_ids=probe).logits - expected).abs().max())
    _publish(staging, out)
    return {"merge": difference, "stored": stored}


def tie_of(model: Any) -> bool:
    """Whether input and output embeddings are one tensor."""
    head = model.get_output_embeddings()
    return head is not None and head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def tokenizer_of(adapter: Path, fallback: Any) -> Any:
    """The tokenizer saved with the adapter (its template is the one trained with), else the base's."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(adapter) if (adapter / "tokenizer_config.json").is_file() else fallback


def stored_dtype(folder: Path) -> torch.dtype:
    """The dtype of the largest tensor in a folder's weight files.

    Raises:
        ModelError: no safetensors there.
    """
    from safetensors import safe_open

    best = (0, torch.float32)
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict
                part = tensors.get_slice(name)
                size = 1
                for length in part.get_shape():
                    size *= length
                best = max(best, (size, _DTYPES.get(part.get_dtype(), torch.float32)), key=lambda pair: pair[0])
    if not best[0]:
        raise ModelError(f"{folder}: expected safetensors weights, found none", mend="convert the weights to safetensors")
    return best[1]


_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float32}


def _staging(out: Path) -> Path:
    staging = out.with_name(out.name + ".part")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def _publish(staging: Path, out: Path) -> Path:
    """Put a finished folder in place; a reader never sees half of one."""
    old = out.with_name(out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    staging.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    return out
