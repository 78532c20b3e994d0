"""Settings: defaults, files, flags, overrides, and refusals that name the line and the mend."""

from pathlib import Path

import pytest

from solon.errors import ConfigError, InputError
from solon.run.config import RunConfig, difference, load_config, plain_config, render_config


def test_later_words_win(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("seed: 1\ntrain:\n  dpo:\n    beta: 0.3\n    learning_rate: 5e-5\n")
    config = load_config(file, {"seed": 2, "model": None}, ["train.dpo.beta=0.2", "hazards=[vcr, hte]"])
    assert (config.seed, config.train.dpo.beta, config.train.dpo.learning_rate) == (2, 0.2, 5e-5)
    assert config.hazards == ["vcr", "hte"] and config.model == "nano"


def test_rendered_settings_load_again(tmp_path: Path) -> None:
    config = load_config(None, {"seed": 3, "constitution": "contemplative"}, ["train.lora.r=8", "evaluation.judge=rules"])
    file = tmp_path / "run.yaml"
    file.write_text(render_config(config))
    assert plain_config(load_config(file)) == plain_config(config)


# Ten lists, each of ten aliases of the one before: thirty gigabytes when written out.
BOMB = "x0: &x0 [a]\n" + "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]\n" for n in range(1, 11))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seeed: 1\n", r"run\.yaml:1: seeed: expected a known setting.*did you mean 'seed'"),
        ("train:\n  dpo:\n    beta: -1\n", r"run\.yaml:3: train\.dpo\.beta: expected greater than 0, got -1"),
        ("train:\n  sft:\n    lora:\n      r: 2\n", "train: expected lora settings under train.lora, for both phases"),
        ("train:\n  sft:\n    micro_batch: 7\n", r"train\.sft\.micro_batch: expected a divisor of batch"),
        ("- seed\n", "expected `key: value` lines, got a list"),
        ("train:\n  phases: [dpo, sft]\n", r"train\.phases: expected \[sft\], \[dpo\] or \[sft, dpo\]"),
        ("seed: [1\n", r"run\.yaml:\d: expected YAML"),
        ("seed: " + "[" * 150 + "]" * 150, r"run\.yaml:1: expected YAML, got: maximum depth"),
        ("seed: 1\nseed: 2\n", r"run\.yaml:2: expected YAML"),
        ("just words\n", "expected `key: value` lines"),
        ("train:\n  dpo:\n    beta: .inf\n", r"run\.yaml:3: train\.dpo\.beta: expected a finite number, got inf"),
        ("train:\n  sft:\n    epochs: .inf\n", r"run\.yaml:3: train\.sft\.epochs: expected a finite number, got inf"),
        ("train:\n  phases: []\n", r"train\.phases: expected at least 1 item, got \[\]"),
        ("out: ''\n", "out: expected a name, got ''"),
        (BOMB, r"run\.yaml: expected at most 20,000 values, got more"),
    ],
)
def test_refusals(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_config(file)
    assert caught.value.mend and caught.value.exit_code == 2


@pytest.mark.parametrize("word", ["train.dpo.beta", "=1", "seed.x=1", "train.dpo.beta=[1"])
def test_bad_overrides(word: str) -> None:
    with pytest.raises(ConfigError):
        load_config(None, {"seed": 1}, [word])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["evaluation.criteria=[safety]"], "expected a model that can rate replies, got none"),
        (["evaluation.criteria=[safety]", "evaluation.criteria_judge=nano"], "expected a model that can rate replies, got nano"),
        (["evaluation.criteria=[safty]", "evaluation.criteria_judge=m"], "did you mean 'safety'"),
    ],
)
def test_criteria_need_a_judge_that_can(words: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, {}, words)
    assert complaint in str(caught.value)
    assert load_config(None, {}, ["evaluation.criteria=[safety]", "evaluation.criteria_judge=m"]).evaluation.criteria == [
        "safety"
    ]


def test_embedded_replies_are_short_unless_asked_otherwise() -> None:
    assert RunConfig().resolved().critique.respond.max_new_tokens == 96
    asked = load_config(None, {}, ["critique.respond.max_new_tokens=40", "evaluation.sampling.max_new_tokens=50"]).resolved()
    assert asked.critique.respond.max_new_tokens == 40 and asked.critique.revise.max_new_tokens == 96
    assert asked.evaluation.sampling.max_new_tokens == 50


def test_phase_settings_take_seed_and_adapter_from_the_run() -> None:
    config = load_config(None, {"seed": 9}, ["train.lora.r=4"])
    for phase in ("sft", "dpo"):
        settings = config.train.settings(phase, config)
        assert (settings.seed, settings.lora.r) == (9, 4)
    assert load_config(None, {"seed": 9}, ["train.sft.seed=5"]).train.settings("sft", config).seed == 5


@pytest.mark.slow
def test_nano_is_warned_of(tmp_path: Path) -> None:
    from solon.run.prepare import prepare

    def said(*words: str) -> list[str]:
        return prepare(load_config(None, {"max_prompts": 5, "out": str(tmp_path)}, words)).warnings

    assert said() == []
    assert any("half learned" in w for w in said("critique.policy=all"))
    assert any("not made for the constitution 'assistant'" in w for w in said("constitution=assistant"))


@pytest.mark.slow
def test_a_measurement_takes_every_prompt_but_those_for_training(tmp_path: Path) -> None:
    from solon.run.prepare import prepare_evaluation

    file = tmp_path / "p.csv"
    file.write_text("prompt,split,set\na,,\nb,train,\nc,test,benign\nd,validation,\n")
    job = prepare_evaluation(load_config(None, {"prompts": str(file)}))
    assert [(p.prompt, p.split, p.set) for p in job.held_out] == [("a", "file", "hazardous"), ("c", "file", "benign")]
    assert len(prepare_evaluation(load_config(None, {})).held_out) == 853
    file.write_text("prompt,split\na,train\n")
    with pytest.raises(InputError, match="at least one held-out row"):
        prepare_evaluation(load_config(None, {"prompts": str(file)}))


def test_the_written_configuration_means_the_same_to_every_yaml_reader() -> None:
    """`5e-05` is text in YAML 1.1, which PyYAML reads."""
    import yaml

    config = RunConfig()
    assert yaml.safe_load(render_config(config)) == plain_config(config)
    older = render_config(config).replace("5.0e-05", "5e-05")
    assert older != render_config(config) and not difference(older, render_config(config))  # a run begun before goes on
    assert difference(older.replace("seed: 0", "seed: 1"), older) == "'seed: 1' there, 'seed: 0' now"
    assert difference("a: [", older) == "other settings"
    long = config.model_copy(update={"out": "/a folder/" + "of a long name " * 20})  # folded over several lines of YAML
    assert not difference(render_config(long), render_config(config))


def test_a_run_of_a_version_with_fewer_settings_goes_on() -> None:
    now = render_config(RunConfig())
    older = now.replace("  revisions: 1\n", "")
    assert older != now and not difference(older, now)
    assert (
        difference(older, now.replace("revisions: 1", "revisions: 3"))
        == "'critique.revisions: 1' there, 'critique.revisions: 3' now"
    )
    assert difference(now + "later: 1\n", now) == "'later: 1' there, 'no later' now"  # written by a version that knows more
