"""The drills pass on a constitution that works and fail on systems that are broken on purpose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from solon.constitution import load
from solon.governance import drills
from solon.governance.breaches import rehearse
from solon.governance.drills import consensus_drill, emergency_drill, limits_drill
from solon.policy import limits
from solon.policy.assess import Judge
from solon.policy.limits import BREACH, OK
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


@pytest.mark.parametrize("place", ["trading", "examples/trading_desk/constitution.md"])
def test_every_limit_that_does_not_bite_is_named(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check in turn finds nothing; each in turn is a step too strict."""
    constitution = load(place if place == "trading" else Path(__file__).parents[2] / place)
    judge = Judge.of(constitution)
    assert rehearse(judge)[1:] == ([], [])
    for number, (check, bound) in enumerate(judge.checks):
        blind = replace(check, function=lambda *_: (OK, 0, 0))
        for changed in ((blind, bound), (replace(check, function=lambda *_: (BREACH, 0, 0)), bound)):
            checks = (*judge.checks[:number], changed, *judge.checks[number + 1 :])
            _, wrong, _ = rehearse(replace(judge, checks=checks))
            assert [text.split(":")[0] for text in wrong] == [check.key]


def test_the_drill_fails_where_a_limit_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    check = limits_drill(load("trading"), cases=1)
    assert "ok: 21 of 21 limits hold up to their bound and are broken beyond it" in check.evidence
    blind = tuple(replace(c, function=lambda *_: (OK, 0, 0)) if c.key == "margin_buffer" else c for c in limits.CHECKS)
    monkeypatch.setattr(limits, "CHECKS", blind)
    check = limits_drill(load("trading"), cases=1)
    assert check.status == "FAIL" and "NOT AS EXPECTED: margin_buffer: ok within, ok beyond, yet allowed" in check.evidence


def test_limits_of_a_domain_of_its_own_are_rehearsed() -> None:
    check = limits_drill(load(Path(__file__).parents[2] / "examples/agent_budget/constitution.md"), cases=1)
    assert check.status == "PASS" and any("4 maxima of its own" in line for line in check.evidence), check.evidence
