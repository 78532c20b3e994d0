"""Strict reading of actions and states: decimal strings only, no unknown field, no duplicate key, one time zone.

Every refusal is a `Refused` with a reason code. Nothing is clamped, guessed or rounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from solon.errors import nearest
from solon.policy.types import Action, Ladder, Position, Refused, State, TextRequest, field_names

# Eighteen digits on either side hold any balance and any token's smallest unit; the bound keeps arithmetic exact and cheap.
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_LOOSE_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|snan|inf|infinity)", re.IGNORECASE)
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SIDES = ("buy", "sell")
LEFT_OUT = "null, or in a table an empty cell, for what is not known"
TEXT = "text"  # kind of a request in words
MEASURES = ("max_pair_correlation", "weighted_correlation", "volatility_ratio", "flash_crash")


def _got(value: object) -> str:
    """A value as a message shows it: escaped, and never longer than a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"


class _Wrong:
    """Stands in parsed JSON where a float, a constant such as NaN, or a repeated key was found."""

    def __init__(self, code: str, what: str, mend: str) -> None:
        self.code, self.what, self.mend = code, what, mend


def strict_json(text: str | bytes, where: str = "") -> Any:
    """JSON in UTF-8 without duplicate keys, NaN, Infinity or any float (write numbers as decimal strings).

    Args:
        where: what the text is, for messages: `action` gives "action.qty: expected a decimal string, got the float 200.5".

    Raises:
        Refused: codes `bad_json, duplicate_key, not_finite, float`.
    """
    found: list[_Wrong] = []

    def wrong(code: str, what: str, mend: str) -> _Wrong:
        found.append(_Wrong(code, what, mend))
        return found[-1]

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        record: dict[str, Any] = {}
        for key, value in items:
            twice = key in record
            record[key] = (
                wrong("duplicate_key", f"expected the key {_got(key)} once, got it twice", "remove one") if twice else value
            )
        return record

    try:
        value = json.loads(
            text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff"),
            object_pairs_hook=pairs,
            parse_constant=lambda t: wrong("not_finite", f"expected a finite number, got {t}", LEFT_OUT),
            parse_float=lambda t: wrong("float", f"expected a decimal string, got the float {t}", f'write "{t}" in quotes'),
        )
        path, first = _first_wrong(value, where) if found else ("", None)
    except (ValueError, RecursionError) as error:
        problem = f"{where}: expected JSON, got {error}" if where else f"expected JSON, got {error}"
        raise Refused("bad_json", problem, mend="check the file with any JSON tool") from error
    first = first or (found[0] if found else None)  # inside a value that a repeated key replaced
    if first is not None:
        raise Refused(first.code, f"{path or where}: {first.what}".removeprefix(": "), mend=first.mend)
    return value


def _first_wrong(value: Any, path: str) -> tuple[str, _Wrong | None]:
    """The first mark in parsed JSON, with the path that leads to it."""
    if isinstance(value, _Wrong):
        return path, value
    inner: Iterable[tuple[str, Any]] = ()
    if isinstance(value, dict):
        inner = ((f"{path}.{key}".removeprefix("."), item) for key, item in value.items())
    elif isinstance(value, list):
        inner = ((f"{path}[{i}]", item) for i, item in enumerate(value))
    for place, item in inner:
        found = _first_wrong(item, place)
        if found[1] is not None:
            return found
    return "", None


def decimal(value: object, where: str) -> Decimal:
    """A decimal string as an exact Decimal.

    Raises:
        Refused: codes `float, not_finite, not_decimal, too_many_digits`.
    """
    if isinstance(value, Decimal):
        value = format(value, "f")
    if isinstance(value, float):
        raise Refused("float", f"{where}: expected a decimal string, got the float {_got(value)}", mend="write it in quotes")
    if not isinstance(value, str):
        raise Refused("not_decimal", f"{where}: expected a decimal string, got {_got(value)}", mend='write it like "12.5"')
    exact = plain_decimal(value)
    if exact is not None:
        return exact
    if _NOT_FINITE.fullmatch(value.strip()):
        raise Refused("not_finite", f"{where}: expected a finite number, got {_got(value)}", mend=LEFT_OUT)
    if _LOOSE_DECIMAL.fullmatch(value):
        raise Refused(
            "too_many_digits",
            f"{where}: expected at most 18 digits each side of the point, got {_got(value)}",
            mend="round it",
        )
    raise Refused(
        "not_decimal", f"{where}: expected a decimal string like 12.5, got {_got(value)}", mend="no exponent, sign + or blank"
    )


def plain_decimal(text: str) -> Decimal | None:
    """Text in the form that `decimal` asks for as an exact Decimal; None where it is not (then `decimal` says what is wrong)."""
    return Decimal(text) if _DECIMAL.fullmatch(text) else None


def timestamp(value: object, where: str) -> tuple[int, str]:
    """An ISO 8601 time with its offset, as (microseconds since 1970 UTC, the offset as written).

    Raises:
        Refused: code `bad_timestamp`.
    """
    try:
        found = _moment(value) if isinstance(value, str) else None
    except (ValueError, OverflowError) as error:
        raise Refused("bad_timestamp", f"{where}: expected a real time, got {_got(value)}", mend="correct the date") from error
    if found is None:
        raise Refused(
            "bad_timestamp",
            f"{where}: expected a time with offset, got {_got(value)}",
            mend='write it "2026-11-20T15:30:00Z"',
        )
    return found


@lru_cache(maxsize=1024)
def _moment(text: str) -> tuple[int, str] | None:
    """None where the text has not the form of a time; a state repeats the same few times for every position."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, offset = match.groups()
    offset = "+00:00" if offset in "zZ" else offset
    moment = datetime.fromisoformat(f"{day}T{clock}{(fraction or '.0').ljust(7, '0')}{offset}")
    return (moment - _EPOCH) // timedelta(microseconds=1), offset


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
        raise Refused(
            "bad_type", f"{where}: expected a name of 1 to 200 printable characters, got {_got(value)}", mend="write a plain name"
        )
    return value


def _fields(record: object, where: str, known: tuple[str, ...], required: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        raise Refused("bad_type", f"{where}: expected an object, got {type(record).__name__}", mend="write it as {…}")
    for name in record:
        if name not in known:
            raise Refused(
                "unknown_field",
                f"{where}: expected one of {', '.join(known)}; got {_got(name)}",
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
        micros, self.offset = one_offset(value, where, self.offset, "of the other times")
        return micros


def one_offset(value: object, where: str, offset: str, whose: str) -> tuple[int, str]:
    """`timestamp`, which must be written with this offset (any, where it is empty).

    Raises:
        Refused: codes `bad_timestamp, mixed_time_zones`.
    """
    micros, found = timestamp(value, where)
    if offset and found != offset:
        raise Refused("mixed_time_zones", f"{where}: expected the offset {offset} {whose}, got {found}", mend="use one time zone")
    return micros, found


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
        raise Refused("bad_choice", f"{where}.side: expected buy or sell, got {_got(row['side'])}", mend="correct it")
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


LONGEST_TEXT = 200_000  # characters


def parse_request(record: object, where: str = "action") -> TextRequest:
    """A request in words, `{id, agent, kind: "text", text, ts}`, as a `TextRequest`.

    Raises:
        Refused: see its codes.
    """
    row = _fields(record, where, ("id", "agent", "kind", "text", "ts"), ("id", "agent", "kind", "text", "ts"))
    if row["kind"] != TEXT:
        raise Refused("bad_choice", f"{where}.kind: expected {TEXT} beside a text, got {_got(row['kind'])}", mend="correct it")
    text = row["text"]
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_TEXT:
        got = f"{len(text)} characters" if isinstance(text, str) else type(text).__name__
        raise Refused("bad_type", f"{where}.text: expected 1 to {LONGEST_TEXT} characters, got {got}", mend="give the request")
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise Refused("bad_type", f"{where}.text: expected Unicode text, got half of a surrogate pair", mend="send it as UTF-8")
    named = (_text(row["id"], f"{where}.id"), _text(row["agent"], f"{where}.agent"))
    return TextRequest(*named, text, _Zones().read(row["ts"], f"{where}.ts"))


def is_request(given: object) -> bool:
    """Whether this is meant as a request in words: parsed, a record, or JSON text of one. What cannot be read is not."""
    if isinstance(given, str | bytes):
        if ('"text"' if isinstance(given, str) else b'"text"') not in given:  # type: ignore[operator]
            return False
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return False
    return isinstance(given, TextRequest) or (isinstance(given, Mapping) and (given.get("kind") == TEXT or "text" in given))


def request_record(request: TextRequest) -> dict[str, str]:
    """The record of a request in words."""
    return {"id": request.id, "agent": request.agent, "kind": TEXT, "text": request.text, "ts": time_text(request.ts)}


def _positive(value: object, where: str) -> Decimal:
    number = decimal(value, where)
    if number <= 0:
        mend = "write the amount; the side says the direction" if where.endswith("qty") else "write a price above 0"
        raise Refused("not_positive", f"{where}: expected more than 0, got {_got(value)}", mend=mend)
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
    if (values["maintenance_margin"] or 0) < 0:
        raise Refused(
            "negative",
            f"state.maintenance_margin: expected 0 or more, got {row['maintenance_margin']}",
            mend="write what is held",
        )
    if row.get("agents") == []:
        raise Refused("no_agents", "state.agents: expected at least one agent, got []", mend="leave it out if any may act")
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
    value = {} if row.get(name) is None else row[name]
    if known is not None or not isinstance(value, Mapping):
        value = _fields(value, f"state.{name}", known or (), ())
    return {_text(key, f"state.{name}"): _optional(value, key, f"state.{name}") for key in value}


def _refuse_repeats(code: str, where: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Refused(code, f"{where}: expected each name once, got {_got(name)} twice", mend="join the two or remove one")
        seen.add(name)


def _refuse_future(times: list[tuple[str, int | None]], as_of: int) -> None:
    for where, moment in times:
        if moment is not None and moment > as_of:
            raise Refused(
                "unordered_timestamps", f"{where}: expected a time not after state.as_of, got one", mend="order the times"
            )


def parse_ladder(name: object, where: str = "state.ladder") -> Ladder:
    """A ladder rung by name.

    Raises:
        Refused: code `bad_choice`.
    """
    if not isinstance(name, str) or name not in Ladder.__members__:
        raise Refused(
            "bad_choice", f"{where}: expected one of {', '.join(Ladder.__members__)}; got {_got(name)}", mend="correct it"
        )
    return Ladder[name]


def load_action(text: str | bytes) -> Action:
    """`parse_action` of strict JSON text."""
    return parse_action(strict_json(text, "action"))


def load_state(text: str | bytes) -> State:
    """`parse_state` of strict JSON text."""
    return parse_state(strict_json(text, "state"))


def time_text(micros: int) -> str:
    """Microseconds since 1970 UTC as ISO 8601 text in UTC."""
    seconds, fraction = divmod(micros, 1_000_000)
    return f"{_second_text(seconds)}.{fraction:06.0f}Z" if fraction else f"{_second_text(seconds)}Z"


@lru_cache(maxsize=1024)
def _second_text(seconds: int) -> str:
    """What many times in a row share; in them the calendar is the dear part."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds").removesuffix("+00:00")


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
