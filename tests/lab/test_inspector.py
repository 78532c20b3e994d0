"""Ties, overlaps, twins, statistics; and the memory that must see one treatment where there is one tensor."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from solon import lab
from solon.checkpoints.errors import UnknownTensor
from solon.errors import InputError
from tests.lab import tiny

PAIR = ["model.embed_tokens.weight", "lm_head.weight"]


def test_the_tied_pair_is_found(model: nn.Module) -> None:
    inspector = lab.WeightInspector(model, "tiny")
    assert inspector.get_shared_weights() == [PAIR]
    assert inspector.coupled_with("lm_head.weight") == [PAIR[0]]
    assert inspector.tie_findings() == []
    with pytest.raises(UnknownTensor, match=r"lm_head\.weight"):
        inspector.coupled_with("lm_heat.weight")


def test_a_lost_tie_is_noticed_twice(model: nn.Module) -> None:
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    findings = lab.WeightInspector(model).tie_findings()
    assert any("equal but separate" in f and "lm_head.weight" in f for f in findings)
    assert any("tie_word_embeddings=True" in f for f in findings)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    assert not lab.WeightInspector(model).equal_twins()


def test_views_and_ties_by_memory_alone() -> None:
    module = nn.Module()
    module.a = nn.Parameter(torch.arange(12.0).reshape(3, 4))
    module.b = nn.Parameter(module.a.detach())  # another object, the same memory
    module.register_buffer("row", module.a.detach()[1])
    inspector = lab.WeightInspector(module)
    assert inspector.get_shared_weights() == [["a", "b"]]
    assert inspector.partial_overlaps() == [["a", "row"]]
    assert inspector.coupled_with("row") == ["a", "b"]


def test_statistics_by_hand() -> None:
    module = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[3.0, 4.0, float("nan")], [0.0, 0.0, 0.0]]))
    found = lab.WeightInspector(module).statistics("weight")
    assert (found["count"], found["nan"], found["absmax"], found["norm"], found["dead_rows"]) == (6, 1, 4.0, 5.0, 1)
    assert found["mean"] == pytest.approx(7 / 5)
    assert found["std"] == pytest.approx(math.sqrt(25 / 5 - (7 / 5) ** 2))
    assert found["zeros"] == pytest.approx(0.5)


def test_outliers() -> None:
    module = nn.Linear(100, 10, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.randn(10, 100, generator=torch.Generator().manual_seed(0)))
        module.weight[3, 3] = 50
    assert lab.WeightInspector(module).statistics("weight")["outliers"] == 1


def test_head_norms(model: nn.Module) -> None:
    inspector = lab.WeightInspector(model)
    layer = model.model.layers[0].self_attn
    name = "model.layers.0.self_attn"
    assert inspector.attention_head_norms(f"{name}.q_proj.weight") == pytest.approx(
        [float(h.norm()) for h in layer.q_proj.weight.split(8)]
    )
    assert len(inspector.attention_head_norms(f"{name}.k_proj.weight")) == 2
    columns = [float(layer.o_proj.weight[:, 8 * i : 8 * i + 8].norm()) for i in range(4)]
    assert inspector.attention_head_norms(f"{name}.o_proj.weight") == pytest.approx(columns)
    with pytest.raises(InputError, match="dividing"):
        inspector.attention_head_norms(f"{name}.q_proj.weight", heads=5)


def test_comparison_of_two_models(model: nn.Module) -> None:
    other = tiny.model()
    assert lab.WeightInspector(model).compare(other) == []
    with torch.no_grad():
        other.model.norm.weight.mul_(1.5)
    (found,) = lab.WeightInspector(model).compare(other)
    assert (found["name"], found["relative"]) == ("model.norm.weight", pytest.approx(0.5))


# -- memory --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory(model: nn.Module, tmp_path: Path) -> lab.MemorySystem:
    made = lab.MemorySystem(tmp_path / "memory")
    made.set_weight_inspector(lab.WeightInspector(model))
    return made


def test_observations_survive_and_are_queried(memory: lab.MemorySystem) -> None:
    memory.record_observation(
        "Baseline metrics: 3", category="baseline", importance=0.4, metadata={"checkpoint": "c1", "perplexity": 3.0}
    )
    memory.record_observation("Something else", importance=0.9, tags=["head"])
    again = lab.MemorySystem(memory.directory)
    (found,) = again.observations.query(category="baseline")
    assert found.metadata == {"checkpoint": "c1", "perplexity": 3.0}
    assert [r.text for r in again.observations.query(min_importance=0.5)] == ["Something else"]
    assert len(again.observations.query(tag="head")) == len(again.observations.query(text="ELSE")) == 1
    with pytest.raises(InputError, match=r"0\.\.1"):
        memory.record_observation("x", importance=2)


def test_either_name_of_a_tie_is_one_coupled_treatment(memory: lab.MemorySystem) -> None:
    memory.record_modification(layer_name=PAIR[0], modification_data={"delta": 0.01})
    memory.record_modification(PAIR[1], {"delta": 0.01})
    memory.record_modification("model.norm.weight")
    coupled = memory.observations.query(category="coupled_modification")
    assert [(r.data["primary_layer"], r.data["coupled_layers"]) for r in coupled] == [(PAIR[0], [PAIR[1]]), (PAIR[1], [PAIR[0]])]
    assert all(r.importance >= 0.9 and {"embed_tokens", "lm_head", *PAIR} <= set(r.tags) for r in coupled)
    assert coupled[0].data["treatment"] == coupled[1].data["treatment"]
    assert len(memory.observations.query(category="modification")) == 1


def test_a_tied_pair_never_looks_like_two_treatments(memory: lab.MemorySystem) -> None:
    """The guide's false conclusion, 'modifying both together helps', must not be drawable."""
    for number in range(4):
        for name in PAIR:
            memory.record_modification(name, experiment=f"e{number}", improvement=2.0)
    (pattern,) = memory.detect_patterns()
    assert pattern.category == "treatment"
    assert pattern.data["treatments"] == [sorted(PAIR)]
    assert pattern.data["n"] == 4


def test_two_real_treatments_together_are_a_combination(memory: lab.MemorySystem) -> None:
    for number, improvement in enumerate([1.0, 2.0, -1.0]):
        memory.record_modification(PAIR[0], experiment=f"e{number}", improvement=improvement)
        memory.record_modification("model.norm.weight", experiment=f"e{number}", improvement=improvement)
    found = memory.detect_patterns()
    assert sorted(p.category for p in found) == ["combination", "treatment", "treatment"]
    both = next(p for p in found if p.category == "combination")
    assert (both.data["n"], both.data["improved"], both.data["mean"]) == (3, 2, pytest.approx(2 / 3))
    # Wilson 95 % for 2 of 3, by hand: (2/3 + z2/6 -+ z sqrt(2/27 + z2/36)) / (1 + z2/3) with z = 1.959964
    assert both.data["low"] == pytest.approx(0.2077, abs=1e-4)


def test_support_is_needed_for_a_pattern_and_confidence_for_a_belief(memory: lab.MemorySystem) -> None:
    for number in range(2):
        memory.record_modification("model.norm.weight", experiment=f"e{number}", improvement=1.0)
    assert memory.detect_patterns() == []
    for number in range(2, 8):
        memory.record_modification("model.norm.weight", experiment=f"e{number}", improvement=1.0)
    (pattern,) = memory.detect_patterns()
    theory = memory.propose_theory("scaling the final norm helps", [pattern.id])
    (belief,) = memory.form_beliefs()
    assert (belief.text, belief.data["support"]) == ("scaling the final norm helps", 8)
    assert memory.form_beliefs() == []
    memory.theories.correct(theory, "it helps only small models")
    memory.form_beliefs()
    assert [b.text for b in memory.beliefs.query(category="doubt")] == ["no longer believed: scaling the final norm helps"]
    with pytest.raises(InputError, match="at least one pattern"):
        memory.propose_theory("out of thin air", [])


def test_outcomes_come_later_and_corrections_keep_the_old_text(memory: lab.MemorySystem) -> None:
    number = memory.record_modification("model.norm.weight")
    later = memory.record_outcome(number, -3.0)
    assert memory.observations.get(number).superseded_by == later
    assert memory.events()[0][1] == -3.0
    assert len(memory.observations) == 1
    assert len(memory.observations.query(include_superseded=True)) == 2


def test_without_an_inspector_coupling_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="set_weight_inspector"):
        lab.MemorySystem(tmp_path / "m").record_modification("x")


def test_comparison_tells_names_and_ties_that_only_one_has() -> None:
    one, other = tiny.model(), tiny.model()
    other.lm_head.weight = torch.nn.Parameter(other.lm_head.weight.detach().clone())
    other.register_buffer("extra", torch.ones(2, dtype=torch.complex64))
    one.register_buffer("extra", torch.zeros(2, dtype=torch.complex64))
    one.register_buffer("mine", torch.ones(1))
    other.register_buffer("theirs", torch.ones(1))
    found = {(row["name"], row["change"]) for row in lab.WeightInspector(one).compare(other)}
    tie = "model.embed_tokens.weight = lm_head.weight"
    assert found == {("mine", "only here"), ("theirs", "only there"), (tie, "tied only here"), ("extra", "values")}
