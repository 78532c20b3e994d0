"""Small figures as inline SVG: coloured by the page's style sheet, so that they follow light, dark and print.

Numbers are rounded before they are written, so the same data give the same bytes. All text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from solon.release.facts import measured, number
from solon.release.wording import MINUS

WIDTH, HEIGHT = 420, 220  # of a line chart's view box, in its own units
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 30


@dataclass(frozen=True)
class Line:
    """One series: points (x, y) and the style-sheet class that colours it; `dots` draws points without a line."""

    name: str
    points: Sequence[tuple[float, float]]
    kind: str = "tuned"
    dots: bool = False


@dataclass(frozen=True)
class Level:
    """A horizontal reference line, with its label."""

    name: str
    value: float


def _n(value: float) -> str:
    """A coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """About `wanted` round numbers from low to high, both ends covered; steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _label(value: float, step: float) -> str:
    places = max(0, -math.floor(math.log10(step) + 1e-9)) if step < 1 else 0
    text = f"{value:,.{places}f}" if abs(value) < 1e5 else f"{value:.0e}"
    return text.replace("-", MINUS)


def line_chart(
    ident: str,
    title: str,
    describe: str,
    lines: Sequence[Line],
    *,
    levels: Sequence[Level] = (),
    y: str = "",
    percent: bool = False,
) -> Markup:
    """A line chart over training steps; "" when no line has a point. `percent` takes fractions."""
    drawn = [line for line in lines if line.points]
    if not drawn:
        return Markup("")
    scale = 100.0 if percent else 1.0
    xs = [x for line in drawn for x, _ in line.points]
    ys = [v * scale for line in drawn for _, v in line.points] + [level.value * scale for level in levels]
    marks = ticks(min(ys), max(ys))
    if percent:
        marks = [mark for mark in marks if 0 <= mark <= 100]
    steps = [t for t in ticks(min(xs), max(xs), 5) if min(xs) <= t <= max(xs)]
    span_x = (max(xs) - min(xs)) or 1.0

    def place(x: float, value: float) -> tuple[str, str]:
        across = LEFT + (x - min(xs)) / span_x * (WIDTH - LEFT - RIGHT)
        down = TOP + (marks[-1] - value) / (marks[-1] - marks[0]) * (HEIGHT - TOP - BOTTOM)
        return _n(across), _n(down)

    parts = [_open(ident, title, describe)]
    for value in marks:
        _, down = place(min(xs), value)
        parts.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, down, down))
        parts.append(_text(LEFT - 6, float(down) + 4, _label(value, marks[1] - marks[0]) + ("%" if percent else ""), "end"))
    for value in steps:
        across, _ = place(value, marks[0])
        parts.append(_text(float(across), HEIGHT - BOTTOM + 15, _label(value, max(1.0, steps[-1] - steps[0])), "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 2, f"optimiser step{f' · {y}' if y else ''}", "middle", "axis"))
    for level in levels:
        _, down = place(min(xs), level.value * scale)
        parts.append(Markup('<line class="level" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, down, down))
        above = float(down) - 4 if float(down) > TOP + 12 else float(down) + 12
        parts.append(_text(WIDTH - RIGHT, above, level.name, "end", "axis"))
    for line in drawn:
        points = [place(x, v * scale) for x, v in sorted(line.points)]
        if not line.dots and len(points) > 1:
            path = " ".join(f"{a},{b}" for a, b in points)
            parts.append(Markup('<polyline class="line {}" points="{}"/>').format(line.kind, path))
        if line.dots or len(points) == 1:
            parts += [Markup('<circle class="dot {}" cx="{}" cy="{}" r="3.2"/>').format(line.kind, a, b) for a, b in points]
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def _open(ident: str, title: str, describe: str) -> Markup:
    return Markup(
        '<svg class="chart" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{i}-t {i}-d">'
        '<title id="{i}-t">{t}</title><desc id="{i}-d">{d}</desc>'
    ).format(w=WIDTH, h=HEIGHT, i=ident, t=title, d=describe)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> Markup:
    extra = Markup(' class="{}"').format(kind) if kind else Markup("")
    return Markup('<text x="{}" y="{}" text-anchor="{}"{}>{}</text>').format(_n(x), _n(y), anchor, extra, text)


GATE_KINDS = ("tuned", "base", "other")  # style and mark of the first, second, ... metric of a gate


def gate_chart(ident: str, title: str, series: Mapping[str, Sequence[Mapping[str, Any]]]) -> Markup:
    """The history of a gate: each metric's value with its interval at each step, crossed out where it did not pass."""
    seen = {name: [g for g in gates if _drawable(g)] for name, gates in series.items()}
    xs = [float(g["step"]) for gates in seen.values() for g in gates]
    if not xs:
        return Markup("")
    told = [f"{name}, step {g['step']}: {_gate_words(g)}" for name, gates in seen.items() for g in gates]
    parts = [_open(ident, title, "; ".join(told)), *_shares_grid()]
    floors = {v for gates in seen.values() for g in gates if (v := number(g.get("floor"))) is not None and 0 <= v <= 1}
    for floor in sorted(floors):
        parts += [_across("level", _down(floor)), _text(WIDTH - RIGHT, _down(floor) - 4, "floor", "end", "axis")]
    span = (max(xs) - min(xs)) or 1.0
    for place, (kind, gates) in enumerate(zip(GATE_KINDS, seen.values(), strict=False)):
        for gate in gates:
            middle = LEFT + 22 + (float(gate["step"]) - min(xs)) / span * (WIDTH - LEFT - RIGHT - 44)
            parts += _gate_point(middle + 9 * (place - (len(seen) - 1) / 2), gate, kind)
    for step in _spread_labels(sorted(set(xs)), span):
        across = LEFT + 22 + (step - min(xs)) / span * (WIDTH - LEFT - RIGHT - 44)
        parts.append(_text(across, HEIGHT - BOTTOM + 15, f"{step:g}", "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 2, "optimiser step", "middle", "axis"))
    return Markup("").join([*parts, Markup("</svg>")])


def _drawable(gate: Mapping[str, Any]) -> bool:
    found = measured(gate)
    return found is not None and 0 <= found["value"] <= 1 and number(gate.get("step")) is not None


def _gate_words(gate: Mapping[str, Any]) -> str:
    return f"{100 * gate['value']:.1f} %, {'passed' if gate.get('ok') else 'not passed'}"


def _spread_labels(steps: list[float], span: float) -> list[float]:
    """The steps whose labels have room: the first, and each that is an eleventh of the span after the one before."""
    kept: list[float] = []
    for step in steps:
        if not kept or step - kept[-1] >= span / 11:
            kept.append(step)
    return kept


def _down(share: float) -> float:
    return TOP + (1 - min(1.0, max(0.0, share))) * (HEIGHT - TOP - BOTTOM)


def _across(kind: str, down: float) -> Markup:
    line = Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>')
    return line.format(kind, LEFT, WIDTH - RIGHT, _n(down), _n(down))


def _shares_grid() -> list[Markup]:
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    lines = [_across("grid", _down(share)) for share in shares]
    return lines + [_text(LEFT - 6, _down(share) + 4, f"{100 * share:.0f}%", "end") for share in shares]


def _gate_point(across: float, gate: Mapping[str, Any], kind: str) -> list[Markup]:
    parts = []
    low, high = number(gate.get("low")), number(gate.get("high"))
    if low is not None and high is not None:
        bar = Markup('<line class="whisker {}" x1="{}" x2="{}" y1="{}" y2="{}"/>')
        parts.append(bar.format(kind, _n(across), _n(across), _n(_down(high)), _n(_down(low))))
    return [*parts, gate_mark(across, _down(gate["value"]), kind, bool(gate.get("ok")))]


def gate_mark(x: float, y: float, kind: str, passed: bool) -> Markup:
    """A disc, square or diamond by the metric, crossed out when it did not pass: never told apart by colour alone."""
    if kind == "tuned":
        mark = Markup('<circle class="dot tuned" cx="{}" cy="{}" r="4.2"/>').format(_n(x), _n(y))
    elif kind == "base":
        mark = Markup('<rect class="dot base" x="{}" y="{}" width="7.6" height="7.6"/>').format(_n(x - 3.8), _n(y - 3.8))
    else:
        corners = f"M{_n(x)},{_n(y - 5)}L{_n(x + 5)},{_n(y)}L{_n(x)},{_n(y + 5)}L{_n(x - 5)},{_n(y)}Z"
        mark = Markup('<path class="dot other" d="{}"/>').format(corners)
    if passed:
        return mark
    arms = f"M{_n(x - 6)},{_n(y - 6)}L{_n(x + 6)},{_n(y + 6)}M{_n(x + 6)},{_n(y - 6)}L{_n(x - 6)},{_n(y + 6)}"
    return mark + Markup('<path class="cross fail" d="{}"/>').format(arms)


def share_row(base: object, tuned: object, describe: str) -> Markup:
    """Two shares on one scale from 0 to 100 %: an open square and a filled disc, each with its interval; as wide as its place."""
    parts = [Markup('<svg class="row" role="img" aria-label="{}" width="100%" height="26">').format(describe)]
    parts += [Markup('<line class="grid" x1="{}%" x2="{}%" y1="0" y2="26"/>').format(x, x) for x in (0, 25, 50, 75, 100)]
    for estimate, kind, down in ((base, "base", 8), (tuned, "tuned", 18)):
        found = measured(estimate)
        if found is None:
            continue
        low, high = number(found.get("low")), number(found.get("high"))
        if low is not None and high is not None:
            bar = Markup('<line class="whisker {}" x1="{}%" x2="{}%" y1="{}" y2="{}"/>')
            parts.append(bar.format(kind, _n(100 * low), _n(100 * high), down, down))
        x = _n(100 * found["value"])
        if kind == "base":
            parts.append(
                Markup(
                    '<svg x="{}%" y="{}" overflow="visible"><rect class="dot base" x="-4" y="-4" width="8" height="8"/></svg>'
                ).format(x, down)
            )
        else:
            parts.append(Markup('<circle class="dot tuned" cx="{}%" cy="{}" r="4.6"/>').format(x, down))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def bar_row(base: object, tuned: object, describe: str) -> Markup:
    """Two bars from 0 with interval whiskers, base above tuned."""
    parts = [Markup('<svg class="row" role="img" aria-label="{}" width="100%" height="30">').format(describe)]
    parts += [Markup('<line class="grid" x1="{}%" x2="{}%" y1="0" y2="30"/>').format(x, x) for x in (0, 25, 50, 75, 100)]
    for estimate, kind, down in ((base, "base", 4), (tuned, "tuned", 16)):
        found = measured(estimate)
        if found is None:
            continue
        parts.append(
            Markup('<rect class="bar {}" x="0" y="{}" height="10" width="{}%"/>').format(kind, down, _n(100 * found["value"]))
        )
        low, high = number(found.get("low")), number(found.get("high"))
        if low is not None and high is not None:
            bar = Markup('<line class="whisker over" x1="{}%" x2="{}%" y1="{}" y2="{}"/>')
            parts.append(bar.format(_n(100 * low), _n(100 * high), down + 5, down + 5))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def scale_row() -> Markup:
    """The scale below rows: 0 to 100 %."""
    words = [(0, "start"), (25, "middle"), (50, "middle"), (75, "middle"), (100, "end")]
    text = [Markup('<text x="{x}%" y="12" text-anchor="{a}">{x}</text>').format(x=x, a=a) for x, a in words]
    return Markup('<svg class="row scale" aria-hidden="true" width="100%" height="16">{}</svg>').format(Markup("").join(text))
