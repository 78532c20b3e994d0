"""Rendering of conversations: one way, used for generation, training and evaluation alike."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from solon.errors import ModelError
from solon.models.base import Message

log = logging.getLogger(__name__)
_told: set[str] = set()  # tokenizers that were warned of: once is enough

# For models that ship no chat template: `Role: text`, a line each; a reply ends with the end-of-text token.
PLAIN_TEMPLATE = (
    "{% if bos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}"
    "{% if message['role'] == 'assistant' and eos_token %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant: {% endif %}"
)


def ensure_chat_template(tokenizer: Any, name: str = "") -> bool:
    """Give a tokenizer without a chat template the plain one, with a warning; True when that was needed.

    The template is saved with the tokenizer, so a model trained on such a base keeps the rendering it was trained with.
    """
    if tokenizer.chat_template:
        return False
    where = str(tokenizer.name_or_path or name)
    if where not in _told:
        log.warning("%s has no chat template; the plain one (User: … / Assistant: …) is used", name or where)
        _told.add(where)
    tokenizer.chat_template = PLAIN_TEMPLATE
    return True


def render(tokenizer: Any, messages: Sequence[Message], *, reply: bool, options: dict[str, Any] | None = None) -> str:
    """The text of a conversation under the tokenizer's chat template.

    Args:
        reply: end with the opening of an assistant turn, for generation.
        options: extra variables of the template.

    A template that refuses a system turn gets its text before the first user turn instead.

    Raises:
        ModelError: the template refuses the conversation.
    """
    from jinja2 import TemplateError

    turns = [{"role": message.role, "content": message.content} for message in messages]
    for attempt in (turns, _without_system(turns)):
        try:
            return tokenizer.apply_chat_template(attempt, tokenize=False, add_generation_prompt=reply, **(options or {}))
        except TemplateError as error:
            refused = error
            if attempt and attempt[0]["role"] != "system":
                break
    raise ModelError(
        f"the chat template refused the conversation: {refused}", mend="roles must alternate, beginning with the user"
    ) from refused


def _without_system(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    if len(turns) < 2 or turns[0]["role"] != "system":
        return turns
    merged = {"role": turns[1]["role"], "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
    return [merged, *turns[2:]]


def encode_conversation(
    tokenizer: Any, messages: Sequence[Message], *, stop_ids: frozenset[int] = frozenset(), options: dict[str, Any] | None = None
) -> tuple[list[int], list[int]]:
    """Token ids of (everything before the last message and its opening, the last message with its end-of-turn token).

    The two parts are tokenized apart, since a model that generates sees the prompt as complete tokens. What a template puts
    after the end-of-turn token belongs to neither.

    Raises:
        ModelError: the last message is not the assistant's, or the template renders the prompt differently once it is answered.
    """
    if not messages or messages[-1].role != "assistant":
        raise ModelError("a conversation that ends with an assistant message was expected", mend="add the reply to be measured")
    prompt = render(tokenizer, messages[:-1], reply=True, options=options)
    whole = render(tokenizer, messages, reply=False, options=options)
    if not whole.startswith(prompt):
        raise ModelError(
            "the chat template renders a prompt differently once it is answered", mend="use a template whose turns only append"
        )
    prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    reply_ids = tokenizer(whole[len(prompt) :], add_special_tokens=False)["input_ids"]
    end = next((at for at, token in enumerate(reply_ids) if token in stop_ids), len(reply_ids) - 1)
    return list(prompt_ids), list(reply_ids[: end + 1])
