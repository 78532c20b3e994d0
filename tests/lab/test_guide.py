"""Every snippet of the guide runs, with only its import lines and model ids rewritten, on a tiny local model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from solon import lab
from tests.lab import tiny

GUIDE = Path(__file__).parents[2].parent / "shared" / "seeds" / "self-modification-safety-guide.txt"
MODULES = "checkpointing|safety_monitor|memory|introspection|benchmarks|model_manager"


def snippets() -> list[tuple[int, str]]:
    if not GUIDE.exists():
        return []
    text = GUIDE.read_text(encoding="utf-8")
    return [(text[: m.start()].count("\n") + 2, m.group(1)) for m in re.finditer(r"```python\n(.*?)```", text, re.S)]


def rewritten(code: str, folder: Path) -> str:
    code = re.sub(rf"^(\s*)from ({MODULES}) import", r"\1from solon.lab import", code, flags=re.M)
    return code.replace("Qwen/Qwen2.5-3B-Instruct", str(folder))


class GuideModel(tiny.Qwen2ForCausalLM):
    """The guide calls tensors by shorter paths than the model has."""

    @property
    def layer(self) -> torch.nn.Module:
        return self.model.layers[0].mlp.down_proj

    @property
    def embed_tokens(self) -> torch.nn.Module:
        return self.model.embed_tokens


@pytest.fixture
def namespace(tokenizer: Any, folder: Path) -> dict[str, Any]:
    model = GuideModel.from_pretrained(folder).eval()
    checkpointer = lab.CheckpointManager(model=model, checkpoint_dir="data/checkpoints")
    baseline = checkpointer.save_checkpoint({"state": "baseline"})
    weight = model.model.layers[1].mlp.up_proj.weight

    def touch(*_: Any, **__: Any) -> None:
        with torch.no_grad():
            weight.mul_(1.01)

    touch()
    modified = checkpointer.save_checkpoint({"state": "modified"})
    checkpointer.restore_checkpoint(baseline)
    memory = lab.MemorySystem("data/memory")
    inspector = lab.WeightInspector(model, "tiny")
    memory.set_weight_inspector(inspector)
    lab.run_benchmarks(model, tokenizer)
    return {
        "model": model, "tokenizer": tokenizer, "checkpointer": checkpointer, "checkpoint_id": baseline, "baseline_id": baseline,
        "modified_id": modified, "safety": lab.SafetyMonitor(), "memory": memory, "inspector": inspector, "torch": torch,
        "modify_weights": touch, "modify_layer": touch, "modify": touch, "modify_attention_heads": lambda m, scale: touch(),
        "test_model": lambda *_: {"success": False}, "delta": 0.01, "num_epochs": 3, "batch_size": 8, "success": True,
        "embed_tokens": "embed_tokens", "lm_head": "lm_head", "run_benchmarks": lab.run_benchmarks,
        "load_baseline_metrics": lab.load_baseline_metrics,
    }  # fmt: skip


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not beside this checkout")
@pytest.mark.parametrize(("line", "code"), snippets(), ids=lambda value: f"line{value}" if isinstance(value, int) else "")
def test_snippet_runs(line: int, code: str, namespace: dict[str, Any], folder: Path) -> None:
    with torch.no_grad():
        exec(compile(rewritten(code, folder), f"guide:{line}", "exec"), namespace)


def run(namespace: dict[str, Any], folder: Path, containing: str) -> dict[str, Any]:
    code = next(code for _, code in snippets() if containing in code)
    with torch.no_grad():
        exec(compile(rewritten(code, folder), "guide", "exec"), namespace)
    return namespace


needs_guide = pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not beside this checkout")


@needs_guide
def test_automatic_checkpoints_come_every_tenth_modification(namespace: dict[str, Any], folder: Path) -> None:
    auto = run(namespace, folder, "AutoCheckpointer(")["auto_cp"]
    assert auto.modifications == 50
    assert [info.metadata["modification"] for info in auto.store.log() if "modification" in info.metadata] == [10, 20, 30, 40, 50]


@needs_guide
def test_the_guides_own_template_keeps_its_returns(namespace: dict[str, Any], folder: Path) -> None:
    result = run(namespace, folder, "def safe_modification_experiment")["result"]
    assert set(result) in ({"success", "checkpoint", "improvement"}, {"success", "improvement"})


@needs_guide
def test_the_unsafe_line_is_recorded_as_one_coupled_event(namespace: dict[str, Any], folder: Path) -> None:
    memory = run(namespace, folder, "record_modification")["memory"]
    (event,) = memory.observations.query(category="coupled_modification")
    assert event.data["primary_layer"] == "model.embed_tokens.weight"
    assert event.data["coupled_layers"] == ["lm_head.weight"]
    assert {"embed_tokens", "lm_head.weight"} <= set(event.tags)


# -- the ready-made functions ------------------------------------------------------------------------------------------------


def scaled(name: str, factor: float) -> Any:
    def modify(model: torch.nn.Module) -> None:
        with torch.no_grad():
            dict(model.named_parameters())[name].mul_(factor)

    return modify


@pytest.mark.slow
def test_kept_only_when_better(tokenizer: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = tiny.trained()
    broken = "model.norm.weight"
    with torch.no_grad():
        model.model.norm.weight.mul_(0.05)  # a wound that the modification heals

    def test(m: Any) -> dict[str, Any]:
        return lab.run_benchmarks(m, tokenizer)

    result = lab.safe_modification_experiment(model, scaled(broken, 20.0), test, "heal")
    assert set(result) == {"success", "checkpoint", "improvement"}
    assert result["success"] is True
    assert result["improvement"] > 0
    memory = lab.MemorySystem("data/memory/heal")
    assert [r.category for r in memory.observations.query()] == ["baseline", "success"]
    assert memory.observations.query("success")[0].importance == 0.9

    before = {n: p.clone() for n, p in model.named_parameters()}
    worse = lab.safe_modification_experiment(model, scaled(broken, 0.01), test, "wound")
    assert set(worse) == {"success", "improvement"}
    assert worse["improvement"] < 0
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert lab.MemorySystem("data/memory/wound").observations.query("failure")[0].importance == 0.7


def test_without_an_interval_the_guide_keeps_but_warns(model: torch.nn.Module, caplog: pytest.LogCaptureFixture) -> None:
    values = iter([10.0, 9.0])
    with pytest.warns(UserWarning, match="no interval: it may be noise"):
        result = lab.safe_modification_experiment(
            model, scaled("model.norm.weight", 1.1), lambda m: {"perplexity": next(values)}, "point"
        )
    assert result["success"] is True
    assert result["improvement"] == pytest.approx(10.0)
    assert "may be noise" in caplog.text


@pytest.mark.parametrize(
    ("after", "match"),
    [
        ({"perplexity": float("nan")}, "finite"),
        ({"perplexity": float("inf")}, "finite"),
        ({"loss": 3}, "perplexity"),
        ("good", "perplexity"),
        (None, "perplexity"),
        (ValueError("the test broke"), "the test broke"),
    ],
)
def test_nonsense_from_the_test_rolls_back_and_is_reported(model: torch.nn.Module, after: Any, match: str) -> None:
    results = iter([{"perplexity": 10.0}, after])

    def test(_: Any) -> Any:
        value = next(results)
        if isinstance(value, Exception):
            raise value
        return value

    before = {n: p.clone() for n, p in model.named_parameters()}
    result = lab.safe_modification_experiment(model, scaled("model.norm.weight", 2.0), test, "odd")
    assert set(result) == {"success", "error"}
    assert result["success"] is False
    assert match in result["error"]
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert lab.MemorySystem("data/memory/odd").observations.query("error")[0].importance == 0.8


def test_nan_weights_are_a_critical_issue(model: torch.nn.Module) -> None:
    result = lab.safe_modification_experiment(
        model, scaled("model.norm.weight", float("nan")), lambda m: {"perplexity": 1.0}, "nan"
    )
    assert result["success"] is False
    assert "NaN" in result["error"]
    assert not torch.isnan(model.model.norm.weight).any()


def test_dashboard_has_the_guides_keys(model: torch.nn.Module) -> None:
    checkpointer, safety = lab.CheckpointManager(model, "data/checkpoints"), lab.SafetyMonitor()
    assert lab.get_safety_dashboard(model, checkpointer, safety)["checkpoints"]["latest"] is None
    name = checkpointer.save_checkpoint()
    with torch.no_grad():
        model.lm_head.weight[0, :3] = float("nan")
        model.model.norm.weight[0] = float("-inf")
    board = lab.get_safety_dashboard(model, checkpointer, safety)
    assert board["checkpoints"]["total"] == 1
    assert board["checkpoints"]["latest"] == name
    assert board["checkpoints"]["disk_usage_gb"] > 0
    assert board["health"]["status"] == "CRITICAL"
    assert board["weights"] == {"nan_count": 3, "inf_count": 1}
    assert board["alerts"]["critical"] == 2


# -- managers ------------------------------------------------------------------------------------------------------------------


def test_checkpoint_ids_order_and_failure(model: torch.nn.Module) -> None:
    checkpointer = lab.CheckpointManager(model=model, checkpoint_dir="c")
    first, second = checkpointer.save_checkpoint(metadata={"purpose": "one"}), checkpointer.save_checkpoint()
    assert re.fullmatch(r"checkpoint_\d{8}_\d{6}_[0-9a-f]{8}", first)
    listed = checkpointer.list_checkpoints()
    assert [c["id"] for c in listed] == [first, second]
    assert listed[0]["metadata"]["purpose"] == "one"
    assert listed[0]["metadata"]["timestamp"].endswith("Z")
    before = model.model.norm.weight.clone()
    assert checkpointer.restore_checkpoint("checkpoint_20251107_031500_a1b2c3d4") is False
    assert "no checkpoint" in str(checkpointer.last_error)
    assert torch.equal(model.model.norm.weight, before)
    assert checkpointer.restore_checkpoint(first) is True
    assert checkpointer.get_disk_usage() > 100_000


def test_comparison_by_hand(model: torch.nn.Module) -> None:
    checkpointer = lab.CheckpointManager(model, "c")
    first = checkpointer.save_checkpoint()
    scaled("model.norm.weight", 1.5)(model)
    scaled("model.embed_tokens.weight", 1.25)(model)
    found = checkpointer.compare_checkpoints(checkpoint_id_1=first, checkpoint_id_2=checkpointer.save_checkpoint())
    assert found["num_differences"] == 2
    assert [d["layer"] for d in found["differences"]] == ["model.norm.weight", "model.embed_tokens.weight"]
    assert [d["change"] for d in found["differences"]] == pytest.approx([0.5, 0.25])
    assert found["differences"][1]["aliases"] == ["lm_head.weight"]


def test_automatic_checkpoints_keep_the_newest_and_the_baseline(model: torch.nn.Module) -> None:
    auto = lab.AutoCheckpointer(model=model, checkpoint_dir="a", frequency=2, max_checkpoints=3)
    with auto:
        for _ in range(14):
            scaled("model.norm.weight", 1.01)(model)
    kept = [info.metadata.get("modification") for info in auto.store.log()]
    assert kept == [None, 10, 12, 14]
    assert auto.store.log()[0].id == auto.baseline
    auto.store.restore(auto.baseline, model)
    assert torch.equal(model.model.norm.weight, torch.ones(32))


def test_a_call_is_one_modification_and_is_never_saved_by_half(model: torch.nn.Module) -> None:
    weight, bias = model.model.norm.weight, model.model.layers[0].self_attn.q_proj.bias

    def set_both(value: int) -> None:
        with torch.no_grad():
            weight.fill_(value)
            model(input_ids=torch.tensor([[1, 2]]))
            bias.fill_(value)

    with lab.AutoCheckpointer(model, "a", frequency=2) as auto:
        for value in range(1, 8):
            set_both(value)
    assert auto.modifications == 7
    pairs = [
        [auto.store.tensor(name, key)[0].item() for key in ("model.norm.weight", "model.layers.0.self_attn.q_proj.bias")]
        for name in auto.checkpoints
    ]
    assert pairs == [[2, 2], [4, 4], [6, 6]]
    with lab.AutoCheckpointer(model, "b", frequency=2) as auto, torch.no_grad():
        weight.fill_(1)
        weight.fill_(2)  # each stands in the block itself
    assert (auto.modifications, len(auto.checkpoints)) == (2, 1)


def test_explicit_steps_and_optimizer_steps_count_as_one_each(model: torch.nn.Module) -> None:
    with lab.AutoCheckpointer(model, "a", frequency=3) as auto:
        saved = []
        for _ in range(7):
            scaled("model.norm.weight", 1.01)(model)
            scaled("model.embed_tokens.weight", 1.01)(model)
            saved.append(auto.step())
    assert [name is not None for name in saved] == [False, False, True, False, False, True, False]
    optimizer = torch.optim.AdamW(model.parameters())
    with lab.AutoCheckpointer(model, "b", frequency=2, optimizer=optimizer) as auto:
        for _ in range(5):
            model(input_ids=torch.tensor([[1, 2]]), labels=torch.tensor([[1, 2]])).loss.backward()
            optimizer.step()
    assert auto.modifications == 5
    assert len(auto.checkpoints) == 2


def test_reading_is_no_modification(model: torch.nn.Module) -> None:
    with lab.AutoCheckpointer(model, "a", frequency=1) as auto:
        model(input_ids=torch.tensor([[1, 2, 3]]))
        model.model.norm.weight.clone().mul_(2)
    assert auto.modifications == 0


def test_baseline_metrics_must_exist(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no baseline metrics"):
        lab.load_baseline_metrics()


def test_perplexity_by_hand(model: torch.nn.Module, tokenizer: Any) -> None:
    text = "Water is wet."
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss
    found = lab.run_benchmarks(model, tokenizer, [text, "A longer line of text, so that padding is needed."], batch_size=2)
    assert found["per_text"][0]["tokens"] == ids.shape[1] - 1
    assert found["per_text"][0]["nll"] / found["per_text"][0]["tokens"] == pytest.approx(float(loss), rel=1e-5)
    assert found["perplexity"] == pytest.approx(2.718281828 ** found["loss"], rel=1e-6)
