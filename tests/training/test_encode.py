"""Chat template to ids and masks; the length rule."""

from __future__ import annotations

import pytest

from solon.errors import DataError
from solon.models.base import Message
from solon.training.encode import data_hash, encode, encode_rows
from tests.training.conftest import build_tokenizer, make_pairs, row


def say(role: str, text: str) -> Message:
    return Message(role=role, content=text)  # type: ignore[arg-type]


def test_only_the_reply_is_trained(tokenizer) -> None:
    found = encode(tokenizer, [say("user", "how do i bake")], [say("assistant", "mix the flour")])
    words = tokenizer.convert_ids_to_tokens(list(found.ids))
    assert words == ["<|user|>", "how", "do", "i", "bake", "<|assistant|>", "mix", "the", "flour", "<|end|>"]
    assert [w for w, t in zip(words, found.trained, strict=True) if t] == ["mix", "the", "flour", "<|end|>"]
    assert found.targets == 4


def test_prompt_tokens_are_those_of_generation(tokenizer) -> None:
    prompt = [say("system", "you help"), say("user", "how do i bake")]
    found = encode(tokenizer, prompt, [say("assistant", "yes")])
    generation = tokenizer.apply_chat_template([m.model_dump() for m in prompt], add_generation_prompt=True)["input_ids"]
    assert list(found.ids[: len(generation)]) == generation
    assert not any(found.trained[: len(generation)])


def test_earlier_assistant_turns_of_the_prompt_are_not_trained(tokenizer) -> None:
    prompt = [say("user", "how"), say("assistant", "sure"), say("user", "cake")]
    found = encode(tokenizer, prompt, [say("assistant", "no")])
    trained = [i for i, t in zip(found.ids, found.trained, strict=True) if t]
    assert tokenizer.convert_ids_to_tokens(trained) == ["no", "<|end|>"]


def test_every_assistant_turn_of_the_reply_is_trained(tokenizer) -> None:
    found = encode(tokenizer, [say("user", "how")], [say("assistant", "no"), say("user", "please"), say("assistant", "yes")])
    trained = [i for i, t in zip(found.ids, found.trained, strict=True) if t]
    assert tokenizer.convert_ids_to_tokens(trained) == ["no", "<|end|>", "yes", "<|end|>"]


def test_end_of_text_is_added_and_what_follows_it_left_out() -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = tokenizer.chat_template.replace("'<|end|>' if", "' w1' if")
    assert encode(tokenizer, [say("user", "how")], [say("assistant", "no")]).ids[-1] == tokenizer.eos_token_id
    tokenizer.chat_template = tokenizer.chat_template.replace("' w1' if", "'<|end|> w1' if")
    assert encode(tokenizer, [say("user", "how")], [say("assistant", "no")]).ids[-1] == tokenizer.eos_token_id


def test_long_rows_are_dropped_and_counted_never_cut(tokenizer) -> None:
    rows = [row("how do i bake", "mix"), row("how", "w1 " * 50), row("cake", "yes", "w2 " * 50)]
    sft = encode_rows(tokenizer, rows, max_length=20, too_long="drop", pairs=False)
    assert (sft.kept, sft.too_long) == ([0, 2], [1])
    assert all(e.parts[0].ids[-1] == tokenizer.eos_token_id for e in sft.examples)
    rows[0] = make_pairs(1)[0]
    rows[1].rejected.extend(rows[0].rejected)
    assert encode_rows(tokenizer, rows, max_length=40, too_long="drop", pairs=True).too_long == [1, 2]
    with pytest.raises(DataError, match=r"row 2 .*at most 20 tokens, got 5\d"):
        encode_rows(tokenizer, rows, max_length=20, too_long="refuse", pairs=False)


def test_no_template_no_training() -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(DataError, match="chat template"):
        encode_rows(tokenizer, make_pairs(1), max_length=20, too_long="drop", pairs=False)


def test_a_template_that_rewrites_the_prompt_is_refused() -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = "{{ messages | length }}" + tokenizer.chat_template
    with pytest.raises(DataError, match="expected the rendering of a conversation to begin"):
        encode(tokenizer, [say("user", "how")], [say("assistant", "no")])


def test_an_empty_reply_is_refused(tokenizer) -> None:
    with pytest.raises(DataError, match="at least one assistant message"):
        encode(tokenizer, [say("user", "how")], [])


def test_data_hash_sees_ids_masks_and_order(tokenizer) -> None:
    a = encode_rows(tokenizer, make_pairs(3), max_length=99, too_long="drop", pairs=True).examples
    assert data_hash(a) == data_hash(list(a))
    assert data_hash(a) != data_hash(a[::-1])
    assert data_hash(a) != data_hash(a[:2])
