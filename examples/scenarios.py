"""The documented trading scenarios, run: proposals judged, votes counted, trades reviewed, two synthetic crises replayed.

    python examples/scenarios.py --out scenarios

Prices of the two crises are synthetic (a seeded generator makes them; nothing like it was recorded), in minute and five-minute
bars, because triggers within minutes cannot be seen in daily data. Everything else is the documents' own numbers.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from solon.constitution import load
from solon.governance.learning import review_trades
from solon.governance.replay import Summary, replay
from solon.policy.assess import assess
from solon.policy.parsing import parse_action, parse_state

NOW = "2026-11-20T15:30:00Z"
START = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
NAMES = ("ALFA", "BETA", "GAMMA", "DELTA", "EPSI", "ZETA", "ETA", "THETA")

# (name, share of equity, leverage before, stop distance in percent): A4 and A6.
PROPOSALS = (
    ("35 % in one volatile asset", 35, "0", 15), ("28 % in one position", 28, "0", 10), ("45 % in one position", 45, "0", 10),
    ("leverage of 5.0", 20, "4.8", 5), ("leverage of 3.5", 20, "3.3", 5),
)  # fmt: skip
# A7 and A8: (proposal, voter, role, decision, action, confidence)
VOTES = (
    ("A7", "buffett", "", "yes", "strong_buy", 82), ("A7", "lynch", "", "yes", "hold", 65),
    ("A7", "soros", "", "yes", "sell", 78),
    ("A8", "simons", "", "yes", "buy", 88), ("A8", "dalio", "", "yes", "neutral", 55),
    ("A8", "risk_manager", "risk_manager", "veto", "reduce_exposure", 91),
)  # fmt: skip
# A10 and A11: name, (wins, trades, Sharpe ratio a trade) before and now
REVIEWS = (
    ("A10: win rate 58 -> 40 %, Sharpe 0.42 -> -0.85", (29, 50, 0.42), (4, 10, -0.85)),
    ("A11: win rate 52 -> 70 %, Sharpe 0.28 -> 1.25", (26, 50, 0.28), (7, 10, 1.25)),
)


def proposal(share: int, leverage: str, stop: int) -> str:
    """An order of that share of equity, in an account that is invested as told, judged."""
    held = [
        {"symbol": f"H{i}", "issuer": f"H{i}", "sector": f"s{i}", "qty": str(Decimal(leverage) * 100), "mark": "100", **PLAIN}
        for i in range(10)
        if Decimal(leverage)
    ]
    account = {
        "as_of": NOW, "currency": "USD", "cash": str(100_000 - Decimal(leverage) * 100_000), "maintenance_margin": "0",
        "nav_unit": "1", "high_water_mark": "1", "day_open_equity": "100000",
        "positions": [*held, {"symbol": "COIN", "issuer": "COIN", "sector": "crypto", "qty": "0", "mark": "100", **PLAIN}],
    }  # fmt: skip
    order = {
        "id": "o", "agent": "momentum", "symbol": "COIN", "side": "buy", "qty": str(share * 10), "stop_price": str(100 - stop),
        "ts": NOW,
    }  # fmt: skip
    return assess(parse_action(order), parse_state(account), load("trading")).text()


PLAIN = {"multiplier": "1", "fx": "1", "product_leverage": "1", "priced_at": NOW}


def trades(wins: int, of: int, sharpe: float) -> list[float]:
    """Returns of trades with that many wins, spread evenly, whose sizes give that Sharpe ratio a trade."""
    p = wins / of
    deviation = math.sqrt(p * (1 - p) * of / (of - 1))
    win = 0.02 * (1 - p + sharpe * deviation)  # wins and losses are 0.02 apart
    return [win if (i + 1) * wins // of > i * wins // of else win - 0.02 for i in range(of)]


def write_states(path: Path, bars: list[list[float]], gross: float, step: int) -> None:
    """States of a book of equal positions with that gross leverage, marked at these prices."""
    quantity = [gross * 100_000 / len(NAMES) / bars[0][i] for i in range(len(NAMES))]
    cash = 100_000 * (1 - gross)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["ts", "symbol", "sector", "qty", "mark", "cash", "maintenance_margin", "nav_unit"])
        for number, marks in enumerate(bars):
            at = START + timedelta(minutes=step * number)
            equity = cash + sum(q * m for q, m in zip(quantity, marks, strict=True))
            for name, held, mark in zip(NAMES, quantity, marks, strict=True):
                cells = [f"{at:%Y-%m-%dT%H:%M:%SZ}", name, f"sector of {name}", f"{held:.6f}", f"{mark:.6f}", f"{cash:.2f}", "0"]
                writer.writerow([*cells, f"{equity / 100_000:.10f}"])


def crash() -> list[list[float]]:
    """A13, synthetic: an hour of calm minutes, then 8 % down within fifteen minutes, then half of the fall is regained."""
    rng, prices, bars = random.Random(13), [100.0] * len(NAMES), []
    for minute in range(120):
        drift = 0.92 ** (1 / 15) if 60 <= minute < 75 else 1.04 ** (1 / 30) if 75 <= minute < 105 else 1.0
        prices = [price * drift * math.exp(rng.gauss(0, 0.0003)) for price in prices]
        bars.append(prices)
    return bars


def breakdown() -> list[list[float]]:
    """A14, synthetic: five-minute bars of assets that move apart, and from bar 80 on with a correlation of 0.92."""
    rng, prices, bars = random.Random(14), [100.0] * len(NAMES), []
    for bar in range(140):
        rho = 0.92 if bar >= 80 else 0.0
        common = rng.gauss(0, 0.002)
        moves = [math.sqrt(rho) * common + math.sqrt(1 - rho) * rng.gauss(0, 0.002) for _ in NAMES]
        prices = [price * math.exp(move) for price, move in zip(prices, moves, strict=True)]
        bars.append(prices)
    return bars


def write_votes(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["ts", "proposal_id", "voter", "role", "decision", "proposed_action", "confidence_pct"])
        for name, *cells in VOTES:
            at = START + timedelta(minutes=30 if name == "A7" else 90)
            writer.writerow([f"{at:%Y-%m-%dT%H:%M:%SZ}", name, *cells])


def crises(out: Path, plots: bool = True) -> dict[str, Summary]:
    """A13 (with the votes of A7 before and of A8 during it) and A14, replayed."""
    write_states(out / "A13-synthetic.csv", crash(), 1.5, 1)
    write_states(out / "A14-synthetic.csv", breakdown(), 1.0, 5)
    write_votes(out / "votes.csv")
    return {
        "A13": replay(out / "A13-synthetic.csv", "trading", out=out / "A13", votes=out / "votes.csv", plots=plots),
        "A14": replay(out / "A14-synthetic.csv", "trading", out=out / "A14", plots=plots),
    }


def main() -> None:
    """Run all of them and print what they give."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("scenarios"))
    out = parser.parse_args().out
    if out.exists():
        parser.error(f"{out}: expected a new folder, got one that exists; name another with --out")
    out.mkdir(parents=True)
    for name, share, leverage, stop in PROPOSALS:
        print(f"=== {name}\n{proposal(share, leverage, stop)}\n")
    for name, before, now in REVIEWS:
        review = review_trades([*trades(*before), *trades(*now)], load("trading"))
        print(f"=== {name}\n{review.text()}\n")
    for name, summary in crises(out).items():
        print(f"=== {name} (synthetic prices)\n{json.dumps(vars(summary), indent=2)}\n")
    for line in (out / "A13" / "votes.jsonl").read_text(encoding="utf-8").splitlines():
        print(f"=== votes on {json.loads(line)['proposal_id']}\n{json.loads(line)['text']}\n")


if __name__ == "__main__":
    main()
