"""The whole job with models of other architectures as the trained one: tiny, random, each with a tokenizer of its own.

    python -m benchmarks.proof_architectures [--only qwen2 …]

`nano` makes the pairs; the folder is trained by SFT and DPO, merged, evaluated, and opened again as a run and as BASE+ADAPTER.
Random weights show that the machinery fits an architecture, nothing else. Chat templates: ChatML, one that refuses system turns,
and none.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from solon.constitution import library_names, source_file
from solon.data.prompts import load_builtin

CHATML = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}{{ ' ' + m['content'] + eos_token }}"
    "{% endif %}{% endfor %}"
)
SIZES: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
SETTINGS = (
    "evaluation.builtin=false", "evaluation.sampling.max_new_tokens=24", "train.gate.prompts=10", "train.sft.epochs=2",
    "train.dpo.learning_rate=1e-3",
)  # fmt: skip


def tokenizer(specials: list[str], template: str | None, **names: str) -> Any:
    """A byte-level BPE of 2,000 tokens, trained on the constitutions that ship."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    raw.train_from_iterator([source_file(name).read_text() for name in library_names()], trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=raw, **names)
    if template:
        made.chat_template = template
    return made


def qwen2() -> tuple[Any, Any]:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    words = tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], CHATML, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    config = Qwen2Config(
        vocab_size=len(words), num_key_value_heads=2, max_position_embeddings=1024, tie_word_embeddings=True,
        eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id, bos_token_id=None, **SIZES,
    )  # fmt: skip
    return Qwen2ForCausalLM(config), words


def llama_bf16() -> tuple[Any, Any]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    words = tokenizer(["<unk>", "<s>", "</s>"], NO_SYSTEM, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    config = LlamaConfig(
        vocab_size=len(words), max_position_embeddings=512, tie_word_embeddings=False, eos_token_id=2, bos_token_id=1, **SIZES
    )
    return LlamaForCausalLM(config).to(torch.bfloat16), words


def plain() -> Any:
    """A tokenizer without a chat template, as old base models have."""
    return tokenizer(["<|endoftext|>", "<|padding|>"], None, eos_token="<|endoftext|>", bos_token="<|endoftext|>")


def gpt_neox() -> tuple[Any, Any]:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(vocab_size=2048, max_position_embeddings=512, eos_token_id=0, bos_token_id=0, **SIZES)
    return GPTNeoXForCausalLM(config), plain()


def gpt2() -> tuple[Any, Any]:
    from transformers import GPT2Config, GPT2LMHeadModel

    words = plain()
    config = GPT2Config(vocab_size=len(words), n_positions=256, n_embd=64, n_layer=2, n_head=4, eos_token_id=0, bos_token_id=0)
    return GPT2LMHeadModel(config), words


def gemma2() -> tuple[Any, Any]:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    words = plain()
    config = Gemma2Config(
        vocab_size=len(words), num_key_value_heads=2, head_dim=16, max_position_embeddings=512, sliding_window=32, eos_token_id=0,
        bos_token_id=0, pad_token_id=1, **SIZES,
    )  # fmt: skip
    return Gemma2ForCausalLM(config), words


MAKERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "qwen2": qwen2,
    "llama_bf16": llama_bf16,
    "gpt_neox": gpt_neox,
    "gpt2": gpt2,
    "gemma2": gemma2,
}


def prompts(path: Path) -> Path:
    """A few of the built-in training prompts as a user's file."""
    train = [p for p in load_builtin() if p.split == "train" and p.hazard not in ("cse", "ssh")]
    rows = [p for p in train if p.set == "hazardous"][:24]
    rows += [p for kind in ("benign", "twin") for p in [q for q in train if q.set == kind][:20]]
    path.write_text("".join(p.model_copy(update={"id": f"own-{p.id}", "split": ""}).model_dump_json() + "\n" for p in rows))
    return path


def solon(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "solon", *words], capture_output=True, text=True, check=False)


def prove(name: str, folder: Path) -> list[str]:
    """What went wrong with one architecture; empty when nothing did."""
    import torch

    torch.manual_seed(0)
    model, words = MAKERS[name]()
    base, out = folder / name, folder / f"run-{name}"
    model.save_pretrained(base)
    words.save_pretrained(base)
    file = prompts(folder / "own.jsonl")
    done = solon("run", "--train-model", str(base), "--prompts", str(file), "--out", str(out), "--json", *SETTINGS)
    if done.returncode not in (0, 1) or not (out / "summary.json").exists():
        return [f"solon run: exit {done.returncode}: {done.stderr[-400:]}"]
    training = json.loads((out / "training.json").read_text())
    wrong = [f"{phase}: nothing learned" for phase, found in training.items() if found["no_learning"]]
    shown = ", ".join(
        f"{phase} {found['step0']['loss']:.3f} -> {found['final']['loss']:.3f}" for phase, found in training.items()
    )
    print(f"{name}: {training['sft']['trainable_parameters']:,} trained; loss {shown}; {training['dpo']['plan']['layout']}")
    for spec in (str(out), f"{base}+{out / 'adapter'}"):
        found = solon("eval", spec, "--prompts", str(file), "--out", str(folder / "e" / name), "--json", "max_prompts=4")
        if found.returncode:
            wrong.append(f"solon eval {spec}: exit {found.returncode}: {found.stderr[-300:]}")
    return wrong


def main() -> None:
    """Prove each architecture; exit 1 when one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(MAKERS), default=list(MAKERS))
    asked = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for name in asked.only:
            wrong = prove(name, Path(scratch))
            failed = failed or bool(wrong)
            print(
                "\n".join(f"{name}: {text}" for text in wrong) if wrong else f"{name}: whole job, adapter and merged model open"
            )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
