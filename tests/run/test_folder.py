"""The run folder: whole files, steps done once, damage noticed, one process at a time."""

import errno
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from solon.errors import EnvironmentRefused, InputError, IntegrityError
from solon.run.folder import RunFolder, sha256_file, telling_a_full_disk, write_whole


def test_a_step_is_done_only_with_the_same_inputs_and_unchanged_outputs(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    write_whole(folder / "a.txt", "text")
    assert not folder.done("step", "inputs")
    folder.finish("step", "inputs", ["a.txt"])
    again = RunFolder(tmp_path / "run")
    assert again.done("step", "inputs") and not again.done("step", "others")
    (again / "a.txt").write_text("texf")
    assert not again.done("step", "inputs")
    (again / "a.txt").unlink()
    assert not again.done("step", "inputs")


def test_each_file_of_an_output_folder_is_recorded(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_whole(folder / "model/a", "1")
    write_whole(folder / "model/sub/b", "2")
    folder.finish("step", "inputs", ["model"])
    recorded = RunFolder(tmp_path).manifest["outputs"]
    assert recorded == {name: sha256_file(tmp_path / name) for name in ("model/a", "model/sub/b")}
    (tmp_path / "model/a").rename(tmp_path / "model/c")
    assert not folder.done("step", "inputs")
    folder.finish("step", "inputs", ["model"])
    assert set(folder.manifest["outputs"]) == {"model/c", "model/sub/b"}, "what an earlier run wrote is forgotten"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "a", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EnvironmentRefused, match="No space left"):
        write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("text", ["{", "[1]", "3", '{"steps": []}'])
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(IntegrityError, match="expected JSON"):
        RunFolder(tmp_path)


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path).locked(), pytest.raises(InputError, match="another process"), RunFolder(tmp_path).locked():
        pass


def test_manifest_holds_hashes(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_whole(folder / "a", "x")
    folder.finish("s", "i", ["a"])
    stored = json.loads((tmp_path / "manifest.json").read_text())
    assert stored["outputs"]["a"] == sha256_file(tmp_path / "a")


def test_a_library_that_fails_on_a_full_disk_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentRefused, match="the disk is full"), telling_a_full_disk(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(RuntimeError, match="shapes"), telling_a_full_disk(tmp_path):
        raise RuntimeError("shapes do not match")  # there is room: not the disk's fault
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(EnvironmentRefused, match="the disk is full"), telling_a_full_disk(tmp_path):
        raise RuntimeError("unexpected pos 1297344 vs 1297232")
