"""The state of a store, and of a live model where one is at hand: as a dict and as text (see page.py for the HTML page)."""

from __future__ import annotations

import datetime
from typing import Any

from torch import nn

from solon.checkpoints import Health, Store, model_health
from solon.checkpoints.errors import CheckpointError
from solon.lab.monitor import SafetyMonitor

RECENT = 20


def dashboard(store: Store, model: nn.Module | None = None, safety: SafetyMonitor | None = None) -> dict[str, Any]:
    """Checkpoints, disk, health, alerts, NaN and Inf counts, edits, experiments, and every tensor against the first baseline.

    Without a model the newest checkpoint's recorded health is shown. What cannot be read because the store is damaged is left
    empty and named in `problems`.
    """
    problems: list[str] = []
    log = store.log()
    problems += [f"{name}: damaged or incomplete, not listed; run fsck" for name in store.unlisted()]
    newest = log[-1].id if log else None
    baselines = [info.id for info in log if info.baseline]
    first = baselines[0] if baselines else None
    now = model_health(model) if model is not None else store.health(newest) if newest else {}
    health = (safety or SafetyMonitor()).check_model_health(model, deep=False) if model is not None else None
    alerts = safety.get_alert_history() if safety else []
    try:
        records = store.journal.records()
    except CheckpointError as error:
        problems.append(str(error))
        records = []
    return {
        "store": str(store.path),
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "checkpoints": {
            "total": len(log),
            "latest": newest,
            "baselines": baselines,
            "poisoned": [i.id for i in log if i.poisoned],
        },
        "disk": store.disk_usage(),
        "health": health,
        "weights": {"nan_count": sum(h.nan for h in now.values()), "inf_count": sum(h.inf for h in now.values())},
        "alerts": {
            level: sum(a["severity"] == level.upper() for a in alerts) for level in ("critical", "high", "medium", "low", "info")
        },
        "recent_alerts": alerts[-RECENT:],
        "experiments_open": open_experiments(records),
        "experiments": [_experiment(r) for r in records if r.get("kind") == "experiment_close"][-RECENT:],
        "edits": [r for r in records if r.get("kind") == "edit"][-RECENT:],
        "log": [
            {
                "id": i.id,
                "parent": i.parent,
                "created": i.created,
                "tags": list(i.tags),
                "metadata": i.metadata,
                "poisoned": i.poisoned,
                "baseline": i.baseline,
            }
            for i in log
        ],
        "layers": _layers(store, first, newest, now, problems),
        "problems": problems,
    }


def _layers(
    store: Store, first: str | None, newest: str | None, now: dict[str, Health], problems: list[str]
) -> list[dict[str, Any]]:
    """Each tensor's magnitude, its growth, and its relative change between the first baseline and the newest checkpoint."""
    then, changed = store.health(first) if first else {}, None
    if first is not None and newest is not None:
        try:
            changed = {one.name: one.relative for one in store.diff(first, newest).changed}
        except CheckpointError as error:
            problems.append(str(error))
    return [
        {
            "name": name,
            "absmax": h.absmax,
            "nan": h.nan,
            "inf": h.inf,
            "growth": h.absmax / then[name].absmax if name in then and then[name].absmax else None,
            "change": changed.get(name, 0.0) if changed is not None and name in then else None,
        }
        for name, h in now.items()
    ]


def _experiment(record: dict[str, Any]) -> dict[str, Any]:
    comparison = record.get("comparison") or {}
    return {
        "name": record.get("name", ""),
        "experiment": record["experiment"],
        "time": record["time"],
        "outcome": record["outcome"],
        "recovered": bool(record.get("recovered")),
        "improvement": comparison.get("improvement"),
        "low": comparison.get("low"),
        "high": comparison.get("high"),
        "n": comparison.get("n"),
        "checkpoint": record.get("checkpoint"),
        "findings": record.get("findings", []),
    }


def open_experiments(records: list[dict[str, Any]]) -> list[str]:
    """Ids of the experiments that were opened and not closed, whether or not their process still runs."""
    closed = {r["experiment"] for r in records if r.get("kind") == "experiment_close"}
    return [r["experiment"] for r in records if r.get("kind") == "experiment_open" and r["experiment"] not in closed]


def tree(log: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """(depth, record) in the order of the edit tree: children below their parent, oldest first; orphans are roots.

    The newest child goes on at its parent's depth; older ones are side lines, one step in.
    """
    known = {record["id"] for record in log}
    children: dict[str | None, list[dict[str, Any]]] = {}
    for record in log:
        parent = record["parent"] if record["parent"] in known else None
        children.setdefault(parent, []).append(record)
    found: list[tuple[int, dict[str, Any]]] = []
    waiting = [(0, record) for record in reversed(children.get(None, []))]
    while waiting:
        depth, record = waiting.pop()
        found.append((depth, record))
        below = children.get(record["id"], [])
        waiting += [(depth if child is below[-1] else depth + 1, child) for child in reversed(below)]
    return found


def as_text(board: dict[str, Any]) -> str:
    """The dashboard for a terminal."""
    disk, alerts, health = board["disk"], board["alerts"], board["health"]
    lines = [
        f"Checkpoints  {board['checkpoints']['total']}, newest {board['checkpoints']['latest']}",
        f"Disk         {_gb(disk['physical'])} for {_gb(disk['logical'])} of checkpoints, {_gb(disk['trash'])} in the trash",
        f"Health       {health['status'] + ': ' + health['message'] if health else 'as recorded (no live model)'}",
        f"Weights      {board['weights']['nan_count']} NaN, {board['weights']['inf_count']} Inf",
        "Alerts       "
        + (", ".join(f"{count} {level}" for level, count in alerts.items()) if health else "no live model was watched"),
    ]
    if board["experiments_open"]:
        lines.append(f"Open         {', '.join(board['experiments_open'])} (solon lab recover)")
    lines += [f"Problem      {text}" for text in board["problems"]]
    lines += [f"Experiment   {experiment_line(one)}" for one in board["experiments"]]
    lines.append("")
    lines += [f"{'  ' * depth}{checkpoint_line(record)}" for depth, record in tree(board["log"])]
    return "\n".join(lines)


def experiment_line(one: dict[str, Any]) -> str:
    """One experiment in a line: name, outcome, improvement with its interval."""
    outcome = one["outcome"].replace("_", " ") + (" after a crash" if one["recovered"] else "")
    if one["improvement"] is None:
        return f"{one['name']}: {outcome}"
    interval = "" if one["low"] is None else f" [{one['low']:+.2f}, {one['high']:+.2f}], n {one['n']}"
    return f"{one['name']}: {outcome}, {one['improvement']:+.2f} %{interval}"


def _gb(count: float) -> str:
    return f"{count / 1e9:.3f} GB"


def checkpoint_line(record: dict[str, Any]) -> str:
    """One checkpoint in a line: id, tags, marks, purpose."""
    marks = [
        *(f"[{tag}]" for tag in record["tags"]),
        *(["baseline"] if record["baseline"] else []),
        *(["POISONED"] if record["poisoned"] else []),
    ]
    purpose = record["metadata"].get("purpose") or record["metadata"].get("experiment") or ""
    return " ".join([record["id"], *marks, str(purpose)]).rstrip()
