"""The state of a store, and of a live model where one is at hand: as a dict, as text, and as one static HTML page."""

from __future__ import annotations

import html
import math
from typing import Any

from torch import nn

from solon.checkpoints import Store, model_health
from solon.lab.monitor import SafetyMonitor

RECENT = 20


def dashboard(store: Store, model: nn.Module | None = None, safety: SafetyMonitor | None = None) -> dict[str, Any]:
    """Checkpoints, disk, health, alerts, NaN and Inf counts, edits, open experiments, and growth per tensor since the baseline.

    Without a model the newest checkpoint's recorded health is shown.
    """
    log = store.log()
    newest = log[-1].id if log else None
    baselines = [info.id for info in log if info.baseline]
    now = model_health(model) if model is not None else store.health(newest) if newest else {}
    then = store.health(baselines[0]) if baselines else {}
    health = (safety or SafetyMonitor()).check_model_health(model, deep=False) if model is not None else None
    alerts = safety.get_alert_history() if safety else []
    open_runs = _open_experiments(store)
    return {
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
        "experiments_open": open_runs,
        "edits": store.journal.records("edit")[-RECENT:],
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
        "layers": [
            {
                "name": name,
                "absmax": h.absmax,
                "nan": h.nan,
                "inf": h.inf,
                "growth": h.absmax / then[name].absmax if name in then and then[name].absmax else None,
            }
            for name, h in now.items()
        ],
    }


def _open_experiments(store: Store) -> list[str]:
    closed = {r["experiment"] for r in store.journal.records("experiment_close")}
    return [r["experiment"] for r in store.journal.records("experiment_open") if r["experiment"] not in closed]


def tree(log: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """(depth, record) in the order of the edit tree: children below their parent, oldest first; orphans are roots."""
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
        step = 0 if len(below) == 1 else 1  # a straight line needs no indent
        waiting += [(depth + step, child) for child in reversed(below)]
    return found


def as_text(board: dict[str, Any]) -> str:
    """The dashboard for a terminal."""
    disk, alerts, health = board["disk"], board["alerts"], board["health"]
    lines = [
        f"Checkpoints  {board['checkpoints']['total']}, newest {board['checkpoints']['latest']}",
        f"Disk         {_gb(disk['physical'])} for {_gb(disk['logical'])} of checkpoints, {_gb(disk['trash'])} in the trash",
        f"Health       {health['status'] + ': ' + health['message'] if health else 'as recorded (no live model)'}",
        f"Weights      {board['weights']['nan_count']} NaN, {board['weights']['inf_count']} Inf",
        "Alerts       " + ", ".join(f"{count} {level}" for level, count in alerts.items()),
    ]
    if board["experiments_open"]:
        lines.append(f"Open         {', '.join(board['experiments_open'])} (solon lab recover)")
    lines.append("")
    lines += [f"{'  ' * depth}{_line(record)}" for depth, record in tree(board["log"])]
    return "\n".join(lines)


def _gb(count: float) -> str:
    return f"{count / 1e9:.3f} GB"


def _line(record: dict[str, Any]) -> str:
    marks = [
        *(f"[{tag}]" for tag in record["tags"]),
        *(["baseline"] if record["baseline"] else []),
        *(["POISONED"] if record["poisoned"] else []),
    ]
    purpose = record["metadata"].get("purpose") or record["metadata"].get("experiment") or ""
    return " ".join([record["id"], *marks, str(purpose)]).rstrip()


STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c1c1c;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.15rem .8rem .15rem 0}
code,pre{font:13px/1.5 ui-monospace,monospace}pre{overflow-x:auto}.bad{color:#a40000;font-weight:600}
.strip{display:flex;height:2.2rem;gap:1px}.strip span{flex:1 1 0;min-width:2px}
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}.bad{color:#ff8a80}}
"""


def as_html(board: dict[str, Any], title: str = "Solon laboratory") -> str:
    """The dashboard as one page without scripts or outside resources."""
    e = html.escape
    disk, weights = board["disk"], board["weights"]
    state = board["health"]["status"] if board["health"] else "no live model"
    rows = [
        ("Checkpoints", str(board["checkpoints"]["total"])),
        ("Newest", board["checkpoints"]["latest"] or "none"),
        ("Disk", f"{disk['physical'] / 1e9:.3f} GB for {disk['logical'] / 1e9:.3f} GB of checkpoints"),
        ("Health", state),
        ("NaN / Inf", f"{weights['nan_count']} / {weights['inf_count']}"),
        ("Alerts", ", ".join(f"{count} {level}" for level, count in board["alerts"].items())),
        ("Open experiments", ", ".join(board["experiments_open"]) or "none"),
    ]
    table = "".join(f"<tr><th scope=row>{e(key)}</th><td{_class(key, value)}>{e(value)}</td></tr>" for key, value in rows)
    alerts = "".join(f"<li>{e(a['timestamp'])} <b>{e(a['severity'])}</b> {e(a['message'])}</li>" for a in board["recent_alerts"])
    history = "\n".join(f"{'  ' * depth}{e(_line(record))}" for depth, record in tree(board["log"]))
    edits = "".join(
        f"<tr><td>{e(r['time'])}</td><td>{e(r['method'])}</td><td><code>{e(', '.join(r['targets'] + r['coupled']))}</code></td>"
        f"<td>{e(r['verdict'])}</td></tr>"
        for r in board["edits"]
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{e(title)}</title>"
        f"<style>{STYLE}</style><h1>{e(title)}</h1><table>{table}</table>"
        f"<h2>Magnitude by tensor, against the baseline</h2>{_strip(board['layers'])}"
        f"<h2>Checkpoints</h2><pre>{history or 'none'}</pre>"
        f"<h2>Edits</h2><table><tr><th>when</th><th>method</th><th>tensors</th><th>verdict</th></tr>{edits}</table>"
        f"<h2>Alerts</h2><ul>{alerts or '<li>none</li>'}</ul></html>\n"
    )


def _class(key: str, value: str) -> str:
    bad = (key == "Health" and value == "CRITICAL") or (key == "NaN / Inf" and value != "0 / 0")
    return " class=bad" if bad else ""


def _strip(layers: list[dict[str, Any]]) -> str:
    """One cell per tensor: grey as in the baseline, redder the more it grew, bluer the more it shrank, black for NaN or Inf."""
    cells = "".join(map(_cell, layers))
    key = "<p>grey: as in the baseline; red: grown; blue: shrunk (each by up to four times); black: NaN or Inf</p>"
    return f"<div class=strip role=img aria-label='one cell per tensor'>{cells}</div>{key}" if layers else "<p>nothing stored</p>"


def _cell(layer: dict[str, Any]) -> str:
    growth = "" if layer["growth"] is None else f", {layer['growth']:.2f} of the baseline"
    title = html.escape(f"{layer['name']}: {layer['absmax']:.4g}{growth}", quote=True)
    return f"<span style='background:{_colour(layer)}' title='{title}'></span>"


def _colour(layer: dict[str, Any]) -> str:
    if layer["nan"] or layer["inf"]:
        return "#000"
    growth = layer["growth"]
    if growth is None or growth <= 0:
        return "hsl(0 0% 75%)"
    shift = max(-1.0, min(1.0, math.log2(growth) / 2))
    return f"hsl({0 if shift > 0 else 215} {round(90 * abs(shift))}% {round(75 - 25 * abs(shift))}%)"
