"""The keys that a constitution may limit: their group, unit, plausible range, documented value and meaning.

`DOCUMENTED` holds the thirty keys of the published trading constitution with its values (the consensus threshold as the exact "2/3"
that its comment means; written as 0.67, two of three would fail it). `OPTIONAL` holds what market-access rules ask for beyond those
(SEC rule 15c3-5; Commission Delegated Regulation (EU) 2017/589, Articles 12 and 15) and what the ladder and the council need.

Units: `percent` (20 means 20 %), `fraction` (0.3 means 30 %), `ratio` (a multiple), `count`, `seconds`, `money` (in the account's
currency), `flag`, `mode` (one word of `choices`). A value outside [`low`, `high`] is refused as implausible for its unit.
"""

# ruff: noqa: E501  (the tables read better with one row a line)

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Unit = Literal["percent", "fraction", "ratio", "count", "seconds", "money", "flag", "mode"]
Shape = Literal["scalar", "range", "list"]

UNITS: tuple[Unit, ...] = ("percent", "fraction", "ratio", "count", "seconds", "money", "flag", "mode")
LIMIT_GROUPS = ("position", "leverage", "risk", "diversification", "systemic", "orders")
BLOCKS = ("governance", "meta_learning", "emergency")
GROUPS = (*LIMIT_GROUPS, *BLOCKS)


@dataclass(frozen=True)
class Key:
    """One key. `tighter` says which direction of change restricts more; `alias_of` names the key that says the same thing."""

    name: str
    group: str
    unit: Unit
    default: str
    meaning: str
    low: Decimal | None = None
    high: Decimal | None = None
    tighter: Literal["lower", "higher", ""] = ""
    shape: Shape = "scalar"
    choices: tuple[str, ...] = ()
    alias_of: str = ""


def _key(name: str, group: str, unit: Unit, default: str, bounds: str, tighter: str, meaning: str, **more: object) -> Key:
    """A row of the tables below; `bounds` is "low..high" in the key's own unit, or empty."""
    low, high = (Decimal(part) for part in bounds.split("..")) if bounds else (None, None)
    return Key(name, group, unit, default, meaning, low, high, tighter, **more)  # type: ignore[arg-type]


CONFLICT_MODES = ("risk_manager_veto", "most_conservative", "majority", "human_escalation")

DOCUMENTED: tuple[Key, ...] = (
    _key("max_position_size_pct", "position", "percent", "20.0", "1..100", "lower", "largest position in one issuer, of equity"),
    _key("max_position_size_leveraged_pct", "position", "percent", "15.0", "1..100", "lower", "the same for a leveraged product, after its leverage"),
    _key("min_position_size_pct", "position", "percent", "0.1", "0..10", "higher", "smallest position worth opening, of equity"),
    _key("max_leverage", "leverage", "ratio", "2.0", "0.1..100", "lower", "gross exposure over equity, hard limit"),
    _key("recommended_leverage", "leverage", "ratio", "1.5", "0.1..100", "lower", "gross exposure over equity, above it a warning"),
    _key("margin_buffer", "leverage", "fraction", "0.3", "0..1", "higher", "(equity - maintenance margin) / equity to be kept free"),
    _key("max_portfolio_drawdown_pct", "risk", "percent", "15.0", "1..100", "lower", "fall from the high-water mark of unit value"),
    _key("max_daily_loss_pct", "risk", "percent", "5.0", "0.5..100", "lower", "loss since the day's open and over 24 hours"),
    _key("max_risk_per_trade_pct", "risk", "percent", "2.0", "0.25..100", "lower", "loss of equity if the stop of one trade is hit"),
    _key("stop_loss_required", "risk", "flag", "true", "", "higher", "an opening order must carry a stop"),
    _key("max_sector_concentration_pct", "diversification", "percent", "30.0", "1..100", "lower", "exposure to one sector, of equity"),
    _key("max_correlation", "diversification", "fraction", "0.80", "0..1", "lower", "pairwise correlation of held positions, warning"),
    _key("max_correlation_critical", "diversification", "fraction", "0.85", "0..1", "lower", "pairwise correlation of held positions, critical"),
    _key("min_positions", "diversification", "count", "5", "0..10000", "higher", "positions to hold once the book is mostly invested"),
    _key("emergency_deleverage_threshold", "systemic", "percent", "12.0", "1..100", "lower", "drawdown at which the book is reduced"),
    _key("halt_trading_threshold", "systemic", "percent", "14.0", "1..100", "lower", "drawdown at which nothing new is opened"),
    _key("correlation_breakdown_threshold", "systemic", "fraction", "0.90", "0..1", "lower", "weighted mean correlation on a short window"),
    _key("volatility_spike_multiplier", "systemic", "ratio", "3.0", "1..100", "lower", "short over usual volatility at which the book is reduced"),
    _key("consensus_threshold", "governance", "fraction", "2/3", "0.01..1", "higher", "share of eligible voters who must say yes"),
    _key("conflict_resolution_mode", "governance", "mode", "risk_manager_veto", "", "", "who prevails when votes conflict", choices=CONFLICT_MODES),
    _key("human_escalation_drawdown", "governance", "percent", "12.0", "1..100", "lower", "drawdown at which a person is called", alias_of="emergency_deleverage_threshold"),
    _key("multi_signature_required", "governance", "flag", "true", "", "higher", "resuming and raising limits need several signatures"),
    _key("performance_review_interval_trades", "meta_learning", "count", "10", "1..1000000", "lower", "trades between two reviews"),
    _key("adaptation_rate_range", "meta_learning", "fraction", "[0.1, 0.5]", "0..1", "lower", "share by which one review may adapt", shape="range"),
    _key("regime_detection_enabled", "meta_learning", "flag", "true", "", "higher", "test returns for a change of regime"),
    _key("poor_performance_threshold_sharpe", "meta_learning", "ratio", "0.0", "-10..10", "higher", "Sharpe ratio below which a review calls it poor"),
    _key("kill_switch_enabled", "emergency", "flag", "true", "", "higher", "the kill state may be entered automatically"),
    _key("kill_switch_drawdown", "emergency", "percent", "15.0", "1..100", "lower", "drawdown at which everything stops", alias_of="max_portfolio_drawdown_pct"),
    _key("flash_crash_detection", "emergency", "flag", "true", "", "higher", "watch for a crash within minutes"),
    _key("cascade_failure_prevention", "emergency", "flag", "true", "", "higher", "several triggers at once stop new risk"),
)  # fmt: skip

OPTIONAL: tuple[Key, ...] = (
    _key("warn_drawdown_threshold", "systemic", "percent", "", "0.5..100", "lower", "drawdown at which the ladder first warns"),
    _key("price_collar_pct", "orders", "percent", "", "0.25..50", "lower", "distance of a limit price from the last mark"),
    _key("max_order_value", "orders", "money", "", "0..1e15", "lower", "value of one order"),
    _key("max_order_volume", "orders", "count", "", "0..1e15", "lower", "quantity of one order"),
    _key("duplicate_order_window_seconds", "orders", "seconds", "", "0..86400", "higher", "an equal order within this time is a duplicate"),
    _key("max_messages_per_minute", "orders", "count", "", "1..1e9", "lower", "orders, changes and cancels of one agent in a minute"),
    _key("max_repeated_executions", "orders", "count", "", "1..1e9", "lower", "executions of one agent in one instrument within the window"),
    _key("repeated_execution_window_seconds", "orders", "seconds", "", "1..86400", "higher", "window of max_repeated_executions"),
    _key("resume_threshold", "governance", "fraction", "", "0.01..1", "higher", "share of registered keys that must sign to resume"),
    _key("action_order", "governance", "mode", "", "", "", "proposals from the most conservative to the least", shape="list"),
    _key("cool_down_seconds", "emergency", "seconds", "", "0..31536000", "higher", "time before a latched state may be relaxed"),
    _key("kill_confirmations", "emergency", "count", "", "1..100", "", "consecutive marks (or as many sources) that confirm a kill"),
)  # fmt: skip

KEYS: dict[str, Key] = {key.name: key for key in (*DOCUMENTED, *OPTIONAL)}


def of_group(group: str) -> tuple[str, ...]:
    """Names of the keys in a group, documented ones first."""
    return tuple(name for name, key in KEYS.items() if key.group == group)
