"""`iter-bench verify` holds what tables 2 and 5 are made from, `data.json` and `searches/*.toml`, against records and data."""

import json
import shutil
from pathlib import Path

import pytest
from record_examples import record
from typer.testing import CliRunner

from iter_bench import records, search
from iter_bench.cli import app
from iter_bench.errors import UserError
from iter_bench.tables.catalogue import load_sources
from iter_bench.verify import verify
from iter_bench.verify.splits import check_statistics

RESULTS = Path(__file__).parents[1] / "results"


def problems_of(results: Path, file: str) -> list[str]:
    """What `verify` says of a file, without its name."""
    return [problem.removeprefix(f"{results / file}: ") for problem in verify(results, []).problems if file in problem]


def test_the_result_of_a_search_is_the_best_of_its_recorded_trials(tmp_path):
    """The committed search began before a search tried its base first."""
    wanted, file = search.load_search("conll04-iter"), "searches/conll04-iter.toml"
    trials = [of for of in records.load_all(RESULTS / "runs") if wanted.parameters(of.settings) is not None]
    paths = [records.write(trial, tmp_path / "runs") for trial in trials]
    best = tmp_path / file
    best.parent.mkdir()
    shutil.copy(RESULTS / file, best)
    assert problems_of(tmp_path, file) == []
    right = best.read_text()
    best.write_text(right.replace("lr_encoder = 0.00020678338054786534", "lr_encoder = 0.0009"))
    (problem,) = problems_of(tmp_path, file)
    assert problem.startswith("no trial with a record has these settings")
    first, *_, last = sorted(trials, key=wanted.reached)
    search.write_best(wanted, first, best)
    assert problems_of(tmp_path, file) == [
        f"has the settings of run {first.run_id}, but run {last.run_id} is better in re_plus"
    ]
    paths[0].unlink()
    assert problems_of(tmp_path, file) == ["7 of the 8 trials have a record here"]
    own = best.with_name("mine.toml")  # of a search that isn't the package's
    search.write_best(wanted, trials[1], own)
    assert problems_of(tmp_path, "searches/mine.toml") == []
    search.write_best(wanted, trials[0], own)
    (problem,) = problems_of(tmp_path, "searches/mine.toml")
    assert problem == f"no trial with a record has these settings, which would be run {trials[0].run_id}"


def test_figures_of_the_data_are_those_of_records_and_of_the_data_at_hand(tmp_path):
    path = tmp_path / "data.json"
    told = CliRunner().invoke(app, ["data", "stats", "synthetic", "--json"])
    path.write_text(told.stdout)
    embedded = records.load(next((RESULTS / "runs").glob("synthetic-iter-*.json")))
    stored = load_sources(tmp_path).data
    assert [row.split for row in stored.rows] == ["train", "dev", "test"]
    assert check_statistics(stored, [embedded], None) == ([], set())

    def changed(number, **values):
        content = json.loads(told.stdout)
        content["rows"][number]["measured"] |= values
        path.write_text(json.dumps(content))
        return check_statistics(load_sources(tmp_path).data, [embedded], None)[0]

    again = "isn't what `iter-bench data stats --json` gives here"
    assert changed(0, omega=9) == [f"synthetic train: {again}"]
    assert changed(2, subtokens=[1, 2, 1.5]) == [f"synthetic test: {again}"]
    counted = f"synthetic test: samples, entities or relations aren't those of {embedded.file_name}"
    assert changed(2, samples=4242) == [counted, f"synthetic test: {again}"]


def test_figures_of_data_that_are_not_at_hand_are_held_against_records(tmp_path):
    path = tmp_path / "data.json"
    counts = {"samples": 10, "entities": 100, "relations": 50, "omega": 1, "overlapping": 0, "overlap_share": 0.0}
    row = {"dataset": "ade", "split": "test, fold 3", "measured": {**counts, "subtokens": [1, 9, 5.0]}, "notes": {}}
    row |= dict.fromkeys(("expected_samples", "paper_samples", "paper"))
    path.write_text(json.dumps({"encoder": "minilm", "rows": [row], "absent": []}))
    stored, folds = load_sources(tmp_path).data, [record(dataset="ade", fold=fold) for fold in (2, 3)]
    assert check_statistics(stored, folds, None) == ([], {"ade"})
    row["measured"]["entities"] = 101
    path.write_text(json.dumps({"encoder": "minilm", "rows": [row], "absent": []}))
    (problem,) = check_statistics(load_sources(tmp_path).data, folds, None)[0]
    assert problem == f"ade test, fold 3: samples, entities or relations aren't those of {folds[1].file_name}"
    records.write(folds[1], tmp_path / "runs")
    assert problems_of(tmp_path, "data.json") == [problem]


def test_a_mistake_in_data_json_is_told_by_its_place(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"encoder": "minilm", "rows": [{"dataset": "ade", "split": 3}], "absent": []}))
    with pytest.raises(UserError) as refused:
        load_sources(tmp_path)
    first, *_, last = str(refused.value).splitlines()
    assert first == f"{path}, rows.0.split: Input should be a valid string"
    assert last == f"{path} isn't what `iter-bench data stats --json` prints; make it again"
