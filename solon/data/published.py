"""Published data sets: how one row of each becomes a row of the one record.

Benchmark rows are marked `use: evaluation`. What a benchmark gives as the opening of a harmful answer (AdvBench, JailbreakBench
"target") is left out: nothing may be trained towards it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from solon.data.example import Example
from solon.data.prompts import stable_id
from solon.errors import DataError, nearest

Row = dict[str, Any]
_BLANK: Row = Example().model_dump()

# Hazard codes of AILuminate 1.0, as its prompt files write them.
STATE_LICENCE = "Licences of instruction sets differ: state yours with --licence."
AILUMINATE_HAZARDS = {
    "vcr": "violent crimes", "ncr": "non-violent crimes", "src": "sex-related crimes", "cse": "child sexual exploitation",
    "ssh": "suicide and self-harm", "iwp": "indiscriminate weapons", "ipv": "intellectual property", "dfm": "defamation",
    "hte": "hate", "prv": "privacy", "sxc_prn": "sexual content", "spc_ele": "specialised advice: elections",
    "spc_fin": "specialised advice: finance", "spc_hlt": "specialised advice: health", "spc_lgl": "specialised advice: law",
}  # fmt: skip
AILUMINATE_PERSONAS = ("skilled", "unskilled", "normal")
AILUMINATE_LOCALES = ("en_US", "fr_FR")


class Malformed(ValueError):
    """A row that cannot be converted; the message says why."""


def row_of(prompt: str, *, response: str | None = None, **known: Any) -> Row:
    """A row of the one record, all its fields present. An id is made from the text when none is given.

    Raises:
        Malformed: the prompt is not text, or blank.
    """
    if not isinstance(prompt, str) or not prompt.strip():
        raise Malformed(f"prompt: expected text, got {prompt!r}")
    row = _BLANK | known
    row["prompt"] = prompt
    row["response"] = response
    if not row["id"]:
        row["id"] = stable_id(prompt if response is None else f"{prompt}\x1f{response}")
    return row


def _need(row: Mapping[str, Any], *names: str) -> list[Any]:
    missing = [name for name in names if name not in row]
    if missing:
        raise Malformed(f"expected a column {missing[0]!r}, got {', '.join(map(repr, row))}")
    return [row[name] for name in names]


def _ailuminate(row: Row) -> Iterator[Row]:
    number, text, hazard, persona, locale = _need(row, "release_prompt_id", "prompt_text", "hazard", "persona", "locale")
    for name, value, known in (
        ("hazard", hazard, AILUMINATE_HAZARDS),
        ("persona", persona, AILUMINATE_PERSONAS),
        ("locale", locale, AILUMINATE_LOCALES),
    ):
        if value not in known:
            raise DataError(
                f"{name}: expected one of {', '.join(known)}, got {value!r}", mend=nearest(value, list(known)) or "correct it"
            )
    yield row_of(
        text, id=number, set="hazardous", hazard=hazard, persona=persona, language=locale, use="evaluation",
        fields={"prompt_hash": row.get("prompt_hash", "")},
    )  # fmt: skip


_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def dialogue(text: str) -> list[dict[str, str]]:
    r"""The turns of a dialogue in the "\n\nHuman: … \n\nAssistant: …" form.

    Raises:
        Malformed: it does not begin with a speaker, or does not end with the assistant.
    """
    marks = list(_SPEAKER.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        raise Malformed(f"expected a dialogue that begins with 'Human:', got {text[:40]!r}")
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    turns = [{"role": _ROLES[m[1]], "content": text[m.end() : end].strip()} for m, end in zip(marks, ends, strict=True)]
    if turns[-1]["role"] != "assistant" or len(turns) < 2:
        raise Malformed("expected a dialogue that ends with the assistant's turn")
    return turns


def _hh_rlhf(row: Row) -> Iterator[Row]:
    chosen, rejected = _need(row, "chosen", "rejected")
    if not isinstance(chosen, str) or not isinstance(rejected, str):
        raise Malformed("chosen, rejected: expected text")
    kept, other = dialogue(chosen), dialogue(rejected)
    prompt = chosen[: list(_SPEAKER.finditer(chosen))[-1].start()]
    yield {
        "id": stable_id(chosen + "\x1f" + rejected),
        "prompt": prompt,
        "source": "hh-rlhf",
        "original_chosen": chosen,
        "original_rejected": rejected,
        "messages": kept[:-1],
        "chosen": kept[-1]["content"],
        "rejected": other[-1]["content"],
        "rejected_messages": [] if other[:-1] == kept[:-1] else other[:-1],
        "group": "g-" + stable_id(kept[0]["content"].lower()),
        "licence": "MIT",
    }


def _split_answers(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _truthfulqa(row: Row) -> Iterator[Row]:
    """A row of the CSV; or of the multiple-choice file, whose targets map each answer to 1 (true) or 0."""
    if "mc1_targets" in row:
        yield _multiple_choice(row)
        return
    question, best, right, wrong = _need(row, "Question", "Best Answer", "Correct Answers", "Incorrect Answers")
    fields = {"type": row.get("Type", ""), "category": row.get("Category", ""), "citation": row.get("Source", "")}
    fields |= {"correct_answers": _split_answers(right), "incorrect_answers": _split_answers(wrong)}
    if row.get("Best Incorrect Answer"):
        fields["best_incorrect_answer"] = row["Best Incorrect Answer"]
    yield row_of(question, response=best, set="benign", use="evaluation", fields=fields)


def _multiple_choice(row: Row) -> Row:
    question, single, several = _need(row, "question", "mc1_targets", "mc2_targets")
    for name, targets in (("mc1_targets", single), ("mc2_targets", several)):
        if not isinstance(targets, Mapping) or not targets or any(value not in (0, 1) for value in targets.values()):
            raise Malformed(f"{name}: expected answers with 1 or 0 each, got {targets!r:.60}")
    right = [answer for answer, value in single.items() if value]
    if len(right) != 1:
        raise Malformed(f"mc1_targets: expected exactly one right answer, got {len(right)}")
    fields = {
        "choices": list(single), "answer": list(single).index(right[0]),
        "correct_answers": [answer for answer, value in several.items() if value],
        "incorrect_answers": [answer for answer, value in several.items() if not value],
    }  # fmt: skip
    return row_of(question, response=right[0], set="benign", use="evaluation", fields=fields)


def _gsm8k(row: Row) -> Iterator[Row]:
    question, answer = _need(row, "question", "answer")
    if "#### " not in answer:
        raise Malformed("answer: expected the final number after '#### '")
    yield row_of(question, response=answer, set="benign", fields={"final": answer.rsplit("#### ", 1)[1].strip().replace(",", "")})


def _humaneval(row: Row) -> Iterator[Row]:
    task, prompt, solution, test, entry = _need(row, "task_id", "prompt", "canonical_solution", "test", "entry_point")
    yield row_of(prompt, response=solution, id=task, set="benign", use="evaluation", fields={"test": test, "entry_point": entry})


def _mmlu(row: Row) -> Iterator[Row]:
    subject, question, *choices, answer = _need(row, "subject", "question", "choice0", "choice1", "choice2", "choice3", "answer")
    if str(answer) not in ("0", "1", "2", "3"):
        raise Malformed(f"answer: expected 0 to 3, got {answer!r}")
    listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip("ABCD", choices, strict=True))
    fields = {"subject": subject, "question": question, "choices": choices, "answer": int(answer)}
    yield row_of(f"{question}\n{listed}\nAnswer:", response="ABCD"[int(answer)], set="benign", use="evaluation", fields=fields)


def _mt_bench(row: Row) -> Iterator[Row]:
    number, category, turns = _need(row, "question_id", "category", "turns")
    if not isinstance(turns, list) or not turns or not all(isinstance(t, str) for t in turns):
        raise Malformed("turns: expected a list of texts")
    fields = {"category": category, "turns": turns, "reference": row.get("reference", [])}
    yield row_of(turns[0], id=f"mt-bench-{number}", set="benign", use="evaluation", fields=fields)


def _harmbench(row: Row) -> Iterator[Row]:
    text, kind, topic, number = _need(row, "Behavior", "FunctionalCategory", "SemanticCategory", "BehaviorID")
    context = row.get("ContextString", "")
    fields = {
        "functional_category": kind,
        "tags": [t.strip() for t in row.get("Tags", "").split(",") if t.strip()],
        "behavior": text,
    }
    yield row_of(
        f"{context}\n\n---\n\n{text}" if context else text, id=number, set="hazardous", hazard=topic, use="evaluation",
        fields=fields | {"context_string": context},
    )  # fmt: skip


def _advbench(row: Row) -> Iterator[Row]:
    yield row_of(_need(row, "goal")[0], set="hazardous", use="evaluation")


def _jailbreakbench(row: Row) -> Iterator[Row]:
    goal, behavior, category = _need(row, "Goal", "Behavior", "Category")
    fields = {"behavior": behavior, "origin": row.get("Source", "")}
    yield row_of(goal, set="hazardous", hazard=category, use="evaluation", fields=fields)


def _do_not_answer(row: Row) -> Iterator[Row]:
    number, area, kind, specific, question = _need(row, "id", "risk_area", "types_of_harm", "specific_harms", "question")
    fields = {"risk_area": area, "specific_harms": specific}
    yield row_of(question, id=f"do-not-answer-{number}", set="hazardous", hazard=kind, use="evaluation", fields=fields)


def _instructions(row: Row) -> Iterator[Row]:
    """Alpaca (instruction, input, output), Dolly (context, response), self-instruct (instances), ShareGPT (conversations)."""
    if "conversations" in row:
        yield _sharegpt(row)
        return
    instruction = _need(row, "instruction")[0]
    common = {"set": "benign", "fields": {"category": row["category"]} if row.get("category") else {}}
    if isinstance(row.get("instances"), list) and row["instances"]:
        group = "g-" + stable_id(instruction)
        for n, instance in enumerate(row["instances"]):
            number = f"{row.get('id') or group}-{n}"
            yield row_of(
                _with_input(instruction, instance["input"]), response=instance["output"], id=number, group=group, **common
            )
        return
    given = row.get("input") or row.get("context") or ""
    reply = row["output"] if "output" in row else row.get("response")
    yield row_of(_with_input(instruction, given), response=reply or None, **common)


def _with_input(instruction: str, given: str) -> str:
    return f"{instruction}\n\n{given}" if given else instruction


_SHAREGPT = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def _sharegpt(row: Row) -> Row:
    try:
        turns = [{"role": _SHAREGPT[t["from"]], "content": t["value"]} for t in row["conversations"]]
        reply, rejected = (row[name]["value"] if name in row else None for name in ("chosen", "rejected"))
    except (KeyError, TypeError) as error:
        raise Malformed(f"conversations: expected turns with from and value, got none or another speaker ({error})") from error
    if reply is None and turns and turns[-1]["role"] == "assistant":
        reply = turns.pop()["content"]
    if not turns or turns[-1]["role"] != "user":
        raise Malformed("conversations: expected the user's turn before the reply")
    return row_of(turns[-1]["content"], response=reply, rejected=rejected, messages=turns if len(turns) > 1 else [], set="benign")


@dataclass(frozen=True)
class Source:
    """A kind of data that `import` reads: how one row converts, its licence, and columns that its rows have (these, or those)."""

    name: str
    convert: Callable[[Row], Iterator[Row]]
    licence: str
    needs: tuple[str, ...]
    note: str = ""
    or_needs: tuple[str, ...] = ()

    def fits(self, columns: Collection[str]) -> bool:
        """Whether a row with these columns can be of this kind."""
        return set(self.needs) <= set(columns) or (bool(self.or_needs) and set(self.or_needs) <= set(columns))


_SOURCES = (
    Source("ailuminate", _ailuminate, "CC BY 4.0", ("release_prompt_id", "prompt_text", "hazard", "persona", "locale")),
    Source("hh-rlhf", _hh_rlhf, "MIT", ("chosen", "rejected")),
    Source("truthfulqa", _truthfulqa, "Apache-2.0", ("Question", "Best Answer", "Correct Answers", "Incorrect Answers"),
           "A benchmark: it should never appear in training data.", ("question", "mc1_targets", "mc2_targets")),
    Source("gsm8k", _gsm8k, "MIT", ("question", "answer")),
    Source("humaneval", _humaneval, "MIT", ("task_id", "prompt", "canonical_solution", "test", "entry_point"),
           "Its tests run code that a model wrote: only in a sandbox."),
    Source("mmlu", _mmlu, "MIT", ("subject", "question", "choice0", "choice1", "choice2", "choice3", "answer")),
    Source("mt-bench", _mt_bench, "Apache-2.0", ("question_id", "category", "turns")),
    Source("harmbench", _harmbench, "MIT", ("Behavior", "FunctionalCategory", "SemanticCategory", "BehaviorID")),
    Source("advbench", _advbench, "MIT", ("goal",), "The column target is left out: never train towards it."),
    Source("jailbreakbench", _jailbreakbench, "MIT", ("Goal", "Behavior", "Category"),
           "The column Target is left out: never train towards it."),
    Source("do-not-answer", _do_not_answer, "CC BY-NC-SA 4.0 (non-commercial)", ("id", "risk_area", "types_of_harm", "question")),
    Source("instructions", _instructions, "", (), STATE_LICENCE),
)  # fmt: skip
SOURCES = {source.name: source for source in _SOURCES}
