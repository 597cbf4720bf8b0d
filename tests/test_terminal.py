"""What the terminal shows of others' texts is these texts: rich would take brackets for markup, and colons for emojis."""

import shutil

import deadly
import pytest
from record_examples import record
from throughput_examples import measured
from typer.testing import CliRunner

from iter_bench import records
from iter_bench.cli import app
from iter_bench.cli.progress import RunProgress
from iter_bench.settings import RunSettings
from iter_bench.throughput.settings import Subject

NAMES = ["out[/b]", "out[red]x", "a:smile:b"]


def shown(*arguments) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.exception
    return result.output


@pytest.mark.parametrize("name", NAMES)
def test_paths(tmp_path, name):
    system, source = deadly.system(tmp_path / "system"), deadly.documents(tmp_path / "in.txt", 2, set())
    folder = tmp_path / name
    assert f"in {folder / 'extracted'}\n" in shown("predict", system, "--file", source, "--output", folder)


def test_types_in_a_file(tmp_path):
    shown("data", "stand-in", "ace05", "--output", tmp_path, "--texts", 4)
    for path in (tmp_path / "ace05").iterdir():
        path.write_text(path.read_text(encoding="utf-8").replace('"ART"', '"[/b]"'), encoding="utf-8")
    assert "relations of type [/b], which" in shown("data", "stats", "ace05", "--data-dir", tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_names_in_tables_and_progress(tmp_path, tiny_encoder, name, capsys):
    encoder, profile = shutil.copytree(tiny_encoder, tmp_path / name), tmp_path / "p.toml"
    profile.write_text(f'description = "d"\n[[group]]\nencoder = "{encoder}"\ndata = {{ dataset = "synthetic-w1" }}\n')
    assert str(encoder) in shown("reproduce", "--plan", "--profile", profile, "--work", tmp_path)
    records.write(record(encoder=name), tmp_path / "results" / "runs")
    assert name in shown("ls", "runs", "--results", tmp_path / "results")
    run = RunSettings(encoder=name)
    with RunProgress(3) as progress:
        progress.report(run, {"step": 1, "steps": 2})
        for event in ({"killed": name}, {"failed": name}, {"finished": record(encoder=name)}):
            progress.report(run, event)
    lines = " ".join(capsys.readouterr().err.split())
    assert f"begun again synthetic iter {name} seed" in lines and f"failed synthetic iter {name}" in lines


def test_the_cost_sheet_shows_its_inputs_whole_through_a_pipe(tmp_path):
    setting = {f"setting_{i}": "x" * 20 for i in range(12)}
    found = measured(lineup=[Subject(system="iter", model=setting)])
    records.write(found, tmp_path / "throughput")
    text = shown("cost", "--results", tmp_path)
    assert ", ".join(f"{name}={value}" for name, value in sorted(setting.items())) in text and found.run_id in text
