"""Reading and writing of records: a file is whole or absent, and what is wrong with one is said by file and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from iter_bench import __version__
from iter_bench.data.validation import unique_names
from iter_bench.errors import UserError
from iter_bench.files import whole_file
from iter_bench.records.schema import AnyRecord, Record

R = TypeVar("R", bound=AnyRecord)


class RecordError(UserError):
    """A record can't be read or written."""


def write(record: AnyRecord, folder: Path) -> Path:
    """Writes the record into ``folder`` (made where missing) and gives the file; an earlier record of the run is replaced.

    At any moment the file is whole or absent, also after a power cut.

    Raises:
        RecordError: the file system refuses; nothing is left behind.
    """
    path = folder / record.file_name
    text = json.dumps(record.model_dump(mode="json", by_alias=True), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    try:
        with whole_file(path) as file:
            file.write(text)
    except OSError as error:
        raise RecordError(f"{path}: the record could not be written: {error.strerror or error}") from error
    return path


def load(path: Path, kind: type[R] = Record) -> R:
    """Reads one record of the given kind.

    Raises:
        RecordError: names the file and each field that is wrong, or the newer version that the file is of.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique_names)
    except OSError as error:
        raise RecordError(f"{path}: can't be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: is not a JSON file: {error}") from error
    if not isinstance(content, dict):
        raise RecordError(f"{path}: should hold an object, holds {type(content).__name__}")
    if "schema_version" not in content:
        raise RecordError(f"{path}, schema_version: is missing; the file isn't a record of iter-bench")
    version = content["schema_version"]
    known = kind.model_fields["schema_version"].default
    if isinstance(version, int) and version > known:
        raise RecordError(
            f"{path}, schema_version: is {version}; this iter-bench ({__version__}) reads up to {known}: upgrade it"
        )
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise RecordError("\n".join(_problems(path, error))) from error


def load_all(folder: Path, kind: type[R] = Record) -> list[R]:
    """All records of a folder that holds one kind, by file name; none where the folder is missing.

    Raises:
        RecordError: names every file and field that is wrong, or two files that hold the same run.
    """
    records, problems, files = [], [], {}
    for path in sorted(folder.glob("*.json")):
        try:
            record = load(path, kind)
        except RecordError as error:
            problems.append(str(error))
            continue
        if (earlier := files.setdefault(record.run_id, path)) != path:
            problems.append(f"{path}, run_id: {record.run_id} is also that of {earlier.name}; keep one of the two files")
        records.append(record)
    if problems:
        raise RecordError("\n".join(problems))
    return records


def find(folder: Path, run_id: str, kind: type[R] = Record) -> R | None:
    """The record of a run, or None where the run has none. Raises as `load` does."""
    paths = sorted(folder.glob(f"*-{run_id}.json"))
    return load(paths[0], kind) if paths else None


def _problems(path: Path, error: ValidationError) -> list[str]:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return [f"{path}, {'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems]
