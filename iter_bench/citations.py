"""Numbers that a text cites: those in its tables cell by cell, those in its prose against the files that it names.

A Markdown table says right above it where its numbers come from, so that a number of another row or column is found too::

    <!-- from: tables/quick.csv
    | by system | - | ner_f1 | re_f1 [encoder=minilm] |
    PL-Marker (levitated) = plmarker
    -->
    | system | epochs | NER F1 | RE F1 |

The first line names one or more files below ``results``, the second what each column is: ``by NAME`` picks the row of the file
whose column NAME has what the cell says (case and punctuation apart), ``NAME`` is the column whose value is cited,
``[OTHER=VALUE]`` picks by a further column, ``-`` has other sources and isn't checked. Each further line says what a cell is
called in the file. A cell holds a number or ``mean ± deviation``, exactly or in percent, rounded to the decimals written.

In prose, numbers with decimals are looked at, outside code, and whole ones that say what was measured: with a unit behind them
(`UNIT`: percent, time, memory, a rate, or what was counted) or a criterion before. Above a paragraph with such numbers stands
``<!-- from: tables/quick.csv -->`` (one file or more): ``mean ± deviation`` must be that of one row and column there, or of
precision, recall or F1 in any convention of its runs; a lone number must be any of these. Columns that are named behind the
files, as in ``<!-- from: tables/quick.csv ner_f1 'NER F1' -->``, leave only what stands in these. A paragraph or table
after a line ``<!-- verify: REASON -->`` holds numbers that have other sources.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
NUMBER = re.compile(  # no part of a version, nor of what has an exponent
    rf"(?:(?<=[\s(|*])[-−])?(?<![\w.])(?<!Python )(?<!torch )(?:(?:{WHOLE})?\.\d+|{WHOLE}(?!\.\d))(?!\d|\.\w|[eE][+-]?\d)"
)
SERIES = r"(?:(?:, \d[\d,.]*\d)*,? (?:to|and|or|of(?: the)?) |[-–/])\d[\d,.]*"
COUNTED = "entities(?! per)|relations|mistakes|records(?! what)|(?:documents|docs|samples|sentences)(?:/s| (?:a|per) second)"
TIME = "ms|s|min|h|(?:second|minute|hour)s?"
UNIT = re.compile(  # behind a whole number, or behind the last of several
    rf"(?:{SERIES})?[ \u00a0\u202f-]?(?:\n *)?(?:[%×]|fold\b|x\b(?! ?\d)|"
    rf"(?:{TIME}|[KMG]i?B|[WJ]|(?:watt|joule)s?|F1|(?:percentage )?points?|times|per ?cent|million|{COUNTED})\b)"
)
CRITERION = re.compile(r"(?:NER|RE\+?∗?|F1|[Pp]recision|[Rr]ecall)(?: F1| score)?(?:\s+(?:is|of|was)|:)?(?:\s+about)?\s+\**$")
MILLION = re.compile(rf"(?:{SERIES})? million\b")
FENCED = re.compile(r"```.*?```", re.DOTALL)
CODE = re.compile(rf"{FENCED.pattern}|`[^`\n]*`|\]\([^)]*\)", re.DOTALL)
EXCUSED = re.compile(r"^[^\n]*<!-- verify: \S[^\n]*?-->[^\n]*(?:\n[^\n]*\S[^\n]*)*", re.MULTILINE)
TABLE = re.compile(
    r"(?P<source>^<!-- from:(?:(?!-->).)*-->\n)?(?P<rows>^\|[^\n]*\n\|[ :|-]+(?:\n\|[^\n]*)*)", re.MULTILINE | re.DOTALL
)
PARAGRAPH = re.compile(r"^<!-- from:(?P<files>[^\n|]*)-->\n(?P<text>(?:[^\n]*\S[^\n]*(?:\n|\Z))+)", re.MULTILINE)
SPREAD = re.compile(rf"([-−]?{WHOLE}(?:\.\d+)?) ± ({WHOLE}(?:\.\d+)?)")
VALUE = re.compile(r"\**([-−]?\d+(?:\.\d+)?)(?: ± (\d+(?:\.\d+)?))? ?[×%]?\**")
PICKED = re.compile(r"(?P<name>.+?)(?: \[(?P<other>[^=]+)=(?P<value>.+)\])?")
HELP = (
    "docs/records.md shows the comment `<!-- from: tables/NAME.csv …` above a table or paragraph, or excuse it by "
    "`<!-- verify: REASON -->`"
)

Found = tuple[str, Mapping[str, Any]]
"""A row of a file: the file, and value by column."""

Measured = tuple[float, float | None]
"""A value that prose may cite, and its deviation."""


def check(text: str, measured: Mapping[str, Sequence[Measured]], frames: Mapping[str, pd.DataFrame]) -> tuple[int, list[str]]:
    """Holds the numbers of a text against the records.

    Args:
        text: Markdown.
        measured: file below ``results`` → what prose may cite of it.
        frames: file below ``results``, such as ``tables/quick.csv`` → what the records give for it.

    Returns:
        How many numbers were looked at, and for each that doesn't hold ``line N: what is wrong``, in order.
    """
    text = _without_excused(text)
    checked, problems = 0, []
    for table in TABLE.finditer(text):
        number, wrong = _check_table(table, text.count("\n", 0, table.start("rows")) + 1, frames)
        checked += number
        problems += wrong
    prose = _prose(text)
    for paragraph in PARAGRAPH.finditer(prose):
        number, wrong = _check_prose(paragraph, prose.count("\n", 0, paragraph.start("text")) + 1, measured, frames)
        checked += number
        problems += wrong
    prose = _blanked(PARAGRAPH, prose)
    for line, content in enumerate(prose.splitlines(), 1):
        if "<!-- from:" in content:
            problems.append((line, "neither a table nor a paragraph stands right below this comment"))
    for line, number in numbers_in(prose):
        checked += 1
        problems.append((line, f"{number} is supported by no record, since nothing says where it comes from: {HELP}"))
    return checked, [f"line {line}: {problem}" for line, problem in sorted(problems)]


def numbers_in(text: str) -> Iterator[tuple[int, str]]:
    """(line, number) of each number that should have a source, outside code, excused paragraphs and tables."""
    prose = _prose(_without_excused(text))
    yield from ((prose.count("\n", 0, match.start()) + 1, match[0]) for match in _measured_numbers(prose))


def _measured_numbers(text: str) -> Iterator[re.Match[str]]:
    """The numbers with decimals, and the whole ones with a unit behind them or a criterion before."""
    for match in NUMBER.finditer(text):
        behind, start, end = text[match.end() : match.end() + 1], match.start(), match.end()
        with_unit = UNIT.match(text, end) and not text.endswith(("Table ", "Figure ", "Section "), 0, start)
        of_criterion = not re.match(r"\w", behind) and CRITERION.search(text, max(0, start - 40), start)
        if "." in match[0] or with_unit or of_criterion:
            yield match


def is_written(number: str, value: float, *, million: bool = False) -> bool:
    """Whether ``number`` is ``value``, in percent, or in millions, rounded to its decimals; a lone digit must be exact."""
    number = re.sub(r"^(-?)\.", r"\g<1>0.", number.replace(",", "").replace("−", "-"))
    decimals = len(number.partition(".")[2])
    factors = (1e-6,) if million else (1, 100)
    near = [factor * value for factor in factors if f"{factor * value:.{decimals}f}" == number]
    return any(len(number.lstrip("-")) > 1 or float(number) == exact for exact in near)


def _without_excused(text: str) -> str:
    """The text with spaces in place of fenced code and of what is excused, which code that shows how never does."""
    left = _blanked(FENCED, text)
    for match in EXCUSED.finditer(_blanked(CODE, text)):
        left = left[: match.start()] + re.sub(r"[^\n]", " ", match[0]) + left[match.end() :]
    return left


def _prose(text: str) -> str:
    """The text with spaces in place of tables and, which these may have in cells, of code and the targets of links."""
    return _blanked(CODE, _blanked(TABLE, text))


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """The text with spaces in place of matches, so that lines keep their numbers."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def _check_prose(
    paragraph: re.Match[str], line: int, measured: Mapping[str, Sequence[Measured]], frames: Mapping[str, pd.DataFrame]
) -> tuple[int, list[tuple[int, str]]]:
    """Numbers looked at, and (line, problem); ``line`` is the paragraph's first."""
    *first, last = paragraph["files"].split(",")
    try:
        last, *columns = shlex.split(last)
    except ValueError as error:
        return 0, [(line - 1, f"this comment can't be read: {error}; names with an apostrophe stand in double quotes")]
    files = [name.strip() for name in (*first, last)]
    if missing := [name for name in files if name not in measured]:
        return 0, [(line - 1, f"the records give no {name} to hold this paragraph against") for name in missing]
    if missing := [name for name in columns if not any(name in frames[file] for file in files)]:
        return 0, [(line - 1, f"{', '.join(files)}: there is no column {name!r}") for name in missing]
    if columns:
        known = [of for file in files for column in columns for of in _measured_in(frames[file], column)]
    else:
        known = [of for file in files for of in measured[file]]
    cited: list[tuple[int, str, bool]] = []
    for match in SPREAD.finditer(paragraph["text"]):
        holds = any(std is not None and is_written(match[1], value) and is_written(match[2], std) for value, std in known)
        cited.append((match.start(), match[0], holds))
    rest = _blanked(SPREAD, paragraph["text"])
    for match in _measured_numbers(rest):
        million = bool(MILLION.match(rest, match.end()))
        holds = any(part is not None and is_written(match[0], part, million=million) for of in known for part in of)
        cited.append((match.start(), match[0], holds))
    lines = [(line + paragraph["text"].count("\n", 0, start), text, holds) for start, text, holds in cited]
    where = ", ".join(files) + (f" in {', '.join(columns)}" if columns else "")
    return sum(1 + ("±" in text) for _, text, _ in lines), [
        (at, f"{text} is supported by no record of {where}") for at, text, holds in lines if not holds
    ]


def _measured_in(frame: pd.DataFrame, column: str) -> list[Measured]:
    """The values of a column, where the frame has it, with their deviations."""
    if column not in frame:
        return []
    values = pd.to_numeric(frame[column], errors="coerce")
    spreads = frame.get(_deviation(column, frame), pd.Series(index=frame.index))
    return [(value, None if pd.isna(std) else std) for value, std in zip(values, spreads, strict=True) if not pd.isna(value)]


def _deviation(column: str, columns: Container[str]) -> str:
    """The column that holds the deviations of this one."""
    return f"{column} std" if f"{column} std" in columns else f"{column}_std"


def _check_table(table: re.Match[str], line: int, frames: Mapping[str, pd.DataFrame]) -> tuple[int, list[tuple[int, str]]]:
    """Numbers looked at, and (line, problem); ``line`` is that of the header."""
    header, _, *rows = map(_cells, table["rows"].splitlines())
    if table["source"] is None:
        numbers = any(VALUE.fullmatch(cell) or any(_measured_numbers(_blanked(CODE, cell))) for row in rows for cell in row)
        return 0, [(line, f"nothing says where the numbers of this table come from: {HELP}")] if numbers else []
    first, *further = table["source"].removeprefix("<!-- from:").strip().removesuffix("-->").splitlines()
    files = [name.strip() for name in first.split(",")]
    columns = next((_cells(text) for text in further if text.startswith("|")), [])
    names = {
        cell.strip(): called.strip() for cell, is_called, called in (text.partition(" = ") for text in further) if is_called
    }
    problems = [f"the records give no {name} to hold this table against" for name in files if name not in frames]
    if len(columns) != len(header):
        problems.append(f"the table has {len(header)} columns, the comment above it tells what {len(columns)} are: {HELP}")
    if problems:
        return 0, [(line, problem) for problem in problems]
    known: list[Found] = [(name, row) for name in files for row in frames[name].to_dict("records")]
    checked, wrong = 0, []
    for below, row in enumerate(rows, line + 2):
        if len(row) != len(header):
            wrong.append((below, f"the row has {len(row)} cells, the header {len(header)}"))
            continue
        keys = {
            column.removeprefix("by "): names.get(cell, cell)
            for column, cell in zip(columns, row, strict=True)
            if column.startswith("by ")
        }
        for title, column, cell in zip(header, columns, row, strict=True):
            if column == "-" or column.startswith("by ") or not re.search(r"\d", cell):
                continue
            checked += 1 + ("±" in cell)
            if problem := _check_cell(cell, column, keys, known):
                wrong.append((below, f"{title!r} of {row[0]!r}: {problem}"))
    return checked, wrong


def _check_cell(cell: str, column: str, keys: Mapping[str, str], known: Sequence[Found]) -> str | None:
    """What is wrong with a cell, if anything."""
    picked = PICKED.fullmatch(column)
    wanted = dict(keys) | ({picked["other"]: picked["value"]} if picked["other"] else {})
    found = [
        (name, row) for name, row in known if all(_plain(row.get(key, "")) == _plain(value) for key, value in wanted.items())
    ]
    if len(found) != 1:
        files = ", ".join(dict.fromkeys(name for name, _ in known))
        return f"{len(found)} rows, not one, of {files} have {', '.join(f'{key}={value}' for key, value in wanted.items())}"
    (file, row), name = found[0], picked["name"]
    if not (numbers := VALUE.fullmatch(cell)):
        return f"{cell!r} is neither a number nor `mean ± deviation`"
    for number, of in ((numbers[1], name), (numbers[2], _deviation(name, row))):
        if number is None:
            continue
        if of not in row:
            return f"{file} has no column {of!r}"
        value = pd.to_numeric(row[of], errors="coerce")
        if pd.isna(value):
            return f"{number} is written, {file} has no number in {of!r}"
        if not is_written(number, value):
            percent = f" ({100 * value:.4g} in percent)" if abs(value) <= 1 else ""
            return f"{number} is written, {file} has {value:.6g}{percent} in {of!r}"
    return None


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def _plain(value: Any) -> str:
    """What is compared of a label: letters, digits and plus signs."""
    text = f"{value:g}" if isinstance(value, int | float) else str(value)
    return re.sub(r"[^\w+]|_", "", text).casefold()
