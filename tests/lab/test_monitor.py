"""The monitor: what is found, how severe it is, and what then happens."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from solon import lab
from solon.errors import ConfigError, InputError
from solon.lab.alerts import status
from solon.lab.monitor import repetition


def codes(result: dict) -> list[str]:
    return [one["code"] for one in result["issues"]]


@pytest.fixture
def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))


def test_tensor_by_hand() -> None:
    safety = lab.SafetyMonitor()
    safety.set_threshold("nan_tolerance", 0)
    safety.set_threshold("max_weight_value", 10.0)
    safety.set_threshold("gradient_clip", 5.0)
    assert safety.check_tensor_health(torch.tensor([1.0, -9.9]), "w")["status"] == "OK"
    large = safety.check_tensor_health(torch.tensor([1.0, -10.5]), "w")
    assert (large["status"], codes(large), large["issues"][0]["severity"]) == ("WARNING", ["magnitude"], "MEDIUM")
    assert "10.5" in large["issues"][0]["message"]
    sick = safety.check_tensor_health(torch.tensor([float("nan"), float("inf"), float("nan")]), "w")
    assert (sick["status"], codes(sick), sick["nan_count"], sick["inf_count"]) == ("CRITICAL", ["nan", "inf"], 2, 1)
    safety.set_threshold("nan_tolerance", 2)
    assert codes(safety.check_tensor_health(torch.tensor([float("nan"), 1.0, float("nan")]), "w")) == []


def test_status_is_the_worst_issue() -> None:
    cases = {"CRITICAL": "CRITICAL", "HIGH": "WARNING", "MEDIUM": "WARNING", "LOW": "OK", "INFO": "OK"}
    for level, wanted in cases.items():
        assert status([{"severity": "INFO"}, {"severity": level}]) == wanted
    assert status([]) == "OK"


def test_growth_is_measured_against_the_baseline(net: nn.Sequential) -> None:
    safety = lab.SafetyMonitor()
    with torch.no_grad():
        net[0].weight[0, 0] = 50.0  # an outlier that was there before is no alarm
    safety.set_baseline(net)
    assert safety.check_model_health(net)["status"] == "OK"
    with torch.no_grad():
        net[2].weight.mul_(5)
    result = safety.check_model_health(net)
    assert result["status"] == "WARNING"
    assert set(codes(result)) == {"growth"}
    assert " 5 times its baseline" in result["issues"][0]["message"]


def test_rows_that_die_are_noticed_and_rows_that_were_dead_are_not(net: nn.Sequential) -> None:
    safety = lab.SafetyMonitor()
    with torch.no_grad():
        net[2].weight[0] = 0
    safety.set_baseline(net)
    assert codes(safety.check_model_health(net)) == []
    with torch.no_grad():
        net[2].weight[3] = 0
    assert codes(safety.check_model_health(net)) == ["dead_rows"]


def test_gradients(net: nn.Sequential) -> None:
    safety = lab.SafetyMonitor()
    with pytest.raises(InputError, match="no gradients"):
        safety.check_gradients(net)
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 0.01)
    assert safety.check_gradients(net)["status"] == "OK"
    net[0].weight.grad.fill_(1.0)  # norm sqrt(32) = 5.66
    assert codes(safety.check_gradients(net)) == ["gradient_explosion"]
    net[0].weight.grad.zero_()
    assert codes(safety.check_gradients(net)) == ["zero_gradient"]
    net[0].weight.grad[0, 0] = float("nan")
    assert safety.check_gradients(net)["status"] == "CRITICAL"
    assert safety.check_model_health(net)["status"] == "CRITICAL"


def test_activations(net: nn.Sequential) -> None:
    safety = lab.SafetyMonitor()
    batch = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    with safety.watch(net) as reference:
        net(batch)
    assert set(reference.seen) == {"0", "1", "2", "3", "4"}
    assert reference.issues == []
    with safety.watch(net, reference) as same:
        net(batch)
    assert same.issues == []
    with torch.no_grad():
        net[2].weight.mul_(100)  # saturates the tanh
        net[0].bias.fill_(-100)  # kills the relu
    with safety.watch(net, reference) as seen:
        net(batch)
    found = {(one["code"], one["module"]) for one in seen.issues}
    assert ("dead_units", "1") in found
    assert ("drift", "0") in found
    with torch.no_grad():
        net[0].bias.fill_(100)
    with safety.watch(net) as seen:
        net(batch)
    assert ("saturation", "3") in {(one["code"], one["module"]) for one in seen.issues}
    assert not any(module._forward_hooks for module in net.modules())


def test_nan_activations_are_critical(net: nn.Sequential) -> None:
    safety = lab.SafetyMonitor()
    with safety.watch(net) as seen:
        net(torch.full((2, 4), float("nan")))
    assert seen.issues[0]["severity"] == "CRITICAL"
    with safety.watch(net) as nothing:
        pass
    assert [one["code"] for one in nothing.issues] == ["nothing_seen"]


def test_outputs() -> None:
    safety = lab.SafetyMonitor()
    flat = safety.check_outputs(torch.zeros(3, 10), [1, 2, 3, 4, 5])
    assert flat["entropy"] == pytest.approx(2.302585, rel=1e-5)
    assert flat["status"] == "OK"
    peaked = torch.zeros(3, 10)
    peaked[:, 0] = 100
    assert codes(safety.check_outputs(peaked, [7] * 20)) == ["collapse", "repetition"]
    assert safety.check_outputs(torch.full((1, 3), float("nan")))["status"] == "CRITICAL"
    assert repetition([1, 2, 3, 1, 2, 3]) == 0.25  # four 3-grams, one of them twice


def test_memory_and_time() -> None:
    safety = lab.SafetyMonitor()
    safety.set_threshold("memory_fraction", 0.0)
    assert "memory" in codes(safety.check_memory())
    with safety.timed("a step", limit_s=0.01):
        time.sleep(0.03)
    assert safety.get_alert_history()[-1]["code"] == "time"


def test_alerts_are_a_ring_with_filter_and_export(tmp_path: Path) -> None:
    safety = lab.SafetyMonitor(history=3)
    for number in range(5):
        safety.check_tensor_health(torch.tensor([float("nan")]), f"t{number}")
    history = safety.get_alert_history()
    assert [a["tensor"] for a in history] == ["t2", "t3", "t4"]
    assert {"timestamp", "severity", "message"} <= set(history[0])
    assert len(safety.get_alerts_by_severity("CRITICAL")) == 3
    assert safety.get_alerts_by_severity("high") == []
    with pytest.raises(InputError, match="critical"):
        safety.get_alerts_by_severity("critcal")
    assert safety.alerts.export(tmp_path / "a.jsonl") == 3
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])["tensor"] == "t2"


def test_thresholds_are_named_and_checked() -> None:
    safety = lab.SafetyMonitor()
    with pytest.raises(ConfigError, match="max_weight_value"):
        safety.set_threshold("max_weight_valu", 3)
    for bad in (float("nan"), -1, "3", True):
        with pytest.raises(ConfigError, match="expected a number"):
            safety.set_threshold("gradient_clip", bad)


def test_emergency_callback_runs_once_per_emergency_and_never_inside_itself(net: nn.Sequential) -> None:
    safety, calls = lab.SafetyMonitor(), []
    safety.set_emergency_callback(lambda: calls.append(safety.check_model_health(net)["status"]))
    assert safety.check_model_health(net)["status"] == "OK"
    with torch.no_grad():
        net[0].weight[0, 0] = float("nan")
    safety.check_model_health(net)
    assert calls == ["CRITICAL"]


def test_a_failing_callback_is_an_alert_and_is_raised(net: nn.Sequential) -> None:
    safety = lab.SafetyMonitor()

    def fails() -> None:
        raise RuntimeError("no phone")

    safety.set_emergency_callback(fails)
    with pytest.raises(RuntimeError, match="no phone"):
        safety.check_tensor_health(torch.tensor([float("nan")]))
    assert "no phone" in safety.get_alerts_by_severity("CRITICAL")[-1]["message"]


def test_armed_it_rolls_back_and_without_a_baseline_it_refuses(net: nn.Sequential, tmp_path: Path) -> None:
    checkpointer, safety = lab.CheckpointManager(net, tmp_path / "c"), lab.SafetyMonitor()
    with pytest.raises(InputError, match="baseline"):
        safety.arm(net, checkpointer)
    checkpointer.save_checkpoint()
    with pytest.raises(InputError, match="baseline"):
        safety.arm(net, checkpointer)
    baseline = checkpointer.save_checkpoint({"state": "baseline"})
    before = net[0].weight.clone()
    assert safety.arm(net, checkpointer) == baseline
    with torch.no_grad():
        net[0].weight.fill_(float("nan"))
    assert safety.check_model_health(net)["status"] == "CRITICAL"
    assert torch.equal(net[0].weight, before)
    assert safety.check_model_health(net)["status"] == "OK"
    with torch.no_grad():
        net[0].weight.fill_(float("nan"))
    poisoned = checkpointer.save_checkpoint({"state": "baseline"})
    with pytest.raises(InputError, match="NaN"):
        safety.arm(net, checkpointer, poisoned)


@pytest.mark.parametrize("thing", [None, 3, torch.nn.Linear, torch.ones(2)])
def test_what_is_no_model_is_refused_by_name(thing: Any, tokenizer: Any, tmp_path: Path) -> None:
    safety = lab.SafetyMonitor()
    for use in (
        safety.check_model_health, safety.check_gradients, safety.set_baseline, lambda m: safety.watch(m).__enter__(),
        lambda m: lab.run_benchmarks(m, tokenizer), lambda m: lab.WeightInspector(m).layers(),
        lambda m: lab.CheckpointManager(m, tmp_path / "s").save_checkpoint(), lambda m: lab.experiment(m),
    ):  # fmt: skip
        with pytest.raises(InputError, match=r"expected a torch\.nn\.Module"):
            use(thing)


def test_names_and_texts_of_other_kinds_are_refused_or_kept(model: torch.nn.Module, tmp_path: Path) -> None:
    memory = lab.MemorySystem(tmp_path / "m")
    memory.set_weight_inspector(lab.WeightInspector(model))
    with pytest.raises(InputError, match="one of its tensors, got None"):
        memory.record_modification(None, {})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="category"):
        memory.record_observation("x", category=None)  # type: ignore[arg-type]
    memory.record_observation("a reply with half a character: \udc80")
    assert memory.observations.query()[0].text.endswith("?")
    with pytest.raises(InputError, match="finite perplexity"):
        lab.save_baseline_metrics({})
