"""The command line: exit codes, one JSON object on stdout, card and manifest beside every output."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from solon.cli.main import main
from solon.data.files import sha256_of

Said = subprocess.CompletedProcess  # of exit code, stdout, stderr

LAWS = {
    "example_id": "eth_000001", "example_type": "safe_request", "law_category": 1, "prompt": "How do I water a fern?",
    "response_harmful": None, "response_ethical": "A little every other day.", "critique": "c", "principle": "Law 1",
    "difficulty": "easy", "tags": [], "conversation": [], "group": "g", "kind": "law",
}  # fmt: skip


@pytest.fixture
def solon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`solon data …` in this process, in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Said:
        words = ["solon", "data", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        code = left.value.code
        return Said(words, 0 if code is None else code, *capsys.readouterr())

    return run


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
def test_a_walk_through(tmp_path: Path, solon: Callable[..., Said]) -> None:
    rows = [
        LAWS | {"example_id": f"eth_{i:06d}", "prompt": f"How do I grow {i} ferns?", "group": f"g{i}", "law_category": i % 5}
        for i in range(1, 201)
    ]
    write(tmp_path / "laws.jsonl", *rows)
    stats = solon("stats", "laws.jsonl", "--json")
    assert stats.returncode == 0
    told = json.loads(stats.stdout)
    assert told["rows"] == 200 and told["counts"]["law_category"] == {str(i): 40 for i in range(5)}
    assert solon("split", "laws.jsonl", "--out", "s").returncode == 0
    assert {p.name for p in (tmp_path / "s").iterdir()} >= {"train.jsonl", "validation.jsonl", "test.jsonl", "split.json"}
    assert solon("diff", "laws.jsonl", "laws.jsonl").returncode == 0
    difference = solon("diff", "laws.jsonl", "s/train.jsonl", "--json")
    assert difference.returncode == 1
    found = json.loads(difference.stdout)
    assert len(found["removed"]) == 200 - found["rows"]["after"] and not found["added"] and not found["changed"]
    assert solon("check", "s/train.jsonl", "--against", "s/test.jsonl").returncode in (0, 1)
    assert solon("export", "laws.jsonl", "--format", "chat", "-o", "chat.jsonl").returncode == 0
    for name in ("s/train.jsonl", "chat.jsonl"):
        manifest = json.loads((tmp_path / f"{name}.manifest.json").read_text())
        assert manifest["sha256"] == sha256_of(tmp_path / name)
        assert (tmp_path / f"{name}.card.md").read_text().startswith(f"# {Path(name).name}")
    assert solon("select", "laws.jsonl", "--where", "law_category=1,2", "-o", "two.jsonl").returncode == 0
    assert len((tmp_path / "two.jsonl").read_text().splitlines()) == 80
    capacity = json.loads(solon("capacity", "laws.jsonl", "--principles", 4, "--json").stdout)
    assert (capacity["prompts"], capacity["pairs"]) == (200, 800)


@pytest.mark.slow
def test_exit_codes(tmp_path: Path, solon: Callable[..., Said]) -> None:
    bad = write(tmp_path / "bad.jsonl", {"id": "1", "prompt": "p", "response": "See https://example.org", "set": "hazardous"})
    assert solon("check", bad).returncode == 0
    failed = solon("check", bad, "--hazard-detail", "--json")
    assert failed.returncode == 1 and json.loads(failed.stdout)["counts"]["problems"] == {"hazard_detail_url": 1}
    for arguments in (
        ("import", "nonsense", bad, "-o", "o"),
        ("import", "gsm8k", bad, "-o", "o"),
        ("stats", "nowhere.jsonl"),
        ("generate", "poems", "-o", "o"),
        ("generate", "laws", "-n", 10, "--quota", "types=harmful_blocked:10,safe_request:10", "-o", "o"),
        ("export", bad, "--format", "trl-preference", "-o", "o"),
        ("generate", "laws", "-n", 10, "-o", "."),
        ("filter", bad, "-o", bad),
        ("import", "jsonl", bad, "--map", "prompt=id", "--map", "prompt=prompt", "-o", "o"),
        ("agreement", bad),
        ("check", bad, "--language", "xx"),
        ("balance", bad, "-o", "o", "--over", ","),
        ("generate", "laws", "-n", 10**9, "-o", "o"),
        ("dedupe", bad, "-o", "o", "--by", "moon"),
        ("split", bad, "--out", "s"),
    ):
        done = solon(*arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert "expected" in done.stderr and "Traceback" not in done.stderr
    refused = solon("stats", "nowhere.jsonl", "--json")
    assert refused.returncode == 2 and "error" in json.loads(refused.stdout)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.jsonl"]


@pytest.mark.slow
def test_dedupe_and_agreement(tmp_path: Path, solon: Callable[..., Said]) -> None:
    row = {"prompt": "How do I water a fern in a pot by the window?", "response": "A little every other day, no more."}
    write(tmp_path / "f.jsonl", row, row, {"prompt": "Something else", "response": "Yes."})
    assert solon("dedupe", "f.jsonl", "-o", "o.jsonl").returncode == 0
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 2
    dropped = json.loads((tmp_path / "o.dropped.jsonl").read_text())
    assert (dropped["row"], dropped["reason"], dropped["of_row"]) == (2, "exact", 1)
    (tmp_path / "r.csv").write_text("item,ann,bob\n1,1,1\n2,2,2\n3,1,2\n4,2,2\n")
    told = json.loads(solon("agreement", "r.csv", "--json").stdout)
    # coincidences: 1-1 2, 2-2 4, 1-2 1 each way; n1 3, n2 5; alpha = 1 - 7 x 2 / (2 x 3 x 5) = 8/15
    assert told["krippendorff_alpha"]["nominal"]["value"] == pytest.approx(8 / 15)


@pytest.mark.slow
def test_the_installed_command_says_the_same(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "solon", "data", "stats", "nowhere.jsonl", "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert "error" in json.loads(done.stdout)


def test_verbs_that_write_print_the_manifest(tmp_path: Path, solon: Callable[..., Said]) -> None:
    write(tmp_path / "laws.jsonl", LAWS, LAWS | {"example_id": "eth_000002"})
    for words in (
        ("generate", "governed", "-n", 10, "-o", "g.jsonl"),
        ("dedupe", "laws.jsonl", "-o", "d.jsonl"),
        ("export", "laws.jsonl", "--format", "alpaca", "-o", "a.json"),
    ):
        said = solon(*words, "--json")
        told = json.loads(said.stdout)
        assert said.returncode == 0 and told["path"] == words[-1] and told["sha256"] == sha256_of(tmp_path / told["path"])
