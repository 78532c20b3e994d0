"""What a process of `tests.warm` finds loaded: the libraries, with the settings that the command line gives them."""

import gc
import os

gc.disable()

from solon.cli.main import ENVIRONMENT  # noqa: E402

for name, value in ENVIRONMENT.items():
    os.environ.setdefault(name, value)

import accelerate  # noqa: E402, F401
import peft  # noqa: E402, F401
import pytest  # noqa: E402, F401
import torch  # noqa: E402, F401
from transformers import (  # noqa: E402
    AutoModelForCausalLM,  # noqa: F401
    AutoTokenizer,  # noqa: F401
    LlamaForCausalLM,  # noqa: F401
    PreTrainedTokenizerFast,  # noqa: F401
    Qwen2ForCausalLM,  # noqa: F401
    Trainer,  # noqa: F401
)

import solon.models.hf  # noqa: E402
import solon.run.pipeline  # noqa: E402
import solon.training.dpo  # noqa: E402
import solon.training.sft  # noqa: E402, F401

gc.collect()
gc.freeze()
gc.enable()
