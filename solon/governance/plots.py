"""Figures of a replay: drawdown and ladder over time; leverage, correlations and votes where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from solon.policy.rules import Rules
from solon.policy.types import Ladder

# Light for backgrounds, dark for lines and words; from calm to stopped.
SHADES = {1: "#fff6cf", 2: "#ffe3c2", 3: "#ffc9c2", 4: "#d8c8d8"}
COLOURS = {"warn": "#b8901a", "reduce": "#d9731f", "no_new": "#c23030", "killed": "#4a0f4a"}
MARKS = {"allow": ("o", "#2b7a3d"), "modify": ("^", "#d9731f"), "escalate": ("s", "#2a5d9f"), "deny": ("x", "#c23030")}
MARKS["halt"] = ("X", "#4a0f4a")
LEVELS = {"max_correlation_critical": "critical pair", "correlation_breakdown_threshold": "breakdown"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Point:
    """One time: microseconds, drawdown in percent, rung, gross leverage, highest pair and weighted correlation; None: unknown."""

    at: int
    drawdown: float | None
    rung: int
    leverage: float | None = None
    highest: float | None = None
    weighted: float | None = None


def plot(
    points: Sequence[Point], rules: Rules, folder: Path, *, title: str = "", votes: Sequence[tuple[int, str]] = ()
) -> list[str]:
    """Write `ladder.png`; returns the names written. `votes`: (microseconds, decision on a proposal)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    times = [moment(point.at) for point in points]
    panels = [_drawdown, _ladder]
    panels += [_leverage] if any(p.leverage is not None for p in points) else []
    panels += [_correlations] if any(p.highest is not None or p.weighted is not None for p in points) else []
    heights = [2.2 if panel is _drawdown else 1.3 for panel in panels]
    figure, axes = plt.subplots(
        len(panels), 1, sharex=True, figsize=(11, 1.6 * sum(heights)), layout="constrained", height_ratios=heights
    )
    for axis, panel in zip(axes, panels, strict=True):
        shade(axis, times, [point.rung for point in points])
        panel(axis, times, points, rules)
        axis.grid(alpha=0.25)
        axis.margins(x=0.01)
    _votes(axes[1], votes)
    locator = AutoDateLocator()
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes[0].set_title(title, loc="left", fontsize=11)
    figure.savefig(folder / "ladder.png", dpi=110)
    plt.close(figure)
    return ["ladder.png"]


def moment(at: int) -> datetime:
    """Microseconds since 1970 UTC as a time."""
    return EPOCH + timedelta(microseconds=at)


def shade(axis: Any, times: Sequence[datetime], rungs: Sequence[int]) -> None:
    """Colour the background by the rung that holds."""
    start = 0
    for place in range(1, len(times) + 1):
        if place == len(times) or rungs[place] != rungs[start]:
            end = times[min(place, len(times) - 1)]
            if rungs[start] in SHADES:
                axis.axvspan(times[start], end, color=SHADES[rungs[start]], linewidth=0, zorder=0)
            start = place


def steps(axis: Any, times: Sequence[datetime], rungs: Sequence[int]) -> None:
    """The rung as steps, and a label with the time where each higher one was first reached."""
    axis.step(times, rungs, where="post", color="black", linewidth=1.3)
    axis.set_yticks([int(rung) for rung in Ladder], [rung.name for rung in Ladder])
    axis.set_ylim(-0.4, 4.7)
    top, days = rungs[0] if rungs else 0, len({time.date() for time in times}) > 1
    late = times[0] + (times[-1] - times[0]) * 0.8 if times else None
    for time, rung in zip(times, rungs, strict=True):
        if rung <= top:
            continue
        top, side = rung, "right" if late is not None and time > late else "left"
        text = f"{time:%Y-%m-%d %H:%M}" if days and time.hour + time.minute else f"{time:%Y-%m-%d}" if days else f"{time:%H:%M}"
        axis.annotate(f" {text} ", (time, rung), ha=side, va="bottom", fontsize=8, color=COLOURS.get(Ladder(rung).name, "black"))


def _line(axis: Any, times: Sequence[datetime], values: Sequence[float | None], **style: Any) -> None:
    axis.plot(times, [float("nan") if value is None else value for value in values], **style)


def _level(axis: Any, value: float, text: str, colour: str) -> None:
    axis.axhline(value, color=colour, linewidth=0.9, linestyle="--", label=text)


def _legend(axis: Any) -> None:
    """Beside the panel, where it hides neither a line nor a level."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="upper left", bbox_to_anchor=(1.005, 1), borderaxespad=0, fontsize=8, frameon=False)


def _drawdown(axis: Any, times: Sequence[datetime], points: Sequence[Point], rules: Rules) -> None:
    falls = [float("nan") if p.drawdown is None else -p.drawdown for p in points]
    axis.fill_between(times, falls, 0, color="#5b6b7b", alpha=0.25, linewidth=0)
    axis.plot(times, falls, color="#2b3a49", linewidth=1.2)
    for level, rung, _ in rules.rungs:
        _level(axis, -level / 100, f"{rung.name} {level / 100:g} %", COLOURS[rung.name])
    _legend(axis)
    axis.set_ylabel("drawdown, %")
    axis.set_ylim(top=max(0.5, -min((f for f in falls if f == f), default=0) * 0.03))


def _ladder(axis: Any, times: Sequence[datetime], points: Sequence[Point], rules: Rules) -> None:
    steps(axis, times, [point.rung for point in points])


def _leverage(axis: Any, times: Sequence[datetime], points: Sequence[Point], rules: Rules) -> None:
    _line(axis, times, [p.leverage for p in points], color="#2b3a49", linewidth=1.2)
    for key, colour in (("max_leverage", COLOURS["no_new"]), ("recommended_leverage", COLOURS["warn"])):
        if key in rules.bounds:
            _level(axis, rules.bounds[key] / 10_000, f"{key} {rules.bounds[key] / 10_000:g}", colour)
    _legend(axis)
    bounds = [rules.bounds.get("max_leverage", 0) / 10_000, *(p.leverage or 0 for p in points)]
    axis.set_ylim(0, 1.15 * max(bounds))
    axis.set_ylabel("leverage, x")


def _correlations(axis: Any, times: Sequence[datetime], points: Sequence[Point], rules: Rules) -> None:
    _line(axis, times, [p.highest for p in points], color="#7a5195", linewidth=1.1, label="highest pair")
    _line(axis, times, [p.weighted for p in points], color="#2a5d9f", linewidth=1.1, label="weighted, short")
    for key, colour in (("max_correlation_critical", "#7a5195"), ("correlation_breakdown_threshold", "#2a5d9f")):
        if key in rules.bounds:
            _level(axis, rules.bounds[key] / 10_000, f"{LEVELS[key]} {rules.bounds[key] / 10_000:g}", colour)
    axis.set_ylim(-1.05, 1.05)
    axis.set_ylabel("correlation")
    _legend(axis)


def _votes(axis: Any, votes: Sequence[tuple[int, str]]) -> None:
    """A mark a proposal on the ladder's panel, by what was decided."""
    for decision in dict.fromkeys(decision for _, decision in votes):
        shape, colour = MARKS.get(decision, ("o", "black"))
        times = [moment(at) for at, each in votes if each == decision]
        axis.scatter(times, [0.35] * len(times), marker=shape, color=colour, s=28, zorder=3, label=f"proposal: {decision}")
    if votes:
        _legend(axis)
