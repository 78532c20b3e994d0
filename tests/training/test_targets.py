"""LoRA targets and exact counts, on shapes of real models (meta tensors: nothing is allocated)."""

from __future__ import annotations

import pytest
import torch

from solon.errors import ConfigError
from solon.training.config import DpoSettings, LoraSettings, SftSettings
from solon.training.estimate import estimate_memory
from solon.training.loading import attach_adapters
from solon.training.targets import choose_targets, describe_targets, lora_parameters
from tests.training.conftest import build_model

PYTHIA = {
    "vocab_size": 50432, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 16384,
}  # fmt: skip


@pytest.fixture(scope="module")
def pythia():
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    with torch.device("meta"):
        return GPTNeoXForCausalLM(
            GPTNeoXConfig(
                vocab_size=50432, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, intermediate_size=16384
            )
        )


def test_pythia_two_targets(pythia) -> None:
    """32 layers x 16 x ((4096 + 12288) + (4096 + 4096)) = 12,582,912: 0.18 % of 6.86e9, not 20 M and 0.3 %."""
    targets = choose_targets(pythia, ["query_key_value", "dense"])
    assert lora_parameters(pythia, targets, 16) == 12_582_912
    assert "12,582,912 trainable parameters (0.18%" in describe_targets(pythia, targets, 16)


def test_pythia_all_four(pythia) -> None:
    """plus 32 x 16 x 2 x (4096 + 16384) = 20,971,520: 33,554,432 in all."""
    targets = choose_targets(pythia, "auto")
    assert targets == ["dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"]
    assert lora_parameters(pythia, targets, 16) == 33_554_432


def test_suffix_rule(pythia) -> None:
    """`dense` is a dotted suffix: it names attention.dense but not mlp.dense_4h_to_h."""
    assert lora_parameters(pythia, ["dense"], 16) == 32 * 16 * (4096 + 4096)
    assert lora_parameters(pythia, ["attention.dense"], 16) == 32 * 16 * (4096 + 4096)
    assert lora_parameters(pythia, ["ense"], 16) == 0


def test_llama_targets_leave_the_head_out(tokenizer) -> None:
    for tie in (True, False):
        targets = choose_targets(build_model(tokenizer, tie=tie), "auto")
        assert targets == ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]


def test_count_equals_peft(tokenizer) -> None:
    """The prototype's nano shapes: 443,904 trainable at rank 16, all linear layers."""
    nano = build_model(
        tokenizer, hidden_size=256, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=4, intermediate_size=688
    )
    targets = choose_targets(nano, "auto")
    assert lora_parameters(nano, targets, 16) == 443_904
    wrapped, _ = attach_adapters(nano, LoraSettings())
    assert sum(p.numel() for p in wrapped.parameters() if p.requires_grad) == 443_904


def test_unknown_target_is_refused_with_a_suggestion(model) -> None:
    with pytest.raises(ConfigError, match=r"q_projj.*did you mean 'q_proj'"):
        choose_targets(model, ["q_projj"])


def test_gpt2_transposed_layers() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.device("meta"):
        gpt2 = GPT2LMHeadModel(GPT2Config())
    targets = choose_targets(gpt2, "auto")
    assert targets == ["c_attn", "c_fc", "c_proj"]
    assert lora_parameters(gpt2, targets, 8) == 12 * 8 * ((768 + 2304) + (768 + 768) + (768 + 3072) * 2)


def test_memory_of_pythia() -> None:
    """6.86e9 parameters: bf16 base 13.7 GB + fp32 adapters; full training 4 + 4 + 8 bytes each."""
    from transformers import GPTNeoXConfig

    config = GPTNeoXConfig(
        vocab_size=50432, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, intermediate_size=16384
    )
    lora = SftSettings(lora=LoraSettings(targets=["query_key_value", "dense"]), pack_tokens=2048)
    found = estimate_memory(config, lora, precision="bf16")
    assert found.trainable == 12_582_912
    assert found.weights == 2 * found.parameters + 4 * 12_582_912
    assert (found.gradients, found.optimizer) == (4 * 12_582_912, 8 * 12_582_912)
    full = estimate_memory(config, SftSettings(lora=LoraSettings(enabled=False), pack_tokens=2048))
    assert full.weights + full.gradients + full.optimizer == 16 * full.parameters
    checkpointed = estimate_memory(config, lora.model_copy(update={"gradient_checkpointing": True}), precision="bf16")
    assert checkpointed.activations < found.activations / 10
    four_bit = estimate_memory(config, DpoSettings(quantise="nf4"), precision="bf16")
    assert 3.6e9 < four_bit.weights < 4.0e9
