"""Whole runs on the tiny model: learning and its verdict, resume, signals, early stopping, refusals, exports."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from solon.errors import CheckFailed, ConfigError, DataError, EnvironmentRefused, ModelError
from solon.training.callbacks import TrainingInterrupted, latest_save, rich_progress
from solon.training.config import DpoSettings, EarlyStopping, LoraSettings, SftSettings
from solon.training.dpo import train_dpo
from solon.training.export import stored_dtype, tie_of, write_merged
from solon.training.sft import mix_retain, train_sft
from tests.training.conftest import build_model, make_pairs, make_retain, row
from tests.warm import start

pytestmark = pytest.mark.slow

QUIET = {"device": "cpu", "tracking": ["jsonl"]}
PAIRS, RETAIN = make_pairs(24), make_retain(12)


def sft(**changes) -> SftSettings:
    return SftSettings(**{**QUIET, "batch": 8, "epochs": 2, "learning_rate": 3e-3, **changes})


def dpo(**changes) -> DpoSettings:
    return DpoSettings(**{**QUIET, "batch": 8, "epochs": 2, "learning_rate": 2e-3, "retain_batch": 4, **changes})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """SFT then DPO, once."""
    out = tmp_path_factory.mktemp("runs")
    first = train_sft(folder, [*PAIRS, *RETAIN], out / "sft", sft(), validation=make_pairs(6, 9))
    second = train_dpo(folder, PAIRS, RETAIN, out / "dpo", dpo(), adapter=first.adapter)
    return first, second


def test_sft_learns(trained) -> None:
    result, _ = trained
    assert result.verdict == "learned"
    assert not result.no_learning
    assert result.change.high < 0
    assert result.step0.source == "validation"
    assert result.steps == result.plan.steps == 9  # 24 pairs + 12 retain rows (all there are), 2 epochs, batch 8
    assert "the share is 0.33" in result.notes[0]
    assert result.trainable == sum(t.numel() for t in weights(result.adapter).values())


def test_dpo_after_sft_compares_with_its_own_step_0(trained) -> None:
    """The reference is the base, so after SFT the margin does not start at 0 nor the loss at ln 2."""
    _, result = trained
    assert abs(result.step0.margin) > 0.01
    assert result.verdict == "learned"
    assert result.change.low > 0
    assert result.final.margin - result.step0.margin == pytest.approx(result.change.value, abs=1e-6)
    logged = [entry for entry in result.history if "margin" in entry and "loss" in entry]
    assert len(logged) == result.steps == 6
    assert all(entry["retain_nll"] > 0 for entry in logged)


def test_dpo_from_the_reference_starts_at_ln_2(folder, tmp_path) -> None:
    result = train_dpo(folder, PAIRS, [], tmp_path, dpo(epochs=0.5))
    assert result.step0.loss == pytest.approx(0.693147, abs=1e-6)
    assert result.step0.margin == 0
    assert any("no retain rows" in w for w in result.plan.warnings)


def test_no_learning_at_rate_zero(folder, tmp_path) -> None:
    for result in (
        train_dpo(folder, PAIRS, RETAIN, tmp_path / "dpo", dpo(learning_rate=0.0, epochs=1)),
        train_sft(folder, PAIRS, tmp_path / "sft", sft(learning_rate=0.0, epochs=1)),
    ):
        assert result.no_learning
        assert result.verdict == "no learning"
        assert result.change.low == result.change.high == 0


def test_flipped_pairs_move_the_wrong_way(folder, tmp_path) -> None:
    """Validation pairs with the preference reversed: the interval excludes 0 on the other side, and the verdict says so."""
    flipped = [p.model_copy(update={"chosen": p.rejected, "rejected": p.chosen}) for p in make_pairs(12, 4)]
    result = train_dpo(folder, PAIRS, [], tmp_path, dpo(epochs=4, load_best=False), validation=flipped)
    assert (result.no_learning, result.verdict) == (False, "moved the wrong way")


class StopAfter:
    """Progress that sends a signal to this process once a step has ended."""

    def __init__(self, step: int, signum: int) -> None:
        self.step, self.signum = step, signum

    def __call__(self, step: int, steps: int, metrics: dict) -> None:
        if step == self.step:
            os.kill(os.getpid(), self.signum)


@pytest.mark.parametrize(("phase", "signum"), [("sft", signal.SIGTERM), ("dpo", signal.SIGINT)])
def test_interrupted_and_resumed_equals_undisturbed(folder, tmp_path, phase: str, signum: int) -> None:
    """Dropout, shuffling and schedule included: bit-equal weights and the same log."""

    def run(out: Path, progress=None):
        if phase == "sft":
            return train_sft(folder, [*PAIRS, *RETAIN], out, sft(), validation=make_pairs(4, 9), progress=progress)
        return train_dpo(folder, PAIRS, RETAIN, out, dpo(), progress=progress)

    whole = run(tmp_path / "whole")
    with pytest.raises(TrainingInterrupted) as caught:
        run(tmp_path / "cut", StopAfter(3, signum))
    assert caught.value.exit_code == 128 + signum
    assert not (tmp_path / "cut" / "adapter").exists()
    resumed = run(tmp_path / "cut")
    assert 1 <= resumed.resumed_from < whole.steps
    assert same(weights(whole.adapter), weights(resumed.adapter))
    assert resumed.step0 == whole.step0
    assert resumed.final.loss == whole.final.loss
    assert resumed.tokens == whole.tokens
    lines = [json.loads(line) for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert [e["step"] for e in lines if "loss" in e and "step" in e] == list(range(1, whole.steps + 1))


def test_a_finished_run_is_not_run_again(folder, tmp_path) -> None:
    first = train_dpo(folder, PAIRS, [], tmp_path, dpo())
    again = train_dpo(folder, PAIRS, [], tmp_path, dpo(), progress=lambda *a: pytest.fail("trained again"))
    assert again == first
    (first.adapter / "adapter_model.safetensors").rename(tmp_path / "kept.safetensors")
    shutil.rmtree(first.adapter)
    rebuilt = train_dpo(folder, PAIRS, [], tmp_path, dpo())
    assert same(weights(rebuilt.adapter), load_file(tmp_path / "kept.safetensors"))


def many_saves(base: Path, out: Path):
    return train_dpo(base, PAIRS, RETAIN, out, dpo(save_steps=1, epochs=8))


def both_phases(base: Path, out: Path) -> None:
    train_sft(base, [*PAIRS, *RETAIN], out / "sft", sft(lora={"dropout": 0.0}), validation=make_pairs(4, 9))
    train_dpo(base, PAIRS[:21], RETAIN, out / "dpo", dpo(lora={"dropout": 0.0}))


def test_killed_at_a_random_moment(folder, tmp_path) -> None:
    """SIGKILL gives no chance to save; what is resumed is the last whole save, and the end is the same to the bit.

    Many more kills: `python -m benchmarks.proof_resume`.
    """
    whole, out = many_saves(folder, tmp_path / "whole"), tmp_path / "cut"
    process = start(tmp_path, many_saves, folder, out)
    while not process.ended and latest_save(out / "checkpoints") is None:
        time.sleep(0.01)
    time.sleep(random.Random(7).uniform(0, 0.5))
    process.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert not (out / "result.json").exists()
    resumed = many_saves(folder, out)
    assert resumed.resumed_from and same(weights(whole.adapter), weights(resumed.adapter))


def as_one_of_two(rank: int, port: int, base: Path, out: Path) -> None:
    """A process with the environment that torchrun gives to each of two on one machine."""
    both = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(both, RANK=str(rank), LOCAL_RANK=str(rank))
    both_phases(base, out)
    assert (torch.distributed.get_rank(), torch.distributed.get_world_size()) == (rank, 2)


def test_two_processes_equal_one(folder, tmp_path) -> None:
    """As under torchrun, by gloo: gradients are averaged over processes with different rows; a short last step included."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [start(tmp_path, as_one_of_two, rank, port, folder, tmp_path / "by2") for rank in range(2)]
    both_phases(folder, tmp_path / "by1")
    for rank in ranks:
        assert rank.wait(240) == 0, rank.err[-2000:]
    for phase in ("sft", "dpo"):
        one, two = (weights(tmp_path / f"by{count}" / phase / "adapter") for count in (1, 2))
        assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


def test_half_written_saves_are_passed_over(folder, tmp_path) -> None:
    with pytest.raises(TrainingInterrupted):
        train_dpo(folder, PAIRS, [], tmp_path, dpo(save_steps=1), progress=StopAfter(3, signal.SIGTERM))
    saves = tmp_path / "checkpoints"
    newest = latest_save(saves)
    assert newest is not None
    number = int(newest.name.split("-")[1])
    fake = saves / f"checkpoint-{number + 1}"
    shutil.copytree(newest, fake)
    (fake / "solon_complete.json").unlink()
    assert latest_save(saves) == newest
    with (newest / "optimizer.pt").open("r+b") as file:
        file.truncate(10)
    assert latest_save(saves) == saves / f"checkpoint-{number - 1}"


def test_other_settings_do_not_resume(folder, tmp_path) -> None:
    with pytest.raises(TrainingInterrupted):
        train_dpo(folder, PAIRS, [], tmp_path, dpo(), progress=StopAfter(2, signal.SIGTERM))
    with pytest.raises(DataError, match="other settings, data or base"):
        train_dpo(folder, PAIRS, [], tmp_path, dpo(beta=0.3))
    with pytest.raises(DataError, match="other settings, data or base"):
        train_dpo(folder, PAIRS[:-1], [], tmp_path, dpo())
    with pytest.raises(DataError, match="already holds"):
        train_dpo(folder, PAIRS, [], tmp_path, dpo(), resume=False)


def test_micro_batches_do_not_change_the_result(folder, tmp_path) -> None:
    """One pack, several packs and padding: the same gradients, so nearly the same weights."""
    plain = {"lora": LoraSettings(dropout=0.0), "epochs": 1}
    results = [
        train_dpo(folder, PAIRS, RETAIN, tmp_path / name, dpo(**plain, **changes))
        for name, changes in (
            ("whole", {}),
            ("micro", {"micro_batch": 2}),
            ("tight", {"pack_tokens": 64}),
            ("off", {"packing": "off"}),
        )
    ]
    assert "segments" in results[0].plan.layout
    first = weights(results[0].adapter)
    for other in results[1:]:
        for name, value in weights(other.adapter).items():
            assert torch.allclose(value, first[name], atol=2e-4), name


def test_early_stopping_and_the_best_save(folder, tmp_path) -> None:
    """Training on one thing and validating on its opposite gets worse at once: stopped, and the best save is kept."""
    against = [row("how do i bake", "w1 w2 w3 w4", "sure", number=i) for i in range(4)]
    settings = sft(epochs=30, eval_steps=2, save_steps=2, early_stopping=EarlyStopping(patience=2), learning_rate=5e-3)
    result = train_sft(folder, [row("how do i bake", "sure mix the cake", "no", number=i) for i in range(8)], tmp_path, settings,
                       validation=against)  # fmt: skip
    assert result.stopped_early
    assert result.steps < result.plan.steps
    losses = {e["step"]: e["eval_loss"] for e in result.history if "eval_loss" in e}
    assert result.best_step == min(losses, key=lambda step: losses[step])
    assert result.final.loss == pytest.approx(losses[result.best_step], abs=1e-5)


def test_full_fine_tuning_keeps_dtype_and_ties(tokenizer, tmp_path) -> None:
    from transformers import AutoModelForCausalLM

    base = tmp_path / "base"
    build_model(tokenizer).to(torch.bfloat16).save_pretrained(base)
    tokenizer.save_pretrained(base)
    result = train_sft(base, PAIRS, tmp_path / "out", sft(lora=LoraSettings(enabled=False), learning_rate=1e-3))
    assert result.adapter is None
    assert result.trainable == result.parameters
    assert result.verdict == "learned"
    assert stored_dtype(result.model) == torch.bfloat16
    assert tie_of(AutoModelForCausalLM.from_pretrained(result.model))


def test_dpo_after_sft_without_lora(folder, tmp_path) -> None:
    """The reference is the base also here; it is measured before the earlier weights are put in."""
    full = {"lora": LoraSettings(enabled=False), "learning_rate": 5e-4}
    first = train_sft(folder, PAIRS, tmp_path / "sft", sft(**full))
    second = train_dpo(folder, PAIRS, RETAIN, tmp_path / "dpo", dpo(**full), adapter=first.model)
    assert abs(second.step0.margin) > 1e-3
    assert second.verdict == "learned"
    with pytest.raises(ConfigError, match=r"lora\.enabled is false"):
        train_dpo(folder, PAIRS, [], tmp_path / "no", dpo(**full), adapter=tmp_path)


def test_merged_equals_adapter(trained, folder, tmp_path, tokenizer) -> None:
    """The written folder, loaded as users load it, computes what base + adapter computes; embeddings stay tied."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result = trained[1]
    numbers = write_merged(folder, result.adapter, tmp_path / "model")
    assert numbers["merge"] < 1e-4
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    both = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), result.adapter).eval()
    ids = torch.tensor([tokenizer.encode("<|user|> how do i bake <|assistant|>")])
    with torch.no_grad():
        assert torch.allclose(merged(ids).logits, both(ids).logits, atol=1e-4)
        assert not torch.allclose(
            merged(ids).logits, both.base_model.model.__class__.from_pretrained(folder)(ids).logits, atol=1e-3
        )
    assert tie_of(merged)
    assert AutoTokenizer.from_pretrained(tmp_path / "model").chat_template == tokenizer.chat_template
    assert "lm_head.weight" not in load_file(tmp_path / "model" / "model.safetensors")


def test_nothing_is_looked_up_on_the_network(folder, tmp_path, monkeypatch) -> None:
    """An adapter whose base goes by a name (`nano`) is continued and saved without asking any hub for that name."""
    import socket

    first = train_sft(folder, PAIRS, tmp_path / "sft", sft(epochs=1))
    config = first.adapter / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": "some-name"}))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail(f"looked up {a[0]}"))
    second = train_dpo(folder, PAIRS, [], tmp_path / "dpo", dpo(epochs=1), adapter=first.adapter)
    write_merged(folder, second.adapter, tmp_path / "model")


def test_an_adapter_knows_its_base(trained, tokenizer, tmp_path) -> None:
    other = tmp_path / "other"
    build_model(tokenizer, seed=5).save_pretrained(other)
    tokenizer.save_pretrained(other)
    record = json.loads((trained[0].adapter / "solon_base.json").read_text())
    assert {"name", "weights", "model", "template"} <= record.keys()
    with pytest.raises(ModelError, match="was trained on"):
        write_merged(other, trained[0].adapter, tmp_path / "merged")
    with pytest.raises(ModelError, match="was trained on"):
        train_dpo(other, PAIRS, [], tmp_path / "dpo", dpo(), adapter=trained[0].adapter)


def test_a_merge_that_differs_is_refused(trained, folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("solon.training.export.MERGE_TOLERANCE", -1.0)
    with pytest.raises(CheckFailed, match="a logit differs"):
        write_merged(folder, trained[0].adapter, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_reference_is_kept_checked_and_computed_again(trained, folder, tmp_path) -> None:
    first = train_dpo(folder, PAIRS, RETAIN, tmp_path / "a", dpo())
    (stored,) = (tmp_path / "a" / "reference").glob("*.json")
    shutil.copytree(tmp_path / "a" / "reference", tmp_path / "b" / "reference")
    second = train_dpo(folder, PAIRS, RETAIN, tmp_path / "b", dpo())
    assert "read from" in second.notes[0]
    assert same(weights(first.adapter), weights(second.adapter))
    record = json.loads(stored.read_text())
    record["values"][0][0] += 1.0
    (tmp_path / "c" / "reference").mkdir(parents=True)
    (tmp_path / "c" / "reference" / stored.name).write_text(json.dumps(record))
    third = train_dpo(folder, PAIRS, RETAIN, tmp_path / "c", dpo())
    assert "did not agree" in third.notes[0]
    assert same(weights(first.adapter), weights(third.adapter))


def test_the_reference_does_not_depend_on_the_adapter(trained, folder) -> None:
    """Starting from an SFT adapter, the reference is still the bare base."""
    from solon.training.encode import encode_rows
    from solon.training.loading import load_for_training
    from solon.training.reference import adapter_off, pair_logprobs

    bare = load_for_training(folder, dpo(lora=LoraSettings(enabled=False)))
    tuned = load_for_training(folder, dpo(), trained[0].adapter)
    examples = encode_rows(bare.tokenizer, PAIRS[:5], max_length=99, too_long="drop", pairs=True).examples
    plain = pair_logprobs(bare.model, examples, 4096, "segments", bare.autocast)
    with adapter_off(tuned.model):
        off = pair_logprobs(tuned.model, examples, 4096, "segments", tuned.autocast)
    on = pair_logprobs(tuned.model, examples, 4096, "segments", tuned.autocast)
    assert torch.allclose(plain, off, atol=1e-5)
    assert (plain - on).abs().max() > 0.1


def test_mix_retain() -> None:
    """20 pairs at share 0.6 want 30 retain rows; the draw is seeded and keeps the order."""
    rows = [*make_pairs(20), *make_retain(50)]
    mixed, notes = mix_retain(rows, 0.6, seed=0)
    assert (len(mixed), notes) == (50, [])
    assert mixed == mix_retain(rows, 0.6, seed=0)[0] != mix_retain(rows, 0.6, seed=1)[0]
    numbers = [int(r.provenance.prompt_id.split("-")[1]) for r in mixed if r.kind == "retain"]
    assert numbers == sorted(numbers)
    assert len(mix_retain(rows, 0.0, 0)[0]) == 20
    assert len(mix_retain(rows, 1.0, 0)[0]) == 50
    assert len(mix_retain(make_retain(5), 0.67, 0)[0]) == 5


def test_refusals(folder, tmp_path) -> None:
    with pytest.raises(DataError, match="expected at least one row"):
        train_sft(folder, [], tmp_path / "a", sft())
    with pytest.raises(DataError, match="row 1: expected kind 'pair', got 'retain'"):
        train_dpo(folder, RETAIN, [], tmp_path / "b", dpo())
    with pytest.raises(DataError, match="scripted"):
        train_sft(folder, [PAIRS[0].model_copy(update={"source": "scripted"})], tmp_path / "c", sft())
    with pytest.raises(DataError, match="longer than"):
        train_sft(folder, PAIRS, tmp_path / "d", sft(max_length=3))
    with pytest.raises(ModelError):
        train_sft(tmp_path / "nowhere", PAIRS, tmp_path / "e", sft())
    with pytest.raises(EnvironmentRefused, match="CUDA"):
        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
        train_sft(folder, PAIRS, tmp_path / "f", sft(device="cuda"))
    assert not list(tmp_path.iterdir())


def test_a_tracker_that_is_not_installed_is_refused(folder, tmp_path, monkeypatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "wandb" else real(name, *a))
    with pytest.raises(EnvironmentRefused, match="wandb is not installed"):
        train_sft(folder, PAIRS, tmp_path, sft(tracking=["jsonl", "wandb"]))


def test_tensorboard_and_progress(folder, tmp_path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    seen = []
    with rich_progress("SFT") as show:
        result = train_sft(
            folder, PAIRS, tmp_path, sft(tracking=["jsonl", "tensorboard"], epochs=1), validation=make_pairs(4, 9),
            progress=lambda *a: (show(*a), seen.append(a[:2])), announce=lambda plan: seen.append(plan.steps),
        )  # fmt: skip
    assert seen[0] == 3
    assert seen[-1] == (3, 3)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [e.step for e in events.Scalars("loss")] == [1, 2, 3]
    assert [e.step for e in events.Scalars("validation/loss")] == result.plan.evaluations


def test_gradient_checkpointing_changes_nothing(folder, tmp_path) -> None:
    plain = {"lora": LoraSettings(dropout=0.0), "epochs": 1}
    a = train_dpo(folder, PAIRS, [], tmp_path / "a", dpo(**plain))
    b = train_dpo(folder, PAIRS, [], tmp_path / "b", dpo(**plain, gradient_checkpointing=True))
    for name, value in weights(a.adapter).items():
        assert torch.allclose(value, weights(b.adapter)[name], atol=1e-5)


def test_bf16_autocast_trains(folder, tmp_path) -> None:
    result = train_dpo(folder, PAIRS, RETAIN, tmp_path, dpo(precision="bf16"))
    assert result.verdict == "learned"
    assert all(t.dtype == torch.float32 for t in weights(result.adapter).values())


def test_quantise_needs_its_extra(folder, tmp_path) -> None:
    import importlib.util

    if importlib.util.find_spec("bitsandbytes"):
        pytest.skip("bitsandbytes is installed")
    with pytest.raises(EnvironmentRefused, match=r"solon\[quant\]"):
        train_sft(folder, PAIRS, tmp_path, sft(quantise="nf4"))


def test_stored_dtype_is_that_of_the_bulk(tmp_path) -> None:
    save_file(
        {"a": torch.zeros(2, dtype=torch.float32), "b": torch.zeros(9, dtype=torch.float16)}, tmp_path / "model.safetensors"
    )
    assert stored_dtype(tmp_path) == torch.float16


def test_sft_needs_no_reply_to_avoid(folder, tmp_path) -> None:
    """Rows of other shapes teach a reply and name none to avoid; DPO refuses them."""
    rows = [pair.model_copy(update={"rejected": []}) for pair in PAIRS]
    assert train_sft(folder, rows, tmp_path / "sft", sft(epochs=1)).steps == 3
    with pytest.raises(DataError, match="without a rejected reply"):
        train_dpo(folder, rows, [], tmp_path / "dpo", dpo())
    same = [pair.model_copy(update={"rejected": pair.chosen}) for pair in PAIRS]
    with pytest.raises(DataError, match="row 1: chosen and rejected are the same"):
        train_dpo(folder, same, [], tmp_path / "dpo", dpo())
