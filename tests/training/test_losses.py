"""Losses against values worked by hand, and against trl's DPOTrainer."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import pytest
import torch
from datasets import Dataset

from solon.training.collate import Layout, attention_for, forward_logprobs, pack_examples, sequence_sums
from solon.training.encode import encode_rows
from solon.training.losses import dpo_loss, nll, sequence_logprobs
from solon.training.phases import ahead
from tests.training.conftest import build_model, make_pairs


def test_dpo_loss_by_hand() -> None:
    """beta 0.5. Pair 1: (-1 - -2) - (-3 - -3) = 1, margin 0.5, loss ln(1 + e^-0.5). Pair 2: policy = reference, loss ln 2."""
    found = dpo_loss(
        torch.tensor([-1.0, -4.0]), torch.tensor([-3.0, -5.0]), torch.tensor([-2.0, -4.0]), torch.tensor([-3.0, -5.0]), beta=0.5
    )
    assert found.loss[0].item() == pytest.approx(math.log(1 + math.exp(-0.5)), abs=1e-6)
    assert found.loss[0].item() == pytest.approx(0.474077, abs=1e-6)
    assert found.loss[1].item() == pytest.approx(math.log(2), abs=1e-7)
    assert found.chosen_reward.tolist() == [0.5, 0.0]
    assert found.rejected_reward.tolist() == [0.0, 0.0]


def test_label_smoothing_by_hand() -> None:
    """Margin 0.5, smoothing 0.1: 0.9 * 0.474077 + 0.1 * ln(1 + e^0.5) = 0.9 * 0.474077 + 0.1 * 0.974077 = 0.524077."""
    one = [torch.tensor([x]) for x in (-1.0, -3.0, -2.0, -3.0)]
    assert dpo_loss(*one, beta=0.5, label_smoothing=0.1).loss.item() == pytest.approx(0.524077, abs=1e-6)


def test_accuracy_counts_ties_half() -> None:
    """At the reference every margin is 0: neither reply is ahead, and the accuracy is that of a coin."""
    assert ahead(torch.tensor([0.3, -0.1, 0.0, 0.0])).tolist() == [1.0, 0.0, 0.5, 0.5]


def test_gradient_of_dpo_loss() -> None:
    """d loss / d policy_chosen = -beta * sigmoid(-margin); at margin 0 and beta 0.1 that is -0.05."""
    chosen = torch.tensor([-2.0], requires_grad=True)
    other = torch.tensor([-2.0])
    dpo_loss(chosen, other, other, other, beta=0.1).loss.sum().backward()
    assert chosen.grad is not None
    assert chosen.grad.item() == pytest.approx(-0.05, abs=1e-7)


def test_sequence_logprobs_by_hand() -> None:
    """Two tokens of vocabulary, logits (0, ln 3): p = 1/4 and 3/4. Labels shift by one; -100 does not count."""
    logits = torch.tensor([[[0.0, math.log(3)]] * 4, [[0.0, math.log(3)]] * 4])
    labels = torch.tensor([[1, -100, 1, 0], [0, -100, -100, -100]])
    found = sequence_logprobs(logits, labels)
    assert found[0].item() == pytest.approx(math.log(3 / 4) + math.log(1 / 4), abs=1e-6)
    assert found[1].item() == 0.0


def test_nll_is_per_token() -> None:
    assert nll(torch.tensor([-1.0, -3.0])).item() == 2.0
    assert nll(torch.tensor([-1.0, -3.0]), 8).item() == 0.5


def trl_trainer(tokenizer, policy, reference, rows, folder):
    from trl import DPOConfig, DPOTrainer

    data = Dataset.from_list(
        [{k: [m.model_dump() for m in getattr(r, k)] for k in ("prompt", "chosen", "rejected")} for r in rows]
    )
    config = DPOConfig(
        output_dir=str(folder), per_device_train_batch_size=len(rows), beta=0.1, report_to=[], use_cpu=True, disable_dropout=True,
        gradient_checkpointing=False, bf16=False, max_length=None,
    )  # fmt: skip
    return DPOTrainer(model=policy, ref_model=reference, args=config, train_dataset=data, processing_class=tokenizer)


def test_double_precision_is_kept() -> None:
    logits = torch.randn(3, 7, dtype=torch.float64)
    assert sequence_logprobs(logits[None], torch.tensor([[0, 1, 2]])).dtype == torch.float64


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dpo_equals_trl(tokenizer, tmp_path, dtype) -> None:
    """Same rows, policy and reference: loss, implicit rewards and sums of log-probabilities each agree to 1e-5, in every layout.

    trl sums a padded batch and turns log-probabilities into float32 even in a float64 model; sums here are 17 to 62 nats,
    where float32 has steps of 2e-6 to 4e-6.
    """
    rows = make_pairs(5, seed=3)
    policy, reference = (build_model(tokenizer, seed=s).to(dtype) for s in (1, 2))
    encoded = encode_rows(tokenizer, rows, max_length=256, too_long="refuse", pairs=True).examples
    (pack,) = pack_examples(encoded, budget=4096)
    ours = {layout: [_pair_sums(m, pack, layout) for m in (policy, reference)] for layout in get_args(Layout)}  # trl wraps them

    trainer = trl_trainer(tokenizer, policy, reference, rows, tmp_path)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(5)])
    policy.eval()
    with torch.no_grad():
        mean = trainer.compute_loss(policy, batch).item()
        each = [trainer.compute_loss(policy, trainer.data_collator([trainer.train_dataset[i]])).item() for i in range(5)]
    theirs = {name: values[1:] for name, values in trainer._metrics["eval"].items()}
    for (sums, reference_sums), smoothing in itertools.product(ours.values(), (0.0, 0.2)):
        parts = dpo_loss(sums[:, 0], sums[:, 1], reference_sums[:, 0], reference_sums[:, 1], 0.1, smoothing)
        # trl 1.16 has no cDPO; with margin m its sigmoid loss s gives the smoothed one as s + e * m, since
        # -log sigmoid(-m) = -log sigmoid(m) + m.
        margins = parts.chosen_reward - parts.rejected_reward
        assert parts.loss.tolist() == near([s + smoothing * m for s, m in zip(each, margins.tolist(), strict=True)])
        assert float((parts.loss - smoothing * margins).mean()) == near(mean)
        assert sums[:, 0].tolist() == near(theirs["logps/chosen"])
        assert sums[:, 1].tolist() == near(theirs["logps/rejected"])
        assert parts.chosen_reward.tolist() == near(theirs["rewards/chosen"])
        assert parts.rejected_reward.tolist() == near(theirs["rewards/rejected"])
        assert margins.tolist() == near(theirs["rewards/margins"])


def near(values):
    """Equal to 1e-5, absolutely."""
    return pytest.approx(values, rel=0, abs=1e-5)


@torch.no_grad()
def _pair_sums(model, pack, layout: Layout) -> torch.Tensor:
    """(pairs, 2) sums of the chosen and the rejected reply's log-probabilities, in the order of the rows."""
    with attention_for(model, layout):
        sums = sequence_sums(pack, forward_logprobs(model, pack, layout))
    return sums.view(-1, 2)[torch.tensor(pack.rows).argsort()]
