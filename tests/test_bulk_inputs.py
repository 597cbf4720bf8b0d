"""Input of bulk extraction: a file is read as what it is, what is left out is said, damage costs only what is damaged."""

import errno
import io
import json
import os
from pathlib import Path

import pytest

from iter_bench import bulk
from iter_bench.bulk.inputs import names
from iter_bench.bulk.parquet import ROWS
from iter_bench.cli.predict import _items
from iter_bench.errors import DataError


def problems(path: Path) -> list[str | None]:
    return [item.problem for item in bulk.items(bulk.files_of(path))]


def test_files_are_read_by_their_ending_and_what_is_left_out_is_said(tmp_path, caplog):
    folder, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    for path in (folder / "b" / "x.JSONL", folder / "a" / "x.jsonl", folder / ".hidden.jsonl", elsewhere / "y.jsonl"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"text": "Ann met Bob."}\n')
    (folder / "notes.md").write_text("Ann")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "alone.jsonl").symlink_to(elsewhere / "y.jsonl")
    files = bulk.files_of(folder)
    found = list(bulk.items(files))
    assert [item.where for item in found] == ["a/x.jsonl:1", "alone.jsonl:1", "b/x.JSONL:1"]
    assert {item.text for item in found} == {"Ann met Bob."}
    said = "1 hidden, 1 linked folder(s), 1 neither text, JSON lines nor Parquet"
    assert sorted(caplog.messages[0].split("not read: ")[1].split(", ")) == sorted(said.split(", "))
    for name in ("x.json", "x.jsonl.gz", "x"):
        (tmp_path / name).write_text('{"text": "Ann met Bob."}\n')
        with pytest.raises(DataError, match=r"should end in \.txt, \.jsonl"):
            bulk.files_of(tmp_path / name)


def test_a_folder_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    for name in (".hidden", "a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text("Ann met Bob.\n")
    scandir = os.scandir

    def refusing(path):
        if Path(path).name in closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    closed = {".hidden"}
    monkeypatch.setattr(os, "scandir", refusing)
    assert bulk.files_of(tmp_path) == [tmp_path / "a" / "x.txt", tmp_path / "b" / "x.txt"], "what is hidden isn't read anyway"
    closed.add("b")
    with pytest.raises(DataError, match=r"/b: the folder can't be read: Permission denied$"):
        bulk.files_of(tmp_path)


def test_names_are_from_the_common_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert names([Path("a/x.txt"), Path("b/x.txt")]) == ["a/x.txt", "b/x.txt"]
    assert names([Path("b/x.txt"), Path("c/x.txt"), Path("x.txt")]) == ["b/x.txt", "c/x.txt", "x.txt"]
    assert names([tmp_path / "a" / "x.txt"]) == ["x.txt"]
    assert names([Path(os.fsdecode(b"\xff.txt"))]) == ["\\xff.txt"], "can be written in UTF-8"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_no_line_of_utf_16_is_taken_for_text(tmp_path, encoding):
    (tmp_path / "x.txt").write_text("Ann met Bob\nCid met Dan\n", encoding=encoding)
    assert all(problems(tmp_path / "x.txt"))


@pytest.mark.parametrize("argument", [True, False], ids=["argument", "standard input"])
def test_texts_that_are_not_utf_8_are_named(argument, monkeypatch):
    """Python hands on such bytes as halves of surrogate pairs: always in arguments, in standard input with the locale C."""
    broken = os.fsdecode(b"Ann met B\xf6b")
    monkeypatch.setattr("sys.stdin", io.StringIO("fine\n" + broken))
    with pytest.raises(DataError, match="text 2: is not text"):
        list(_items(["fine", broken] if argument else None, None, "joined"))


def test_a_record_of_json_lines_on_standard_input_is_not_read_as_text(monkeypatch):
    braces = '{"a text": 1} in braces\n' + '{"a":' * 100_000 + "\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(braces + '{"words": ["Ann", "met", "Bob"]}\n'))
    with pytest.raises(DataError, match="text 3: is a record of JSON lines"):
        list(_items(None, None, "joined"))
    assert [item.text for item in _items(['{"words": []}'], None, "joined")] == ['{"words": []}'], "as an argument it's meant"


def test_standard_input_is_read_as_a_file_with_the_same_bytes_is(tmp_path, monkeypatch):
    content = "\ufeffAnn met Bob.\r\nCid\u00a0met Dan.\r\n"
    (tmp_path / "x.txt").write_bytes(content.encode())
    monkeypatch.setattr("sys.stdin", io.StringIO(content, newline="\n"))
    piped, read = (list(_items(None, file, "joined")) for file in (None, tmp_path / "x.txt"))
    assert [(item.text, item.document.words) for item in piped] == [(item.text, item.document.words) for item in read]
    assert piped[0].text == "Ann met Bob."
    monkeypatch.setattr("sys.stdin", io.StringIO('\ufeff{"text": "Ann met Bob."}\n'))
    with pytest.raises(DataError, match="text 1: is a record of JSON lines"):
        list(_items(None, None, "joined"))


def test_ids_that_pandas_made_floats(tmp_path):
    given = [1.0, 2**53, None, float("nan"), 1.5, True]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"id": i, "text": "Ann"}) + "\n" for i in given))
    found = list(bulk.items([tmp_path / "x.jsonl"]))
    assert [item.id for item in found[:4]] == ["1", str(2**53), "2", "3"]
    assert [bool(item.problem) for item in found] == [False] * 4 + [True] * 2
    assert found[4].problem == "id: should be a string or a whole number, is 1.5 (float)"


@pytest.fixture
def parquet():
    return pytest.importorskip("pyarrow.parquet")


def test_a_bad_value_costs_one_row(tmp_path, parquet):
    import pyarrow

    texts = pyarrow.array([b"Ann", b"\xff", b"Cid"] + [b"Dan"] * 9).view(pyarrow.string())
    days = pyarrow.array([1, 1, 2**31 - 1] + [None] * 9, pyarrow.date32())  # the third is no date that Python has
    parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "text.parquet")
    parquet.write_table(pyarrow.table({"text": ["Ann"] * 12, "id": days}), tmp_path / "id.parquet")
    assert [place for place, problem in enumerate(problems(tmp_path / "text.parquet")) if problem] == [1]
    found = problems(tmp_path / "id.parquet")
    assert [bool(problem) for problem in found] == [True] * 3 + [False] * 9
    assert "date" in found[0] and "OverflowError" in found[2]


def test_a_damaged_row_group_costs_its_own_rows(tmp_path, parquet):
    import pyarrow

    path = tmp_path / "x.parquet"
    table = pyarrow.table({"text": [f"Ann {i} {'x' * 50}" for i in range(4000)]})
    parquet.write_table(table, path, row_group_size=1000, use_dictionary=False, compression="snappy")
    page = parquet.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[page + 40 : page + 400] = b"\xff" * 360
    path.write_bytes(data)
    found = list(bulk.items([path]))
    assert [item.problem is not None for item in found] == [False] * 1000 + [True] * 1000 + [False] * 2000
    assert "row group 2" in found[1000].problem
    total, begins, _ = bulk.marks([path], 300)
    assert total == 4000 and [next(bulk.items([path], begin)) for begin in begins] == found[::300]


def test_memory_does_not_grow_with_a_row_group(tmp_path, parquet):
    import pyarrow

    def peak(count: int) -> int:
        """Bytes that pyarrow holds at most while the only row group is read."""
        path, texts = tmp_path / f"{count}.parquet", [os.urandom(200).hex() for _ in range(count)]
        parquet.write_table(pyarrow.table({"text": texts}), path, row_group_size=count)
        before = pyarrow.total_allocated_bytes()
        held = [pyarrow.total_allocated_bytes() - before for _ in bulk.items([path])]
        assert len(held) == count
        return max(held)

    few, many = peak(4 * ROWS), peak(32 * ROWS)
    assert many < 1.5 * few, f"{few} bytes for {4 * ROWS} rows, {many} for {32 * ROWS}"


def test_a_damaged_name_of_a_column_is_told(tmp_path, parquet):
    import pyarrow

    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({"text": ["Ann"], "other": [1]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"other", b"oth\xffr"))
    for read in (problems, lambda path: bulk.marks([path], 1)):
        with pytest.raises(DataError, match="can't be read as Parquet"):
            read(path)
