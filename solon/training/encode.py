"""Conversations to token ids through the model's own chat template, with a mask of what is trained.

Rows that are too long are dropped and counted, or refused. They are never cut: a reply without its end teaches
the model not to stop, and a prompt without its start is another prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from solon.data.records import Pair
from solon.errors import DataError
from solon.models.base import Message
from solon.models.template import render


@dataclass(frozen=True)
class Encoded:
    """Token ids of one conversation; `trained[i]` says whether token i belongs to a trained assistant message."""

    ids: tuple[int, ...]
    trained: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def targets(self) -> int:
        """How many tokens are trained."""
        return sum(self.trained)


@dataclass(frozen=True)
class Example:
    """One row ready for training: sequences that must stay in one pack (1 for SFT; chosen, rejected for DPO)."""

    parts: tuple[Encoded, ...]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)


@dataclass
class Encoding:
    """The examples of a data set; `kept[i]` is the row that example i came from, `too_long` the rows left out."""

    examples: list[Example] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    too_long: list[int] = field(default_factory=list)


def require_template(tokenizer: Any) -> None:
    """Raises DataError when the tokenizer has no chat template or no end-of-text token."""
    if not getattr(tokenizer, "chat_template", None):
        raise DataError(
            "chat template: expected one in the tokenizer's folder, found none",
            mend="train a model with a chat template, or put a `chat_template.jinja` into its folder",
        )
    if tokenizer.eos_token_id is None:
        raise DataError("tokenizer: expected an end-of-text token, found none", mend="set `eos_token` in tokenizer_config.json")


def encode(tokenizer: Any, prompt: Sequence[Message], reply: Sequence[Message]) -> Encoded:
    """Encode prompt + reply; every assistant message of `reply` is trained, from after its generation prompt to its end.

    The prompt's tokens are exactly those that generation sees: text is rendered once per boundary and each stretch is
    tokenised on its own. A missing end-of-text is added; what the template prints after it is left out at the very end.

    Raises:
        DataError: the reply holds no assistant message, or the template does not render a prefix as a prefix.
    """
    conversation = [*prompt, *reply]
    ids: list[int] = []
    trained: list[bool] = []
    text = ""
    for index, message in enumerate(conversation):
        if index < len(prompt) or message.role != "assistant":
            continue
        before = render(tokenizer, conversation[:index], reply=True)
        after = render(tokenizer, conversation[: index + 1], reply=False)
        if not before.startswith(text) or not after.startswith(before):
            raise DataError(
                "chat template: expected the rendering of a conversation to begin with the rendering of its first turns",
                mend="use a template that prints earlier turns unchanged (some drop or rewrite them)",
            )
        head = tokenizer.encode(before[len(text) :], add_special_tokens=False)
        tail = _closed(tokenizer, tokenizer.encode(after[len(before) :], add_special_tokens=False))
        ids += [*head, *tail]
        trained += [False] * len(head) + [True] * len(tail)
        text = after
    if not any(trained):
        raise DataError("reply: expected at least one assistant message with text, got none", mend="drop or mend the row")
    return Encoded(tuple(ids), tuple(trained))


def _closed(tokenizer: Any, ids: list[int]) -> list[int]:
    """A reply's tokens up to its last end-of-text token, which is added when absent."""
    end = tokenizer.eos_token_id
    if end not in ids:
        return [*ids, end]
    return ids[: len(ids) - ids[::-1].index(end)]


def encode_rows(tokenizer: Any, rows: Sequence[Pair], *, max_length: int, too_long: str, pairs: bool) -> Encoding:
    """Encode rows for SFT (`pairs=False`: chosen replies) or DPO (`pairs=True`: chosen and rejected together).

    Raises:
        DataError: a row has no rejected reply (DPO), can't be encoded, or is too long while `too_long` is `refuse`.
    """
    require_template(tokenizer)
    result = Encoding()
    for index, row in enumerate(rows):
        try:
            parts = [encode(tokenizer, row.prompt, row.chosen)]
            if pairs:
                parts.append(encode(tokenizer, row.prompt, row.rejected))
        except DataError as error:
            raise DataError(f"row {index + 1} ({row.provenance.prompt_id}): {error.what}", mend=error.mend) from error
        longest = max(len(part) for part in parts)
        if longest <= max_length:
            result.examples.append(Example(tuple(parts)))
            result.kept.append(index)
        elif too_long == "refuse":
            raise DataError(
                f"row {index + 1} ({row.provenance.prompt_id}): expected at most {max_length} tokens, got {longest}",
                mend="raise max_length, shorten the row, or set too_long: drop",
            )
        else:
            result.too_long.append(index)
    return result


def data_hash(examples: Sequence[Example]) -> str:
    """SHA-256 over token ids and masks in order: a name for exactly what is trained."""
    digest = hashlib.sha256()
    for example in examples:
        for part in example.parts:
            digest.update(repr((part.ids, part.trained)).encode())
        digest.update(b"|")
    return digest.hexdigest()


def template_hash(tokenizer: Any) -> str:
    """SHA-256 of the chat template's text."""
    return hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()
