"""`iter-bench data`: what data sets there are, their figures next to the paper's, getting them, and SpERT files of them."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from iter_bench.cli.options import DataDir, Json, SkipBad
from iter_bench.terminal import console, print_whole

if TYPE_CHECKING:
    from iter_bench.data.table import Row


class StandIn(StrEnum):
    """Data sets that texts can be generated in the format of."""

    ace05 = "ace05"


app = typer.Typer(no_args_is_help=True, help="List, get, describe and export data sets.")


@app.command("list")
def list_(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the data sets: types, licence, source, and which of their files are here."""
    from iter_bench import data
    from iter_bench.data import synthetic
    from iter_bench.data.catalogue import catalogue

    known = catalogue()
    rows = []
    for name in data.names():
        schema = data.schema_of(name, data_dir)
        entry = known.get(name)
        rows.append(
            {
                "name": name,
                "title": entry.title if entry else "embedded corpus, generated",
                "splits": list(entry.splits) if entry else list(synthetic.SPLITS),
                "missing_files": entry.missing(data_dir) if entry else [],
                "folder": entry.folder if entry else None,
                "entity_types": list(schema.entity_types),
                "relation_types": list(schema.relation_types),
                "symmetric": sorted(schema.symmetric),
                "licence": entry.licence if entry else "as this package",
                "source": entry.source if entry else "iter_bench.data.synthetic",
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table(Column("data set", no_wrap=True))
    for column in ("what", "types", "here", "licence", "source"):
        table.add_column(column, overflow="fold")  # file names and addresses are shown whole, whatever the width
    for row in rows:
        types = f"{len(row['entity_types'])} + {len(row['relation_types'])}"
        here = f"lacks {', '.join(row['missing_files'])}" if row["missing_files"] else "yes"
        table.add_row(row["name"], row["title"], types, here, row["licence"], row["source"])
    console().print(table)


@app.command()
def stats(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; default: synthetic, and those here.")] = None,
    data_dir: DataDir = None,
    encoder: Annotated[str, typer.Option(help="Whose tokenizer counts the sub-tokens.")] = "minilm",
    as_json: Json = False,
    skip_bad: SkipBad = False,
) -> None:
    """Print the paper's data table: samples, ω, overlap share and sub-tokens, measured and as printed."""
    from iter_bench.data.catalogue import MissingData, catalogue
    from iter_bench.data.table import rows, subtokens_of

    found: list[Row] = []
    absent: dict[str, str] = {}
    for name in names or [*catalogue(), "synthetic"]:
        try:
            found += rows(name, data_dir, subtokens_of(encoder), skip_bad=skip_bad)
        except MissingData as error:
            absent[name] = str(error)
    if names and absent:
        raise MissingData("\n".join(absent.values()))
    if as_json:
        typer.echo(json.dumps({"encoder": encoder, "rows": [row.as_dict() for row in found], "absent": list(absent)}, indent=1))
        return
    screen = console()
    print_whole(_stats_table(found, encoder), screen)
    for row in found:
        for what, count in row.notes.items():
            screen.print(f"{row.dataset} {row.split}: {count} {what}", highlight=False)
    if absent:
        screen.print(f"Not here: {', '.join(absent)} (`iter-bench data stats NAME` says what is missing and where it goes)")


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="Data set.")],
    output: Annotated[Path, typer.Option(help="JSON file to write; the types go to FILE_types.json beside it.")],
    split: Annotated[str, typer.Option(help="Split; join several with +.")] = "test",
    fold: Annotated[int | None, typer.Option(help="Fold of a cross-validated data set.")] = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
) -> None:
    """Write a split as SpERT JSON, the gold file that `iter-bench score` reads."""
    from iter_bench import data
    from iter_bench.data import spert

    dataset = data.load(name, split, data_dir=data_dir, fold=fold, skip_bad=skip_bad)
    types = output.with_name(f"{output.stem}_types.json")
    spert.write_gold(output, dataset.documents)
    spert.write_types(types, dataset.schema)
    typer.echo(f"{len(dataset.documents)} samples in {output}, types in {types}")
    for what, count in dataset.notes.items():
        typer.echo(f"{count} {what}")


@app.command("stand-in")
def stand_in(
    name: Annotated[StandIn, typer.Argument(help="Data set to stand in for.")],
    output: Annotated[Path, typer.Option(help="Folder to write into, for --data-dir later.")],
    texts: Annotated[int, typer.Option(min=4, help="Texts of train; dev and test have a quarter of it each.")] = 351,
) -> None:
    """Generate texts in a licensed data set's schema and file formats, to run what needs it; no score on them counts."""
    from iter_bench.data.stand_in import write_ace05

    for path in write_ace05(output, texts):
        typer.echo(str(path))
    typer.echo(f"Generated texts, no {name.value}: records and tables of runs on them say (stand-in).")


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="Data set.")],
    source: Annotated[str, typer.Option("--from", help="Address or file: a zip or tar archive, or one of its files.")],
    sha256: Annotated[str, typer.Option(help="Of that, in hex digits; nothing is taken without it.")],
    data_dir: DataDir = None,
) -> None:
    """Put the files of a data set where they belong, from an address or archive, if the checksum is right."""
    from iter_bench.data.catalogue import entry
    from iter_bench.data.fetching import get as get_files

    for path in get_files(name, source, sha256, data_dir):
        typer.echo(str(path))
    if missing := entry(name).missing(data_dir):
        typer.echo(f"{name} still lacks {', '.join(missing)}")


def _stats_table(rows: list[Row], encoder: str) -> Table:
    table = Table(title=f"Data sets. In brackets: as the paper prints it. Sub-tokens: {encoder}, special tokens included")
    for column in ("data set", "split"):
        table.add_column(column, no_wrap=True)
    for column in ("samples", "entities", "relations", "ω", "overlapping", "sub-tokens min / max / avg"):
        table.add_column(column, justify="right")
    for row in rows:
        m = row.measured
        omega, overlap = (row.paper["omega"], row.paper["overlap"]) if row.paper else (None, None)
        cells = (
            _beside(m.samples if m else "not here", row.paper_samples),
            str(m.entities) if m else "",
            str(m.relations) if m else "",
            _beside(m.omega if m else "", omega),
            _beside(f"{100 * m.overlap_share:.1f} %" if m else "", overlap),
            f"{m.subtokens[0]} / {m.subtokens[1]} / {m.subtokens[2]:.2f}" if m and m.subtokens else "",
        )
        table.add_row(row.dataset, row.split, *cells, end_section=row.split == "test")
    return table


def _beside(measured: object, printed: object | None) -> str:
    return f"{measured}" if printed is None else f"{measured} ({printed})"
