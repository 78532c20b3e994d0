"""Reading: encodings, damaged files, malformed rows with their lines, and memory that does not grow with the file."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from solon.data.reading import Notes, kind_of_file, rows
from solon.errors import DataError


def read(path: Path, share: float = 0.0, **options: object) -> tuple[list[dict], Notes]:
    notes = Notes(path, share)
    return [row for _, row in rows(path, notes, **options)], notes


def put(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_jsonl_with_mark_crlf_nul_blank_lines_and_line_separator_inside_a_string(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf{"a": "one"}\r\n\r\n{"a": "t\x00wo"}\r\n' + '{"a": "x\u2028y"}\n'.encode()
    found, notes = read(put(tmp_path, "f.jsonl", data))
    assert [r["a"] for r in found] == ["one", "two", "x\u2028y"]
    assert (notes.rows, notes.malformed, notes.nul_rows) == (3, 0, 1)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_marked_encodings(tmp_path: Path, encoding: str) -> None:
    assert read(put(tmp_path, "f.jsonl", '{"a": "é"}\n{"a": "日"}\n'.encode(encoding)))[0] == [{"a": "é"}, {"a": "日"}]
    assert read(put(tmp_path, "f.csv", "a,b\né,日\n".encode(encoding)))[0] == [{"a": "é", "b": "日"}]


def test_an_unmarked_encoding_is_found_malformed_and_read_when_named(tmp_path: Path) -> None:
    path = put(tmp_path, "f.csv", "a\nplain\nd\xe9j\xe0\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"got 1 of 2: .*f.csv:3: expected UTF-8 text.*cp1252"):
        read(path)
    assert read(path, encoding="cp1252")[0] == [{"a": "plain"}, {"a": "déjà"}]
    with pytest.raises(DataError, match="expected one that Python knows"):
        read(path, encoding="klingon")
    with pytest.raises(DataError, match="got 'base64'"):  # Python knows it, but not as an encoding of text
        read(path, encoding="base64")


def test_malformed_rows_are_counted_with_lines_and_refused_above_the_share(tmp_path: Path) -> None:
    lines = ['{"a": 1}'] * 98
    lines[10] = "{broken"
    lines[20] = "[1, 2]"
    lines[30] = '{"a": NaN}'
    path = put(tmp_path, "f.jsonl", "\n".join(lines))
    with pytest.raises(DataError) as caught:
        read(path, 0.03)
    assert "got 3 of 98" in caught.value.what
    assert "f.jsonl:11" in caught.value.what and "f.jsonl:21" in caught.value.what and "f.jsonl:31" in caught.value.what
    found, notes = read(path, 0.04)
    assert (len(found), notes.malformed) == (95, 3)


def test_csv_records_cells_and_columns(tmp_path: Path) -> None:
    big = "word " * 210_000
    path = put(tmp_path, "f.csv", 'a,b\r\n"two\nlines","say ""so"""\r\n' + f"{big},x\r\n")
    found, _ = read(path)
    assert found[0] == {"a": "two\nlines", "b": 'say "so"'}
    assert len(found[1]["a"]) == len(big) > 1_000_000
    with pytest.raises(DataError, match=r"f.csv:4: expected 2 columns, got 3"):
        read(put(tmp_path, "f.csv", 'a,b\n"x\ny",1\n1,2,3\n'))
    with pytest.raises(DataError, match="expected distinct column names, got 'a' twice"):
        read(put(tmp_path, "f.csv", "a,a\n1,2\n"))


def test_a_quote_that_is_never_closed_swallows_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"f.csv:3: expected a closing quote, got none"):
        read(put(tmp_path, "f.csv", 'a,b\n1,2\n"3,4\n5,6\n'), 0.9)


def test_json_arrays_stream_and_lines_in_json_are_read(tmp_path: Path) -> None:
    many = [{"n": i, "text": "x" * 700} for i in range(4000)]  # larger than one chunk
    assert read(put(tmp_path, "f.json", json.dumps(many, indent=1)))[0] == many
    assert read(put(tmp_path, "f.json", '{"a": 1}\n{"a": 2}\n'))[0] == [{"a": 1}, {"a": 2}]
    for bad in ('[{"a": 1}, {"a"', '"text"', "[{}, NaN]"):
        with pytest.raises(DataError):
            read(put(tmp_path, "f.json", bad))


def test_gzip_is_known_by_its_bytes_and_damage_is_told(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"a": 1}\n' * 1000)
    assert len(read(put(tmp_path, "f.jsonl", packed))[0]) == 1000
    assert kind_of_file(Path("x.csv.gz")) == "csv"
    with pytest.raises(DataError, match="damaged"):
        read(put(tmp_path, "g.jsonl.gz", packed[:-20]))


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": list(range(3000)), "b": ["x"] * 3000}), tmp_path / "f.parquet")
    found, _ = read(tmp_path / "f.parquet")
    assert found[2999] == {"a": 2999, "b": "x"}
    with pytest.raises(DataError, match="expected a Parquet file"):
        read(put(tmp_path, "g.parquet", "not parquet at all"))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("f.jsonl", b"", "empty file"),
        ("f.xyz", b"x", "expected one of .jsonl"),
        ("f.jsonl", bytes(range(256)), "malformed"),
    ],
)
def test_what_is_no_data_is_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(put(tmp_path, name, data))


def test_missing_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got nothing there"):
        read(tmp_path / "no.jsonl")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(DataError, match="got a folder"):
        read(tmp_path / "d.csv")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import subprocess
    import sys

    line = json.dumps({"prompt": "question " * 60, "response": "answer " * 60}) + "\n"
    code = (
        # VmHWM, not ru_maxrss: the latter begins with the peak of the process that forked this one
        "import sys; from solon.data.sources import import_file;"
        "import_file('jsonl', sys.argv[1], sys.argv[2]);"
        "print(next(int(l.split()[1]) // 1024 for l in open('/proc/self/status') if l.startswith('VmHWM')))"
    )
    peaks = []  # MB
    for size in (2, 60):
        path = tmp_path / f"{size}.jsonl"
        with path.open("w") as file:
            for _ in range(size):
                file.write(line * 1000)  # about 1 MB
        command = [sys.executable, "-c", code, str(path), str(tmp_path / "o.jsonl")]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) // 1024)
    assert path.stat().st_size > 55e6
    assert peaks[1] < peaks[0] + 20
    assert peaks[1] < 150


def test_a_broken_array_is_named_at_once_and_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"prompt": "a b"}, {bad}, ' + ", ".join(['{"prompt": "c d"}'] * 300_000) + "]")
    tracemalloc.start()
    with pytest.raises(DataError, match=r"element 2: expected JSON, got '\{bad\}"):
        list(rows(path, Notes(path)))
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()
    deep = tmp_path / "deep.json"
    deep.write_text('[{"prompt": "a b", "x": ' + "[" * 100_000 + "]" * 100_000 + "}]")
    with pytest.raises(DataError, match="nested too deeply"):
        list(rows(deep, Notes(deep)))
