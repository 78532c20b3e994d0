"""Every limit as a small pure function of a trade: (status, measured as numerator and denominator).

Boundaries: `max_*` and `min_*` are breached strictly beyond; thresholds, triggers and kill levels fire at or beyond. Comparisons
cross-multiply integers, so nothing is rounded before it is compared; what people read is rounded against the agent.
UNKNOWN stands for missing, stale, too few points, not positive. Definitions: peers-runtime §6.1 (docs/limits in this project).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from solon.policy.book import ATTO, MINUTE, UNIT, atto, ceil_div, rung_at
from solon.policy.rules import BASIS, Rules
from solon.policy.trade import Trade
from solon.policy.types import Ladder, Severity

OK, BREACH, UNKNOWN, NOT_MEASURED = 0, 1, 2, 3
Finding = tuple[int, int, int]  # status, numerator, denominator; denominator 0: nothing to show
CheckFunction = Callable[[Trade, int, Rules], Finding]
_UNKNOWN: Finding = (UNKNOWN, 0, 0)
_SKIP: Finding = (NOT_MEASURED, 0, 0)


@dataclass(frozen=True, slots=True)
class Check:
    """One limit. `sized`: a smaller order can cure a breach. `about`: what is measured, for the text of the reason.

    `blocks`: whether it can stop an order at all, which follows from `severity` and is worked out once.
    """

    key: str
    function: CheckFunction
    severity: Severity
    sized: bool
    about: str
    blocks: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", self.severity >= Severity.medium)


def _share(amount: int, trade: Trade, bound: int) -> Finding:
    """`amount` over equity against a maximum in basis points; no equity left is a breach of every ratio."""
    equity = trade.equity
    if equity is None:
        return _UNKNOWN
    if equity <= 0:
        return (BREACH, 0, 0)
    return (BREACH if amount * BASIS > bound * equity else OK, amount, equity)


def position_size(trade: Trade, bound: int, rules: Rules) -> Finding:
    """Exposure to the issuer after the trade, of equity: per issuer, not per ticker."""
    return _share(trade.issuer_after, trade, bound)


def leveraged_size(trade: Trade, bound: int, rules: Rules) -> Finding:
    """The same times the leverage inside the product; UNKNOWN where that is not known."""
    line = trade.line
    if line is None or line.leverage is None:
        return _UNKNOWN
    return _share(trade.leveraged_after, trade, bound)


def smallest_position(trade: Trade, bound: int, rules: Rules) -> Finding:
    """Only an order that opens or adds can be too small; closing that leaves dust never is."""
    if trade.reducing:
        return (OK, 0, 0)
    equity, size = trade.equity, trade.position_after
    if equity is None:
        return _UNKNOWN
    if equity <= 0:
        return (BREACH, 0, 0)
    return (BREACH if size * BASIS < bound * equity else OK, size, equity)


def leverage(trade: Trade, bound: int, rules: Rules) -> Finding:
    """Gross exposure after the trade over equity."""
    return _share(trade.gross_after, trade, bound)


def margin_buffer(trade: Trade, bound: int, rules: Rules) -> Finding:
    """(equity - maintenance margin) / equity; the venue's margin rate, where known, adds the margin of this order."""
    equity, margin, line = trade.equity, trade.book.maintenance_margin, trade.line
    if margin is None or equity is None or line is None:
        return _UNKNOWN
    if equity <= 0:
        return (BREACH, 0, 0)
    rate = line.margin_rate
    free = equity - margin if rate is None else equity - margin - ceil_div(trade.delta * rate, ATTO)
    return (BREACH if free * BASIS < bound * equity else OK, free, equity)


def drawdown(trade: Trade, bound: int, rules: Rules) -> Finding:
    """Fall of the unit value from its high-water mark."""
    if trade.drawdown is None:
        return _UNKNOWN
    fall, high = trade.drawdown
    return (BREACH if fall * BASIS > bound * high else OK, fall, high)


def drawdown_reached(trade: Trade, bound: int, rules: Rules) -> Finding:
    """The same as a trigger: it fires at the level."""
    if trade.drawdown is None:
        return _UNKNOWN
    fall, high = trade.drawdown
    return (BREACH if fall * BASIS >= bound * high else OK, fall, high)


def kill_drawdown(trade: Trade, bound: int, rules: Rules) -> Finding:
    """The same at the kill level, where the switch is enabled."""
    return drawdown_reached(trade, bound, rules) if rules.flags.get("kill_switch_enabled", True) else _SKIP


def daily_loss(trade: Trade, bound: int, rules: Rules) -> Finding:
    """The worse of the loss since the day's open and, where known, since 24 hours ago."""
    equity, day_open, day_ago = trade.equity, trade.book.day_open, trade.book.day_ago
    if equity is None or day_open is None:
        return _UNKNOWN
    if day_open <= 0 or (day_ago is not None and day_ago <= 0):
        return (BREACH, 0, 0)
    today = _loss(day_open, equity, bound)
    if day_ago is None:
        return today
    return max(today, _loss(day_ago, equity, bound), key=lambda f: (f[0], f[1] * BASIS // f[2]))


def _loss(start: int, equity: int, bound: int) -> Finding:
    loss = start - equity
    return (BREACH if loss * BASIS > bound * start else OK, loss, start)


def risk_per_trade(trade: Trade, bound: int, rules: Rules) -> Finding:
    """(|entry - stop| x quantity x multiplier x fx + fees + slippage allowance) / equity, for orders that add risk."""
    if trade.reducing:
        return (OK, 0, 0)
    line, stop = trade.line, trade.stop
    if trade.equity is None or line is None or line.factor is None or stop is None or trade.value is None:
        return _UNKNOWN
    entry = trade.entry
    if (stop >= entry) == trade.buy:
        return (BREACH, 0, 0)
    loss = ceil_div(abs(entry - stop) * trade.qty * line.factor, UNIT)
    costs = rules.fees + rules.slippage
    return _share(loss + ceil_div(trade.value * costs, BASIS) if costs else loss, trade, bound)


def stop_loss(trade: Trade, bound: int, rules: Rules) -> Finding:
    """An order that adds risk carries a stop on the losing side of its entry and of the market."""
    if trade.reducing:
        return (OK, 0, 0)
    stop = trade.stop
    if stop is None:
        return (BREACH, 0, 0)
    entry, mark = trade.entry, trade.line.mark if trade.line is not None else None
    if trade.buy:
        wrong = (entry and stop >= entry) or (mark and stop >= mark)
    else:
        wrong = (entry and stop <= entry) or (mark and stop <= mark)
    return (BREACH if wrong else OK, 0, 0)


def sector(trade: Trade, bound: int, rules: Rules) -> Finding:
    """Exposure to the sector after the trade, of equity; unknown sectors are one."""
    return _share(trade.sector_after, trade, bound)


def _observed(trade: Trade, name: str, bound: int, rules: Rules, fires: bool) -> Finding:
    """A measure that a monitor supplies. Null is UNKNOWN; absent, it is the monitor's affair unless measures are required."""
    measures = trade.book.measures
    if name not in measures:
        return _UNKNOWN if rules.require_measures else _SKIP
    value = measures[name]
    if value is None:
        return _UNKNOWN
    scaled = atto(value)
    limit = bound * ATTO
    breach = scaled * BASIS >= limit if fires else scaled * BASIS > limit
    return (BREACH if breach else OK, scaled, ATTO)


def pair_correlation(trade: Trade, bound: int, rules: Rules) -> Finding:
    """The highest correlation of two holdings, by sign."""
    if trade.positions_after < 2:
        return (OK, 0, 0)
    return _observed(trade, "max_pair_correlation", bound, rules, fires=False)


def correlation_breakdown(trade: Trade, bound: int, rules: Rules) -> Finding:
    """The weighted mean correlation as a trigger."""
    return _observed(trade, "weighted_correlation", bound, rules, fires=True)


def volatility_spike(trade: Trade, bound: int, rules: Rules) -> Finding:
    """The ratio of short to long volatility as a trigger."""
    return _observed(trade, "volatility_ratio", bound, rules, fires=True)


def flash_crash(trade: Trade, bound: int, rules: Rules) -> Finding:
    """`measures.flash_crash` is 1 where the monitor's trigger fires, 0 where it does not, null where it cannot tell."""
    return _observed(trade, "flash_crash", BASIS, rules, fires=True)


def enough_positions(trade: Trade, bound: int, rules: Rules) -> Finding:
    """Applies once gross exposure passes the invested share of equity; opening or closing a position is always possible."""
    count = trade.positions_after
    if trade.reducing or trade.opens or count >= bound:
        return (OK, count, 1)
    invested = _share(trade.gross_after, trade, rules.invested)
    return (invested[0], count, 1)


def price_collar(trade: Trade, bound: int, rules: Rules) -> Finding:
    """|limit price - mark| / mark; an order at market has no price to collar."""
    if trade.limit is None:
        return (OK, 0, 0)
    mark = trade.line.mark if trade.line is not None else None
    if mark is None or trade.blind:
        return _UNKNOWN
    distance = abs(trade.limit - mark)
    return (BREACH if distance * BASIS > bound * mark else OK, distance, mark)


def order_value(trade: Trade, bound: int, rules: Rules) -> Finding:
    """Value of the order in the account's currency."""
    value = trade.value
    if value is None or trade.blind:
        return _UNKNOWN
    return (BREACH if value > bound else OK, value, ATTO)


def order_volume(trade: Trade, bound: int, rules: Rules) -> Finding:
    """Quantity of the order."""
    return (BREACH if trade.qty > bound * ATTO else OK, trade.qty, ATTO)


def duplicate(trade: Trade, bound: int, rules: Rules) -> Finding:
    """Time since an equal order of the same agent."""
    last = trade.book.last_equal(trade.action)
    if last is None:
        return (OK, 0, 0)
    age = max(0, trade.now - last)
    return (BREACH if age <= bound else OK, age, 1_000_000)


def message_rate(trade: Trade, bound: int, rules: Rules) -> Finding:
    """Messages of the agent within a minute, this one included."""
    count = trade.book.messages(trade.action.agent, trade.now - MINUTE) + 1
    return (BREACH if count > bound else OK, count, 1)


def repeated_executions(trade: Trade, bound: int, rules: Rules) -> Finding:
    """Latched: once disabled, an agent stays so in the instrument until a designated person re-enables it (RTS 6 Art. 15)."""
    action, book = trade.action, trade.book
    window = rules.bounds.get("repeated_execution_window_seconds", MINUTE)
    count = book.executions(action.agent, action.symbol, trade.now - window) + 1
    latched = book.throttled and (action.agent, action.symbol) in book.throttled
    return (BREACH if latched or count > bound else OK, count, 1)


H, L, C = Severity.high, Severity.low, Severity.critical
CHECKS: tuple[Check, ...] = (
    Check("max_position_size_pct", position_size, H, True, "exposure to the issuer after this order, of equity"),
    Check(
        "max_position_size_leveraged_pct", leveraged_size, H, True, "leveraged exposure to the issuer after this order, of equity"
    ),
    Check("min_position_size_pct", smallest_position, H, True, "size of the position after this order, of equity"),
    Check("max_leverage", leverage, H, True, "gross exposure after this order over equity"),
    Check("recommended_leverage", leverage, L, True, "gross exposure after this order over equity (recommended)"),
    Check("margin_buffer", margin_buffer, H, True, "equity free of maintenance margin, of equity"),
    Check("max_portfolio_drawdown_pct", drawdown, H, False, "fall of unit value from its high-water mark"),
    Check("max_daily_loss_pct", daily_loss, H, False, "loss since the day's open or in 24 hours"),
    Check("max_risk_per_trade_pct", risk_per_trade, H, True, "loss of equity if the stop is hit"),
    Check("stop_loss_required", stop_loss, H, False, "a stop below the entry of a buy, above that of a sale"),
    Check("max_sector_concentration_pct", sector, H, True, "exposure to the sector after this order, of equity"),
    Check("max_correlation", pair_correlation, L, False, "highest correlation of two held positions (warning)"),
    Check("max_correlation_critical", pair_correlation, H, False, "highest correlation of two held positions"),
    Check("min_positions", enough_positions, H, True, "positions held after this order, while mostly invested"),
    Check("emergency_deleverage_threshold", drawdown_reached, H, False, "drawdown at which the book is only reduced"),
    Check("human_escalation_drawdown", drawdown_reached, Severity.info, False, "drawdown at which a person is called"),
    Check("halt_trading_threshold", drawdown_reached, H, False, "drawdown at which nothing new is opened"),
    Check("kill_switch_drawdown", kill_drawdown, C, False, "drawdown at which everything stops"),
    Check("correlation_breakdown_threshold", correlation_breakdown, H, False, "weighted mean correlation on a short window"),
    Check("volatility_spike_multiplier", volatility_spike, H, False, "realised over usual volatility"),
    Check("flash_crash_detection", flash_crash, H, False, "flash-crash trigger"),
    Check("price_collar_pct", price_collar, H, False, "distance of the limit price from the mark"),
    Check("max_order_value", order_value, H, True, "value of the order"),
    Check("max_order_volume", order_volume, H, True, "quantity of the order"),
    Check("duplicate_order_window_seconds", duplicate, H, False, "time since an equal order of this agent"),
    Check("max_messages_per_minute", message_rate, H, False, "messages of this agent within a minute, this one included"),
    Check(
        "max_repeated_executions", repeated_executions, H, False, "executions of this agent in this instrument within the window"
    ),
)
BY_KEY = {check.key: check for check in CHECKS}
FLAGS = ("stop_loss_required", "flash_crash_detection")
Bound = tuple[Check, int]


def checks_of(rules: Rules) -> tuple[Bound, ...]:
    """The checks that these rules ask for, each with its bound in the scale of its unit (1 for a flag that is set)."""
    found: list[Bound] = []
    for check in CHECKS:
        if check.key in FLAGS and rules.flag(check.key):
            found.append((check, 1))
        elif check.key in rules.bounds:
            found.append((check, rules.bounds[check.key]))
    return tuple(found)


def raises_breach(trade: Trade, rules: Rules) -> str:
    """The breached metric that a reducing order would make worse, by filling far from the mark; empty when none.

    The order lowers gross, issuer and sector exposure by its value at the mark, but lowers equity by what it gives away.
    """
    line, equity, book = trade.line, trade.equity, trade.book
    if line is None or equity is None or trade.slip == 0 or trade.value is None:
        return ""
    before = trade.equity_before or 0
    value = ceil_div(trade.qty * (line.mark or 0) * (line.factor or 0), UNIT)
    pairs = (
        ("max_leverage", book.gross),
        ("max_position_size_pct", trade.issuer_before),
        ("max_sector_concentration_pct", trade.sector_before),
    )
    for key, amount in pairs:
        bound = rules.bounds.get(key)
        if bound is None:
            continue
        after = max(0, amount - value)
        breached = equity <= 0 or after * BASIS > bound * equity
        if breached and (equity <= 0 or after * before > amount * equity):
            return key
    return ""


def effective_ladder(trade: Trade, rules: Rules) -> Ladder:
    """The rung that binds this decision: latched, or reached by this instant's drawdown; no equity left is the kill rung."""
    if trade.equity_before is not None and trade.equity_before <= 0:
        return Ladder.killed
    return rung_at(trade.book.ladder, trade.drawdown, rules.rungs)


PLACES = {"percent": 2, "fraction": 4, "ratio": 4, "money": 2}


def shown(amount: int, scale: int, unit: str, *, up: bool) -> str:
    """amount / scale as decimal text in `unit`, to a basis point (a cent for money), rounded up or down."""
    places = PLACES.get(unit, 0)
    # a percent of 1/10,000 has two places, a fraction or ratio four; money and counts are as they are
    exact = amount * (10_000 if unit == "percent" else 10**places)
    units = -(-exact // scale) if up else exact // scale
    if not places:
        return str(units)
    digits = str(abs(units)).zfill(places + 1)
    rest = digits[-places:].rstrip("0")
    text = f"{digits[:-places]}.{rest}" if rest else digits[:-places]
    return f"-{text}" if units < 0 else text
