"""A table of runs as text: numbers rounded for reading, means with their deviation, in Markdown, LaTeX and on the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table

from iter_bench.scoring import CRITERIA
from iter_bench.tables.runs import RATIOS, RELATION_CRITERIA

LABELS = {"ner": "NER", "re": "RE", "re_plus": "RE+", "precision": "P", "recall": "R", "f1": "F1"}
NAMES = frozenset(
    "dataset system encoder setting hardware a b criterion convention split parameter search searched type reading source "
    "dtype structure quantity limits table".split()
)
"""Columns of words, which are aligned left."""


PAGE_LINES = 45
"""Lines of a table that a page holds."""
PORTRAIT, LANDSCAPE = 345, 598
"""Points that a line of an A4 page of the class ``article`` holds, upright and turned."""
READABLE = 6
"""Points of a font below which a table is turned."""
EM, SEPARATION = 0.475, 0.5
"""Ems: of a character, on average, and between columns."""
LONG = 20
"""Characters of a word column beyond which its cells are broken."""


def formatted(table: pd.DataFrame, *, full: bool = True) -> pd.DataFrame:
    """What `runs_table` gives, as strings for reading.

    Scores are in percent, ``mean ± std`` where there are several runs; ∗ marks those in PL-Marker's convention, as in the
    paper. A column without any value is left out.

    Args:
        table: the numbers.
        full: with precision and recall; else F1 alone.
    """
    columns: dict[str, list[str]] = {name: list(table[name]) for name in ("dataset", "system", "encoder", "setting")}
    columns["parameters"] = [f"{value / 1e6:.1f} M" for value in table["parameters"]]
    for name in ("seeds", "folds"):
        columns[name] = [str(value) if value else "" for value in table[name]]
    for criterion in CRITERIA:
        for ratio in RATIOS if full else ("f1",):
            name = f"{criterion}_{ratio}"
            columns[f"{LABELS[criterion]} {LABELS[ratio]}"] = [
                _score(value, std) for value, std in zip(table[name], table[f"{name}_std"], strict=True)
            ]
    for criterion in RELATION_CRITERIA:
        name = f"{criterion}_f1_pl_marker"
        columns[f"{LABELS[criterion]}∗ F1"] = [
            _score(value, std) for value, std in zip(table[name], table[f"{name}_std"], strict=True)
        ]
    columns["train s"] = [_number(value, ".0f") for value in table["train_seconds"]]
    columns["samples/s"] = [_number(value, ".1f") for value in table["samples_per_second"]]
    columns["memory GiB"] = [_number(value, ".2f", 2**30) for value in table["peak_memory"]]
    columns["hardware"] = list(table["hardware"])
    return pd.DataFrame({name: values for name, values in columns.items() if any(values)})


def markdown(text: pd.DataFrame) -> str:
    """A formatted table as a Markdown table; columns of numbers are aligned right."""
    header = [list(text.columns), ["---" if _is_name(name) else "---:" for name in text.columns]]
    lines = [[str(cell).replace("|", "\\|") for cell in row] for row in [*header, *text.values.tolist()]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def latex(text: pd.DataFrame, label: str, notes: Sequence[str] = ()) -> str:
    """A formatted table for LaTeX with the packages adjustbox, array, booktabs, caption, longtable and pdflscape.

    It is a float no wider than the text or, where it has more lines than a page holds or would be too small to read, a
    ``longtable``, which repeats its header, turned where it is too wide. Columns without any value are left out.

    Args:
        text: the table.
        label: what ``\\ref`` finds it by, after ``tab:``.
        notes: the caption; the first is what a list of tables shows. In them ``backticks`` mark what is typed.
    """
    text = text[[name for name in text.columns if not len(text) or any(text[name])]]
    alignment, head, rows, ems = _latex_rows(text)
    lines = sum(max(1, *(-(-len(str(cell)) // LONG) for cell in row)) for row in text.values)
    caption = [re.sub("`([^`]*)`", r"\\texttt{\1}", _latex_escaped(note)) for note in notes]
    named = (rf"\caption[{{{caption[0]}}}]{{{' '.join(caption)}}}" if caption else "") + rf"\label{{tab:{label}}}"
    separated = rf"\setlength{{\tabcolsep}}{{{SEPARATION / 2}em}}"
    head = [r"\toprule", head, r"\midrule"]
    turned = READABLE * ems > PORTRAIT
    if not turned and lines <= PAGE_LINES:
        before = [r"\begin{table}", r"\centering", named, separated, r"\begin{adjustbox}{max width=\linewidth}"]
        table = [rf"\begin{{tabular}}{{{alignment}}}", *head, *rows, r"\bottomrule", r"\end{tabular}"]
        after = [r"\end{adjustbox}", r"\end{table}"]
    else:
        size = min(8, int(10 * (LANDSCAPE if turned else PORTRAIT) / ems) / 10)
        font = rf"\fontfamily{{ptm}}\fontsize{{{size}}}{{{1.2 * size:.1f}}}\selectfont"  # which is narrow, and has all sizes
        before = [r"\begin{landscape}" if turned else r"\begingroup", font, separated]
        before.append(r"\captionsetup{font={rm,small},width=\linewidth}")
        repeated = [named + r" \\", *head, r"\endfirsthead", *head, r"\endhead", r"\bottomrule", r"\endfoot"]
        table = [rf"\begin{{longtable}}{{{alignment}}}", *repeated, *rows, r"\end{longtable}"]
        after = [r"\end{landscape}" if turned else r"\endgroup"]
    return "\n".join([*before, *table, *after]) + "\n"


def rich_table(text: pd.DataFrame, title: str) -> Table:
    """A formatted table for the terminal; what all rows share stands below it, so that it fits."""
    shared = [name for name in ("dataset", "encoder", "seeds", "folds", "hardware") if len(set(text.get(name, ()))) == 1]
    words = [text[name].iloc[0] for name in shared if _is_name(name)]
    words[-1:-1] = [f"{name}: {text[name].iloc[0]}" for name in shared if not _is_name(name)]
    text = text.drop(columns=shared)
    table = Table(title=title, caption=", ".join(words) or None, box=box.SIMPLE_HEAD, pad_edge=False)
    for name in text.columns:
        table.add_column(name.removesuffix(" F1"), justify="left" if _is_name(name) else "right", no_wrap=name != "setting")
    for row in text.values.tolist():
        table.add_row(*row)
    return table


def formatted_differences(table: pd.DataFrame) -> pd.DataFrame:
    """What `significance_table` gives, as strings for reading; F1 and differences in percent."""
    text = {name: [str(value) for value in table[name]] for name in ("dataset", "encoder", "a", "b")}
    text["criterion"] = [LABELS[name] for name in table["criterion"]]
    text |= {name: [str(value) for value in table[name]] for name in ("runs", "documents")}
    text |= {name: [f"{100 * value:.2f}" for value in table[column]] for name, column in (("F1 a", "a_f1"), ("F1 b", "b_f1"))}
    text["a − b"] = [f"{100 * value:+.2f}" for value in table["difference"]]
    for name, column in (("p", "p"), ("p Holm", "p_holm")):
        text[name] = ["< 0.001" if value < 0.001 else f"{value:.3f}" for value in table[column]]
    return pd.DataFrame(text)


def write(table: pd.DataFrame, text: pd.DataFrame, folder: Path, name: str, notes: Sequence[str] = ()) -> list[Path]:
    """Writes ``table`` as ``name.csv`` (all numbers), ``text`` as ``name.md`` (notes below) and ``name.tex`` (as caption)."""
    contents = {
        "csv": table.to_csv(index=False, float_format="%.6g", lineterminator="\n"),
        "md": markdown(text) + "".join(f"\n{note}\n" for note in notes),
        "tex": latex(text, name, notes),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix, content in contents.items():
        paths.append(folder / f"{name}.{suffix}")
        paths[-1].write_text(content, encoding="utf-8")
    return paths


def _score(value: float, std: float) -> str:
    if pd.isna(value):
        return ""
    return f"{100 * value:.2f}" if pd.isna(std) else f"{100 * value:.2f} ± {100 * std:.2f}"


def _number(value: float, form: str, unit: float = 1) -> str:
    return "" if pd.isna(value) else format(value / unit, form)


def _is_name(column: str) -> bool:
    return column in NAMES or column in {f"{side} {name}" for side in ("published", "measured") for name in (*NAMES, "note")}


def _latex_rows(text: pd.DataFrame) -> tuple[str, str, list[str], float]:
    """Alignment, header, rows and their width in ems; long words are broken, and names that are longer than their cells."""
    columns, alignment, header, ems = [], "", [], 0.0
    for name in text.columns:
        cells, side = [str(cell) for cell in text[name]], "l" if _is_name(name) else "r"
        width = max(map(len, cells), default=len(name))
        broken = _is_name(name) and width > LONG
        lines = wrap(name, min(max(width, 1), LONG), break_long_words=False, break_on_hyphens=False)
        stacked = r" \\ ".join(map(_latex_escaped, lines))
        header.append(rf"\shortstack[{side}]{{{stacked}}}" if len(lines) > 1 else stacked)
        alignment += rf">{{\raggedright\arraybackslash}}p{{{EM * LONG:g}em}}" if broken else side
        escaped = map(_latex_escaped, cells)
        columns.append([re.sub(r"=|\\_", r"\g<0>\\allowbreak{}", cell) for cell in escaped] if broken else list(escaped))
        ems += EM * max(LONG if broken else width, *map(len, lines)) + SEPARATION
    head, *rows = [" & ".join(row) + r" \\" for row in [header, *zip(*columns, strict=True)]]
    return alignment or "l", head, rows, ems


def _latex_escaped(cell: Any) -> str:
    escapes = {
        "\\": r"\textbackslash{}",
        "±": r"$\pm$",
        "−": "$-$",
        "<": "$<$",
        "≥": r"$\ge$",
        "→": r"$\to$",
        "∗": r"$\ast$",
        "×": r"$\times$",
        "ω": r"$\omega$",
        "λ": r"$\lambda$",
        "²": "$^2$",
        "ᵃ": "$^a$",
        "·": r"$\cdot$",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
    escapes |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(escapes.get(character, character) for character in str(cell))
