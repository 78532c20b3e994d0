"""Small figures as inline SVG: coloured by the page's style sheet, so that they follow light, dark and print.

Numbers are rounded before they are written, so the same data give the same bytes. All text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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


def gate_chart(ident: str, title: str, gates: Sequence[dict]) -> Markup:
    """The history of one gate: value with interval at each step, filled when it passed and crossed out when it did not."""
    seen = [g for g in gates if measured(g) and 0 <= g["value"] <= 1 and number(g.get("step")) is not None]
    if not seen:
        return Markup("")
    xs = [float(g["step"]) for g in seen]
    span = (max(xs) - min(xs)) or 1.0
    parts = [
        _open(
            ident,
            title,
            "; ".join(f"step {g['step']}: {100 * g['value']:.1f} %, {'passed' if g.get('ok') else 'not passed'}" for g in seen),
        )
    ]
    inner = HEIGHT - TOP - BOTTOM
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        down = TOP + (1 - share) * inner
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, _n(down), _n(down))
        )
        parts.append(_text(LEFT - 6, down + 4, f"{100 * share:.0f}%", "end"))
    for floor in sorted({v for g in seen if (v := number(g.get("floor"))) is not None and 0 <= v <= 1}):
        down = TOP + (1 - floor) * inner
        parts.append(
            Markup('<line class="level" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, _n(down), _n(down))
        )
        parts.append(_text(WIDTH - RIGHT, down - 4, "floor", "end", "axis"))
    for gate in seen:
        across = LEFT + 14 + (float(gate["step"]) - min(xs)) / span * (WIDTH - LEFT - RIGHT - 28)
        kind = "pass" if gate.get("ok") else "fail"
        low, high = number(gate.get("low")), number(gate.get("high"))
        if low is not None and high is not None:
            top, end = (_n(TOP + (1 - min(1.0, max(0.0, v))) * inner) for v in (high, low))
            parts.append(
                Markup('<line class="whisker {}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                    kind, _n(across), _n(across), top, end
                )
            )
        down = TOP + (1 - min(1.0, max(0.0, gate["value"]))) * inner
        parts.append(_gate_mark(across, down, kind))
        parts.append(_text(across, HEIGHT - BOTTOM + 15, f"{gate['step']}", "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 2, "optimiser step", "middle", "axis"))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def _gate_mark(x: float, y: float, kind: str) -> Markup:
    """A disc for a pass, a cross for a failure: never told apart by colour alone."""
    if kind == "pass":
        return Markup('<circle class="dot pass" cx="{}" cy="{}" r="4.5"/>').format(_n(x), _n(y))
    arms = f"M{_n(x - 4)},{_n(y - 4)}L{_n(x + 4)},{_n(y + 4)}M{_n(x + 4)},{_n(y - 4)}L{_n(x - 4)},{_n(y + 4)}"
    return Markup('<path class="cross fail" d="{}"/>').format(arms)


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
