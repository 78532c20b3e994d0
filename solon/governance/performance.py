"""Trades remembered, reviewed every ten, and what the reviews tightened put in force.

    performance = Performance(governor)
    review = performance.trade("buffett", "-0.012")      # a Review at every tenth trade of this agent, else None
    governor.tightened                                   # {"max_risk_per_trade_pct": "1.00", …}: what decisions go by now

How many trades an interval has is the constitution's `performance_review_interval_trades`. Each review goes on from the rate and
the limits that the last one left; what one agent's losses tighten holds for all. Trades, reviews and tightenings are in the
ledger and come back when it is opened again; only a new constitution, which several have to sign, sets limits back.
"""

from __future__ import annotations

import threading
from decimal import Decimal
from fractions import Fraction

from solon.governance.governor import Governor
from solon.governance.learning import Review, review_trades
from solon.policy.parsing import decimal


class Performance:
    """Trades of agents under one governor. Thread-safe."""

    def __init__(self, governor: Governor) -> None:
        self.governor = governor
        self.interval = int(governor.constitution.value("performance_review_interval_trades", Decimal(10)))
        self.trades: dict[str, list[float]] = {}
        self.rates: dict[str, Fraction] = {}
        self._reviewed: dict[str, int] = {}
        self._lock = threading.Lock()
        for entry in governor.ledger.of_kind("trade", "trade_review") if governor.ledger is not None else ():
            body = entry.record["body"]
            if entry.record["kind"] == "trade":
                self.trades.setdefault(body["agent"], []).append(float(body["return"]))
            else:
                self._reviewed[body["agent"]] = body["trades"]
                if body["constitution"] == governor.hash:
                    self.rates[body["agent"]] = Fraction(body["rate"])

    def trade(self, agent: str, returned: str | Decimal) -> Review | None:
        """Note a closed trade (its return as decimal text, -0.012 a loss of 1.2 %); a review when an interval is full.

        What the review tightens is in force when this returns.

        Raises:
            Refused: the return is no decimal number.
        """
        value = decimal(returned, "return")
        with self._lock:
            self._log("trade", {"agent": agent, "return": format(value, "f")})
            trades = self.trades.setdefault(agent, [])
            trades.append(float(value))
            due = len(trades) - self._reviewed.get(agent, 0) >= self.interval
            return self._review(agent, trades) if due else None

    def _review(self, agent: str, trades: list[float]) -> Review:
        governor = self.governor
        review = review_trades(trades, governor.constitution, rate=self.rates.get(agent), tightened=governor.tightened)
        if review.tightening:  # first, so that a crash in between repeats the review and does not lose what it found
            governor.tighten(review.tightening)
        told = {"agent": agent, "trades": len(trades), "finding": review.finding, "text": review.text()}
        self._log("trade_review", told | {"rate": str(review.adaptation_rate), "constitution": governor.hash})
        self.rates[agent], self._reviewed[agent] = review.adaptation_rate, len(trades)
        return review

    def _log(self, kind: str, body: dict[str, object]) -> None:
        if self.governor.ledger is not None:
            self.governor.ledger.append(kind, body)
