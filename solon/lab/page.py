"""The dashboard as one static HTML page: no scripts, no outside resources, light and dark."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from solon.checkpoints.files import named_os_errors
from solon.lab.dashboards import experiment_line, tree

NUMBERED = re.compile(r"^(?P<stem>.*?)\.(?P<layer>\d+)\.(?P<leaf>.+)$")
SHADES = [(0.0, "unchanged"), (1e-4, "0.01 %"), (1e-3, "0.1 %"), (1e-2, "1 %"), (1e-1, "10 %"), (1.0, "100 % or more")]
USUAL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "norm")  # manifests keep no order of rows
FEW_LAYERS = 12  # up to so many layers a cell is wide enough to read with ease


def write_page(board: dict[str, Any], file: str | Path, title: str = "") -> Path:
    """Write `as_html` to a file, whose folder is made when absent.

    Raises:
        ReadOnlyStore, DiskFull, WriteFailed
    """
    target = Path(file)
    with named_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(as_html(board, title), encoding="utf-8")
    return target


def as_html(board: dict[str, Any], title: str = "") -> str:
    """The page of a `dashboard()` record. Everything that comes from the store is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("solon.lab"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("dashboard.html.jinja").render(**view(board, title)) + "\n"


def view(board: dict[str, Any], title: str) -> dict[str, Any]:
    """All that the template shows, section by section."""
    grids, others = heat(board["layers"])
    return {
        "board": board,
        "title": title or f"Laboratory: {Path(board['store']).name}",
        "state": state(board),
        "disk": disk(board["disk"]),
        "grids": grids,
        "others": others,
        "shades": [(round(shade(value), 2), text) for value, text in SHADES],
        "measured": any(layer["change"] is not None for layer in board["layers"]),
        "moved": sorted((x for x in board["layers"] if x["change"]), key=lambda x: -x["change"])[:8],
        "tree": [(depth, record, board["disk"]["unique"].get(record["id"], 0)) for depth, record in tree(board["log"])],
        "experiments": [(one, experiment_line(one)) for one in reversed(board["experiments"])],
        "percent": percent,
        "bytes": size,
    }


def state(board: dict[str, Any]) -> dict[str, str]:
    """The word at the top, its tone, and the sentence under it."""
    weights, health = board["weights"], board["health"]
    sick = weights["nan_count"] + weights["inf_count"]
    if board["problems"]:
        return {"word": "Damaged", "tone": "bad", "text": "Parts of this store cannot be read; see below."}
    if health:
        tone = {"OK": "good", "WARNING": "mixed"}.get(health["status"], "bad")
        return {
            "word": {"OK": "Healthy"}.get(health["status"], health["status"].title()),
            "tone": tone,
            "text": health["message"],
        }
    if not board["checkpoints"]["total"]:
        return {"word": "Empty", "tone": "mixed", "text": "No checkpoint has been saved yet."}
    whose = "the newest checkpoint, as recorded when it was saved; no live model was looked at"
    if sick:
        return {"word": "Critical", "tone": "bad", "text": f"{sick:,} values are NaN or Inf in {whose}."}
    return {"word": "Healthy", "tone": "good", "text": f"Every value is finite in {whose}."}


def disk(use: dict[str, Any]) -> dict[str, Any]:
    """Bytes on disk beside the bytes that whole copies would need."""
    logical, physical = use["logical"], use["physical"]
    share = min(1.0, physical / logical) if logical else 0.0
    return {**use, "share": share, "times": logical / physical if physical else 0.0}


def heat(layers: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(one grid per numbered stem, rows by tensor and columns by layer; the cells of all other tensors)."""
    found: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    others = []
    for layer in layers:
        match = NUMBERED.match(layer["name"])
        if match is None:
            others.append(cell(layer, layer["name"]))
        else:
            row = found.setdefault(match["stem"], {}).setdefault(match["leaf"], {})
            row[int(match["layer"])] = cell(layer, match["leaf"])
    grids = []
    for stem, rows in found.items():
        columns = sorted({number for row in rows.values() for number in row})
        cells = [
            (leaf.removesuffix(".weight"), [row.get(number) for number in columns])
            for leaf, row in sorted(rows.items(), key=_rank)
        ]
        grids.append({"stem": stem, "columns": columns, "rows": cells, "wide": len(columns) <= FEW_LAYERS})
    return grids, others


def _rank(row: tuple[str, Any]) -> tuple[int, str]:
    """Where a row stands: attention before feed-forward before norms, as they are computed; unknown ones last, by name."""
    return next((i for i, word in enumerate(USUAL) if word in row[0]), len(USUAL)), row[0]


def cell(layer: dict[str, Any], label: str) -> dict[str, Any]:
    """One tensor: how strongly it is shaded, and what is said when it is pointed at."""
    sick = layer["nan"] or layer["inf"]
    change = "not compared" if layer["change"] is None else f"changed by {percent(layer['change'])}"
    growth = "" if layer["growth"] is None else f" ({layer['growth']:.2f} of the baseline's)"
    text = f"{layer['name']}: {change}; largest magnitude {layer['absmax']:.4g}{growth}"
    if sick:
        text += f"; {layer['nan']} NaN, {layer['inf']} Inf"
    return {"label": label, "shade": round(shade(layer["change"] or 0.0), 2), "sick": bool(sick), "text": text}


def shade(change: float) -> float:
    """0 for no change, then from 0.15 (a ten-thousandth or less) to 1 (as large as the tensor itself), by its logarithm."""
    if not change > 0:
        return 0.0
    return min(1.0, max(0.15, 0.15 + 0.85 * (math.log10(change) + 4) / 4)) if math.isfinite(change) else 1.0


def percent(share: float) -> str:
    """A share with three significant digits."""
    return f"{100 * share:.3g} %" if math.isfinite(share) else "without bound"


def size(count: float) -> str:
    """Bytes for people."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:,.1f} {unit}"
    return f"{count:,.0f} bytes"
