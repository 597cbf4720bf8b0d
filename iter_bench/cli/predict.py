"""``iter-bench predict``: raw text in, JSON lines or brackets out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from iter_bench.cli.options import BatchSize, Json

CHUNK = 512  # lines that are read, predicted and printed before the next are read


def predict(
    system: Annotated[str, typer.Argument(help="Folder of a trained system, or a checkpoint's folder or hub name.")],
    text: Annotated[
        list[str] | None, typer.Argument(help="Texts; without, standard input is read.", show_default=False)
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Text file, one text a line.")] = None,
    json: Json = False,
    batch_size: BatchSize = 8,
) -> None:
    """Extract from text: every argument, or every line of a file or of standard input, is one text."""
    from iter_bench import systems
    from iter_bench.cli.notes import counted
    from iter_bench.errors import UserError
    from iter_bench.text import as_brackets, as_json, document_from_text

    if text and file:
        raise UserError("give either texts or --file, not both")
    extractor = systems.load_system(system)
    notes: Counter[str] = Counter()
    for lines in _chunks(text or _lines(file)):
        parsed = [document_from_text(line, str(number)) for number, line in lines]
        documents = [document for document, _ in parsed]
        notes.update(extractor.reachable(documents).notes)
        extractions = extractor.predict(documents, batch_size=batch_size)
        for (_, line), (document, offsets), extraction in zip(lines, parsed, extractions, strict=True):
            print((as_json if json else as_brackets)(line, document, offsets, extraction), flush=True)
    if notes:
        print(f"iter-bench: {counted(notes)}", file=sys.stderr)


def _lines(file: Path | None) -> Iterator[str]:
    from iter_bench.errors import DataError

    try:
        if file is None:
            yield from (line.rstrip("\n") for line in sys.stdin)
        else:
            with file.open(encoding="utf-8") as opened:
                yield from (line.rstrip("\n") for line in opened)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file or 'standard input'}: {error}") from None


def _chunks(lines: Iterable[str]) -> Iterator[list[tuple[int, str]]]:
    chunk: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        chunk.append((number, line))
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
