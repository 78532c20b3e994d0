"""Local models: plans, replies, log-probabilities, adapters."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.errors import EnvironmentRefused, ModelError
from solon.models import Message, Request, open_model
from solon.models.fingerprint import record_base
from solon.models.hf import GROUP
from solon.models.shares import shares_for
from solon.models.template import PLAIN_TEMPLATE
from tests.models.conftest import WORDS, request, save_tiny


def some_requests(count: int, seed: int = 0, **sampling: Any) -> list[Request]:
    rng = random.Random(seed)
    return [request(n, " ".join(rng.choices(WORDS, k=rng.randint(1, 20))), **sampling) for n in range(count)]


texts = st.text(alphabet="abc é\n", max_size=30)


@settings(deadline=None, max_examples=30)
@given(texts=st.lists(texts, max_size=80), shuffle=st.randoms(use_true_random=False))
def test_the_plan_is_a_function_of_the_requests(tiny: Any, texts: list[str], shuffle: random.Random) -> None:
    requests = [request(n, text) for n, text in enumerate(texts)]
    plan = tiny.plan(requests)
    shuffled = list(requests)
    shuffle.shuffle(shuffled)
    assert tiny.plan(shuffled) == plan
    flat = [r for group in plan for r in group]
    assert sorted(r.id for r in flat) == sorted(r.id for r in requests)
    keys = [(len(tiny.prompt_ids(r)), r.id) for r in flat]
    assert keys == sorted(keys)
    size = tiny.batch_size * GROUP * shares_for(tiny.model, len(texts))
    assert all(len(group) == size for group in plan[:-1])


@pytest.mark.slow
def test_replies_do_not_depend_on_the_order_of_asking(tiny: Any) -> None:
    requests = some_requests(40, temperature=1.0)
    replies = {c.id: c for c in tiny.generate(requests)}
    shuffled = random.Random(1).sample(requests, len(requests))
    again = tiny.generate(shuffled)
    assert [c.id for c in again] == [r.id for r in shuffled]
    assert {c.id: c for c in again} == replies


def test_a_reply_depends_on_its_own_seed(tiny: Any) -> None:
    requests = some_requests(8)
    changed = [requests[0].model_copy(update={"seed": 99}), *requests[1:]]
    before, after = tiny.generate(requests), tiny.generate(changed)
    assert before[0].text != after[0].text
    assert before[1:] == after[1:]


@pytest.mark.slow
def test_lengths_are_respected_row_by_row_and_named(tiny: Any) -> None:
    requests = [request(n, "how to bake bread", max_new_tokens=n + 1) for n in range(20)]
    for r, c in zip(requests, tiny.generate(requests), strict=True):
        assert c.completion_tokens <= r.sampling.max_new_tokens
        assert c.finish == "stop" or c.completion_tokens == r.sampling.max_new_tokens
        assert c.prompt_tokens == len(tiny.prompt_ids(r))
    finishes = {c.finish for c in tiny.generate(some_requests(60, max_new_tokens=30))}
    assert finishes == {"stop", "length"}


def test_every_end_token_ends_a_reply(tiny_folder: Path) -> None:
    """With all tokens but one declared as ends, each reply is one token, and its text is empty."""
    model = open_model(str(tiny_folder), device="cpu")
    model.stop_ids = frozenset(range(model.model.config.vocab_size))
    assert {(c.text, c.finish, c.completion_tokens) for c in model.generate(some_requests(5))} == {("", "stop", 1)}


def test_a_prompt_beyond_the_context_is_an_error_not_a_cut(tiny: Any) -> None:
    long = request(1, "bread " * 300)
    told: list[int] = []
    short, refused = tiny.generate([request(0, "bread"), long], lambda n, t: told.append(n))
    assert short.finish != "error" and sum(told) == 2
    assert refused.finish == "error" and "256" in refused.error and refused.text == ""
    assert tiny.plan([long, request(0, "bread")]) == [[request(0, "bread")], [long]]


def test_a_reply_ends_where_the_context_ends(tiny: Any) -> None:
    near = request(1, "bread " * 110, max_new_tokens=500, temperature=0.0)
    (completion,) = tiny.generate([near])
    assert completion.finish == "stop" or completion.prompt_tokens + completion.completion_tokens == 256


def test_logprobs_equal_a_forward_by_hand(tiny: Any) -> None:
    """Batched and padded, against one unpadded forward: log softmax at each reply token, end token included."""
    asked = [
        (
            Message(role="user", content=" ".join(WORDS[: n + 1])),
            Message(role="assistant", content=" ".join(WORDS[n : 2 * n + 1])),
        )
        for n in range(9)
    ]
    for conversation, (total, count) in zip(asked, tiny.logprobs(asked), strict=True):
        prompt = tiny.tokenizer(f"<|user|>{conversation[0].content}<|end|>\n<|assistant|>")["input_ids"]
        reply = tiny.tokenizer(f"{conversation[1].content}<|end|>")["input_ids"]
        with torch.no_grad():
            logits = tiny.model(torch.tensor([prompt + reply])).logits[0]
        by_hand = sum(
            float(torch.log_softmax(logits[len(prompt) - 1 + at].double(), -1)[token]) for at, token in enumerate(reply)
        )
        assert count == len(reply)
        assert math.isclose(total, by_hand, rel_tol=1e-5)


def test_logprobs_refuse_what_they_cannot_score(tiny: Any) -> None:
    with pytest.raises(ModelError, match="assistant"):
        tiny.logprobs([[Message(role="user", content="hi")]])
    with pytest.raises(ModelError, match="256"):
        tiny.logprobs([[Message(role="user", content="bread " * 300), Message(role="assistant", content="no")]])
    assert tiny.logprobs([]) == []


def test_generating_leaves_a_model_in_training_mode(tiny_folder: Path) -> None:
    model = open_model(str(tiny_folder), device="cpu")
    model.model.train()
    model.generate(some_requests(2))
    assert model.model.training
    loss = model.model(torch.tensor([[5, 6, 7]]), labels=torch.tensor([[5, 6, 7]])).loss
    loss.backward()


@pytest.fixture(scope="module")
def adapter(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter with random, not zero, weights."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    folder = tmp_path_factory.mktemp("adapter")
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_folder), config).save_pretrained(folder)
    record_base(folder, tiny_folder, "tiny")
    return folder


@pytest.mark.slow
def test_an_adapter_switches_off_and_on(tiny: Any, tiny_folder: Path, adapter: Path) -> None:
    tuned = open_model(f"{tiny_folder}+{adapter}", device="cpu", batch_size=8)
    requests = some_requests(12)
    on = tuned.generate(requests)
    identity = tuned.identity
    with tuned.adapter_disabled():
        assert tuned.generate(requests) == tiny.generate(requests) != on
        assert tuned.identity == tiny.identity != identity
    assert tuned.generate(requests) == on and tuned.identity == identity
    assert open_model(str(tiny_folder), adapter=str(adapter), device="cpu").identity == identity


def test_an_adapter_of_another_base_is_refused(tmp_path: Path, adapter: Path) -> None:
    other = save_tiny(tmp_path / "other", seed=5)
    with pytest.raises(ModelError, match="trained on 'tiny'"):
        open_model(f"{other}+{adapter}", device="cpu")
    wider = save_tiny(tmp_path / "wider", hidden=64)
    (copy := tmp_path / "unrecorded").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (copy / name).write_bytes((adapter / name).read_bytes())
    with pytest.raises(ModelError, match="does not fit"):
        open_model(f"{wider}+{copy}", device="cpu")


def test_a_run_folder_opens_its_chosen_checkpoint(tmp_path: Path, tiny_folder: Path, adapter: Path) -> None:
    run = tmp_path / "runs" / "one"
    (run / "adapter").mkdir(parents=True)
    for file in adapter.iterdir():
        (run / "adapter" / file.name).write_bytes(file.read_bytes())
    tuned = open_model(str(run), device="cpu")
    assert tuned.identity == open_model(f"{tiny_folder}+{adapter}", device="cpu").identity
    save_tiny(run / "model", seed=2)
    assert open_model(str(run), device="cpu").identity == open_model(str(run / "model"), device="cpu").identity


def test_identity_follows_weights_and_template(tmp_path: Path, tiny: Any, tiny_folder: Path) -> None:
    def identity(folder: Path, **options: Any) -> str:
        return open_model(str(folder), device="cpu", **options).identity

    assert identity(save_tiny(tmp_path / "same")) == tiny.identity
    assert identity(save_tiny(tmp_path / "weights", seed=1)) != tiny.identity
    changed = save_tiny(tmp_path / "template", template="{% for m in messages %}{{ m['content'] }}{% endfor %}")
    assert identity(changed) != tiny.identity
    assert identity(tiny_folder, template_options={"enable_thinking": False}) != tiny.identity


def test_a_model_without_a_template_gets_the_plain_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = open_model(str(save_tiny(tmp_path / "base", template=None)), device="cpu")
    assert model.tokenizer.chat_template == PLAIN_TEMPLATE and "no chat template" in caplog.text
    text = model.tokenizer.decode(model.prompt_ids(request(0, "how to bake")))
    assert text == "User: how to bake\nAssistant: "


def test_a_template_without_system_turns_still_gets_the_system_text(tmp_path: Path) -> None:
    refusal = "{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    strict = "{% for m in messages %}" + refusal + "[{{ m['content'] }}]{% endfor %}"
    model = open_model(str(save_tiny(tmp_path / "strict", template=strict)), device="cpu")
    messages = (Message(role="system", content="be brief"), Message(role="user", content="hi"))
    assert model.tokenizer.decode(model.prompt_ids(Request(id="r", messages=messages))) == "[be brief\n\nhi]"


def test_devices_and_types_that_are_not_there_are_refused(tiny_folder: Path) -> None:
    for device in ("warp", "cuda:99" if not torch.cuda.is_available() else "xpu"):
        with pytest.raises(EnvironmentRefused, match="device"):
            open_model(str(tiny_folder), device=device)
    with pytest.raises(EnvironmentRefused, match="dtype"):
        open_model(str(tiny_folder), device="cpu", dtype="float7")
    assert open_model(str(tiny_folder), device="cpu", dtype="bfloat16").generate(some_requests(3))[0].finish != "error"


def test_damaged_folders_are_refused_by_name(tmp_path: Path) -> None:
    broken = save_tiny(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_model(str(broken), device="cpu")
    shallow = save_tiny(tmp_path / "shallow")
    config = json.loads((shallow / "config.json").read_text())
    (shallow / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ModelError, match="weights are missing"):
        open_model(str(shallow), device="cpu")
