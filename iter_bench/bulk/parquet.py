"""Rows of Parquet files. Of a damaged part each row says that it can't be read, so that the rest isn't lost with it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

from iter_bench.errors import DataError

ROWS = 1024  # at a time
BUFFER = 2**16  # bytes of a column at a time; without it a whole column of a row group is in memory before its first row is
COLUMNS = ("id", "text", "words")


class Unreadable(str):
    """Why a row can't be read; stands for it."""


def count(path: Path) -> int:
    """Rows that the file says it has. Raises as `rows` does."""
    return _opened(path).metadata.num_rows


def rows(path: Path, skipped: int) -> Iterator[dict[str, Any] | Unreadable]:
    """The rows after the first ``skipped``, as many as `count` promises; whole row groups before them aren't read.

    Memory is that of `ROWS` rows and of a page of each column, however many rows a group has.

    Raises:
        DataError: the file can't be read, isn't Parquet, or has neither a column ``text`` nor ``words``.
    """
    file = _opened(path)
    try:
        for group in range(file.num_row_groups):
            promised = file.metadata.row_group(group).num_rows
            if skipped < promised:
                yield from _group(file, group, promised, skipped)
            skipped = max(skipped - promised, 0)
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error}") from error


def _group(file: Any, group: int, promised: int, skipped: int) -> Iterator[dict[str, Any] | Unreadable]:
    read, reason = 0, f"row group {group + 1} ends before it"
    columns = [name for name in COLUMNS if name in file.schema_arrow.names]
    try:  # without threads, so that of several damaged columns it's always the same that is told of
        for batch in file.iter_batches(ROWS, row_groups=[group], columns=columns, use_threads=False):
            if read + batch.num_rows > promised:
                raise ValueError(f"it has more than the {promised} rows that it should have")
            begin = min(max(skipped - read, 0), batch.num_rows)
            read += batch.num_rows
            yield from _values(batch.slice(begin))
    except Exception as error:  # pyarrow raises anything, of damaged files
        if isinstance(error, OSError) and error.errno is not None:  # of the system; the rows may well be sound
            raise
        reason = f"row group {group + 1} can't be read: {type(error).__name__}: {error}"
    yield from repeat(Unreadable(reason), max(promised - max(read, skipped), 0))


def _values(batch: Any) -> list[dict[str, Any] | Unreadable]:
    try:
        return batch.to_pylist()
    except Exception:  # one value is enough
        return [_value(batch.slice(place, 1)) for place in range(batch.num_rows)]


def _value(row: Any) -> dict[str, Any] | Unreadable:
    try:
        return row.to_pylist()[0]
    except Exception as error:
        return Unreadable(f"the row can't be read: {type(error).__name__}: {error}")


def _opened(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(f"{path}: Parquet needs pyarrow: pip install 'iter-bench[parquet]'") from None
    try:
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER)
        names, promised = file.schema_arrow.names, file.metadata.num_rows
        parts = sum(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))
    except Exception as error:  # pyarrow raises anything, of damaged files
        raise DataError(f"{path}: can't be read as Parquet: {error}") from error
    if not {"text", "words"} & set(names):
        raise DataError(f"{path}: has neither a column text nor a column words, but {', '.join(names)}")
    if parts != promised:
        raise DataError(f"{path}: is damaged: it should have {promised} rows, and its parts have {parts}")
    return file
