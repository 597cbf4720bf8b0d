"""``iter-bench predict``: raw text or files of documents in, JSON lines or brackets out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iter_bench.cli.options import BatchSize, Engine, Json, OnEngine

if TYPE_CHECKING:
    from iter_bench.bulk import Done, Item, Job
    from iter_bench.text import WordRule


def predict(
    system: Annotated[str, typer.Argument(help="Folder of a trained system, or a checkpoint's folder or hub name.")],
    text: Annotated[
        list[str] | None, typer.Argument(help="Texts; without, standard input is read.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help=".txt (a line a text), .jsonl, .ndjson or .parquet (text or words, and id), or a folder of these."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write JSON lines in shards into this folder; run again to go on where it was.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes for --output, each with its share of cores and GPUs.")] = 1,
    engine: OnEngine = Engine.local,
    shard_size: Annotated[int, typer.Option(min=1, help="Documents a shard of --output.")] = 4096,
    json: Json = False,
    batch_size: BatchSize = 8,
) -> None:
    """Extract from text: every argument, every line of standard input, or every document of files."""
    from iter_bench.errors import UserError

    if text and file:
        raise UserError("give either texts or --file, not both")
    if output is None and (engine is Engine.ray or workers > 1):
        raise UserError("--engine ray and --workers go with --output")
    if output is None:
        _print_all(system, text, file, json=json, batch_size=batch_size)
    elif file is None:
        raise UserError("--output needs --file: only files can be gone on with after an interruption")
    else:
        from iter_bench.bulk import Job

        _run(Job(system, file, output, shard_size), batch_size, workers, engine)


def _print_all(system: str, text: list[str] | None, file: Path | None, *, json: bool, batch_size: int) -> None:
    from iter_bench import systems
    from iter_bench.bulk.job import CHUNK
    from iter_bench.cli.notes import counted
    from iter_bench.errors import DataError
    from iter_bench.text import as_brackets, as_json

    extractor = systems.load_system(system)
    notes: Counter[str] = Counter()
    stream = _items(text, file, systems.word_rule(system))
    while chunk := list(islice(stream, CHUNK)):  # printed before the next are read
        for item in chunk:
            if item.document is None:
                raise DataError(f"{item.where}: {item.problem}; with --output, such documents are set aside")
        documents = [item.document for item in chunk]
        notes.update(extractor.reachable(documents).notes)
        extractions = extractor.predict(documents, batch_size=batch_size)
        for item, extraction in zip(chunk, extractions, strict=True):
            print((as_json if json else as_brackets)(item.text, item.document, item.offsets, extraction), flush=True)
    if notes:
        print(f"iter-bench: {counted(notes)}", file=sys.stderr)


def _items(text: list[str] | None, file: Path | None, rule: WordRule) -> Iterator[Item]:
    from iter_bench.bulk.inputs import files_of, item_of_text, items
    from iter_bench.data.validation import is_text
    from iter_bench.errors import DataError

    if file is not None:
        yield from items(files_of(file), rule=rule)
        return
    try:
        for number, line in enumerate(text or sys.stdin):
            line, where = line.removeprefix("\ufeff"), f"text {number + 1}"  # as from a file
            if not is_text(line):  # bytes that Python couldn't read and carries along
                raise DataError(f"{where}: is not text in the encoding of this shell; convert it to UTF-8")
            if not text and _is_record(line):
                raise DataError(
                    f"{where}: is a record of JSON lines, and standard input is read as text; name a .jsonl file by --file"
                )
            yield item_of_text(line.rstrip("\r\n"), number, where, rule)
    except UnicodeDecodeError as error:
        raise DataError(f"standard input: {error}; convert it to UTF-8") from None


def _is_record(line: str) -> bool:
    """Whether a line is a document of a JSON lines file."""
    try:
        found = loads(line) if line.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and bool({"text", "words"} & found.keys())


def _run(job: Job, batch_size: int, workers: int, engine: Engine) -> None:
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    from iter_bench.cli.notes import counted
    from iter_bench.cli.progress import console
    from iter_bench.errors import UserError
    from iter_bench.files import only_process

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with only_process(job.folder), Progress(*columns, console=console) as progress:
        total = job.start()
        before, left = job.finished().documents, job.unfinished()
        bar = progress.add_task("documents", total=total, completed=before)

        def report(done: Done) -> None:
            progress.advance(bar, done.documents)

        if engine is Engine.ray:
            from iter_bench.bulk import on_ray

            on_ray.run(job, left, batch_size=batch_size, workers=workers, report=report)
        elif workers == 1:
            job.run(left, batch_size=batch_size, report=report)
        else:
            from iter_bench.bulk import in_processes

            def look() -> None:
                progress.update(bar, completed=job.finished().documents)

            in_processes.run(job, left, batch_size=batch_size, workers=workers, look=look)
        done = job.finished()
    if done.documents != total:
        raise UserError(f"{job.folder}: {total} documents were counted, and {done.documents} are done; use another folder")
    rate = f", {done.documents / done.seconds:.1f} a second and process" if done.seconds else ""
    told = f"{done.documents} documents{rate}, {before} of them finished before; in {job.folder / 'extracted'}"
    console.print(told, soft_wrap=True)
    if done.notes:
        console.print(counted(done.notes))
    if done.failed:
        console.print(f"{done.failed} documents failed; which and why: {job.folder / 'failed'}", soft_wrap=True)
        if done.failed == done.documents:
            raise UserError("nothing was extracted: all documents failed")
