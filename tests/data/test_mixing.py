"""Mixes: exact by examples drawn, the same every time, and refused when a source is missing or falls short."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.data.example import Example
from solon.data.files import manifest_of
from solon.data.mixing import interleaved, load_mix, mix_files, most_without_repeats
from solon.data.quotas import counts
from solon.data.sources import load_examples
from solon.errors import DataError

SIZES = {"constitutional": 90, "coding": 70, "mathematics": 50, "general": 30}
SHARES = {"constitutional": 0.4, "coding": 0.3, "mathematics": 0.2, "general": 0.1}


def sources(folder: Path) -> None:
    for name, size in SIZES.items():
        rows = [{"id": f"{name}-{i}", "prompt": f"{name} question {i}", "response": "word " * (i % 7 + 1)} for i in range(size)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def mix_file(folder: Path, **top: object) -> Path:
    sources(folder)
    text = {"sources": {name: {"file": f"{name}.jsonl", "share": share} for name, share in SHARES.items()}, **top}
    path = folder / "mix.yaml"
    path.write_text(json.dumps(text))  # JSON is YAML 1.2
    return path


def test_shares_are_exact_and_every_beginning_is_balanced(tmp_path: Path) -> None:
    path = mix_file(tmp_path, total=200, seed=4)
    manifest = mix_files(path, tmp_path / "o.jsonl")
    rows = load_examples(tmp_path / "o.jsonl")
    names = [row.fields["mixed_from"] for row in rows]
    assert Counter(names) == {"constitutional": 80, "coding": 60, "mathematics": 40, "general": 20}
    assert Counter(names[:100]) == {"constitutional": 40, "coding": 30, "mathematics": 20, "general": 10}
    assert len({row.id for row in rows}) == 200  # nothing drawn twice
    assert manifest["quotas"]["source"]["asked"] == manifest["quotas"]["source"]["met"]
    assert sum(part["share"] for part in manifest["token_shares"].values()) == pytest.approx(1, abs=1e-3)
    assert manifest_of(tmp_path / "o.jsonl")["inputs"].keys() >= {str(path)}


def test_the_same_file_every_time_and_another_with_another_seed(tmp_path: Path) -> None:
    path = mix_file(tmp_path, total=100)
    first = mix_files(path, tmp_path / "a.jsonl")["sha256"]
    assert mix_files(path, tmp_path / "b.jsonl")["sha256"] == first
    assert mix_files(path, tmp_path / "c.jsonl", seed=9)["sha256"] != first


def test_without_a_total_the_largest_that_repeats_nothing(tmp_path: Path) -> None:
    assert most_without_repeats(SIZES, SHARES) == 226  # 90.4, 67.8, 45.2, 22.6: 90 + 68 + 45 + 23; of 227 the first would be 91
    assert mix_files(mix_file(tmp_path), tmp_path / "o.jsonl")["rows"] == 226


def test_too_few_rows_are_refused_with_the_arithmetic_or_repeated_when_asked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"constitutional: 400 asked, 90 there, coding: 300 asked, 70 there") as caught:
        mix_files(mix_file(tmp_path, total=1000), tmp_path / "o.jsonl")
    assert "at most 226" in caught.value.mend
    assert not (tmp_path / "o.jsonl").exists()
    path = mix_file(tmp_path, total=1000)
    text = json.loads(path.read_text())
    for source in text["sources"].values():
        source["repeat"] = True
    path.write_text(json.dumps(text))
    assert mix_files(path, tmp_path / "o.jsonl")["rows"] == 1000
    drawn = Counter(row.id for row in load_examples(tmp_path / "o.jsonl"))
    assert {n for name, n in drawn.items() if name.startswith("constitutional")} == {4, 5}  # 400 of 90


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": {"a": {"file": "nowhere.jsonl", "share": 1}}}, "source 'a': expected a file at"),
        ({"sources": {"a": {"file": "coding.jsonl", "shares": 1}}}, "did you mean 'share'"),
        ({"sauces": {}}, "sauces"),
        ({"sources": {}}, "sources"),
        ({"sources": [{"name": "a", "file": "coding.jsonl", "share": 1}] * 2}, "twice"),
        ({"sources": {"a": {"file": "coding.jsonl", "share": -1}}}, "at least 0"),
        ({"total": 0}, "total"),
    ],
)
def test_bad_mix_files_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    path = mix_file(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError) as caught:
        mix_files(path, tmp_path / "o.jsonl")
    assert message in str(caught.value)


def test_aliases_of_aliases_are_refused_at_once(tmp_path: Path) -> None:
    lists = "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]\n" for n in range(1, 11))
    (tmp_path / "mix.yaml").write_text(f"x0: &x0 [a]\n{lists}seed: *x10\n")
    with pytest.raises(DataError, match="expected a mix of sources, got aliases"):
        load_mix(tmp_path / "mix.yaml")


def test_lists_of_sources_and_yaml(tmp_path: Path) -> None:
    sources(tmp_path)
    (tmp_path / "m.yaml").write_text("sources:\n- {file: coding.jsonl, share: 2/3}\n- {path: general.jsonl, weight: 1/3}\n")
    mix = load_mix(tmp_path / "m.yaml")
    assert list(mix.sources) == ["coding", "general"]
    assert mix_files(tmp_path / "m.yaml", tmp_path / "o.jsonl")["quotas"]["source"]["met"] == {"coding": 61, "general": 30}
    with pytest.raises(DataError, match="expected a mix file"):
        load_mix(tmp_path / "no.yaml")
    (tmp_path / "deep.yaml").write_text("sources: " + "[" * 150 + "]" * 150)
    with pytest.raises(DataError, match="expected YAML, got maximum depth"):
        load_mix(tmp_path / "deep.yaml")


def test_scripted_rows_are_refused(tmp_path: Path) -> None:
    path = mix_file(tmp_path, total=10)
    with (tmp_path / "coding.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "x", "response": "y", "source": "scripted"}) + "\n")
    with pytest.raises(DataError, match="scripted"):
        mix_files(path, tmp_path / "o.jsonl")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=4).filter(any), st.integers(1, 80))
def test_any_beginning_is_within_one_or_two_of_its_share(parts: list[int], total: int) -> None:
    asked = counts({str(i): p for i, p in enumerate(parts)}, total)
    streams = {name: iter([Example(id=name)] * count) for name, count in asked.items()}
    order = [e.id for e in interleaved(streams, asked)]
    assert Counter(order) == {name: count for name, count in asked.items() if count}
    for k in range(1, total + 1):
        for name, count in asked.items():
            assert abs(order[:k].count(name) - k * count / total) <= 2


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), min_size=1, max_size=4))
def test_the_largest_total_fits_and_the_next_does_not(parts: list[tuple[int, int]]) -> None:
    sizes = {str(i): size for i, (size, _) in enumerate(parts)}
    shares = {str(i): share for i, (_, share) in enumerate(parts)}
    total = most_without_repeats(sizes, shares)
    fits = [t for t in range(sum(sizes.values()) + 1) if all(n <= sizes[name] for name, n in counts(shares, t).items())]
    assert total == max(fits)
