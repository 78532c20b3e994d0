"""The configuration of the main job: one YAML file, overridden by flags and dotted `key=value` words.

Every setting has a default, so an empty file is a whole configuration. Unknown keys are refused with a suggestion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from solon.constitution.tree import MAX_DEPTH, MAX_VALUES, too_many_values
from solon.critique.pairs import CritiqueSettings
from solon.errors import ConfigError, nearest
from solon.evaluation.criteria import rubric
from solon.models.base import Sampling
from solon.training.config import DpoSettings, LoraSettings, SftSettings

NANO = "nano"
Kind = TypeVar("Kind", bound=BaseModel)


class Settings(BaseModel):
    """A block of settings that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class SplitSettings(Settings):
    """Shares of a user's own prompts by group hash; the built-in set states its own split."""

    validation: float = Field(default=0.1, ge=0, lt=1, description="share for the safety gate during training")
    test: float = Field(default=0.3, ge=0, lt=1, description="share held out for evaluation")
    seed: int = Field(default=0, ge=0)


class GateSettings(Settings):
    """The safety gate inside training, on validation prompts that neither train nor test. Bounds are fractions.

    A gate fails when over-refusal or the share of off-topic replies is above its floor after `grace` steps, or when the upper
    bound of either is more than `margin` above the best seen. `rollback` puts back the last good gate, `stop` ends training,
    `warn` only records.
    """

    enabled: bool = True
    every: int = Field(default=50, ge=1, description="optimiser steps between gates")
    prompts: int = Field(default=40, ge=10, description="validation prompts of each kind")
    mode: Literal["stop", "warn", "rollback"] = "rollback"
    grace: int = Field(default=25, ge=0, description="optimiser steps")
    over_refusal: float = Field(default=0.4, ge=0, le=1)
    off_topic: float = Field(default=0.4, ge=0, le=1)
    margin: float = Field(default=0.4, ge=0, le=1)


class TrainSettings(Settings):
    """SFT, then DPO; either alone by naming one phase. `lora` holds for both: DPO goes on with the adapter of SFT."""

    phases: list[Literal["sft", "dpo"]] = Field(default=["sft", "dpo"], min_length=1)
    lora: LoraSettings = LoraSettings()
    sft: SftSettings = SftSettings()
    dpo: DpoSettings = DpoSettings()
    gate: GateSettings = GateSettings()

    @model_validator(mode="after")
    def _one_lora(self) -> TrainSettings:
        for name, phase in (("sft", self.sft), ("dpo", self.dpo)):
            if "lora" in phase.model_fields_set:
                raise ValueError(f"expected lora settings under train.lora, for both phases, got train.{name}.lora")
        if self.phases not in (["sft"], ["dpo"], ["sft", "dpo"]):
            raise ValueError(f"phases: expected [sft], [dpo] or [sft, dpo], got {self.phases}")
        return self

    def settings(self, phase: str, config: RunConfig) -> SftSettings | DpoSettings:
        """One phase's settings with what the run decides: adapter, seed, device."""
        own = self.sft if phase == "sft" else self.dpo
        device = config.models.device if config.models.device in ("auto", "cpu", "cuda") else "auto"
        changes = {"lora": self.lora, "seed": config.seed, "device": device}
        return own.model_copy(update={k: v for k, v in changes.items() if k not in own.model_fields_set})


class EvaluationSettings(Settings):
    """How held-out prompts are answered and judged. Greedy by default, so that the comparison repeats."""

    sampling: Sampling = Sampling(temperature=0.0, max_new_tokens=256)
    judge: str = Field(default="auto", description="auto, reading, rules, probabilities:MODEL or model:MODEL")
    criteria: list[str] = Field(
        default=[], description="rubrics to rate replies by: safety, contemplative, humanistic, helpfulness"
    )
    criteria_judge: str = Field(default="", description="the model that rates; not nano, which can't")
    builtin: bool = Field(default=True, description="also measure on the built-in held-out prompts when `prompts` is a file")

    @model_validator(mode="after")
    def _rated_by_somebody(self) -> EvaluationSettings:
        for name in self.criteria:
            rubric(name)
        if self.criteria and self.criteria_judge in ("", NANO):
            raise ValueError(f"criteria_judge: expected a model that can rate replies, got {self.criteria_judge or 'none'}")
        return self


class ModelSettings(Settings):
    """How models are run."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: int = Field(default=64, ge=1, description="requests in one in-process batch")
    concurrency: int = Field(default=32, ge=1, description="requests in flight to servers")


class RunConfig(Settings):
    """Everything that decides a run. The same values give the same run folder on the same machine."""

    constitution: str = Field("five-laws", description="a library name or a path")
    prompts: str = Field(default="builtin", description="builtin, or a .jsonl, .csv or .txt file")
    model: str = Field(NANO, description="answers, criticises and revises: nano, a folder, a hub id or URL#name")
    train_model: str | None = Field(None, description="the model to train, when `model` is served; default: the same")
    out: str | None = Field(None, description="the run folder; default runs/<constitution>-<model>")
    seed: int = Field(default=0, ge=0)
    max_prompts: int | None = Field(
        None, ge=1, description="at most so many prompts of each set (hazardous, twin, benign) and split of the source"
    )
    hazards: list[str] = []
    personas: list[str] = []
    split: SplitSettings = SplitSettings()
    critique: CritiqueSettings = CritiqueSettings()
    train: TrainSettings = TrainSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    models: ModelSettings = ModelSettings()

    @model_validator(mode="after")
    def _named(self) -> RunConfig:
        for name in ("constitution", "prompts", "model", "train_model", "out"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ValueError(f"{name}: expected a name, got {value!r}")
        return self

    @property
    def trained(self) -> str:
        """The model that is trained and evaluated."""
        return self.train_model or self.model

    @property
    def folder(self) -> Path:
        """The run folder."""
        if self.out:
            return Path(self.out)
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{Path(self.constitution).stem}-{Path(self.trained).name}").strip("-")
        return Path("runs") / slug

    def resolved(self) -> RunConfig:
        """What is run: for the embedded model, replies whose length nobody set are cut to what it can say."""
        if self.model != NANO or self.trained != NANO:
            return self
        return self.model_copy(
            update={
                "critique": _shorter(self.critique, ("respond", "critique", "revise")),
                "evaluation": _shorter(self.evaluation, ("sampling",)),
            }
        )


NANO_TOKENS = 96


def _shorter(block: Any, names: tuple[str, ...]) -> Any:
    changes = {}
    for name in names:
        sampling = getattr(block, name)
        if "max_new_tokens" not in sampling.model_fields_set or name not in block.model_fields_set:
            changes[name] = sampling.model_copy(update={"max_new_tokens": NANO_TOKENS})
    return block.model_copy(update=changes)


def load_config(path: Path | None = None, flags: Mapping[str, Any] | None = None, overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration of a file, then flags, then dotted overrides; each later one wins.

    Raises:
        ConfigError: unreadable file, bad YAML, unknown key, value of a wrong type or out of range.
    """
    lines: dict[tuple[str, ...], int] = {}
    values = _read_yaml(path, lines) if path else {}
    for key, value in (flags or {}).items():
        if value is not None:
            _put(values, key.split("."), value, key)
    return checked(RunConfig, parse_overrides(overrides, values), path, lines)


def parse_overrides(words: Iterable[str], values: dict[str, Any] | None = None) -> dict[str, Any]:
    """`dotted.key=value` words put into `values`; a value is read as YAML.

    Raises:
        ConfigError: a word without `=`, or a key below something that is no block.
    """
    values = {} if values is None else values
    for word in words:
        key, sign, text = word.partition("=")
        if not sign or not key:
            raise ConfigError(f"override: expected dotted.key=value, got {word!r}", mend="write for example train.dpo.beta=0.2")
        _put(values, key.split("."), _yaml_value(text, word), word)
    return values


def checked(
    kind: type[Kind], values: dict[str, Any], path: Path | None = None, lines: Mapping[tuple[str, ...], int] | None = None
) -> Kind:
    """Settings of a kind from plain values.

    Raises:
        ConfigError: names the setting, its line in the file, what was expected and what came.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _explained(kind, error, path, lines or {}) from error


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    yaml.version = (1, 2)  # type: ignore[assignment]
    yaml.max_depth = MAX_DEPTH
    return yaml


def _yaml_value(text: str, word: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    try:
        return _few(yaml.load(text), f"override {word!r}")
    except YAMLError as error:
        problem = getattr(error, "problem", None) or "no YAML"
        raise ConfigError(
            f"override {word!r}: expected a YAML value after =, got {text!r} ({problem})", mend="close brackets and quotes"
        ) from error


def _read_yaml(path: Path, lines: dict[tuple[str, ...], int]) -> dict[str, Any]:
    from ruamel.yaml.error import YAMLError

    from solon.data.prompts import read_text

    try:
        tree = _yaml().load(read_text(path))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = str(getattr(error, "problem", error)).partition(", if necessary")[0]
        raise ConfigError(f"{where}: expected YAML, got: {problem}", mend="mend the line") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{path}: expected `key: value` lines, got {'a list' if isinstance(tree, list) else repr(tree)}",
            mend="see solon run --print-config",
        )
    _few(tree, str(path))
    _note_lines(tree, (), lines)
    return _plain(tree)


def _few(tree: Any, where: str) -> Any:
    if too_many_values(tree):
        raise ConfigError(
            f"{where}: expected at most {MAX_VALUES:,} values, got more (aliases count as often as they stand there)",
            mend="write the values out, without aliases of aliases",
        )
    return tree


def _note_lines(tree: Any, at: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> None:
    for key, value in tree.items():
        lines[(*at, str(key))] = tree.lc.key(key)[0] + 1
        if isinstance(value, dict):
            _note_lines(value, (*at, str(key)), lines)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _put(values: dict[str, Any], keys: list[str], value: Any, word: str) -> None:
    for key in keys[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(
                f"{word}: expected {key} to be a block of settings, got {inner!r}", mend="see solon run --print-config"
            )
        values = inner
    values[keys[-1]] = value


def _explained(
    kind: type[BaseModel], error: ValidationError, path: Path | None, lines: Mapping[tuple[str, ...], int]
) -> ConfigError:
    first = error.errors()[0]
    loc = tuple(str(part) for part in first["loc"])
    where = f"{path}:{lines[loc]}: " if path and loc in lines else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(kind, loc[:-1])
        hint = nearest(loc[-1], known) or f"use one of {', '.join(sorted(known))}"
        return ConfigError(f"{where}{'.'.join(loc)}: expected a known setting, got {loc[-1]!r}", mend=hint)
    wanted = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    wanted = re.sub(r"^\w+ should have (.+?)(?: after validation, not \d+)?$", r"\1", wanted)
    if first["type"] == "value_error":  # a check of ours, which says itself what it got
        own = wanted.split(": expected ", 1)
        place = f"{'.'.join((*loc, own[0]))}: expected {own[1]}" if len(own) == 2 else f"{'.'.join(loc)}: {wanted}"
        return ConfigError(f"{where}{place}", mend="correct the value")
    if first["type"] in ("model_type", "model_attributes_type"):
        inner = ", ".join(sorted(_known_keys(kind, loc)))
        return ConfigError(
            f"{where}{'.'.join(loc)}: expected a block of settings, got {first['input']!r}", mend=f"set one of {inner}"
        )
    return ConfigError(f"{where}{'.'.join(loc)}: expected {wanted}, got {first['input']!r}", mend="correct the value")


def _known_keys(block: Any, loc: tuple[str, ...]) -> set[str]:
    for name in loc:
        info = getattr(block, "model_fields", {}).get(name)
        block = info.annotation if info else None
    return set(getattr(block, "model_fields", {}))


def plain_config(config: RunConfig) -> dict[str, Any]:
    """The configuration as plain values; settings that stand in one place only are shown there only."""
    once = {"lora", "seed", "device"}
    return config.model_dump(mode="json", exclude={"train": {"sft": once, "dpo": once}})


def _float(representer: Any, value: float) -> Any:
    """A float that readers of YAML 1.1 take for a number too: they ask for a point before the exponent."""
    text = repr(value)
    shown = text.replace("e", ".0e") if "e" in text and "." not in text else text
    return representer.represent_scalar(
        "tag:yaml.org,2002:float", {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(text, shown)
    )


def render_config(config: RunConfig) -> str:
    """The configuration as YAML, every setting shown."""
    stream = StringIO()
    yaml = _yaml()
    yaml.version = None
    yaml.representer.add_representer(float, _float)
    yaml.dump(plain_config(config), stream)
    return stream.getvalue()


def difference(there: str, here: str) -> str:
    """The first setting but `out` in which two rendered configurations differ, however written; "" where they say the same."""
    try:
        first, second = (_flat(_yaml_value(_complete(text), "config.yaml")) for text in (there, here))
    except ConfigError:
        return "other settings"
    for key in (*second, *first):
        if key != "out" and (key not in first or key not in second or first[key] != second[key]):
            old, new = (f"{key}: {held[key]}" if key in held else f"no {key}" for held in (first, second))
            return f"{old!r} there, {new!r} now"
    return ""


def _complete(text: str) -> str:
    """Rendered settings with those that a version added since at their defaults; as it is where it holds what none knows."""
    try:
        return render_config(checked(RunConfig, _yaml_value(text, "config.yaml")))
    except ConfigError:
        return text


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings by dotted key."""
    if not isinstance(value, dict) or (prefix and not value):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat
