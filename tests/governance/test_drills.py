"""The drills pass on a constitution that works and fail on systems that are broken on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from solon.constitution import load
from solon.governance import drills
from solon.governance.drills import consensus_drill, emergency_drill, limits_drill
from solon.policy.types import SEVERITY_OUTCOME, Severity
from solon.run.safety import safety_report


def test_drills_pass_on_the_trading_constitution() -> None:
    constitution = load("trading")
    for check in (limits_drill(constitution, cases=60), consensus_drill(constitution, schedules=9)):
        assert check.status == "PASS", check.evidence
    assert any("largest allowed order, 200" in line for line in limits_drill(constitution, cases=1).evidence)


@pytest.mark.slow
def test_emergency_drill_stops_real_processes() -> None:
    check = emergency_drill(load("trading"), within=2.0)  # a shared machine may be slow; the report itself asks for 0.1 s
    assert check.status == "PASS", check.evidence


def test_a_constitution_without_limits_is_not_run() -> None:
    assert limits_drill(load("helpful-harmless")).status == "NOT RUN"


def test_limits_that_do_not_bite_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SEVERITY_OUTCOME, Severity.high, "allow")
    assert limits_drill(load("trading"), cases=20).status == "FAIL"


def test_a_quorum_that_is_too_small_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from solon.policy.council import Quorum

    monkeypatch.setattr(Quorum, "q", property(lambda self: self.n // 2))
    check = consensus_drill(load("trading"), schedules=12)
    assert check.status == "FAIL"


def test_an_error_fails_and_silence_is_not_run() -> None:
    def broken(_: drills.Check) -> None:
        raise OSError("disk")

    assert drills.run_check("x", broken).status == "FAIL"
    assert drills.run_check("x", lambda check: None).status == "NOT RUN"


def test_without_a_run_the_report_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from solon.run import safety

    for name in ("limits_drill", "consensus_drill", "emergency_drill"):
        monkeypatch.setattr(safety, name, lambda *_, **__: drills.Check("x", "PASS", ["seen"]))
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "manifest.json").write_text('{"inputs": {}, "outputs": {}, "steps": {}}')
    for run in (None, tmp_path, begun):
        report = safety_report("trading", run=run)
        assert not report.passed and [check.status for check in report.checks] == ["NOT RUN"] * 6 + ["PASS"] * 3
        assert "3 of 9 passed: FAILED" in report.text()
