"""What was observed, which patterns hold in it, which theories rest on them, and what is believed: one SQLite file.

One storage is one treatment: an edit of a tied pair is one event, whichever name it was recorded under, and patterns are counted
over treatments, so a tied pair can never look like two things that help when done together.
"""

from __future__ import annotations

import datetime
import itertools
import json
import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solon.checkpoints.manifest import plain
from solon.errors import InputError, nearest
from solon.evaluation.stats import wilson
from solon.lab.inspector import WeightInspector

LAYERS = ("observation", "pattern", "theory", "belief")
MIN_SUPPORT = 3  # events behind a pattern
MIN_CONFIDENCE = 0.5  # lower Wilson bound of the share that improved, to believe a theory
COUPLED_IMPORTANCE = 0.9
SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY, layer TEXT NOT NULL, category TEXT NOT NULL, text TEXT NOT NULL, importance REAL NOT NULL,
    created TEXT NOT NULL, data TEXT NOT NULL, tags TEXT NOT NULL, superseded_by INTEGER REFERENCES records(id));
CREATE INDEX IF NOT EXISTS by_layer ON records(layer, category);
"""


@dataclass(frozen=True)
class Record:
    """One remembered thing. `data` is free; observations of edits carry `primary_layer`, `coupled_layers` and `treatment`."""

    id: int
    layer: str
    category: str
    text: str
    importance: float
    timestamp: str
    data: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    superseded_by: int | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        return dict(self.data.get("metadata", {}))


class Records:
    """One layer of the memory."""

    def __init__(self, database: sqlite3.Connection, layer: str) -> None:
        self._db, self.layer = database, layer

    def add(
        self,
        text: str,
        category: str,
        importance: float = 0.5,
        data: dict[str, Any] | None = None,
        tags: tuple[str, ...] | list[str] = (),
    ) -> int:
        """Remember; returns the record's number.

        Raises:
            InputError: importance outside 0..1, or a category that is no text.
        """
        if not isinstance(category, str):
            raise InputError(f"category: expected text, got {type(category).__name__}", mend='"general", for example')
        if not 0 <= importance <= 1:
            raise InputError(f"importance: expected 0..1, got {importance}", mend="0.5 is ordinary, 0.9 is important")
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        row = (
            self.layer,
            plain(category),
            plain(text),
            importance,
            now,
            json.dumps(plain(data or {})),
            json.dumps(sorted(set(tags))),
        )
        with self._db:
            cursor = self._db.execute(
                "INSERT INTO records(layer, category, text, importance, created, data, tags) VALUES (?,?,?,?,?,?,?)", row
            )
        return int(cursor.lastrowid or 0)

    def query(
        self,
        category: str | None = None,
        *,
        tag: str | None = None,
        text: str | None = None,
        min_importance: float = 0.0,
        include_superseded: bool = False,
        limit: int | None = None,
    ) -> list[Record]:
        """Records of this layer, oldest first, that match everything given."""
        rows = self._db.execute(
            "SELECT id, layer, category, text, importance, created, data, tags, superseded_by FROM records"
            " WHERE layer = ? AND importance >= ? ORDER BY id",
            (self.layer, min_importance),
        )
        found = [
            Record(row[0], row[1], row[2], row[3], row[4], row[5], json.loads(row[6]), tuple(json.loads(row[7])), row[8])
            for row in rows
        ]
        found = [
            r
            for r in found
            if (category is None or r.category == category)
            and (tag is None or tag in r.tags)
            and (text is None or text.lower() in r.text.lower())
            and (include_superseded or r.superseded_by is None)
        ]
        return found[-limit:] if limit else found

    def get(self, number: int) -> Record:
        """One record, superseded or not.

        Raises:
            InputError
        """
        for record in self.query(include_superseded=True):
            if record.id == number:
                return record
        raise InputError(f"no {self.layer} {number}", mend="query() lists them")

    def supersede(self, number: int, by: int) -> None:
        """Mark a record as replaced; it stays readable."""
        self.get(number)
        with self._db:
            self._db.execute("UPDATE records SET superseded_by = ? WHERE id = ?", (by, number))

    def correct(self, number: int, text: str, **data: Any) -> int:
        """Replace a record's text (and some of its data) by a new record; returns the new one's number."""
        old = self.get(number)
        new = self.add(text, old.category, old.importance, {**old.data, **data, "corrects": number}, old.tags)
        self.supersede(number, new)
        return new

    def __len__(self) -> int:
        return len(self.query())


class MemorySystem:
    """The memory in `directory`/memory.sqlite: `.observations`, `.patterns`, `.theories`, `.beliefs`.

    Raises:
        InputError: the folder or file cannot be opened.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.directory / "memory.sqlite")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"{self.directory / 'memory.sqlite'}: cannot be opened as a memory ({error})", mend="name another folder"
            ) from error
        self.observations, self.patterns, self.theories, self.beliefs = (Records(self._db, layer) for layer in LAYERS)
        self.inspector: WeightInspector | None = None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def set_weight_inspector(self, inspector: WeightInspector) -> None:
        """From now on edits are recorded with everything that shares their memory."""
        self.inspector = inspector

    def record_observation(
        self,
        text: str,
        category: str = "general",
        importance: float = 0.5,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | tuple[str, ...] = (),
    ) -> int:
        """Remember an observation; returns its number."""
        return self.observations.add(text, category, importance, {"metadata": metadata or {}}, tags)

    def record_modification(
        self,
        layer_name: str,
        modification_data: dict[str, Any] | None = None,
        *,
        experiment: str | None = None,
        improvement: float | None = None,
    ) -> int:
        """Remember one edit; category `coupled_modification` when the tensor shares memory, else `modification`.

        Args:
            improvement: percent, positive is better, when already known (see `record_outcome`).

        Raises:
            InputError: without an inspector coupling cannot be known. UnknownTensor
        """
        if self.inspector is None:
            raise InputError(
                "record_modification needs to know what shares memory",
                mend="set_weight_inspector(WeightInspector(model))",
            )
        group = self.inspector.group(layer_name)
        coupled = [name for name in group if name != layer_name]
        data = {
            "primary_layer": layer_name,
            "coupled_layers": coupled,
            "treatment": list(group),
            "modification_data": modification_data or {},
            "experiment": experiment,
            "improvement": improvement,
        }
        text = f"modified {layer_name}" + (f", which is also {', '.join(coupled)}" if coupled else "")
        tags = [tag for name in group for tag in _tags(name)]
        category = "coupled_modification" if coupled else "modification"
        return self.observations.add(text, category, COUPLED_IMPORTANCE if coupled else 0.5, data, tags)

    def record_outcome(self, modification: int, improvement: float) -> int:
        """What an edit led to, in percent; supersedes the observation with one that carries it."""
        old = self.observations.get(modification)
        if "treatment" not in old.data:
            raise InputError(
                f"observation {modification} is no modification", mend="pass the number that record_modification returned"
            )
        return self.observations.correct(modification, f"{old.text}: {improvement:+.2f} %", improvement=improvement)

    def events(self) -> list[tuple[frozenset[tuple[str, ...]], float | None]]:
        """(treatments, improvement) of each experiment; edits without an experiment are events of their own.

        Two records of one storage in one experiment are one treatment.
        """
        groups: dict[Any, list[Record]] = defaultdict(list)
        for record in self.observations.query():
            if "treatment" in record.data:
                groups[record.data.get("experiment") or f"#{record.id}"].append(record)
        found = []
        for records in groups.values():
            outcomes = [r.data["improvement"] for r in records if r.data.get("improvement") is not None]
            found.append((frozenset(tuple(r.data["treatment"]) for r in records), float(outcomes[-1]) if outcomes else None))
        return found

    def detect_patterns(self, min_support: int = MIN_SUPPORT) -> list[Record]:
        """Treatments, and pairs of different treatments made together, with at least `min_support` known outcomes.

        Replaces the patterns found earlier. `data`: treatments, n, improved, mean, low, high (Wilson bounds of the share).
        """
        outcomes: dict[tuple[tuple[str, ...], ...], list[float]] = defaultdict(list)
        for treatments, improvement in self.events():
            if improvement is None:
                continue
            ordered = sorted(treatments)
            for one in ordered:
                outcomes[(one,)].append(improvement)
            for pair in itertools.combinations(ordered, 2):
                outcomes[pair].append(improvement)
        old = self.patterns.query()
        new = [self._pattern(key, values) for key, values in outcomes.items() if len(values) >= min_support]
        for record in old:
            self.patterns.supersede(record.id, new[0] if new else record.id)
        return [self.patterns.get(number) for number in new]

    def _pattern(self, treatments: tuple[tuple[str, ...], ...], values: list[float]) -> int:
        improved = sum(value > 0 for value in values)
        share = wilson(improved, len(values))
        names = " with ".join(" = ".join(group) for group in treatments)
        text = f"editing {names}: improved {improved} of {len(values)}, mean {sum(values) / len(values):+.2f} %"
        data = {
            "treatments": [list(group) for group in treatments],
            "n": len(values),
            "improved": improved,
            "mean": sum(values) / len(values),
            "low": share.low,
            "high": share.high,
        }
        category = "treatment" if len(treatments) == 1 else "combination"
        return self.patterns.add(
            text, category, min(1.0, share.low + 0.3), data, [tag for g in treatments for n in g for tag in _tags(n)]
        )

    def propose_theory(self, statement: str, patterns: list[int]) -> int:
        """A statement that rests on patterns; its support is their events, its confidence the smallest lower bound.

        Raises:
            InputError: no pattern, or an unknown one.
        """
        if not patterns:
            raise InputError("a theory needs at least one pattern", mend="detect_patterns() first")
        records = [self.patterns.get(number) for number in patterns]
        data = {
            "patterns": patterns,
            "support": sum(r.data["n"] for r in records),
            "confidence": min(r.data["low"] for r in records),
        }
        return self.theories.add(statement, "theory", data["confidence"], data)

    def form_beliefs(self, min_support: int = 2 * MIN_SUPPORT, min_confidence: float = MIN_CONFIDENCE) -> list[Record]:
        """Believe every theory with enough support and confidence not believed yet; doubt beliefs whose theory is gone."""
        standing = {record.id for record in self.theories.query()}
        believed = set()
        for belief in self.beliefs.query():
            if belief.data["theory"] in standing:
                believed.add(belief.data["theory"])
            else:
                doubt = self.beliefs.add(
                    f"no longer believed: {belief.text}", "doubt", 0.5, {"theory": None, "was": belief.data["theory"]}
                )
                self.beliefs.supersede(belief.id, doubt)
        new = [
            self.beliefs.add(theory.text, "belief", theory.data["confidence"], {**theory.data, "theory": theory.id})
            for theory in self.theories.query()
            if theory.id not in believed and theory.data["support"] >= min_support and theory.data["confidence"] >= min_confidence
        ]
        return [self.beliefs.get(number) for number in new]

    def layer(self, name: str) -> Records:
        """A layer by name.

        Raises:
            InputError
        """
        if name not in LAYERS:
            raise InputError(f"layer {name!r}: expected one of {', '.join(LAYERS)}", mend=nearest(name, LAYERS))
        return {"observation": self.observations, "pattern": self.patterns, "theory": self.theories, "belief": self.beliefs}[name]


def _tags(name: str) -> list[str]:
    """The full name, and its module's own name: `model.embed_tokens.weight` and `embed_tokens`."""
    parts = name.split(".")
    return [name, parts[-2]] if len(parts) > 1 else [name]
