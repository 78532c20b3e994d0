"""Replays: ladder states and times, votes and vetoes, the signed log, and files that are refused."""

from __future__ import annotations

import csv
import json
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from solon.constitution import load, parse_text, render
from solon.errors import InputError, IntegrityError
from solon.governance.home import read_ledger
from solon.governance.replay import replay
from solon.governance.rerun import rerun
from solon.governance.tables import read_states
from solon.ledger.keys import read_public
from solon.ledger.proofs import verify_file
from solon.policy.parsing import timestamp
from solon.policy.types import Refused
from tests.governance.people import ledger


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "decisions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def minutes(values: list[str], column: str = "nav_unit") -> str:
    lines = [f"2026-03-02T10:{m:02d}:00Z,{value}" for m, value in enumerate(values)]
    return "\n".join([f"ts,{column}", *lines]) + "\n"


@pytest.mark.slow
def test_the_ladder_on_a_falling_unit_value(tmp_path: Path) -> None:
    """100 -> 88 is 12 % (reduce), 86 is 14 % (no new), 85 is 15 % (kill, once three marks in a row confirm it)."""
    states = write(tmp_path / "s.csv", minutes(["100", "88.01", "88", "86.01", "86", "85", "85", "85", "99", "100"]))
    summary = replay(states, "trading", out=tmp_path / "out", plots=True)
    found = rows(tmp_path / "out")
    assert [row["ladder"] for row in found] == [
        "normal", "normal", "reduce", "reduce", "no_new", "no_new", "no_new", "killed", "killed", "killed",
    ]  # fmt: skip
    assert [row["verdict"] for row in found] == ["allow"] + ["deny"] * 4 + ["halt"] * 5, "as `decide`: nothing is bought at 15 %"
    assert found[1]["reasons"] == "max_daily_loss_pct" and found[1]["daily_loss_pct"] == "11.99"
    assert [row["drawdown_pct"] for row in found][:6] == ["0.00", "11.99", "12.00", "13.99", "14.00", "15.00"]
    assert summary.rungs["reduce"] == "2026-03-02T10:02:00Z" and summary.worst_drawdown_pct == "15.00"
    assert summary.escalations == 8 and (tmp_path / "out" / "ladder.png").stat().st_size > 5000
    report = verify_file(tmp_path / "out" / "ledger.db", read_public(tmp_path / "out" / "replay.pub"))
    assert report.kinds["row"] == 10 and summary.ledger is not None and summary.ledger["root"] == report.root
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    assert kinds.count("rung") == 3 and kinds.count("unconfirmed_kill") == 2


def test_losses_are_measured_where_the_file_does_not_state_them(tmp_path: Path) -> None:
    """5 % in a day is allowed, more is not; the day begins with the last value of the day before, and 24 hours do not forget."""
    lines = ["2026-03-02T20:00:00-05:00,100", "2026-03-02T23:00:00-05:00,96", "2026-03-03T01:00:00-05:00,95.04"]
    states = write(tmp_path / "s.csv", "ts,nav_unit\n" + "\n".join([*lines, "2026-03-03T02:00:00-05:00,94.9"]) + "\n")
    replay(states, "trading", out=tmp_path / "out", ledger=False, plots=False)
    found = rows(tmp_path / "out")
    assert [row["daily_loss_pct"] for row in found] == ["0.00", "4.00", "1.00", "1.15"]
    assert [row["loss_24h_pct"] for row in found] == ["0.00", "4.00", "4.96", "5.10"]
    assert [row["verdict"] for row in found] == ["allow", "allow", "allow", "deny"]


def walk(seed: int, bars: int, together: float, minutes_each: int = 5) -> str:
    """Two holdings of a tenth of 100,000 each; `together` is the share of their common noise."""
    rng, logs = random.Random(seed), [0.0, 0.0]
    lines = ["ts,symbol,qty,mark,cash"]
    for bar in range(bars):
        common = rng.gauss(0, 0.002)
        at = f"2026-03-02T{9 + bar * minutes_each // 60:02d}:{bar * minutes_each % 60:02d}:00Z"
        for i, symbol in enumerate("AB"):
            logs[i] += together * common + (1 - together) * rng.gauss(0, 0.002)
            lines.append(f"{at},{symbol},100,{100 * math.exp(logs[i]):.6f},80000")
    return "\n".join(lines) + "\n"


def test_correlations_are_measured_from_the_marks(tmp_path: Path) -> None:
    for name, together, highest in (("apart", 0.0, 0.6), ("one", 0.98, 1.0)):
        states = write(tmp_path / f"{name}.csv", walk(3, 70, together))
        summary = replay(states, "trading", out=tmp_path / name, ledger=False, plots=False)
        found = rows(tmp_path / name)
        assert {row["max_pair_correlation"] for row in found[:30]} == {"unknown"}, "30 returns are needed"
        assert {row["weighted_correlation"] for row in found[:20]} == {"unknown"}
        assert float(found[-1]["max_pair_correlation"]) <= highest
        assert ("reduce" in summary.rungs) == (name == "one"), "a breakdown asks for reduce, at its second reading"
        assert ("max_correlation_critical" in found[-1]["reasons"]) == (name == "one")


def test_crashes_are_seen_where_the_bars_are_fine_enough(tmp_path: Path) -> None:
    """8 % in 15 minutes and 5 % in five; hourly bars cannot show either, and say so."""
    head = "ts,symbol,qty,mark,cash\n"

    def states(name: str, step: int, marks: list[str]) -> Path:
        lines = [f"2026-03-02T{10 + i * step // 60}:{i * step % 60:02d}:00Z,A,100,{m},90000" for i, m in enumerate(marks)]
        return write(tmp_path / f"{name}.csv", head + "\n".join(lines) + "\n")

    slow = [str(100 - 1.6 * i) for i in range(6)]  # 8 % after five bars of three minutes, never 5 % within five
    for name, step, marks, flash in (
        ("minutes", 1, ["100", "98", "96", "95"], "1"),
        ("three", 3, slow, "1"),
        ("calm", 1, ["100", "99", "98", "97"], "0"),
        ("hours", 60, ["100", "90", "80"], "unknown"),
    ):
        summary = replay(states(name, step, marks), "trading", out=tmp_path / name, ledger=False, plots=False)
        found = rows(tmp_path / name)
        assert found[-1]["flash_crash"] == flash and found[0]["flash_crash"] == "unknown", name
        assert ("no_new" in summary.rungs) == (flash == "1")
        assert found[-1]["volatility_ratio"] == "unknown", "it takes twenty days"


def test_one_bad_tick_reduces_but_does_not_kill(tmp_path: Path) -> None:
    states = write(tmp_path / "s.csv", minutes(["100", "50", "100", "100"]))
    summary = replay(states, "trading", out=tmp_path / "out", ledger=False, plots=False)
    assert set(summary.rungs) == {"normal", "no_new"}
    assert not (tmp_path / "out" / "ledger.db").exists()


def test_two_sources_confirm_a_kill(tmp_path: Path) -> None:
    """A reported unit value and the account's own equity both 16 % down."""
    head = "ts,symbol,qty,mark,cash,nav_unit\n"
    body = "2026-03-02T10:00:00Z,A,100,100,90000,1\n2026-03-02T10:01:00Z,A,100,100,{cash},0.84\n"
    both = write(tmp_path / "a.csv", head + body.format(cash=74000))
    one = write(tmp_path / "b.csv", head + body.format(cash=90000))
    assert "killed" in replay(both, "trading", out=tmp_path / "a", ledger=False, plots=False).rungs
    assert "killed" not in replay(one, "trading", out=tmp_path / "b", ledger=False, plots=False).rungs
    assert "killed" in replay(one, "trading", out=tmp_path / "c", ledger=False, plots=False, confirmations=1).rungs


def test_the_documented_votes(tmp_path: Path) -> None:
    """Scenarios A7 and A8: no consensus without a risk manager; with one, its reduction stands."""
    states = write(tmp_path / "s.csv", minutes(["100", "100", "100"]))
    votes = write(
        tmp_path / "v.csv",
        "ts,proposal_id,voter,role,decision,proposed_action,confidence_pct\n"
        "2026-03-02T10:01:00Z,p1,buffett,,yes,strong_buy,82\n"
        "2026-03-02T10:01:00Z,p1,lynch,,yes,hold,65\n"
        "2026-03-02T10:01:00Z,p1,soros,,yes,sell,78\n"
        "2026-03-02T10:02:00Z,p2,simons,,yes,buy,88\n"
        "2026-03-02T10:02:00Z,p2,dalio,,yes,neutral,55\n"
        "2026-03-02T10:02:00Z,p2,risk,risk_manager,veto,reduce_exposure,91\n",
    )
    summary = replay(states, "trading", out=tmp_path / "out", votes=votes, ledger=False, plots=False)
    _, one, two = rows(tmp_path / "out")
    assert (one["vote_outcome"], one["vote_action"], one["escalate"], one["decision"]) == ("escalate", "sell", "yes", "escalate")
    assert (two["vote_outcome"], two["vote_action"], two["vetoed_by"]) == ("modify", "reduce_exposure", "risk")
    assert summary.proposals == 2 and summary.vetoes == 1
    assert summary.outvoted == {"buffett": 1, "lynch": 1, "simons": 1, "dalio": 1}
    told = [json.loads(line)["text"] for line in (tmp_path / "out" / "votes.jsonl").read_text().splitlines()]
    assert "no Byzantine tolerance" in told[0] and "1/3" not in told[0].split("\n")[0]


def test_votes_for_risk_give_way_to_the_ladder(tmp_path: Path) -> None:
    states = write(tmp_path / "s.csv", minutes(["100", "87", "87"]))
    lines = ["ts,proposal_id,voter,decision,proposed_action"]
    lines += [f"2026-03-02T10:01:00Z,up,{v},yes,buy" for v in "abcd"] + [
        f"2026-03-02T10:02:00Z,down,{v},yes,sell" for v in "abcd"
    ]
    votes = write(tmp_path / "v.csv", "\n".join(lines) + "\n")
    replay(states, "trading", out=tmp_path / "out", votes=votes, ledger=False, plots=False)
    found = {row["proposal_id"]: (row["vote_outcome"], row["decision"]) for row in rows(tmp_path / "out")}
    assert found == {"": ("", ""), "up": ("allow", "deny"), "down": ("allow", "allow")}


def test_limits_of_the_account_itself(tmp_path: Path) -> None:
    head = "ts,symbol,sector,qty,mark,cash,maintenance_margin,day_open_equity,weighted_correlation\n"
    lines = [
        "2026-03-02T10:00:00Z,A,s,100,100,40000,0,50000,0.5",  # 20 % in A: allowed
        "2026-03-02T10:01:00Z,A,s,101,100,40000,0,50000,0.5",  # beyond 20 %
        "2026-03-02T10:02:00Z,A,s,100,,40000,0,50000,0.5",  # no price
        "2026-03-02T10:03:00Z,A,s,100,100,40000,0,52700,0.95",  # lost more than 5 %
        "2026-03-02T10:04:00Z,A,s,100,100,40000,0,50000,0.95",  # the second reading of a breakdown
        "2026-03-02T10:05:00Z,,,,,-1,0,50000,0.5",  # nothing left
    ]
    states = write(tmp_path / "s.csv", head + "\n".join(lines) + "\n")
    replay(states, "trading", out=tmp_path / "out", ledger=False, plots=False)
    found = rows(tmp_path / "out")
    assert found[0]["verdict"] == "allow" and found[1]["reasons"] == "max_position_size_pct"
    assert "max_leverage?" in found[2]["reasons"] and "drawdown?" in found[2]["reasons"] and found[2]["verdict"] == "deny"
    assert "max_daily_loss_pct" in found[3]["reasons"] and found[3]["ladder"] == "normal"
    assert found[4]["ladder"] == "reduce" and "trigger:correlation_breakdown" in found[4]["reasons"]
    assert "equity_gone" in found[5]["reasons"] and found[5]["verdict"] in ("deny", "halt")


HELD = "ts,symbol,qty,mark,cash,nav_unit,high_water_mark"


@pytest.mark.parametrize(
    ("head", "cells", "reasons"),
    [
        (f"{HELD},maintenance_margin", "A,100,100,90000,1,1,70000", ""),
        (f"{HELD},maintenance_margin", "A,100,100,90000,1,1,70000.01", "margin_buffer"),
        (f"{HELD},maintenance_margin", "A,100,100,90000,1,1,", "margin_buffer?"),
        (f"{HELD},day_open_equity", "A,100,100,90000,1,1,", "max_daily_loss_pct?"),
        (f"{HELD},day_open_equity", "A,100,100,90000,1,1,105263.15", ""),
        (f"{HELD},day_open_equity", "A,100,100,90000,1,1,105263.16", "max_daily_loss_pct"),
        (f"{HELD},priced_at", "A,100,100,90000,1,1,2026-03-02T09:55:00Z", ""),
        (f"{HELD},priced_at", "A,100,100,90000,1,1,2026-03-02T09:54:59Z", "max_leverage?;max_position_size_pct?"),
        ("ts,nav_unit,max_pair_correlation", "1,0.85", ""),
        ("ts,nav_unit,max_pair_correlation", "1,0.8501", "max_correlation_critical"),
        ("ts,nav_unit,max_pair_correlation", "1,", "max_correlation_critical?"),
        ("ts,nav_unit,weighted_correlation", "1,0.8999", ""),
        ("ts,nav_unit,weighted_correlation", "1,0.90", "correlation_breakdown_threshold"),
        ("ts,nav_unit,volatility_ratio", "1,2.9999", ""),
        ("ts,nav_unit,volatility_ratio", "1,", "volatility_spike_multiplier?"),
        ("ts,nav_unit,flash_crash", "1,0", ""),
        ("ts,nav_unit,flash_crash", "1,", "flash_crash_detection?"),
    ],
)  # fmt: skip
def test_a_row_is_refused_what_an_order_would_be(tmp_path: Path, head: str, cells: str, reasons: str) -> None:
    """At each limit and beyond it; an empty cell is UNKNOWN, and what cannot be told may not grow."""
    states = write(tmp_path / "s.csv", f"{head}\n2026-03-02T10:00:00Z,{cells}\n")
    replay(states, "trading", out=tmp_path / "out", ledger=False, plots=False)
    (row,) = rows(tmp_path / "out")
    assert row["reasons"].startswith(reasons) and bool(row["reasons"]) == bool(reasons)
    assert row["verdict"] == ("deny" if reasons else "allow")


@pytest.mark.parametrize(("hours", "killed"), [((1, 2, 3), 3), ((1, 2, 7), None), ((1, 2, 7, 8, 9), 9)])
def test_coarse_bars_confirm_a_kill_by_three_in_a_row(tmp_path: Path, hours: tuple[int, ...], killed: int | None) -> None:
    """Hourly marks cannot lie within three minutes; three in a row that follow each other closely enough confirm all the same."""
    lines = ["2026-03-02T00:00:00Z,1", *(f"2026-03-02T{hour:02d}:00:00Z,0.85" for hour in hours)]
    states = write(tmp_path / "s.csv", "\n".join(["ts,nav_unit", *lines]) + "\n")
    summary = replay(states, "trading", out=tmp_path / "out", ledger=False, plots=False)
    assert summary.rungs.get("killed") == (killed and f"2026-03-02T{killed:02d}:00:00Z")


def test_a_way_out_stays_open_until_a_kill_is_confirmed(tmp_path: Path) -> None:
    states = write(tmp_path / "s.csv", minutes(["100", "85", "85", "85"]))
    lines = ["ts,proposal_id,voter,decision,proposed_action"]
    lines += [f"2026-03-02T10:{m:02d}:00Z,p{m},{v},yes,sell" for m in (1, 2, 3) for v in "abcd"]
    votes = write(tmp_path / "v.csv", "\n".join(lines) + "\n")
    replay(states, "trading", out=tmp_path / "out", votes=votes, ledger=False, plots=False)
    assert [(row["verdict"], row["decision"]) for row in rows(tmp_path / "out")[1:]] == [
        ("halt", "allow"), ("halt", "allow"), ("halt", "halt"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("unknown_field", "ts,nav\n"),
        ("no_rows", "ts,nav_unit\n"),
        ("missing_field", "nav_unit\n1\n"),
        ("missing_field", "ts,symbol\n2026-03-02T10:00:00Z,A\n"),
        ("duplicate_key", "ts,nav_unit,nav_unit\n"),
        ("bad_csv", "ts,nav_unit\n2026-03-02T10:00:00Z\n"),
        ("not_finite", "ts,nav_unit\n2026-03-02T10:00:00Z,NaN\n"),
        ("not_decimal", "ts,nav_unit\n2026-03-02T10:00:00Z,1e3\n"),
        ("bad_timestamp", "ts,nav_unit\n2026-03-02,1\n"),
        ("bad_timestamp", "ts,nav_unit\n,1\n"),
        ("bad_timestamp", "ts,nav_unit\n2026-03-02T10:00:00Z,1\n2026-03-02T24:00:00Z,1\n"),
        ("mixed_time_zones", "ts,nav_unit\n2026-03-02T10:00:00Z,1\n2026-03-02T10:01:00+00:30,1\n"),
        ("unordered_timestamps", "ts,nav_unit\n2026-03-02T10:01:00Z,1\n2026-03-02T10:00:00Z,1\n"),
        ("mixed_time_zones", "ts,nav_unit\n2026-03-02T10:01:00Z,1\n2026-03-02T12:02:00+01:00,1\n"),
        ("mixed_time_zones", "ts,as_of,nav_unit\n2026-03-02T10:01:00Z,2026-03-02T11:01:00+01:00,1\n"),
        ("mixed_time_zones", "ts,as_of,cash\n2026-03-02T10:01:00Z,2026-03-02T11:01:00+01:00,1\n"),
        ("duplicate_id", "ts,nav_unit\n2026-03-02T10:01:00Z,1\n2026-03-02T10:01:00Z,1\n"),
        ("duplicate_symbol", "ts,symbol,qty,mark,cash\n2026-03-02T10:00:00Z,A,1,1,1\n2026-03-02T10:00:00Z,A,1,1,1\n"),
        ("bad_choice", "ts,symbol,qty,mark,cash\n2026-03-02T10:00:00Z,A,1,1,1\n2026-03-02T10:00:00Z,B,1,1,2\n"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, code: str, text: str) -> None:
    with pytest.raises(Refused) as error:
        replay(write(tmp_path / "s.csv", text), "trading", out=tmp_path / "out", ledger=False, plots=False)
    assert error.value.code == code and "s.csv" in str(error.value)


def test_times_of_a_day_already_seen_are_read_as_in_full(tmp_path: Path) -> None:
    """The short way to read a time gives what the full way gives, for every second, fraction and form of writing."""
    rng, at, texts = random.Random(3), datetime(2026, 2, 27, tzinfo=UTC), []
    for _ in range(3000):
        at += timedelta(seconds=rng.choice([1, 59, 61, 3600, 40_000]), microseconds=rng.choice([0, 0, 0, 1]))
        texts.append(f"{at:%Y-%m-%d}{rng.choice('TTT ')}{at.time().isoformat()}{rng.choice(['Z', 'Z', 'z', '+00:00'])}")
    seen = read_states(write(tmp_path / "s.csv", "\n".join(["ts,nav_unit", *(f"{text},1" for text in texts)]) + "\n"))
    assert [(shot.ts, shot.text) for shot in seen] == [(timestamp(text, "")[0], text) for text in texts]


def test_without_a_limit_nothing_is_allowed(tmp_path: Path) -> None:
    states = write(tmp_path / "s.csv", minutes(["1", "1"]))
    replay(states, "assistant", out=tmp_path / "out", ledger=False, plots=False)
    assert [(row["verdict"], row["reasons"]) for row in rows(tmp_path / "out")] == [("deny", "no_policy")] * 2


VOTES = "ts,proposal_id,voter,decision,proposed_action\n"


def test_a_replay_is_judged_again_from_its_ledger(tmp_path: Path) -> None:
    """Files, constitution and rows are in it; a refused try before it counts as far as it came."""
    out = tmp_path / "out"
    votes = write(tmp_path / "v.csv", VOTES + "".join(f"2026-03-02T10:01:00Z,p-1,{name},yes,buy\r\n" for name in "abc"))
    with pytest.raises(Refused):
        replay(write(tmp_path / "bad.csv", minutes(["100", "99", "x"])), "trading", out=out, plots=False)
    states = write(tmp_path / "s.csv", "\ufeff" + minutes(["100", "97", "94", "80", "80", "80", "80"]))
    replay(states, "trading", out=out, votes=votes, confirmations=2, plots=False)
    states.unlink()
    votes.unlink()
    book = read_ledger(out / "ledger.db")
    report = rerun(book)
    assert (report.decisions, report.same) == (9, 9)
    assert [row["ladder"] for row in rows(out)][-2:] == ["killed", "killed"], "confirmed by two marks, as was asked for"
    tight = parse_text(
        render(load("trading")).replace("version: 1\n", "version: 2\n").replace("max_daily_loss_pct: 5", "max_daily_loss_pct: 2"),
        "t.md",
    )
    other = rerun(book, tight)
    book.close()
    assert [(item.action, item.then, item.now) for item in other.changed] == [
        ("2026-03-02T10:01:00Z p-1", "allow buy", "deny buy")
    ]
    assert other.changed[0].reasons_now == ("max_daily_loss_pct",)


@pytest.mark.parametrize("wrong", ["row", "file", "text", "nothing"])
def test_a_replay_that_does_not_come_out_again_is_told(tmp_path: Path, wrong: str) -> None:
    """A ledger written by the holder of its key with another verdict, another file's name, no file, another constitution."""
    replay(write(tmp_path / "s.csv", minutes(["100", "88"])), "trading", out=tmp_path / "out", plots=False)
    with read_ledger(tmp_path / "out" / "ledger.db") as source, ledger(tmp_path) as forged:
        for entry in source.entries():
            kind, body = entry.record["kind"], entry.record["body"]
            if wrong == "row" and kind == "row" and body["verdict"] == "deny":
                body["verdict"] = "allow"
            if wrong == "file" and kind == "input":
                body["file"] = "../../elsewhere"
            if wrong == "text" and kind == "replay":
                body["text"] = body["text"].replace("version: 1", "version: 7")
            if not (wrong == "nothing" and kind == "input"):
                forged.append(kind, body)
        if wrong == "row":
            (found,) = rerun(forged).changed
            assert (found.then, found.now) == ("allow", "deny")
        else:
            with pytest.raises(IntegrityError):
                rerun(forged)
    assert not list(tmp_path.parent.glob("elsewhere*"))


@pytest.mark.slow
def test_other_refusals(tmp_path: Path) -> None:
    states = write(tmp_path / "s.csv", minutes(["1"]))
    head = "ts,proposal_id,voter,decision,proposed_action,confidence_pct\n"
    for line in (
        "2026-03-02T10:00:00Z,p,a,maybe,buy,1",
        "2026-03-02T10:00:00Z,p,a,yes,buy,101",
        "2026-03-02T10:00:00Z,p,,yes,buy,1",
        "2026-03-02T12:00:00+02:00,p,a,yes,buy,1",
    ):
        with pytest.raises(Refused):
            replay(states, "trading", out=tmp_path / "o", votes=write(tmp_path / "v.csv", head + line + "\n"))
    votes = write(tmp_path / "v.csv", head + "2026-03-02T10:00:00Z,p,a,yes,buy,1\n")
    replay(states, "trading", out=tmp_path / "o", votes=votes)
    report = verify_file(tmp_path / "o" / "ledger.db", read_public(tmp_path / "o" / "replay.pub"))
    assert report.kinds["refusal"] == 4 and report.kinds["row"] == 1, "one ledger of all tries"
    with pytest.raises(Refused, match="got none"):
        replay(tmp_path / "none.csv", "trading", out=tmp_path / "o2")
    with pytest.raises(InputError, match="empty folder"):
        replay(states, "trading", out=tmp_path)


def test_rows_may_repeat_as_of_and_state_a_rung(tmp_path: Path) -> None:
    """All names of the STATE record that a row can hold are read; a stated rung tightens its own row and loosens none."""
    lines = ["ts,as_of,ladder,symbol,qty,mark,cash,nav_unit"]
    for minute, rung, nav in ((0, "reduce", "100"), (1, "normal", "100"), (2, "normal", "88")):
        at = f"2026-03-02T10:{minute:02d}:00Z"
        lines.append(f"{at},{at},{rung},A,1,100,99900,{nav}")
    states = write(tmp_path / "s.csv", "\n".join(lines) + "\n")
    replay(states, "trading", out=tmp_path / "out", plots=False)
    assert [row["ladder"] for row in rows(tmp_path / "out")] == ["reduce", "normal", "reduce"]
    assert [row["verdict"] for row in rows(tmp_path / "out")][:2] == ["deny", "allow"]
    read_ledger(tmp_path / "out" / "ledger.db").close()  # the only public key beside it is the one
    other = lines[0] + "\n" + lines[1].replace(",2026-03-02T10:00", ",2026-03-02T11:00") + "\n"
    with pytest.raises(Refused, match="as_of: expected the row's ts"):
        replay(write(tmp_path / "t.csv", other), "trading", out=tmp_path / "other", ledger=False, plots=False)
    with pytest.raises(Refused, match="ladder: expected one of normal"):
        replay(
            write(tmp_path / "u.csv", "ts,ladder,nav_unit\n2026-03-02T10:00:00Z,odd,1\n"),
            "trading", out=tmp_path / "odd", ledger=False, plots=False,
        )  # fmt: skip


def test_no_legend_lies_over_what_a_panel_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    drawn: list[Any] = []
    monkeypatch.setattr(plt, "close", drawn.append)
    states = write(tmp_path / "s.csv", minutes(["100", "97", "94", "80", "80", "80", "80"]))
    replay(states, "trading", out=tmp_path / "out", ledger=False)
    monkeypatch.undo()
    (figure,) = drawn
    for axis in (axis for axis in figure.axes if axis.get_legend()):
        assert not axis.get_legend().get_window_extent().overlaps(axis.get_window_extent())
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["reduce 12 %", "no_new 14 %", "killed 15 %"]
    plt.close(figure)
