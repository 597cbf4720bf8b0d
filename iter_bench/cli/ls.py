"""`iter-bench ls`: what there is: systems, data sets, encoders, finished runs."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from iter_bench.cli.options import Json, Results

Rows = list[dict[str, Any]]


class What(StrEnum):
    """What can be listed."""

    systems = "systems"
    datasets = "datasets"
    encoders = "encoders"
    runs = "runs"


def ls(
    what: Annotated[What, typer.Argument(help="What to list.", show_default=False)],
    json: Json = False,
    results: Results = Path("results"),
) -> None:
    """List systems, data sets, encoders, or the runs that have a record."""
    listed: dict[What, Callable[[], Rows]] = {
        What.systems: _systems,
        What.datasets: _datasets,
        What.encoders: _encoders,
        What.runs: lambda: _runs(results / "runs"),
    }
    rows = listed[what]()
    if json:
        typer.echo(dumps(rows, indent=1, ensure_ascii=False))
    elif rows:
        _print(rows)
    else:
        typer.echo(f"no {what.value}" + (f" in {results / 'runs'}" if what is What.runs else ""))


def _systems() -> Rows:
    from iter_bench.systems import REGISTRY

    return [{"system": name, "class": target} for name, target in REGISTRY.items()]


def _datasets() -> Rows:
    from iter_bench import data

    rows = []
    for name in data.names():
        schema = data.schema_of(name)
        rows.append(
            {
                "dataset": name,
                "entity_types": len(schema.entity_types),
                "relation_types": len(schema.relation_types),
                "symmetric": sorted(schema.symmetric),
            }
        )
    return rows


def _encoders() -> Rows:
    from iter_bench.encoders import KNOWN

    return [{"encoder": name, "description": description} for name, description in KNOWN.items()]


def _runs(folder: Path) -> Rows:
    from iter_bench import records

    rows = []
    for record in records.load_all(folder):
        strict = record.scores.test["strict"]
        rows.append(
            {
                "run": record.run_id,
                "dataset": record.dataset,
                "fold": record.settings.data.fold,
                "system": record.system,
                "encoder": record.encoder,
                "seed": record.settings.seed,
                "ner_f1": strict["ner"].f1,
                "re_plus_f1": strict["re_plus"].f1 if "re_plus" in strict else None,
                "finished": record.finished.isoformat(timespec="minutes"),
            }
        )
    return rows


def _print(rows: Rows) -> None:
    from rich.table import Table

    from iter_bench.terminal import console, print_whole

    def text(value: Any) -> str:
        if isinstance(value, float):
            return f"{100 * value:.2f}"
        return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)

    table = Table(*(name.replace("_", " ") for name in rows[0]))
    for row in rows:
        table.add_row(*map(text, row.values()))
    print_whole(table, console())
