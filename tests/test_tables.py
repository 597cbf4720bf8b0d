"""Golden records give golden tables, to the letter; what does not belong together is not averaged."""

import io
import math
from pathlib import Path
from statistics import mean, stdev

import pandas as pd
import pytest
from record_examples import ENVIRONMENT, record
from rich.console import Console

from iter_bench import tables

GOLDEN = [
    record(42, 80),
    record(43, 84),
    record(42, 60, training={"epochs": 7}),
    record(42, 72, system="plmarker", dataset="scierc", symmetric=True),
    record(1, 92, dataset="conll03", relations=False, lambda_curve=None),
    *(record(42, quality, dataset="ade", fold=fold) for fold, quality in enumerate((80, 84, 88))),
]

TABLE = tables.runs_table(GOLDEN)

FIXTURES = Path(__file__).parent / "fixtures" / "tables"


def test_golden_markdown():
    assert tables.markdown(tables.formatted(tables.runs_table(GOLDEN), full=False)) == (FIXTURES / "runs.md").read_text()


def test_golden_latex():
    text = tables.formatted(tables.runs_table(GOLDEN[:2]), full=False)
    text["encoder"] = "a_b&c"
    assert tables.latex(text) == (FIXTURES / "runs.tex").read_text()


def test_all_numbers_by_hand(tmp_path):
    csv, *_ = tables.write(TABLE, tables.formatted(TABLE), tmp_path, "runs")
    table = pd.read_csv(csv).set_index(["dataset", "setting"])
    row = table.loc[("conll04", "training.epochs=20")]
    f1 = [2 * 80 / (2 * 80 + 10 + 20), 2 * 84 / (2 * 84 + 8 + 16)]
    assert (row.seeds, row.folds, row.parameters) == (2, 0, 22_713_216)
    assert row.ner_f1 == pytest.approx(mean(f1), abs=1e-5)
    assert row.ner_f1_std == pytest.approx(stdev(f1), abs=1e-5)
    assert row.re_plus_precision == pytest.approx(mean([35 / (35 + 10), 37 / (37 + 9)]), abs=1e-5)
    assert row.re_plus_recall == pytest.approx(mean([35 / 50, 37 / 50]), abs=1e-5)
    assert (row.train_seconds, row.samples_per_second, row.peak_memory) == (72.5, 40.0, 3 * 2**30)
    folds = table.loc["ade"].iloc[0]
    assert (folds.seeds, folds.folds) == (1, 3)
    assert math.isnan(table.loc["conll03"].iloc[0].re_plus_f1)


def test_conventions_are_noted_where_they_differ(tmp_path):
    notes = tables.convention_notes(GOLDEN)
    assert len(notes) == 1 and notes[0].startswith("scierc: symmetric relations (spouse) count once in `strict`")
    paths = tables.write(TABLE, tables.formatted(TABLE), tmp_path, "runs", notes)
    assert [path.name for path in paths] == ["runs.csv", "runs.md", "runs.tex"]
    assert notes[0] in paths[1].read_text()


def test_only_what_belongs_together_is_averaged():
    other = ENVIRONMENT.model_copy(update={"cpu": "Other CPU"})
    table = tables.runs_table([record(42), record(43, environment=other)])
    assert table.loc[0, "hardware"] == "Other CPU (2 cores); Some CPU (2 cores)"
    assert table.loc[0, "ner_f1"] > 0 and pd.isna(table.loc[0, "train_seconds"]), "speeds of two machines have no mean"

    split = record(43).data["test"].model_copy(update={"sha256": "cd" * 32})
    changed = record(43, data=record(43).data | {"test": split})
    table = tables.runs_table([record(42), changed])
    assert list(table.setting) == [f"sha256=dev:abababab test:{sha}{sha}{sha}{sha} train:abababab" for sha in ("ab", "cd")]

    assert list(tables.runs_table([record(test="dev")]).dataset) == ["conll04 (dev)"], "dev is never shown as test"


def test_no_records_give_an_empty_table():
    table = tables.runs_table([])
    assert len(table) == 0 and "re_plus_f1_std" in table
    assert tables.markdown(tables.formatted(table))


def test_the_terminal_shows_the_table_and_its_hardware():
    console = Console(width=160, file=io.StringIO())
    console.print(tables.rich_table(tables.formatted(tables.runs_table(GOLDEN[:2]), full=False), "runs"))
    assert "Some CPU (2 cores)" in console.file.getvalue() and "85.86 ± 2.33" in console.file.getvalue()
