"""Whether the numbers of texts are those of tables that could be made again.

Prose may cite of a table its numbers, over the runs of a row the mean and the standard deviation of precision, recall or F1
in any convention, and how much gold annotation the test documents have and a system can't reach. Of tables of throughput only
measured rates, speed-ups, shares of the ceiling and exponents count. How texts are held against these says `citations`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from iter_bench import citations, summary
from iter_bench.verify.made import Table


def check_texts(texts: Sequence[Path], results: Path, tables: Mapping[str, Table]) -> tuple[int, list[str]]:
    """Looks up what the texts cite.

    Args:
        texts: Markdown files; that of ``results`` itself must be what `summary.readme` makes.
        results: folder of the tables.
        tables: those that hold, by name.

    Returns:
        How many numbers were looked at, and a line for each thing that doesn't hold.
    """
    measured = {f"tables/{name}.csv": table.measured for name, table in tables.items()}
    frames = {f"tables/{name}.csv": table.frame for name, table in tables.items()}
    looked_at, problems = 0, []
    for path in texts:
        if path == results / summary.NAME and not path.exists():
            problems.append(f"{path}: is missing: run `iter-bench tables`")
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path}: can't be read as text in UTF-8 ({error})")
            continue
        if path == results / summary.NAME:  # generated: its numbers are those of the tables
            if text != summary.readme(results):
                problems.append(f"{path}: isn't what `iter-bench tables` writes")
            continue
        numbers, wrong = citations.check(text, measured, frames)
        looked_at += numbers
        problems += [f"{path}, {problem}" for problem in wrong]
    return looked_at, problems
