"""Actions and states that the policy tests share: an account of 100,000 with the documented thirty limits."""

from __future__ import annotations

from typing import Any

from solon.policy.parsing import parse_action, parse_state
from solon.policy.types import Action, State

NOW = "2026-11-20T15:30:00Z"
LIMITS: dict[str, Any] = {
    "max_position_size_pct": "20.0",
    "max_position_size_leveraged_pct": "15.0",
    "min_position_size_pct": "0.1",
    "max_leverage": "2.0",
    "recommended_leverage": "1.5",
    "margin_buffer": "0.3",
    "max_portfolio_drawdown_pct": "15.0",
    "max_daily_loss_pct": "5.0",
    "max_risk_per_trade_pct": "2.0",
    "stop_loss_required": True,
    "max_sector_concentration_pct": "30.0",
    "max_correlation": "0.80",
    "max_correlation_critical": "0.85",
    "min_positions": "5",
    "emergency_deleverage_threshold": "12.0",
    "halt_trading_threshold": "14.0",
    "correlation_breakdown_threshold": "0.90",
    "volatility_spike_multiplier": "3.0",
    "consensus_threshold": "2/3",
    "conflict_resolution_mode": "risk_manager_veto",
    "human_escalation_drawdown": "12.0",
    "multi_signature_required": True,
    "performance_review_interval_trades": "10",
    "adaptation_rate_range": ["0.1", "0.5"],
    "regime_detection_enabled": True,
    "poor_performance_threshold_sharpe": "0.0",
    "kill_switch_enabled": True,
    "kill_switch_drawdown": "15.0",
    "flash_crash_detection": True,
    "cascade_failure_prevention": True,
}


def position(symbol: str = "ACME", qty: str = "0", mark: str | None = "100", **more: Any) -> dict[str, Any]:
    base = {
        "symbol": symbol,
        "issuer": symbol,
        "sector": f"sector {symbol}",
        "qty": qty,
        "mark": mark,
        "multiplier": "1",
        "fx": "1",
    }
    return {**base, "product_leverage": "1", "priced_at": NOW, **more}


def state(*positions: dict[str, Any], **changes: Any) -> State:
    base = {
        "as_of": NOW,
        "currency": "USD",
        "cash": "100000",
        "maintenance_margin": "0",
        "nav_unit": "1",
        "high_water_mark": "1",
        "day_open_equity": "100000",
        "ladder": "normal",
        "positions": list(positions) or [position()],
    }
    return parse_state({**base, **changes})


def order(qty: str = "100", side: str = "buy", symbol: str = "ACME", stop: str | None = "auto", **more: Any) -> Action:
    if stop == "auto":
        stop = "95" if side == "buy" else "105"
    base = {
        "id": "a1",
        "agent": "buffett",
        "kind": "order",
        "symbol": symbol,
        "side": side,
        "qty": qty,
        "stop_price": stop,
        "ts": NOW,
    }
    return parse_action({**base, **more})
