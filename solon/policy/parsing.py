"""Strict reading of actions and states: decimal strings only, no unknown field, no duplicate key, one time zone.

Every refusal is a `Refused` with a reason code. Nothing is clamped, guessed or rounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

from solon.errors import nearest
from solon.policy.types import Action, Ladder, Position, Refused, State, field_names

# Eighteen digits on either side hold any balance and any token's smallest unit; the bound keeps arithmetic exact and cheap.
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_LOOSE_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|snan|inf|infinity)", re.IGNORECASE)
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")

SIDES = ("buy", "sell")
MEASURES = ("max_pair_correlation", "weighted_correlation", "volatility_ratio", "flash_crash")


def strict_json(text: str | bytes) -> Any:
    """JSON without duplicate keys, NaN, Infinity or any float (write numbers as decimal strings).

    Raises:
        Refused: codes `bad_json, duplicate_key, not_finite, float`.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("bad_json", f"expected JSON, got {error}", mend="check the file with any JSON tool") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Refused("duplicate_key", f"expected each key once, got {key!r} twice", mend="remove one of them")
        found[key] = value
    return found


def _constant(text: str) -> NoReturn:
    raise Refused("not_finite", f"expected a finite number, got {text}", mend="leave the field null if it is not known")


def _float(text: str) -> NoReturn:
    raise Refused("float", f"expected a decimal string, got the float {text}", mend=f'write "{text}" in quotes')


def decimal(value: object, where: str) -> Decimal:
    """A decimal string as an exact Decimal.

    Raises:
        Refused: codes `float, not_finite, not_decimal, too_many_digits`.
    """
    if isinstance(value, Decimal):
        value = format(value, "f")
    if isinstance(value, float):
        raise Refused("float", f"{where}: expected a decimal string, got the float {value!r}", mend="write it in quotes")
    if not isinstance(value, str):
        raise Refused("not_decimal", f"{where}: expected a decimal string, got {value!r}", mend='write it like "12.5"')
    if _DECIMAL.fullmatch(value):
        return Decimal(value)
    if _NOT_FINITE.fullmatch(value.strip()):
        raise Refused("not_finite", f"{where}: expected a finite number, got {value!r}", mend="use null for what is not known")
    if _LOOSE_DECIMAL.fullmatch(value):
        raise Refused(
            "too_many_digits", f"{where}: expected at most 18 digits on either side of the point, got {value!r}", mend="round it"
        )
    raise Refused(
        "not_decimal", f"{where}: expected a decimal string like 12.5, got {value!r}", mend="no exponent, sign + or blank"
    )


def timestamp(value: object, where: str) -> tuple[int, str]:
    """An ISO 8601 time with its offset, as (microseconds since 1970 UTC, the offset as written).

    Raises:
        Refused: code `bad_timestamp`.
    """
    match = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Refused(
            "bad_timestamp", f"{where}: expected a time with offset, got {value!r}", mend='write it like "2026-11-20T15:30:00Z"'
        )
    day, clock, fraction, offset = match.groups()
    offset = "+00:00" if offset in "zZ" else offset
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{(fraction or '.0').ljust(7, '0')}{offset}")
        return (moment - _EPOCH) // timedelta(microseconds=1), offset
    except (ValueError, OverflowError) as error:
        raise Refused("bad_timestamp", f"{where}: expected a real time, got {value!r}", mend="correct the date") from error


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise Refused(
            "bad_type", f"{where}: expected a name of 1 to 200 printable characters, got {value!r}", mend="write a plain name"
        )
    return value


def _fields(record: object, where: str, known: tuple[str, ...], required: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        raise Refused("bad_type", f"{where}: expected an object, got {type(record).__name__}", mend="write it as {…}")
    for name in record:
        if name not in known:
            raise Refused(
                "unknown_field",
                f"{where}: expected one of {', '.join(known)}; got {name!r}",
                mend=nearest(str(name), known) or "remove it",
            )
    for name in required:
        if record.get(name) is None:
            raise Refused("missing_field", f"{where}: expected the field {name!r}, got none", mend="add it")
    return record


class _Zones:
    """Sees every timestamp of one document; two different offsets are refused, as they mark files pasted together."""

    def __init__(self, offset: str = "") -> None:
        self.offset = offset

    def read(self, value: object, where: str) -> int:
        micros, offset = timestamp(value, where)
        if self.offset and offset != self.offset:
            raise Refused(
                "mixed_time_zones",
                f"{where}: expected the offset {self.offset} of the other times, got {offset}",
                mend="use one time zone",
            )
        self.offset = offset
        return micros


_ACTION = ("id", "agent", "kind", "symbol", "side", "qty", "limit_price", "stop_price", "ts")


def parse_action(record: object, where: str = "action", *, working: bool = False, zones: _Zones | None = None) -> Action:
    """An ACTION record as an `Action`. Required: id, agent, symbol, side, qty, ts.

    Raises:
        Refused: see its codes.
    """
    zones = zones or _Zones()
    known = (*_ACTION, "acknowledged") if working else _ACTION
    row = _fields(record, where, known, ("id", "agent", "symbol", "side", "qty", "ts"))
    if row["side"] not in SIDES:
        raise Refused("bad_choice", f"{where}.side: expected buy or sell, got {row['side']!r}", mend="correct it")
    kind = _text(row["kind"], f"{where}.kind") if row.get("kind") is not None else "order"
    return Action(
        id=_text(row["id"], f"{where}.id"),
        agent=_text(row["agent"], f"{where}.agent"),
        kind=kind,
        symbol=_text(row["symbol"], f"{where}.symbol"),
        side=row["side"],
        qty=_positive(row["qty"], f"{where}.qty"),
        limit_price=_optional_price(row, "limit_price", where),
        stop_price=_optional_price(row, "stop_price", where),
        ts=zones.read(row["ts"], f"{where}.ts"),
        acknowledged=zones.read(row["acknowledged"], f"{where}.acknowledged") if row.get("acknowledged") else None,
    )


def _positive(value: object, where: str) -> Decimal:
    number = decimal(value, where)
    if number <= 0:
        raise Refused("not_positive", f"{where}: expected more than 0, got {value!r}", mend="the side says the direction")
    return number


def _optional_price(row: Mapping[str, Any], name: str, where: str) -> Decimal | None:
    return _positive(row[name], f"{where}.{name}") if row.get(name) is not None else None


def _optional(row: Mapping[str, Any], name: str, where: str) -> Decimal | None:
    return decimal(row[name], f"{where}.{name}") if row.get(name) is not None else None


def parse_position(record: object, where: str = "position", zones: _Zones | None = None) -> Position:
    """A position record. Only `symbol` and `qty` are required; whatever else is missing makes limits UNKNOWN.

    Raises:
        Refused: see its codes.
    """
    zones = zones or _Zones()
    row = _fields(record, where, field_names(Position), ("symbol", "qty"))
    times: dict[str, Any] = {
        name: zones.read(row[name], f"{where}.{name}") for name in ("priced_at", "opened_at") if row.get(name) is not None
    }
    numbers = ("mark", "multiplier", "fx", "product_leverage", "bid", "ask", "margin_rate")
    symbol = _text(row["symbol"], f"{where}.symbol")
    values: dict[str, Any] = {name: _optional(row, name, where) for name in numbers}
    return Position(
        symbol=symbol,
        issuer=_text(row["issuer"], f"{where}.issuer") if row.get("issuer") else symbol,
        sector=_text(row["sector"], f"{where}.sector") if row.get("sector") else "",
        qty=decimal(row["qty"], f"{where}.qty"),
        **values,
        **times,
    )


def parse_state(record: object) -> State:
    """A STATE record as a `State`. Required: as_of, currency, cash. Times may not lie after `as_of`.

    Raises:
        Refused: see its codes.
    """
    row = _fields(record, "state", field_names(State), ("as_of", "currency", "cash"))
    zones = _Zones()
    as_of = zones.read(row["as_of"], "state.as_of")
    positions = tuple(parse_position(p, f"state.positions[{i}]", zones) for i, p in enumerate(_list(row, "positions")))
    orders: dict[str, Any] = {name: _orders(row, name, zones) for name in ("working_orders", "recent", "executions")}
    _refuse_repeats("duplicate_symbol", "state.positions", (p.symbol for p in positions))
    _refuse_repeats("duplicate_id", "state.working_orders", (o.id for o in orders["working_orders"]))
    times = [(f"state.positions[{p.symbol}].priced_at", p.priced_at) for p in positions]
    times += [(f"state.{name}[{o.id}].ts", o.ts) for name, found in orders.items() for o in found]
    _refuse_future(times, as_of)
    numbers = ("maintenance_margin", "nav_unit", "high_water_mark", "day_open_equity", "equity_24h_ago")
    values: dict[str, Any] = {name: _optional(row, name, "state") for name in numbers}
    return State(
        as_of=as_of,
        currency=_text(row["currency"], "state.currency"),
        cash=decimal(row["cash"], "state.cash"),
        **values,
        ladder=parse_ladder(row.get("ladder", "normal")),
        positions=positions,
        **orders,
        accrued=_optional(row, "accrued", "state") or Decimal(0),
        fees=_optional(row, "fees", "state") or Decimal(0),
        measures=_numbers(row, "measures", MEASURES),
        facts=_numbers(row, "facts", None),
        agents=tuple(_text(name, "state.agents") for name in _list(row, "agents")),
    )


def _list(row: Mapping[str, Any], name: str) -> list[Any]:
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise Refused("bad_type", f"state.{name}: expected a list, got {type(value).__name__}", mend="write it as […]")
    return list(value)


def _orders(row: Mapping[str, Any], name: str, zones: _Zones) -> tuple[Action, ...]:
    return tuple(parse_action(o, f"state.{name}[{i}]", working=True, zones=zones) for i, o in enumerate(_list(row, name)))


def _numbers(row: Mapping[str, Any], name: str, known: tuple[str, ...] | None) -> dict[str, Decimal | None]:
    value = row.get(name) or {}
    if known is not None or not isinstance(value, Mapping):
        value = _fields(value, f"state.{name}", known or (), ())
    return {_text(key, f"state.{name}"): _optional(value, key, f"state.{name}") for key in value}


def _refuse_repeats(code: str, where: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Refused(code, f"{where}: expected each name once, got {name!r} twice", mend="join the two or remove one")
        seen.add(name)


def _refuse_future(times: list[tuple[str, int | None]], as_of: int) -> None:
    for where, moment in times:
        if moment is not None and moment > as_of:
            raise Refused(
                "unordered_timestamps", f"{where}: expected a time not after state.as_of, got one", mend="order the times"
            )


def parse_ladder(name: object) -> Ladder:
    """A ladder rung by name.

    Raises:
        Refused: code `bad_choice`.
    """
    if not isinstance(name, str) or name not in Ladder.__members__:
        raise Refused("bad_choice", f"ladder: expected one of {', '.join(Ladder.__members__)}; got {name!r}", mend="correct it")
    return Ladder[name]


def load_action(text: str | bytes) -> Action:
    """`parse_action` of strict JSON text."""
    return parse_action(strict_json(text))


def load_state(text: str | bytes) -> State:
    """`parse_state` of strict JSON text."""
    return parse_state(strict_json(text))


def time_text(micros: int) -> str:
    """Microseconds since 1970 UTC as ISO 8601 text in UTC."""
    moment = _EPOCH + timedelta(microseconds=micros)
    return moment.isoformat(timespec="microseconds" if micros % 1_000_000 else "seconds").replace("+00:00", "Z")


def action_record(action: Action) -> dict[str, Any]:
    """The ACTION record of an action: decimal strings, times in UTC; None fields left out."""
    record: dict[str, Any] = {}
    for name in field_names(Action):
        value = getattr(action, name)
        if value is not None:
            record[name] = (
                time_text(value)
                if name in ("ts", "acknowledged")
                else format(value, "f")
                if isinstance(value, Decimal)
                else value
            )
    return record


def state_record(state: State) -> dict[str, Any]:
    """The STATE record of a state, such that `parse_state(state_record(s)) == s`."""
    record: dict[str, Any] = {}
    for name in field_names(State):
        value = getattr(state, name)
        if value is None or (value == () or value == {}):
            continue
        record[name] = _plain(name, value)
    return record


def _plain(name: str, value: Any) -> Any:
    if name in ("as_of", "priced_at", "opened_at"):
        return time_text(value)
    if isinstance(value, Ladder):
        return value.name
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return {key: None if item is None else format(item, "f") for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain("", item) for item in value]
    if isinstance(value, Action):
        return action_record(value)
    if isinstance(value, Position):
        found = {key: getattr(value, key) for key in field_names(Position)}
        return {key: _plain(key, item) for key, item in found.items() if item is not None and item != ""}
    return value
