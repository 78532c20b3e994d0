"""Losses as pure functions of tensors. Natural logarithms throughout."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -100  # label of a token that is not trained


class DpoLoss(NamedTuple):
    """Per-pair values, each of shape (pairs,): the loss, and the implicit rewards beta * log(policy / reference)."""

    loss: Tensor
    chosen_reward: Tensor
    rejected_reward: Tensor


def token_logprobs(logits: Tensor, targets: Tensor) -> Tensor:
    """log p(target) for logits of shape (n, vocabulary) and targets of shape (n,); computed in float32, or float64 if given."""
    exact = logits if logits.dtype == torch.float64 else logits.float()
    return -F.cross_entropy(exact, targets, reduction="none")


def sequence_logprobs(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum of log-probabilities of each row's labelled tokens.

    Args:
        logits: (rows, length, vocabulary); position t predicts token t + 1.
        labels: (rows, length) token ids; -100 marks tokens that don't count. The first column never counts.

    Returns:
        (rows,) sums; 0 for a row without labelled tokens.
    """
    targets = labels[:, 1:]
    counts = targets != IGNORE
    flat = token_logprobs(logits[:, :-1][counts], targets[counts])
    owner = counts.nonzero()[:, 0]
    return torch.zeros(len(labels), dtype=flat.dtype, device=flat.device).index_add(0, owner, flat)


def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    beta: float,
    label_smoothing: float = 0.0,
) -> DpoLoss:
    """The sigmoid DPO loss of Rafailov et al. (arXiv 2305.18290, eq. 7); with label smoothing, cDPO (Mitchell 2023).

    With m = beta * ((policy_chosen - ref_chosen) - (policy_rejected - ref_rejected)) and smoothing e:
    loss = -(1 - e) log sigmoid(m) - e log sigmoid(-m). Policy = reference gives ln 2.

    Args:
        policy_chosen, policy_rejected, ref_chosen, ref_rejected: (pairs,) sums of log-probabilities of the replies.
    """
    chosen, rejected = beta * (policy_chosen - ref_chosen), beta * (policy_rejected - ref_rejected)
    margin = chosen - rejected
    loss = -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)
    return DpoLoss(loss, chosen.detach(), rejected.detach())


def nll(logprobs: Tensor, tokens: int | Tensor | None = None) -> Tensor:
    """Negative log-likelihood in nats per token: -sum(logprobs) / tokens (default: how many there are)."""
    count = logprobs.numel() if tokens is None else tokens
    return -logprobs.sum() / max(count, 1) if not isinstance(count, Tensor) else -logprobs.sum() / count.clamp(min=1)
