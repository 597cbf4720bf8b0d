"""One HTML page with all tables, figures and example predictions: self-contained, tables sort by a click on a head."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from string import Template

from iter_bench import plots
from iter_bench.data.synthetic import SCHEMA
from iter_bench.errors import UserError
from iter_bench.files import whole_file
from iter_bench.html_report.examples import examples_html
from iter_bench.report import all_figures, finished_sets
from iter_bench.tables.catalogue import TABLES, Sources
from iter_bench.tables.profiles import profile_tables
from iter_bench.tables.text import Made

TEMPLATE = Path(__file__).with_name("page.html")
LONG = 48
"""Letters, from which on a cell may take several lines."""


def write(sources: Sources, path: Path) -> Path:
    """Writes the page, made from ``sources``, and gives its path."""
    sections = [*_tables(sources), *_figures(sources), *_examples(sources)]
    links = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in sections)
    bodies = "".join(f'<section id="{name}"><h2>{escape(title)}</h2>{body}</section>' for name, title, body in sections)
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(contents=links, sections=bodies)
    with whole_file(path) as file:
        file.write(page)
    return path


def table_html(made: Made) -> str:
    """A table with its notes; columns of published values have the class ``published``, of numbers ``number``."""
    shown = made.shown
    kinds = [_classes(str(name), shown[name]) for name in shown.columns]
    head = "".join(
        f'<th class="{kind}"><button>{escape(str(name))}</button></th>' for name, kind in zip(shown.columns, kinds, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{escape(str(cell))}</td>' for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in shown.values.tolist()
    )
    notes = "".join(f"<p>{_prose(note)}</p>" for note in made.notes)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{notes}'


def _classes(name: str, cells: Iterable[str]) -> str:
    classes = ["published"] if name.startswith("published") else []
    filled = [str(cell) for cell in cells if cell]
    if filled and all(cell.lstrip("<+−- ")[:1].isdigit() for cell in filled):
        classes.append("number")
    elif any(len(cell) > LONG for cell in filled):
        classes.append("long")
    return " ".join(classes)


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _tables(sources: Sources) -> Iterator[tuple[str, str, str]]:
    for name, make in TABLES.items():
        if len((made := make(sources)).frame):
            yield name, made.title, table_html(made)
    for name, chosen in finished_sets(sources.records).items():
        for file, made in profile_tables(chosen, name).items():
            yield f"profile-{file}", made.title, table_html(made)


def _figures(sources: Sources) -> Iterator[tuple[str, str, str]]:
    for name, draw in all_figures(sources).items():
        try:
            plot = draw()
        except UserError:
            continue  # no record holds it yet
        image = f"data:image/png;base64,{base64.b64encode(plots.png(plot, dpi=200)).decode()}"
        caption = escape(plot.caption)
        yield f"drawn-{name}", f"Figure: {name}", f'<img alt="{caption}" src="{image}"><p>{_prose(plot.caption)}</p>'


def _examples(sources: Sources) -> Iterator[tuple[str, str, str]]:
    if sources.examples:
        yield "examples", "Example predictions", examples_html(sources.examples, SCHEMA)
