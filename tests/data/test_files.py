"""Outputs appear whole or not at all, and never on top of what they are made from."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from solon.data.files import write_rows, writing
from solon.errors import DataError


@pytest.mark.parametrize("name", [".", "", "folder"])
def test_a_folder_is_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="expected the name of a file"):
        write_rows(name, [{"prompt": "p"}], made_by="test")


@pytest.mark.parametrize(("name", "parquet"), [("o.csv", False), ("o.parquet", False), ("o.tsv.gz", False), ("o.jsonl", True)])
def test_a_name_does_not_belie_its_format(tmp_path: Path, name: str, parquet: bool) -> None:
    with pytest.raises(DataError, match="expected a name for"), writing(tmp_path / name, parquet=parquet):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_input_is_never_overwritten_whatever_it_is_called(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text("kept")
    (tmp_path / "link.jsonl").symlink_to(own)
    for name in ("own.jsonl", "link.jsonl", "../" + tmp_path.name + "/own.jsonl"):
        with pytest.raises(DataError, match="another file than the input"):
            write_rows(tmp_path / name, [{"prompt": "p"}], made_by="test", inputs=[own])
    assert own.read_text() == "kept"


def test_an_error_leaves_nothing_and_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), writing(path) as output:
        output.write({"prompt": "p"})
        raise ZeroDivisionError
    assert path.read_text() == "before"
    assert [found.name for found in tmp_path.iterdir()] == ["x.jsonl"]


def test_what_killed_writers_left_goes_and_what_running_ones_hold_stays(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    left, held = tmp_path / f".x.jsonl.{int(gone.stdout)}.partial", tmp_path / ".x.jsonl.1.partial"
    for path in (left, held):
        path.write_text("half")
    write_rows(tmp_path / "x.jsonl", [{"prompt": "p"}], made_by="test")
    assert not left.exists()
    assert held.exists()


def _write_much(path: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    write_rows(path, ({"prompt": "p" * 1000} for _ in range(100)), made_by="test")


@pytest.mark.slow
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; from tests.data.test_files import _write_much; _write_much(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.jsonl")], capture_output=True, text=True, check=False)
    assert "DataError" in done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []
