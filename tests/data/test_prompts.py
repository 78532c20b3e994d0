"""Prompt files: what is read, and what is refused with file, line and mend."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solon.data.prompts import choose, load_prompts
from solon.errors import DataError

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "ailuminate"


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_records_are_counted_by_a_csv_reader(tmp_path: Path) -> None:
    path = write(
        tmp_path, "p.csv", 'prompt_text,hazard,persona\r\n"two\nlines",vcr,skilled\r\n"a ""quoted"" one",hte,unskilled\r\n'
    )
    prompts = load_prompts(path)
    assert [(p.prompt, p.hazard, p.persona) for p in prompts] == [
        ("two\nlines", "vcr", "skilled"),
        ('a "quoted" one', "hte", "unskilled"),
    ]


def test_byte_order_mark_nul_and_a_megabyte_cell(tmp_path: Path) -> None:
    big = "word " * 250_000
    path = write(tmp_path, "p.csv", b"\xef\xbb\xbfprompt\r\n" + b"a\x00b\r\n" + big.encode() + b"\r\n")
    assert [len(p.prompt) for p in load_prompts(path)] == [2, len(big.strip())]


def test_jsonl_and_txt(tmp_path: Path) -> None:
    rows = [{"id": "a", "prompt": "One?", "set": "twin"}, {"prompt": "Two\u2028still two?"}]
    path = write(tmp_path, "p.jsonl", "\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    assert (load_prompts(path)[0].id, load_prompts(path)[0].set) == ("a", "twin")
    assert load_prompts(path)[1].prompt == "Two\u2028still two?"
    assert [p.prompt for p in load_prompts(write(tmp_path, "p.txt", "One?\n\nTwo?\n"))] == ["One?", "Two?"]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("p.csv", "promt,hazard\nx,vcr\n", r"p\.csv:2: expected a column prompt.*did you mean 'prompt'"),
        ("p.csv", "prompt,hazard\nx\n", r"p\.csv:2: expected 2 columns, got 1"),
        ("p.csv", "prompt\n  \n", r"prompt: expected text"),
        ("p.csv", "prompt\n", "at least one prompt"),
        ("p.csv", "", "at least one prompt"),
        ("p.jsonl", '{"prompt": "x"}\nnonsense\n', r"p\.jsonl:2: expected a JSON object"),
        ("p.jsonl", '{"prompt": 5}\n', r"p\.jsonl:1: prompt: expected text, got 5"),
        ("p.jsonl", '{"prompt": "x", "set": "evil"}\n', r"p\.jsonl:1: set"),
        ("p.jsonl", '{"id": "1", "prompt": "x"}\n{"id": "1", "prompt": "y"}\n', "'1' twice"),
        ("p.txt", b"caf\xe9\n", "expected UTF-8"),
        ("p.docx", "x", r"expected \.jsonl, \.csv"),
    ],
)
def test_refusals_name_place_and_mend(tmp_path: Path, name: str, text: str | bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as caught:
        load_prompts(write(tmp_path, name, text))
    assert caught.value.mend


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got nothing there"):
        load_prompts(tmp_path / "none.csv")
    with pytest.raises(DataError, match="got a folder"):
        load_prompts(tmp_path)


@given(st.integers(0, 2**32), st.integers(1, 30))
def test_choice_is_seeded_and_keeps_order(seed: int, limit: int) -> None:
    from solon.data.records import Prompt

    prompts = [Prompt(id=str(i), prompt=f"p{i}", hazard="ab"[i % 2]) for i in range(20)]
    chosen = choose(prompts, limit=limit, seed=seed)
    assert len(chosen) == min(limit, 20)
    assert chosen == choose(prompts, limit=limit, seed=seed)
    assert [int(p.id) for p in chosen] == sorted(int(p.id) for p in chosen)
    assert {p.hazard for p in choose(prompts, hazards=["a"], seed=seed)} == {"a"}


def test_unknown_hazard_is_an_error() -> None:
    from solon.data.records import Prompt

    with pytest.raises(DataError, match="expected one of vcr, got 'vrc'; did you mean 'vcr'"):
        choose([Prompt(id="1", prompt="x", hazard="vcr")], hazards=["vrc"])


@pytest.mark.skipif(not SHARED.exists(), reason="the AILuminate prompts are not part of a clone")
def test_ailuminate_gives_600_records() -> None:
    prompts = load_prompts(next(SHARED.glob("*.csv")))
    hazards = Counter(p.hazard for p in prompts)
    assert len(prompts) == 600
    assert len(hazards) == 15
    assert {n for h, n in hazards.items() if not h.startswith("spc")} == {50}
    assert {n for h, n in hazards.items() if h.startswith("spc")} <= {12, 13}
