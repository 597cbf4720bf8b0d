"""``iter-bench train``: one run."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from iter_bench.cli.options import DataDir, Json, Results, Work
from iter_bench.errors import SettingsError


def train(
    dataset: Annotated[str | None, typer.Option(help="Data set; `iter-bench ls datasets`.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Encoder; `iter-bench ls encoders`.")] = None,
    system: Annotated[str | None, typer.Option(help="System; `iter-bench ls systems`.")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with the settings of a run; options override it.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting, as in training.epochs=3 or model.omega=2.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    results: Results = Path("results"),
    work: Work = Path("runs"),
    json: Json = False,
) -> None:
    """Train a system, score it on the test split and write its record."""
    settings = run_settings(config, {"data.dataset": dataset, "encoder": encoder, "system": system, "seed": seed}, set_ or [])

    from iter_bench.cli.progress import RunProgress, console
    from iter_bench.run import Folders, execute

    folders = Folders(results, work)
    with RunProgress(1) as progress:
        record = execute(settings, folders, data_dir=data_dir, report=lambda event: progress.report(settings, event))
        progress.report(settings, {"finished": record})
    if json:
        print(record.model_dump_json(by_alias=True))
    else:
        console.print(f"record: {folders.records / record.file_name}\nsystem: {folders.system(record.run_id)}", soft_wrap=True)


def run_settings(config: Path | None, options: dict[str, Any], assignments: list[str]):
    """The settings of a run from a file, then options that are given, then ``name=value`` assignments.

    Raises:
        SettingsError: a file, name or value isn't valid.
    """
    from iter_bench.settings import RunSettings, read_toml, validated, with_value

    try:
        values = read_toml(config) if config else {}
    except FileNotFoundError:
        raise SettingsError(f"{config}: can't be read: there is no such file") from None
    if values.keys() & {"group", "include", "change"}:
        raise SettingsError(f"{config}: is a profile, of several runs: `iter-bench reproduce --profile {config}` does them")
    chosen = {name: value for name, value in options.items() if value is not None}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment}: write it as name=value")
        chosen[name.strip()] = _value(text.strip())
    for name, value in chosen.items():
        values = with_value(values, name, value)
    return validated(RunSettings, values)


def _value(text: str) -> Any:
    """A TOML value, or else the text itself, so that words need no quotes; ``none`` is no value."""
    if text == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
