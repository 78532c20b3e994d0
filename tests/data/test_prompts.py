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
        ("p.jsonl", '{"prompt": "\\ud800 x"}\n', r"p\.jsonl:1: expected a JSON object"),  # half of a surrogate pair
        ("p.jsonl", '{"prompt": "x", "y": ' + "[" * 5000 + "]" * 5000 + "}\n", r"p\.jsonl:1: expected a JSON object"),
        ("p.jsonl", '{"prompt": "x", "id": ' + "9" * 5000 + "}\n", r"p\.jsonl:1: expected a JSON object"),
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


def test_a_limit_counts_each_set_and_split() -> None:
    from solon.data.records import Prompt

    rows = [("hazardous", "train")] * 6 + [("hazardous", "file")] * 4 + [("benign", "train")] * 3
    prompts = [Prompt(id=str(i), prompt=f"p{i}", set=kind, split=split) for i, (kind, split) in enumerate(rows)]  # type: ignore[arg-type]
    kept = Counter((p.set, p.split) for p in choose(prompts, limit=3))
    assert kept == {("hazardous", "train"): 3, ("hazardous", "file"): 3, ("benign", "train"): 3}


def test_the_same_text_again_gets_an_id_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("one\ntwo\none\none\n")
    names = [p.id for p in load_prompts(tmp_path / "p.txt")]
    assert len(set(names)) == 4 and names[2:] == [f"{names[0]}-2", f"{names[0]}-3"]


def test_a_stated_split_is_read_in_the_usual_words_or_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,split\na,train\nb,test\nc,dev\nd,\n")
    assert [p.split for p in load_prompts(tmp_path / "p.csv")] == ["train", "file", "validation", ""]
    (tmp_path / "q.csv").write_text("prompt,split\na,tran\n")
    with pytest.raises(DataError, match=r"q\.csv:2: split: expected one of train, .*, got 'tran'; did you mean 'train'"):
        load_prompts(tmp_path / "q.csv")


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
