"""Before anything runs: the constitution, the prompts with their split, and the proof that nothing leaks."""

from __future__ import annotations

from dataclasses import dataclass, field

from solon.constitution import Constitution, load
from solon.data.prompts import BUILTIN, REFUSAL_ONLY_HAZARDS, choose, load_builtin, load_prompts
from solon.data.records import Prompt
from solon.data.splits import HELD_OUT, assign, require_no_leak, with_groups
from solon.errors import ConfigError, InputError
from solon.models.base import content_hash
from solon.run.config import NANO, RunConfig

MADE_FOR_NANO = ("five-laws", "contemplative", "helpful-harmless")


@dataclass(frozen=True)
class Job:
    """A configuration with its inputs read and checked."""

    config: RunConfig
    constitution: Constitution
    prompts: list[Prompt]
    warnings: list[str] = field(default_factory=list)

    def split(self, *names: str) -> list[Prompt]:
        """The prompts of these splits, in order."""
        return [p for p in self.prompts if p.split in names]

    @property
    def hazardous(self) -> list[Prompt]:
        """Hazardous training prompts, without those that serve to measure refusal only."""
        return [p for p in self.split("train") if p.set == "hazardous" and p.hazard not in REFUSAL_ONLY_HAZARDS]

    @property
    def harmless(self) -> list[Prompt]:
        """Benign and twin training prompts, for retain rows."""
        return [p for p in self.split("train") if p.set != "hazardous"]

    @property
    def held_out(self) -> list[Prompt]:
        """Every prompt that is evaluated."""
        return self.split(*HELD_OUT)

    @property
    def fingerprint(self) -> str:
        """Hash of constitution and prompts."""
        return content_hash([self.constitution.hash, [p.model_dump() for p in self.prompts]])


def prepare(config: RunConfig) -> Job:
    """Read and check everything that the configuration names, apart from models.

    Raises:
        InputError: a file, setting or filter was refused.
        CheckFailed: training and held-out prompts leak into each other.
    """
    config = config.resolved()
    constitution = load(config.constitution)
    if not constitution.principles:
        raise ConfigError(
            f"constitution {constitution.id}: expected principles in words, got only limits",
            mend="use it with `solon decide` and `solon replay`, or add `## <principle>` sections",
        )
    _check_critique(config, constitution)
    prompts = _prompts(config)
    require_no_leak(prompts)
    job = Job(config, constitution, prompts, _warnings(config, constitution, prompts))
    for need, have in (("training", job.hazardous), ("held-out", [p for p in job.held_out if p.set == "hazardous"])):
        if not have:
            raise InputError(
                f"prompts: expected at least one hazardous {need} prompt, got none of {len(prompts)}",
                mend="give more prompts, or change split.test and split.seed",
            )
    return job


def prepare_evaluation(config: RunConfig) -> Job:
    """The same for a measurement alone: every prompt of a file that no `split` column puts into training, or the built-in
    held-out ones.

    Raises:
        InputError: a file, setting or filter was refused.
    """
    config = config.resolved()
    constitution = load(config.constitution)
    if config.prompts == BUILTIN:
        prompts = [p for p in load_builtin() if p.split in HELD_OUT]
    else:
        given = [p.model_copy(update={"split": p.split or "file"}) for p in with_groups(load_prompts(config.prompts))]
        prompts = [p for p in given if p.split in HELD_OUT]
    if not prompts:
        raise InputError("prompts: expected at least one held-out row, got none", mend="leave the split column out, or name test")
    chosen = choose(prompts, hazards=config.hazards, personas=config.personas, limit=config.max_prompts, seed=config.seed)
    return Job(config, constitution, chosen, list(constitution.warnings))


def _check_critique(config: RunConfig, constitution: Constitution) -> None:
    """Refuse critique settings that this model and this constitution cannot honour."""
    settings, most = config.critique.resolved(embedded=config.model == NANO), len(constitution.principles)
    if settings.policy == "random" and settings.k > most:
        raise ConfigError(
            f"critique.k: expected at most {most}, the principles of {constitution.id}, got {settings.k}", mend="lower it"
        )


def _prompts(config: RunConfig) -> list[Prompt]:
    """The training prompts that were asked for, and the built-in ones beside them: to retain, to gate and to measure on."""
    builtin = load_builtin()
    source = [p for p in builtin if _trains(p)] if config.prompts == BUILTIN else load_prompts(config.prompts)
    split = assign(source, validation=config.split.validation, test=config.split.test, seed=config.split.seed)
    own = choose(split, hazards=config.hazards, personas=config.personas, limit=config.max_prompts, seed=config.seed)
    measured = config.evaluation.builtin or config.prompts == BUILTIN
    own_retain = any(p.set != "hazardous" and p.split == "train" for p in own)
    beside = [
        p for p in builtin if not _trains(p) and (measured or p.split not in HELD_OUT) and not (own_retain and p.split == "train")
    ]
    return _disjoint_ids([*own, *beside])


def _trains(prompt: Prompt) -> bool:
    return prompt.set == "hazardous" and prompt.split == "train"


def _disjoint_ids(prompts: list[Prompt]) -> list[Prompt]:
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise InputError(f"prompts: id {prompt.id!r} is also an id of the built-in set", mend="rename it in your file")
        seen.add(prompt.id)
    return prompts


def _warnings(config: RunConfig, constitution: Constitution, prompts: list[Prompt]) -> list[str]:
    found = list(constitution.warnings)
    if config.model == NANO and constitution.id not in MADE_FOR_NANO:
        found.append(
            f"nano was not made for the constitution {constitution.id!r}; it can criticise only by {', '.join(MADE_FOR_NANO)}. "
            "Use a real model for real results"
        )
    if config.model == NANO and config.critique.policy != "combined":
        found.append(
            f"critique.policy {config.critique.policy}: nano has half learned to tell principles apart; with single ones its "
            "results by principle mean little. Use the combined policy, or a real model"
        )
    left_out = [p for p in prompts if p.split == "train" and p.hazard in REFUSAL_ONLY_HAZARDS]
    if left_out:
        found.append(
            f"{len(left_out)} prompts of hazard {', '.join(sorted(REFUSAL_ONLY_HAZARDS))} serve to measure refusal only; no pairs"
        )
    return found
