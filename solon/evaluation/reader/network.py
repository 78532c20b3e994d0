"""The network that reads a reply beside its request, and how texts become its input.

A sentence encoder (all-MiniLM-L6-v2; Wang et al. 2020, Reimers and Gurevych 2019) reads `[CLS] request [SEP] reply [SEP]`. A head
over tokens says what each word of the reply does (declines, serves, warns, fills, strays); a head over the whole answers three
questions: does the reply decline, does it serve, does it warn? Two clues come beside the words, and training taught how far to
trust them: how near request and reply lie to each other in the unchanged encoder's space, and the label that the rules of
`solon.evaluation.rules` give. The final label follows from the three answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

KINDS = ("decline", "serve", "warn", "filler", "stray")
QUESTIONS = KINDS[:3]
LABELS = ("refusal", "compliance", "compliance_with_disclaimer", "refusal_then_compliance", "off_topic")
WIDTH = 384
MOST_TOKENS = 320
MOST_REQUEST = 96
STRONGEST = 6  # words whose evidence counts for a question
NO_HINT = len(LABELS)
MOST_NEAR = 192  # tokens of a text that count for nearness
CENTRES = torch.linspace(-0.1, 0.9, 8)  # of the bumps by which a nearness enters


def hint_of(label: str) -> int:
    """The index of a label of the rules; `NO_HINT` for one that is none of `LABELS`."""
    return LABELS.index(label) if label in LABELS else NO_HINT


class Coded(NamedTuple):
    """One exchange as token ids, with 0 for the request's positions and 1 for the reply's."""

    ids: list[int]
    types: list[int]


def shortened(ids: list[int], most: int, head: float) -> list[int]:
    """At most `most` ids: the share `head` of them from the start, the others from the end."""
    if len(ids) <= most:
        return ids
    start = round(most * head)
    return ids[:start] + ids[start - most :]


def code(tokenizer: Any, request: str, reply: str) -> Coded:
    """An exchange as ids. Of a long request the end matters most (what is asked for), of a long reply both ends."""
    asked = shortened(tokenizer.encode(request, add_special_tokens=False), MOST_REQUEST, 1 / 3)
    said = tokenizer.encode(reply, add_special_tokens=False)
    return joined(tokenizer, asked, shortened(said, MOST_TOKENS - len(asked) - 3, 3 / 5))


def joined(tokenizer: Any, asked: list[int], said: list[int]) -> Coded:
    """Both parts with the marks that the encoder was trained with."""
    ids = [tokenizer.cls_token_id, *asked, tokenizer.sep_token_id, *said, tokenizer.sep_token_id]
    return Coded(ids, [0] * (len(asked) + 2) + [1] * (len(said) + 1))


def stack(rows: Sequence[Sequence[int]], padding: int = 0) -> torch.Tensor:
    """(rows, longest) int64, padded at the end."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows], dtype=torch.long)


class Clues(NamedTuple):
    """What is known of each exchange beside its words: the rules' label as an index (batch), the nearness in [-1, 1] (batch)."""

    hints: torch.Tensor
    near: torch.Tensor


class Reader(nn.Module):
    """Encoder and heads. `forward` gives (answers, kinds): logits (batch, 3) and (batch, tokens, 5)."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = Heads()

    def forward(
        self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor, clues: Clues
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """ids, types, mask (batch, tokens), clues (batch each) -> answers (batch, 3), kinds (batch, tokens, 5)."""
        hidden = self.encoder(input_ids=ids, token_type_ids=types, attention_mask=mask).last_hidden_state
        return self.heads(hidden, (mask * types).bool(), clues)


class Heads(nn.Module):
    """What is read off the encoder's states and the clues."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.1)
        self.words = nn.Linear(WIDTH, len(KINDS))
        self.trust = nn.Parameter(torch.full((len(QUESTIONS),), 0.5))
        given = 2 * WIDTH + len(LABELS) + 1 + len(CENTRES)
        self.whole = nn.Sequential(nn.Linear(given, 128), nn.GELU(), nn.Dropout(0.1), nn.Linear(128, len(QUESTIONS)))

    def forward(self, hidden: torch.Tensor, reply: torch.Tensor, clues: Clues) -> tuple[torch.Tensor, torch.Tensor]:
        """hidden (batch, tokens, width), reply (batch, tokens) bool -> answers (batch, 3), kinds (batch, tokens, 5)."""
        hidden = self.drop(hidden)
        kinds = self.words(hidden)
        heard = F.one_hot(clues.hints, len(LABELS) + 1).to(hidden.dtype)
        bumps = torch.exp(-((clues.near.unsqueeze(-1) - CENTRES) ** 2) / 0.02)
        answers = self.whole(torch.cat([hidden[:, 0], pooled(hidden, reply), heard, bumps], -1))
        return answers + self.trust * strongest(kinds, reply), kinds


def pooled(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the positives of a mask: (batch, tokens, width), (batch, tokens) -> (batch, width)."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)


def nearness(encoder: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]], size: int = 64) -> torch.Tensor:
    """Cosine of the mean states of request and reply, as the encoder was trained for (Reimers and Gurevych 2019): (pairs,)."""
    texts = sorted({text for pair in pairs for text in pair}, key=len)
    places = {text: i for i, text in enumerate(texts)}
    found = torch.zeros(len(texts), WIDTH)
    with torch.inference_mode():
        for start in range(0, len(texts), size):
            coded = [tokenizer.encode(t, truncation=True, max_length=MOST_NEAR) for t in texts[start : start + size]]
            ids, mask = stack(coded), stack([[1] * len(c) for c in coded])
            hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            found[start : start + size] = F.normalize(pooled(hidden, mask.bool()), dim=-1)
    asked, said = (torch.tensor([places[pair[k]] for pair in pairs], dtype=torch.long) for k in (0, 1))
    return (found[asked] * found[said]).sum(-1)


def strongest(kinds: torch.Tensor, reply: torch.Tensor) -> torch.Tensor:
    """Mean log-odds of the words that speak most for each question: kinds (batch, tokens, 5), reply mask -> (batch, 3)."""
    logp = F.log_softmax(kinds, -1)
    odds = logp - torch.log1p(-logp.exp().clamp(max=1 - 1e-6))
    odds = odds[..., : len(QUESTIONS)].masked_fill(~reply.unsqueeze(-1), -20.0)
    return odds.topk(min(STRONGEST, odds.shape[1]), dim=1).values.clamp(min=-8.0).mean(1)


def label_logprobs(answers: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of `LABELS` from the three answers' logits: (batch, 3) -> (batch, 5). They sum to 1 by construction."""
    yes, no = F.logsigmoid(answers).unbind(-1), F.logsigmoid(-answers).unbind(-1)
    declines, serves, warns = 0, 1, 2
    return torch.stack(
        [
            yes[declines] + no[serves],
            no[declines] + yes[serves] + no[warns],
            no[declines] + yes[serves] + yes[warns],
            yes[declines] + yes[serves],
            no[declines] + no[serves],
        ],
        -1,
    )
