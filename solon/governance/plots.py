"""Figures of a replay: drawdown with the ladder's levels, the rung over time, leverage where it is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from solon.policy.rules import Rules
from solon.policy.types import Ladder

COLOURS = {"warn": "#c9a227", "reduce": "#d9822b", "no_new": "#c23030", "killed": "#4a0f0f"}
Series = list[tuple[int, float | None, int, int | None]]


def plot(series: Series, rules: Rules, folder: Path) -> list[str]:
    """Write `ladder.png`; returns the names written. `series`: (microseconds, drawdown percent, rung, leverage basis points)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    times = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=item[0]) for item in series]
    leverage = [None if item[3] is None else item[3] / 10_000 for item in series]
    panels = 3 if any(value is not None for value in leverage) else 2
    figure, axes = plt.subplots(panels, 1, sharex=True, figsize=(10, 2.6 * panels), layout="constrained")
    axes[0].plot(times, [float("nan") if item[1] is None else -item[1] for item in series], color="black", linewidth=1)  # type: ignore[arg-type]
    for level, rung, _ in rules.rungs:
        text = f"{rung.name} {level / 100:g} %"
        axes[0].axhline(-level / 100, color=COLOURS[rung.name], linewidth=0.8, linestyle="--", label=text)
    axes[0].set_ylabel("drawdown, %")
    axes[0].legend(loc="lower left", fontsize=8)
    axes[1].step(times, [item[2] for item in series], where="post", color="black")  # type: ignore[arg-type]
    axes[1].set_yticks([int(rung) for rung in Ladder], [rung.name for rung in Ladder])
    axes[1].set_ylim(-0.3, 4.3)
    if panels == 3:
        axes[2].plot(times, [float("nan") if value is None else value for value in leverage], color="black", linewidth=1)  # type: ignore[arg-type]
        bound = rules.bounds.get("max_leverage")
        if bound is not None:
            axes[2].axhline(bound / 10_000, color=COLOURS["no_new"], linewidth=0.8, linestyle="--")
        axes[2].set_ylabel("gross leverage, x")
    figure.savefig(folder / "ladder.png", dpi=110)
    plt.close(figure)
    return ["ladder.png"]
