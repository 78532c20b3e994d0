"""Split files: groups whole, growth moves nothing, strata served, everything hashed."""

import json
from collections import Counter
from pathlib import Path

import pytest

from solon.data.files import sha256_of
from solon.data.generate import generate_file
from solon.data.sources import load_examples
from solon.data.splitting import SIDES, assigned, best_seed, side_of, split_file
from solon.errors import DataError

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def write(path: Path, count: int, start: int = 0, hazards: str = "abc") -> Path:
    words = ["ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan", "willow", "yew"]
    rows = [
        {"id": str(i), "prompt": f"{words[i % 13]} {words[i // 13 % 13]} number {i} stands alone here", "response": "r",
         "hazard": hazards[i % len(hazards)], "group": f"g{i // 2}"}
        for i in range(start, start + count)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def sides(folder: Path) -> dict[str, str]:
    return {e.id: side for side in SIDES for e in load_examples(folder / f"{side}.jsonl")}


@pytest.mark.slow
def test_every_row_once_groups_whole_and_hashes_true(tmp_path: Path) -> None:
    record = split_file(write(tmp_path / "f.jsonl", 1000), tmp_path / "s")
    placed = sides(tmp_path / "s")
    assert len(placed) == 1000 == sum(record["rows"].values())
    assert all(placed[str(i)] == placed[str(i + 1)] for i in range(0, 1000, 2))
    assert record["files"]["test.jsonl"] == sha256_of(tmp_path / "s" / "test.jsonl")
    assert json.loads((tmp_path / "s" / "split.json").read_text()) == record
    assert 60 <= record["rows"]["test"] <= 140  # 10 % of 500 groups, four standard deviations
    for table in record["strata"].values():
        assert all(table[side] > 0 for side in SIDES)
    again = split_file(tmp_path / "f.jsonl", tmp_path / "t")
    assert again["hash"] == record["hash"]
    assert split_file(tmp_path / "f.jsonl", tmp_path / "u", seed=1)["hash"] != record["hash"]


@pytest.mark.slow
def test_growth_and_order_move_nothing(tmp_path: Path) -> None:
    split_file(write(tmp_path / "small.jsonl", 400), tmp_path / "a")
    split_file(write(tmp_path / "large.jsonl", 1600), tmp_path / "b")
    lines = (tmp_path / "large.jsonl").read_text().splitlines()
    (tmp_path / "turned.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    split_file(tmp_path / "turned.jsonl", tmp_path / "c")
    small, large, turned = (sides(tmp_path / name) for name in "abc")
    assert all(large[name] == side for name, side in small.items())
    assert turned == large


def test_near_duplicates_without_a_group_stay_together(tmp_path: Path) -> None:
    base = "please tell me in plain words how the old town council came to vote on the new bridge last spring"
    rows = [{"id": f"{i}", "prompt": f"{base} in the year of the {i}th flood"} for i in range(60)]
    rows += [{"id": f"x{i}", "prompt": f"something {i} else {i * 7} entirely {i * 11}"} for i in range(60)]
    (tmp_path / "f.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    split_file(tmp_path / "f.jsonl", tmp_path / "s", test=0.3)
    placed = sides(tmp_path / "s")
    assert len({placed[str(i)] for i in range(60)}) == 1


def test_a_stratum_that_the_hash_leaves_out_gets_its_nearest_group() -> None:
    groups = [f"g{i}" for i in range(400)]
    poor = [g for g in groups if side_of(g, 0.1, 0.1) == "train"][:6]
    side = assigned(poor, ["law 4"] * 6, SHARES, 0)
    assert Counter(side.values()) == {"train": 4, "validation": 1, "test": 1}
    assert set(assigned(poor[:2], ["law 4"] * 2, SHARES, 0).values()) == {"train"}  # two groups are too few to share out


@pytest.mark.slow
def test_a_chosen_seed_comes_nearer_to_the_shares(tmp_path: Path) -> None:
    groups = [f"topic-{i}" for i in range(60)]
    strata = [f"law {i % 5}" for i in range(60)]

    def off(seed: int) -> float:
        side = assigned(groups, strata, SHARES, seed)
        counted = Counter((s, side[g]) for g, s in zip(groups, strata, strict=True))
        return sum(abs(counted[f"law {k}", name] / 12 - share) for k in range(5) for name, share in SHARES.items())

    chosen = best_seed(groups, strata, SHARES)
    assert off(chosen) < sum(off(seed) for seed in range(20)) / 20
    record = split_file(write(tmp_path / "f.jsonl", 100), tmp_path / "s", seed=None)
    assert isinstance(record["seed"], int)


@pytest.mark.slow
def test_an_earlier_split_is_kept(tmp_path: Path) -> None:
    split_file(write(tmp_path / "f.jsonl", 100), tmp_path / "a", seed=None)
    record = split_file(write(tmp_path / "g.jsonl", 300), tmp_path / "b", like=tmp_path / "a" / "split.json")
    before, after = sides(tmp_path / "a"), sides(tmp_path / "b")
    assert all(after[name] == side for name, side in before.items())
    assert record["seed"] == json.loads((tmp_path / "a" / "split.json").read_text())["seed"]
    with pytest.raises(DataError, match=r"expected the split.json"):
        split_file(tmp_path / "g.jsonl", tmp_path / "c", like=tmp_path / "no.json")


def test_rows_keep_their_shape_and_an_added_set_goes_to_train(tmp_path: Path) -> None:
    base = write(tmp_path / "f.jsonl", 200)
    trading = [
        {"instruction": f"What about position {i}?", "response": "No.", "context": {"category": c, "size": i}}
        for i, c in enumerate(["constitutional_compliance"] * 5 + ["meta_learning"] * 2)
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in trading))
    record = split_file(base, tmp_path / "s", add_to_train=tmp_path / "t.jsonl")
    train = [json.loads(line) for line in (tmp_path / "s" / "train.jsonl").read_text().splitlines()]
    assert [r for r in train if "instruction" in r] == trading
    metadata = json.loads((tmp_path / "s" / "dataset_metadata.json").read_text())
    assert metadata["ethical_examples_added"] == 7
    assert metadata["ethical_categories"] == {"constitutional_compliance": 5, "meta_learning": 2}
    assert metadata["total_examples"] == 207 and metadata["train_examples"] == record["rows"]["train"]


def test_shares_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", 20)
    with pytest.raises(DataError, match="below 1"):
        split_file(path, tmp_path / "s", validation="60%", test=0.4)
    with pytest.raises(DataError, match="none in"):
        split_file(write(tmp_path / "g.jsonl", 2, hazards="a"), tmp_path / "s")
    assert split_file(path, tmp_path / "s", validation=0, test="1/5")["rows"]["validation"] == 0


@pytest.mark.slow
def test_generated_laws_split_near_their_shares_in_every_law(tmp_path: Path) -> None:
    generate_file("laws", tmp_path / "laws.jsonl", n=1500, seed=5)
    record = split_file(tmp_path / "laws.jsonl", tmp_path / "split")
    assert record["warnings"] == []
    for name, table in record["strata"].items():
        total = sum(table.values())
        assert all(0.05 <= table[side] / total <= 0.16 for side in ("validation", "test")), (name, table)
