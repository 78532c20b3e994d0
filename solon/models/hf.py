"""Models of transformers in this process: batched by length, sampled per request, with an adapter that can be switched off."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from solon.errors import EnvironmentRefused, ModelError
from solon.models.base import Completion, Dialogue, Message, Progress, Request, converse_in_rounds
from solon.models.decode import Row, decode, pad_left
from solon.models.fingerprint import adapter_hash, check_base, model_hash, with_adapter
from solon.models.shares import in_shares, is_small, shares_for
from solon.models.template import encode_conversation, ensure_chat_template, render

T = TypeVar("T")
log = logging.getLogger(__name__)
GROUP = 4  # batches in a group, the unit of `plan` and of a journal's commits: fewer tails in which few rows are left
LOGIT_BYTES = 1 << 30  # of float32 logits that `logprobs` holds at once


class HFModel:
    """A causal language model and its tokenizer.

    The chat template is always applied (models without one get `template.PLAIN_TEMPLATE`, with a warning). Generation settings
    that a model ships (repetition penalty, top-k) are not used: `Sampling` says all there is. A completion's text is without
    special tokens and outer white space; `completion_tokens` counts up to and including the end token.

    Args:
        model: a `PreTrainedModel`, or a `PeftModel` over one.
        identity: a hash of weights, tokenizer and template; change `base_identity` when the weights change.
        adapter_identity: a hash of the adapter; not part of the identity while the adapter is off.
        batch_size: requests decoded at a time; halved for a group on which a CUDA device runs out of memory.
    """

    scripted = False

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        identity: str,
        adapter_identity: str = "",
        batch_size: int = 64,
        template_options: dict[str, Any] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ModelError(f"batch_size: expected at least 1, got {batch_size}", mend="64 suits most machines")
        ensure_chat_template(tokenizer, name)
        self.model, self.tokenizer, self.name, self.batch_size = model, tokenizer, name, batch_size
        self.base_identity, self.adapter_identity = identity, adapter_identity
        self.template_options = template_options or {}
        self.stop_ids = _stop_ids(model, tokenizer)
        self.pad = next(t for t in (tokenizer.pad_token_id, *sorted(self.stop_ids), 0) if t is not None)
        self.context: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._adapter_on = True
        self._ids = functools.lru_cache(maxsize=8192)(self._encode)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        name: str,
        adapter: Path | None = None,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 64,
        template_options: dict[str, Any] | None = None,
    ) -> HFModel:
        """Load a folder of weights, and an adapter over it.

        Raises:
            ModelError: transformers or peft refuse the files, or the adapter was trained on another base.
            EnvironmentRefused: no such device.
        """
        where = pick_device(device)
        if adapter is not None:
            check_base(adapter, folder)
        model, tokenizer = _load_pair(folder, name, pick_dtype(dtype, where))
        if adapter is not None:
            model = _with_adapter(model, adapter)
        return cls(
            model.to(where).eval(), tokenizer, name=name, identity=model_hash(folder),
            adapter_identity=adapter_hash(adapter) if adapter else "", batch_size=batch_size, template_options=template_options,
        )  # fmt: skip

    @property
    def identity(self) -> str:
        """Changes with weights, tokenizer, chat template, its options, and the adapter while it is on."""
        return with_adapter(self.base_identity, self.adapter_identity if self._adapter_on else "", self.template_options)

    @contextlib.contextmanager
    def adapter_disabled(self) -> Iterator[None]:
        """Within this block the base answers. Without an adapter, nothing changes."""
        if not hasattr(self.model, "disable_adapter"):
            yield
            return
        self._adapter_on = False
        try:
            with self.model.disable_adapter():
                yield
        finally:
            self._adapter_on = True

    # Requests

    def prompt_ids(self, request: Request) -> list[int]:
        """Token ids of the rendered prompt, ending with the opening of the assistant's turn."""
        return self._ids(request.messages)

    def _encode(self, messages: tuple[Message, ...]) -> list[int]:
        text = render(self.tokenizer, messages, reply=True, options=self.template_options)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def plan(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Groups to be completed together, as a pure function of the requests (and of torch's number of threads): by prompt
        length in tokens, then id, cut every `GROUP * batch_size`. Within a group `batch_size` requests are decoded at a time;
        the next takes the place of one that is done. A small model on a CPU shares each group out to processes, each of which
        decodes its share at once, and gets groups as many times larger.

        Requests that cannot be completed (longer than the context, refused by the template) come last, in groups of their own.
        """
        prepared, refused = self._prepare(requests)
        good = [request for request, _ in prepared]
        bad = [request for request, _ in refused]
        size = self._group(len(good))
        return [part[at : at + size] for part in (good, bad) for at in range(0, len(part), size)]

    def _group(self, requests: int) -> int:
        """How many of so many requests are completed together."""
        return self.batch_size * GROUP * shares_for(self.model, requests)

    def _prepare(self, requests: Sequence[Request]) -> tuple[list[tuple[Request, list[int]]], list[tuple[Request, str]]]:
        """(request, prompt ids) in the order of decoding, and (request, reason) of those that cannot be."""
        prepared, refused = [], []
        for request in requests:
            try:
                ids = self.prompt_ids(request)
            except ModelError as error:
                refused.append((request, str(error)))
                continue
            if self.context and len(ids) >= self.context:
                refused.append(
                    (request, f"the prompt has {len(ids)} tokens, the model's context {self.context}; shorten the prompt")
                )
            elif not ids:
                refused.append((request, "the rendered prompt is empty"))
            else:
                prepared.append((request, ids))
        prepared.sort(key=lambda pair: (len(pair[1]), pair[0].id, pair[0].seed, pair[1]))
        refused.sort(key=lambda pair: (pair[0].id, pair[1]))
        return prepared, refused

    def generate(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Completion]:
        """See `Model.generate`. Replies are a pure function of the requests on one machine and thread count (CPU)."""
        prepared, refused = self._prepare(requests)
        done: dict[int, Completion] = {id(r): Completion(id=r.id, text="", finish="error", error=why) for r, why in refused}
        if refused and progress:
            progress(len(refused), 0)
        with _evaluation(self.model):
            size = self._group(len(prepared))
            for at in range(0, len(prepared), size):
                group = prepared[at : at + size]
                completions = self._complete(group, self.batch_size, progress)
                done |= {id(request): completion for (request, _), completion in zip(group, completions, strict=True)}
        return [done[id(request)] for request in requests]

    def _complete(self, group: list[tuple[Request, list[int]]], slots: int, progress: Progress | None) -> list[Completion]:
        """One group. When the device runs out of memory, again with half the slots, then with half the group."""
        rows = [self._row(request, ids) for request, ids in group]
        told = _Told(progress)
        try:
            replies = self._decode(rows, slots, told)
        except torch.OutOfMemoryError as error:
            reason = f"out of device memory: {error}"
        else:
            return [self._completion(request, row, reply) for (request, _), row, reply in zip(group, rows, replies, strict=True)]
        torch.cuda.empty_cache()  # outside the handler: the traceback held the tensors
        told.take_back()
        if len(group) == 1:
            return [Completion(id=group[0][0].id, text="", finish="error", error=reason)]
        log.warning("out of device memory at %d requests; trying half", min(slots, len(group)))
        half = min(slots, len(group)) // 2
        if half >= 1 and slots > 1:
            return self._complete(group, half, progress)
        middle = len(group) // 2
        return self._complete(group[:middle], 1, progress) + self._complete(group[middle:], 1, progress)

    def _decode(self, rows: list[Row], slots: int, progress: Progress) -> list[list[int]]:
        """The rows' replies; a small model on a CPU shares them out to processes, each every so many rows."""
        count = shares_for(self.model, len(rows))
        at_once = slots * GROUP if is_small(self.model) else slots  # its rows cost little memory, each step of few rows much time
        settings: dict[str, Any] = {"stop_ids": self.stop_ids, "pad": self.pad, "slots": at_once}
        if count == 1:
            return decode(self.model, rows, progress=progress, **settings)

        def share(at: int, told: Progress) -> list[list[int]]:
            if self._adapter_on and hasattr(self.model, "merge_adapter"):
                self.model.merge_adapter()  # this process's own copy of the weights: fewer and larger products
            return decode(self.model, rows[at::count], progress=told, **settings)

        replies: list[list[int]] = [[] for _ in rows]
        for at, part in enumerate(in_shares(share, count, progress)):
            replies[at::count] = part
        return replies

    def _row(self, request: Request, ids: list[int]) -> Row:
        sampling = request.sampling
        room = self.context - len(ids) if self.context else sampling.max_new_tokens
        return Row(ids, min(sampling.max_new_tokens, room), sampling.temperature, sampling.top_p, request.seed % (1 << 63))

    def _completion(self, request: Request, row: Row, reply: list[int]) -> Completion:
        stopped = bool(reply) and reply[-1] in self.stop_ids
        text = self.tokenizer.decode(reply[:-1] if stopped else reply, skip_special_tokens=True).strip()
        return Completion(
            id=request.id,
            text=text,
            finish="stop" if stopped else "length",
            prompt_tokens=len(row.prompt),
            completion_tokens=len(reply),
        )

    def converse(self, dialogues: Sequence[Dialogue[T]], progress: Progress | None = None) -> Iterator[tuple[int, T]]:
        """See `Model.converse`. In rounds, so that batches depend on the requests alone."""
        return converse_in_rounds(lambda requests: self.generate(requests, progress), dialogues)

    # Log-probabilities

    def logprobs(self, conversations: Sequence[Sequence[Message]]) -> list[tuple[float, int]]:
        """See `Model.logprobs`. The end-of-turn token counts as part of the last message.

        Raises:
            ModelError: a conversation does not end with an assistant message, or is longer than the context.
        """
        pairs = [
            encode_conversation(self.tokenizer, c, stop_ids=self.stop_ids, options=self.template_options) for c in conversations
        ]
        for at, (prompt, reply) in enumerate(pairs):
            if self.context and len(prompt) + len(reply) > self.context:
                raise ModelError(
                    f"conversation {at}: {len(prompt) + len(reply)} tokens, the model's context is {self.context}",
                    mend="shorten it",
                )
        order = sorted(range(len(pairs)), key=lambda at: (len(pairs[at][0]) + len(pairs[at][1]), at))
        results: list[tuple[float, int]] = [(0.0, 0)] * len(pairs)
        vocabulary = self.model.config.get_text_config().vocab_size
        with _evaluation(self.model):
            while order:
                longest = max(len(pairs[at][1]) for at in order[: self.batch_size]) + 1
                size = max(1, min(self.batch_size, LOGIT_BYTES // (4 * longest * vocabulary)))
                chosen, order = order[:size], order[size:]
                for at, value in zip(chosen, self._score([pairs[at] for at in chosen]), strict=True):
                    results[at] = value
        return results

    @torch.no_grad()  # not inference_mode: a gate may borrow a model that is being trained
    def _score(self, pairs: list[tuple[list[int], list[int]]]) -> list[tuple[float, int]]:
        ids, mask = pad_left([prompt + reply for prompt, reply in pairs], self.pad, self.model.device)
        longest = max(len(reply) for _, reply in pairs)
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp_min(0),
            use_cache=False,
            logits_to_keep=longest + 1,
        )
        logits, labels = out.logits[:, -longest - 1 : -1].float(), ids[:, -longest:]
        each = logits.gather(-1, labels[..., None])[..., 0] - logits.logsumexp(-1)
        return [
            (float(row[longest - len(reply) :].double().sum()), len(reply)) for row, (_, reply) in zip(each, pairs, strict=True)
        ]


class _Told:
    """Progress that can be taken back when a group starts over."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.count, self.tokens = progress, 0, 0

    def __call__(self, count: int, tokens: int) -> None:
        self.count, self.tokens = self.count + count, self.tokens + tokens
        if self.progress:
            self.progress(count, tokens)

    def take_back(self) -> None:
        if self.progress and self.count:
            self.progress(-self.count, -self.tokens)


# Loading


def pick_device(device: str) -> torch.device:
    """`auto` or a torch device name, as a device that is there.

    Raises:
        EnvironmentRefused: no such device on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise EnvironmentRefused(f"device: expected auto, cpu, cuda, cuda:N or mps, got {device!r}", mend="use auto") from error
    present: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if not present.get(wanted.type, lambda: False)():
        raise EnvironmentRefused(
            f"device: {device!r} was asked for, torch {torch.__version__} sees none", mend="use --device auto or cpu"
        )
    return wanted


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """`auto` (bfloat16 on a GPU, float32 on a CPU) or `float32`, `bfloat16`, `float16`.

    Raises:
        EnvironmentRefused: another name.
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if dtype not in known:
        raise EnvironmentRefused(f"dtype: expected auto, {', '.join(known)}, got {dtype!r}", mend="use auto")
    return known[dtype]


def _load_pair(folder: Path, name: str, dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def whole(loader: Callable[..., Any], what: str, **settings: Any) -> Any:
        try:
            return loader(folder, local_files_only=True, **settings)
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason given'}"
            raise ModelError(
                f"{name}: the {what} in {folder} cannot be loaded ({reason})", mend="save or download the model again"
            ) from error

    with _quiet():
        tokenizer = whole(AutoTokenizer.from_pretrained, "tokenizer")
        model, report = whole(AutoModelForCausalLM.from_pretrained, "model", dtype=dtype, output_loading_info=True)
    missing = sorted(report["missing_keys"])
    if missing:  # transformers would fill them with random numbers
        raise ModelError(
            f"{name}: weights are missing in {folder}: {', '.join(missing[:3])} ({len(missing)} in all)",
            mend="save or download it again",
        )
    return model, tokenizer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of transformers within the block."""
    from transformers.utils import logging as their

    shown = their.is_progress_bar_enabled()
    their.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            their.enable_progress_bar()


def _with_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, adapter)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{adapter}: the adapter does not fit the base ({reason})", mend="lay it over the base it was trained on"
        ) from error


def _stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a reply, by the model's generation settings and by its tokenizer."""
    found: set[int] = set()
    settings = getattr(model, "generation_config", None)
    for value in (getattr(settings, "eos_token_id", None), tokenizer.eos_token_id):
        found |= set(value) if isinstance(value, (list, tuple)) else {value} if value is not None else set()
    return frozenset(found)


@contextlib.contextmanager
def _evaluation(model: Any) -> Iterator[None]:
    """Evaluation mode within the block, so that a gate in the middle of training leaves no trace."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
