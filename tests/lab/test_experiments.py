"""Experiments: kept only when shown to be better, and bit for bit undone on every other way out."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solon import lab
from solon.checkpoints import Store
from solon.checkpoints.errors import CorruptStore, UnhealthyModel, UnknownTensor
from solon.checkpoints.restoring import images_of
from solon.checkpoints.tensors import model_slots
from solon.errors import CheckFailed, EnvironmentRefused, InputError
from solon.lab import judging
from tests.lab import tiny

O_PROJ = "model.layers.1.self_attn.o_proj.weight"
EMBED = "model.embed_tokens.weight"


def bits(model: torch.nn.Module) -> dict[str, bytes]:
    slots = model_slots(model)
    images = images_of(slots)
    return {name: images[slot.name].tobytes() for slot in slots for name in slot.names}


def falling(*means: float) -> Any:
    """A test function whose results are losses with these means, call by call."""
    results = iter(means)
    return lambda model: tiny.losses(next(results))


def codes(block: Any) -> set[str]:
    return {finding.code for finding in block.findings}


def test_kept_when_the_interval_lies_above_zero(model: torch.nn.Module) -> None:
    before = bits(model)
    with lab.experiment(model, test=falling(3.0, 2.5), store="s", name="try", plan="a larger head") as edit:
        edit.scale(O_PROJ, 1.5)
    assert edit.outcome == "kept"
    assert edit.comparison.improvement == pytest.approx(100 * 0.5 / 3.035)
    assert edit.comparison.low > 0
    assert {n for n, b in bits(model).items() if b != before[n]} == {O_PROJ}
    store = Store("s")
    assert store.log()[-1].id == edit.checkpoint
    assert store.diff(edit.baseline, edit.checkpoint).names == [O_PROJ]
    (record,) = store.journal.records("edit")
    assert (record["verdict"], record["targets"], record["params"]) == ("kept", [O_PROJ], {"factor": 1.5, "rows": None})
    assert record["norms"][O_PROJ]["relative"] == pytest.approx(0.5)
    assert store.pins() == {}
    assert {phase: len(items) for phase, items in edit.checklists.items()} == {"before": 7, "during": 6, "after": 7}


@pytest.mark.parametrize(
    ("means", "code"),
    [((3.0, 3.5), "comparison"), ((3.0, 3.0), "comparison"), ((3.0, 2.9999999), "comparison")],
    ids=["worse", "same", "tiny"],
)
def test_rolled_back_when_not_shown_to_be_better(model: torch.nn.Module, means: tuple[float, float], code: str) -> None:
    before = bits(model)
    with lab.experiment(model, test=falling(*means), store="s", min_effect=0.01) as edit:
        edit.scale(O_PROJ, 1.5)
    assert edit.outcome == "rolled_back"
    assert code in codes(edit)
    assert bits(model) == before


def test_noise_is_not_kept(model: torch.nn.Module) -> None:
    noisy = iter([[3.0, 3.1, 2.9, 3.0, 3.2], [2.0, 4.0, 2.1, 3.9, 3.0]])
    before = bits(model)
    with lab.experiment(model, test=lambda m: next(noisy), store="s") as edit:
        edit.scale(O_PROJ, 1.5)
    assert edit.comparison.improvement > 0
    assert edit.comparison.low < 0
    assert edit.outcome == "rolled_back"
    assert bits(model) == before


def test_a_single_number_has_no_interval(model: torch.nn.Module) -> None:
    results = iter([3.0, 2.0, 3.0, 2.0])
    with lab.experiment(model, test=lambda m: next(results), store="s") as edit:
        edit.scale(O_PROJ, 1.5)
    assert (edit.outcome, "no_interval" in codes(edit)) == ("rolled_back", True)
    with lab.experiment(model, test=lambda m: next(results), store="s", require_interval=False) as edit:
        edit.scale(O_PROJ, 1.5)
    assert edit.outcome == "kept"


def test_higher_can_be_better(model: torch.nn.Module) -> None:
    with lab.experiment(model, test=falling(0.5, 0.6), store="s", lower_is_better=False) as edit:
        edit.scale(O_PROJ, 1.5)
    assert edit.outcome == "kept"
    assert edit.comparison.low > 0


def test_without_a_test_nothing_is_kept(model: torch.nn.Module) -> None:
    before = bits(model)
    with lab.experiment(model, store="s") as edit:
        edit.scale(O_PROJ, 1.5)
    assert edit.outcome == "rolled_back"
    assert "no_test" in codes(edit)
    assert bits(model) == before


# -- every way out ----


class Odd(BaseException):
    pass


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError, Odd])
def test_any_exception_rolls_back_and_passes_through(model: torch.nn.Module, kind: type[BaseException]) -> None:
    before = bits(model)
    with pytest.raises(kind), lab.experiment(model, test=falling(3.0), store="s") as edit:
        edit.scale(O_PROJ, 1.5)
        with torch.no_grad():
            model.model.norm.weight.data.mul_(2)  # undeclared, and behind autograd's back
        raise kind("stop")
    assert edit.outcome == "errored"
    assert isinstance(edit.error, kind)
    assert bits(model) == before
    assert Store("s").pins() == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_roll_back(model: torch.nn.Module, number: int) -> None:
    before = bits(model)
    expected = SystemExit if number == signal.SIGTERM else KeyboardInterrupt
    with pytest.raises(expected) as caught, lab.experiment(model, test=falling(3.0), store="s") as edit:
        edit.scale(O_PROJ, 1.5)
        os.kill(os.getpid(), number)
        threading.Event().wait(5)
    if number == signal.SIGTERM:
        assert caught.value.code == 143
    assert edit.outcome == "errored"
    assert bits(model) == before
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_ctrl_c_during_the_test_after_the_edit(model: torch.nn.Module) -> None:
    before = bits(model)
    calls: list[int] = []

    def test(_: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return tiny.losses(3.0)

    with pytest.raises(KeyboardInterrupt), lab.experiment(model, test=test, store="s") as edit:
        edit.scale(O_PROJ, 1.5)
    assert edit.outcome == "errored"
    assert bits(model) == before


@pytest.mark.parametrize("result", [float("nan"), [1.0, float("inf")], "fine", None, [], {"loss": 1}, [1.0, 2.0]])
def test_nonsense_after_the_edit_is_reported_and_rolled_back(model: torch.nn.Module, result: Any) -> None:
    results = iter([tiny.losses(3.0), result])
    before = bits(model)
    with lab.experiment(model, test=lambda m: next(results), store="s") as edit:
        edit.scale(O_PROJ, 1.5)
    assert edit.outcome == "errored"
    assert "test_failed" in codes(edit)
    assert bits(model) == before


def test_a_test_that_cannot_measure_the_unmodified_model_stops_before_any_edit(model: torch.nn.Module) -> None:
    before = bits(model)
    with pytest.raises(InputError, match="finite"), lab.experiment(model, test=lambda m: float("nan"), store="s") as edit:
        edit.scale(O_PROJ, 1.5)
    assert bits(model) == before
    assert lab.recover(Store("s")) == []


def test_ill_health_rolls_back_without_testing(model: torch.nn.Module) -> None:
    before = bits(model)
    with lab.experiment(model, test=falling(3.0), store="s") as edit, torch.no_grad():
        model.model.norm.weight[3] = float("inf")
    assert edit.outcome == "rolled_back"
    assert "inf" in codes(edit)
    assert edit.after is None
    assert bits(model) == before


def test_an_unhealthy_model_is_no_baseline(model: torch.nn.Module) -> None:
    with torch.no_grad():
        model.model.norm.weight[3] = float("nan")
    with pytest.raises(UnhealthyModel), lab.experiment(model, test=falling(3.0), store="s"):
        pass


def test_structural_edits_are_undone(model: torch.nn.Module) -> None:
    before, tied = bits(model), model.lm_head.weight
    layer, pointer = model.model.layers[0].mlp.up_proj, model.model.norm.weight.data_ptr()
    with lab.experiment(model, test=falling(3.0, 1.0), store="s") as edit:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone() * 2)
        model.model.layers[0].mlp.up_proj = torch.nn.Linear(32, 48, bias=False)
        model.model.norm.weight.data = torch.zeros(32)
        model.model.layers[1].register_forward_hook(lambda *a: None)
        torch.nn.utils.parametrizations.weight_norm(model.model.layers[1].mlp.up_proj)
        model.half()
    assert edit.outcome == "rolled_back"
    assert "structure" in codes(edit)
    assert model.lm_head.weight is tied is model.model.embed_tokens.weight
    assert model.model.layers[0].mlp.up_proj is layer
    assert model.model.norm.weight.data_ptr() == pointer
    assert not model.model.layers[1]._forward_hooks
    assert type(model.model.layers[1].mlp.up_proj) is torch.nn.Linear
    assert bits(model) == before


def test_modes_and_optimizer_are_rolled_back(model: torch.nn.Module) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def train() -> None:
        model(input_ids=torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    train()
    before, moments = bits(model), optimizer.state[model.model.norm.weight]["exp_avg"].clone()
    with lab.experiment(model, test=falling(3.0, 4.0), store="s", optimizer=optimizer) as edit:
        model.train()
        model.model.norm.weight.requires_grad_(False)
        train()
    assert edit.outcome == "rolled_back"
    assert bits(model) == before
    assert not model.training
    assert model.model.norm.weight.requires_grad
    assert torch.equal(optimizer.state[model.model.norm.weight]["exp_avg"], moments)


def test_declared_edits_are_undone_even_when_the_store_is_damaged(model: torch.nn.Module) -> None:
    before = bits(model)
    with lab.experiment(model, test=falling(3.0, 4.0), store="s") as edit:
        edit.scale(O_PROJ, 1.5)
        for pack in (Path("s") / "packs").iterdir():
            pack.write_bytes(b"\0" * pack.stat().st_size)
    assert edit.outcome == "rolled_back"
    assert bits(model) == before


def ruin(store: Path) -> None:
    for pack in (store / "packs").iterdir():
        pack.write_bytes(b"\0" * pack.stat().st_size)


@pytest.mark.parametrize("harm", [ruin, shutil.rmtree], ids=["damaged", "deleted"])
def test_a_small_model_is_rolled_back_from_memory_without_its_store(model: torch.nn.Module, harm: Any) -> None:
    before = bits(model)
    with lab.experiment(model, test=falling(3.0, 4.0), store="s") as edit:
        with torch.no_grad():
            model.model.norm.weight.mul_(2)  # undeclared
        harm(Path("s"))
    assert edit.outcome == "rolled_back"
    assert bits(model) == before


def test_a_rollback_that_fails_says_so(model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solon.lab.edits.MEMORY_UNDO", 0)  # as with a model that is too large to be held twice
    with pytest.raises(CorruptStore), lab.experiment(model, test=falling(3.0, 4.0), store="s"):
        with torch.no_grad():
            model.model.norm.weight.mul_(2)
        ruin(Path("s"))
    assert len(lab.interrupted(Store("s"))) == 0  # this process still runs
    assert len(Store("s").pins()) == 1


@pytest.mark.slow
@given(
    factor=st.floats(-3, 3, allow_nan=False),
    row=st.integers(0, 31),
    seed=st.integers(0, 2**16),
    how=st.sampled_from(["error", "worse", "ok"]),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_edits_are_undone_bit_for_bit(tmp_path: Path, factor: float, row: int, seed: int, how: str) -> None:
    model = tiny.model(seed % 3)
    before = bits(model)
    generator = torch.Generator().manual_seed(seed)
    block = lab.experiment(model, test=falling(3.0, 4.0), store=tmp_path / "store")
    try:
        with block as edit:
            edit.scale(O_PROJ, factor, rows=[row])
            edit.add(EMBED, torch.randn(256, 32, generator=generator))
            edit.low_rank(O_PROJ, torch.randn(32, 2, generator=generator), torch.randn(2, 32, generator=generator), 0.1)
            edit.apply(lambda m: m.model.norm.weight.data.mul_(factor), targets=["model.norm.weight"])
            if how == "error":
                raise ValueError
    except ValueError:
        pass
    assert block.outcome == ("errored" if how == "error" else "rolled_back")
    assert bits(model) == before


# -- what is found ----


def test_ties_and_undeclared_edits_are_findings(model: torch.nn.Module) -> None:
    with lab.experiment(model, test=falling(3.0, 2.0), store="s") as edit:
        edit.scale("lm_head.weight", 1.1)
        with torch.no_grad():
            model.model.norm.weight.mul_(1.1)
    assert edit.outcome == "kept"
    texts = {finding.code: finding.text for finding in edit.findings}
    assert "also edits model.embed_tokens.weight" in texts["coupled"]
    assert "model.norm.weight" in texts["undeclared"]


def test_memory_sees_one_treatment(model: torch.nn.Module) -> None:
    memory = lab.MemorySystem("memory")
    for mean in (2.0, 2.5, 4.0):
        with lab.experiment(model, test=falling(3.0, mean), store="s", memory=memory) as edit:
            edit.scale("lm_head.weight", 1.01)
            edit.add(EMBED, 0.001)
    (pattern,) = memory.patterns.query()
    assert pattern.data["treatments"] == [["lm_head.weight", EMBED]]
    assert (pattern.data["n"], pattern.data["improved"]) == (3, 2)


def test_gates_of_a_constitution_must_hold(model: torch.nn.Module, tmp_path: Path) -> None:
    from decimal import Decimal

    from solon.constitution.types import Gate

    class Laws:
        hash = "x"
        gates = (Gate(metric="benign_perplexity", comparison="<=", bound=Decimal("20")),)

    class More(Laws):
        gates = (Gate(metric="refusal", comparison=">=", bound=Decimal("0.9")),)

    def result(value: float) -> dict[str, Any]:
        return {"perplexity": value, "per_text": [{"nll": value + i / 100, "tokens": 5} for i in range(6)]}

    for laws, after, outcome, code in (
        (Laws, 15.0, "kept", ""),
        (Laws, 25.0, "rolled_back", "gate_failed"),
        (More, 10.0, "rolled_back", "gate_not_measured"),
    ):
        results = iter([result(30.0), result(after)])
        with lab.experiment(model, test=lambda m, r=results: next(r), store="s", constitution=laws()) as edit:
            edit.scale(O_PROJ, 1.01)
        assert edit.outcome == outcome
        assert not code or code in codes(edit)


def test_disk_space_is_asked_for_first(model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    from solon.lab import checklists

    monkeypatch.setattr(checklists, "free_bytes", lambda path: 1000)
    with pytest.raises(EnvironmentRefused, match="disk space"), lab.experiment(model, test=falling(3.0), store="s"):
        pass


def test_edits_refuse_nonsense(model: torch.nn.Module) -> None:
    before = bits(model)
    with lab.experiment(model, test=falling(3.0), store="s") as edit:
        with pytest.raises(UnknownTensor, match="o_proj"):
            edit.scale("model.layers.1.self_attn.o_prj.weight", 2)
        with pytest.raises(InputError, match="finite"):
            edit.scale(O_PROJ, float("nan"))
        with pytest.raises(InputError, match="shape"):
            edit.add(O_PROJ, torch.ones(3, 3))
        with pytest.raises(InputError, match="rank"):
            edit.low_rank(O_PROJ, torch.ones(3, 2), torch.ones(2, 32))
    assert bits(model) == before


@pytest.mark.parametrize(
    ("rows", "touched"),
    [
        (None, range(4)),
        ([1], [1]),
        (2, [2]),
        (-1, [3]),
        (slice(1, 3), [1, 2]),
        (torch.tensor([True, False, True, False]), [0, 2]),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.complex64])
def test_rows_of_any_float(tmp_path: Path, dtype: torch.dtype, rows: Any, touched: Any) -> None:
    module = torch.nn.Module()
    module.register_buffer("x", torch.ones(4, 2).to(dtype))
    edits = lab.Edits(module, Store(tmp_path / "s"))
    edits.scale("x", torch.tensor(2.0), rows=rows)
    edits.add("x", 1, rows=rows)
    wide = module.x.to(torch.complex64)
    assert [i for i in range(4) if wide[i, 0] == 3] == list(touched)
    assert [i for i in range(4) if wide[i, 0] == 1] == [i for i in range(4) if i not in touched]


@pytest.mark.parametrize("rows", [[4], [-5], "x", [0.5], torch.ones(3, dtype=torch.bool), [[1]]], ids=str)
def test_rows_that_are_not_there(tmp_path: Path, rows: Any) -> None:
    layer = torch.nn.Linear(2, 4)
    with pytest.raises(InputError, match="rows"):
        lab.Edits(layer, Store(tmp_path / "s")).scale("weight", 2.0, rows=rows)


def test_an_experiment_is_entered_once_and_edits_only_inside(model: torch.nn.Module) -> None:
    before, block = bits(model), lab.experiment(model, test=falling(3.0, 4.0), store="s", optimizer=None)
    with pytest.raises(InputError, match="outside its block"):
        block.scale(O_PROJ, 2.0)
    with block:
        block.scale(O_PROJ, 2.0)
    with pytest.raises(InputError, match="outside its block"):
        block.scale(O_PROJ, 2.0)
    with pytest.raises(InputError, match="entered before"), block:
        pass
    assert bits(model) == before


@pytest.mark.parametrize("argument", [{"test": 3}, {"generate": "x"}, {"min_effect": "1"}, {"min_effect": float("nan")}], ids=str)
def test_arguments_of_the_wrong_kind(model: torch.nn.Module, argument: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(argument))):
        lab.experiment(model, store="s", **argument)


def test_the_sample_text_and_plan_are_on_the_checklist(model: torch.nn.Module) -> None:
    with lab.experiment(model, test=falling(3.0, 2.0), store="s", plan="why", generate=lambda m: "some words") as edit:
        edit.scale(O_PROJ, 1.1)
    assert next(i for i in edit.checklists["before"] if i["name"] == "plan documented")["ok"]
    assert next(i for i in edit.checklists["after"] if i["name"] == "sensible text")["detail"] == "some words"


@pytest.mark.slow
def test_real_perplexity_heals_a_wound(tokenizer: Any) -> None:
    model = tiny.trained(30)
    with torch.no_grad():
        model.model.norm.weight.mul_(0.05)
    with lab.experiment(model, test=lab.perplexity(tokenizer), store="s") as edit:
        edit.scale("model.norm.weight", 20.0)
    assert edit.outcome == "kept", edit.findings
    assert edit.comparison.n == 12


# -- LoRA ----


def adapter(folder: Path) -> Path:
    import peft

    torch.manual_seed(1)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "o_proj"], init_lora_weights=False)
    peft.get_peft_model(tiny.model(), config).save_pretrained(folder)
    return folder


def test_lora_applies_as_peft_merges_and_comes_off_bit_for_bit(model: torch.nn.Module, tmp_path: Path) -> None:
    import peft

    path, before = adapter(tmp_path / "adapter"), bits(model)
    edits = lab.Edits(model, Store("s"))
    changed = edits.lora_apply(path)
    assert len(changed) == 4
    merged = peft.PeftModel.from_pretrained(tiny.model(), path).merge_and_unload()
    ids = torch.tensor([[1, 2, 3, 4]])
    assert torch.allclose(model(input_ids=ids).logits, merged(input_ids=ids).logits, atol=1e-5)
    with pytest.raises(InputError, match="already"):
        edits.lora_apply(path)
    edits.lora_remove()
    assert bits(model) == before
    with pytest.raises(InputError, match="not applied"):
        edits.lora_remove()


def test_lora_on_a_tied_tensor_or_with_other_parts_is_refused(model: torch.nn.Module, tmp_path: Path) -> None:
    import peft

    before, edits = bits(model), lab.Edits(model, Store("s"))
    for targets, match in ((["lm_head"], "one tensor with model.embed_tokens.weight"), (["embed_tokens", "q_proj"], "no pair")):
        config = peft.LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
        peft.get_peft_model(tiny.model(), config).save_pretrained(tmp_path / targets[0])
        with pytest.raises(InputError, match=match):
            edits.lora_apply(tmp_path / targets[0])
    assert bits(model) == before


def test_a_merge_whose_logits_differ_is_undone(model: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, before, edits = adapter(tmp_path / "adapter"), bits(model), lab.Edits(model, Store("s"))
    monkeypatch.setattr("solon.lab.lora.logits_with", lambda m, updates, ids: torch.full((1, 16, 256), 3.0))
    with pytest.raises(CheckFailed, match="logits differ"):
        edits.lora_apply(path)
    assert bits(model) == before


def test_a_test_that_edits_weights_has_not_measured_the_edit(model: torch.nn.Module) -> None:
    before, results = bits(model), iter([3.0, 2.0])

    def test(m: Any) -> Any:
        with torch.no_grad():
            m.model.norm.weight.mul_(2)
        return tiny.losses(next(results))

    with lab.experiment(model, test=test, store="s") as edit:
        edit.scale(O_PROJ, 1.5)
    assert edit.outcome == "rolled_back"
    assert "test_edits" in codes(edit)
    assert bits(model) == before


def test_modes_and_buffers_that_the_test_leaves_are_put_back(model: torch.nn.Module) -> None:
    model.model.layers[0].train()  # a mixture of modes
    model.register_buffer("seen", torch.zeros(1))
    modes = {name: module.training for name, module in model.named_modules()}
    results = iter([3.0, 2.0])

    def test(m: Any) -> Any:
        m.train()
        m.seen += 1
        return tiny.losses(next(results))

    with lab.experiment(model, test=test, store="s") as edit:
        edit.scale(O_PROJ, 1.5)
    assert edit.outcome == "kept"
    assert model.seen.item() == 0
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert Store("s").diff(edit.baseline, edit.checkpoint).names == [O_PROJ]


# -- signals at awkward moments ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("where", ["judge", "_norms", "_close"])
def test_a_signal_while_the_edit_is_judged_or_undone_comes_after(
    model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch, where: str, number: int
) -> None:
    before, owner = bits(model), judging if where == "judge" else lab.Experiment
    real = getattr(owner, where)

    def struck(*arguments: Any) -> Any:
        signal.raise_signal(number)
        return real(*arguments)

    monkeypatch.setattr(owner, where, struck)
    means, kind = (3.0, 2.0) if where == "judge" else (3.0, 4.0), SystemExit if number == signal.SIGTERM else KeyboardInterrupt
    with pytest.raises(kind), lab.experiment(model, test=falling(*means), store="s") as edit:
        edit.scale(O_PROJ, 1.5)
    assert edit.outcome == ("errored" if where == "judge" else "rolled_back")
    assert bits(model) == before
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert Store("s").pins() == {}


def test_a_handler_that_somebody_set_is_asked(model: torch.nn.Module) -> None:
    heard: list[int] = []
    old = signal.signal(signal.SIGTERM, lambda received, frame: heard.append(received))
    try:
        with lab.experiment(model, test=falling(3.0, 2.0), store="s") as edit:
            edit.scale(O_PROJ, 1.5)
            signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
        assert edit.outcome == "kept"
    finally:
        signal.signal(signal.SIGTERM, old)


# -- after a crash ----


def test_an_experiment_killed_by_sigkill_is_found_and_rolled_back(model: torch.nn.Module) -> None:
    before = bits(model)
    child = os.fork()
    if child == 0:
        with lab.experiment(model, test=falling(3.0), store="s", name="killed") as edit:
            edit.scale(O_PROJ, 2.0)
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    store = Store("s")
    assert len(store.pins()) == 1
    with torch.no_grad():
        model.model.norm.weight.zero_()
    (found,) = lab.recover(store, model)
    assert (found["name"], found["verified"], found["restored"]) == ("killed", True, True)
    assert bits(model) == before
    assert store.pins() == {}
    assert lab.recover(store) == []
    assert store.journal.records("experiment_close")[0]["recovered"] is True


def test_a_running_experiment_is_left_alone(model: torch.nn.Module) -> None:
    with lab.experiment(model, test=falling(3.0, 4.0), store="s") as edit:
        assert lab.recover(Store("s")) == []
        assert edit.outcome == "open"
