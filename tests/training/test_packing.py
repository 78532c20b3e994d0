"""Packed equals padded: values and gradients, for every layout, any mix of lengths and several architectures."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.errors import ModelError
from solon.training.collate import (
    ATTENTION,
    attention_for,
    choose_layout,
    forward_logprobs,
    layout_difference,
    make_pack,
    pack_examples,
    plan_packs,
    segments,
    sequence_sums,
)
from solon.training.encode import Encoded, Example
from solon.training.losses import sequence_logprobs
from tests.training.conftest import build_model, build_tokenizer

VOCABULARY = len(build_tokenizer())
MODEL = build_model(build_tokenizer())


def sequence(length: int, seed: int) -> Encoded:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (length,), generator=generator).tolist()
    trained = torch.rand(length, generator=generator) < 0.6
    return Encoded(tuple(ids), (*trained[:-1].tolist(), True))


@pytest.mark.slow
@given(st.lists(st.integers(2, 40), min_size=1, max_size=9), st.integers(0, 2**20))
@settings(max_examples=40, deadline=None)
def test_packed_equals_padded(lengths: list[int], seed: int) -> None:
    parts = [sequence(length, seed + i) for i, length in enumerate(lengths)]
    assert layout_difference(MODEL, "segments", parts) < 1e-5
    assert layout_difference(MODEL, "positions", parts) < 1e-5


def test_padded_equals_one_sequence_at_a_time() -> None:
    """The yardstick itself, against the plain formula without any pack."""
    parts = [sequence(length, length) for length in (3, 17, 9)]
    pack = make_pack(parts)
    with torch.no_grad():
        sums = sequence_sums(pack, forward_logprobs(MODEL, pack, "padded"))
        for part, found in zip(parts, sums, strict=True):
            ids = torch.tensor([part.ids])
            labels = ids.masked_fill(~torch.tensor([part.trained]), -100)
            assert found.item() == pytest.approx(sequence_logprobs(MODEL(ids).logits, labels).item(), abs=1e-4)


@pytest.mark.parametrize("layout", ["segments", "positions"])
def test_gradients_agree(layout: str) -> None:
    parts = [sequence(length, 7 * length) for length in (5, 30, 11, 6)]
    pack = make_pack(parts)
    grads = []
    for which in ("padded", layout):
        model = build_model(build_tokenizer())
        with attention_for(model, which):
            forward_logprobs(model, pack, which).sum().backward()
        grads.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.allclose(grads[0], grads[1], atol=1e-4 * float(grads[0].abs().max()))


def test_a_sequence_does_not_see_its_neighbours() -> None:
    """Changing one sequence leaves the others' numbers as they are."""
    parts = [sequence(12, 1), sequence(20, 2), sequence(7, 3)]
    changed = [parts[0], sequence(20, 99), parts[2]]
    with torch.no_grad(), attention_for(MODEL, "segments"):
        a, b = (sequence_sums(p, forward_logprobs(MODEL, p, "segments")) for p in (make_pack(parts), make_pack(changed)))
    assert torch.equal(a[[0, 2]], b[[0, 2]])
    assert a[1] != b[1]


def test_naive_packing_would_be_caught() -> None:
    """Without restarting positions and without a block mask the numbers differ: the check can fail."""
    parts = [sequence(12, 1), sequence(20, 2)]
    pack = make_pack(parts)
    pack.positions = torch.arange(32)
    with torch.no_grad():
        wrong = forward_logprobs(MODEL, pack, "positions")
        right = forward_logprobs(MODEL, make_pack(parts), "padded")
    assert (wrong - right).abs().max() > 1e-2


def test_attention_is_what_it_was_afterwards() -> None:
    model = build_model(build_tokenizer())
    before = model.config._attn_implementation
    with attention_for(model, "segments"):
        assert model.config._attn_implementation == ATTENTION
        with attention_for(model, "padded"):
            assert model.config._attn_implementation == before
        assert model.config._attn_implementation == ATTENTION
    assert model.config._attn_implementation == before
    assert "solon" not in model.config.to_json_string()


@pytest.mark.parametrize("kind", ["gpt_neox", "gpt2", "qwen2", "mistral"])
def test_other_architectures(kind: str) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    size = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "vocab_size": VOCABULARY,
    }
    if kind == "gpt2":
        size = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": VOCABULARY}
    if kind in ("qwen2", "mistral"):
        size |= {"num_key_value_heads": 2}
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **size, **special)).eval()
    parts = [sequence(length, length) for length in (4, 21, 13)]
    layout, why = choose_layout(model, parts, "on", 1e-4)
    assert layout in ("segments", "positions"), why


def test_sliding_window_falls_back() -> None:
    """Within the window our attention serves; beyond it the model's own block mask does."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    model = MistralForCausalLM(
        MistralConfig(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
                      num_key_value_heads=2, sliding_window=8, pad_token_id=0)
    ).eval()  # fmt: skip
    assert choose_layout(model, [sequence(6, 1), sequence(5, 2)], "on", 1e-4)[0] == "segments"
    assert choose_layout(model, [sequence(30, 1), sequence(5, 2)], "on", 1e-4)[0] == "positions"


def test_a_model_that_cannot_be_packed_is_padded_or_refused() -> None:
    """A recurrent model carries state across sequence borders; the check notices."""
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(0)
    model = MambaForCausalLM(MambaConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1, state_size=4)).eval()
    parts = [sequence(9, 1), sequence(14, 2)]
    assert choose_layout(model, parts, "auto", 1e-4)[0] == "padded"
    with pytest.raises(ModelError, match="can't be packed exactly"):
        choose_layout(model, parts, "on", 1e-4)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=50), st.integers(1, 64), st.none() | st.integers(1, 5))
def test_plan_packs_holds_everything_once(lengths: list[int], budget: int, most: int | None) -> None:
    packs = plan_packs(lengths, budget, most)
    assert sorted(i for pack in packs for i in pack) == list(range(len(lengths)))
    for pack in packs:
        assert sum(lengths[i] for i in pack) <= budget or len(pack) == 1
        assert most is None or len(pack) <= most
    assert plan_packs(lengths, budget, most) == packs


def test_plan_packs_by_hand() -> None:
    assert plan_packs([3, 7, 5, 2, 4], 10) == [[1, 0], [2, 4], [3]]


def test_the_parts_of_a_pair_share_a_pack() -> None:
    pairs = [Example((sequence(10, i), sequence(12, i + 50))) for i in range(7)]
    packs = pack_examples(pairs, budget=50)
    assert [len(pack.lengths) for pack in packs] == [4, 4, 4, 2]
    for pack in packs:
        assert len(pack.lengths) == 2 * len(pack.rows)
        for place, index in enumerate(pack.rows):
            start = sum(pack.lengths[: 2 * place])
            assert tuple(pack.tokens[start : start + 10].tolist()) == pairs[index].parts[0].ids


@given(st.lists(st.integers(1, 70), min_size=1, max_size=12))
def test_segments_lift_and_put_back(lengths: list[int]) -> None:
    """Every token comes back to its place, and padding at most doubles a group."""
    found = segments(lengths)
    values = torch.arange(sum(lengths))
    lifted = torch.cat([values[grid].flatten() for grid in found.grids])
    assert torch.equal(lifted[found.back], values)
    for grid in found.grids:
        assert grid.shape[1] <= 2 * min(len(set(row.tolist())) for row in grid)


def test_first_token_is_never_a_target() -> None:
    pack = make_pack([Encoded((5, 6), (True, True)), Encoded((7, 8), (True, False))])
    assert pack.keep.tolist() == [0]
    assert pack.targets.tolist() == [6]
