"""What a fresh run is compared with: nothing missing is taken for equal. Runs are stand-ins, but for the last test's."""

import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from record_examples import record, scores
from typer.testing import CliRunner

from iter_bench import data, examples, execution, matrix, records
from iter_bench.cli import app
from iter_bench.data import spert
from iter_bench.document import Extraction
from iter_bench.rerun import rerun
from iter_bench.run import Folders, execute

STRICT = scores(80)["strict"]
COUNTS = {name: [(s["tp"], s["fp"], s["fn"]), *[(0, 0, 0)] * 9] for name, s in STRICT.items()}


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Two seeds on the embedded corpus, the second with examples; fresh runs give the same, the first seed first."""
    documents = data.load("synthetic", "test").documents
    runs = {seed: record(seed, dataset="synthetic", documents=COUNTS) for seed in (1, 2)}
    found = {seed: [Extraction(d.id, d.entities[:seed]) for d in documents] for seed in (1, 2)}
    again = {one.run_id: one for one in runs.values()}

    def predict(one, folders):
        path = folders.predictions(one.run_id)
        path.parent.mkdir(parents=True)
        spert.write_predictions(path, documents, found[one.settings.seed])
        records.write(again[one.run_id], folders.records)

    def execute_all(left, one, **_):
        folders = one.args[0]
        for run in runs.values():
            predict(run, folders)
        return [again[run.run_id] for run in runs.values()], {}

    results = tmp_path / "results"
    folders = Folders(results, tmp_path / "runs")
    for run in runs.values():
        predict(run, folders)
    examples.write([runs[2]], folders.predictions, results / "examples")
    monkeypatch.setattr(execution, "execute_all", execute_all)
    settings = [run.settings for run in runs.values()]
    return SimpleNamespace(
        folder=results / "examples",
        results=results,
        runs=runs,
        found=found,
        again=again,
        said=lambda: rerun(settings, results, report=lambda run, event: None),
    )


def test_of_several_seeds_that_whose_examples_are_stored_is_compared(stored):
    assert stored.said() == []
    stored.found[2][0] = replace(stored.found[2][0], entities=())
    assert stored.said() == [f"{stored.folder / stored.runs[2].file_name}: a fresh run predicts otherwise in 1/200 documents"]


def test_missing_examples_are_named(stored):
    (stored.folder / stored.runs[2].file_name).unlink()
    gone = f"{stored.folder / stored.runs[1].file_name}: is missing"
    (problem,) = stored.said()
    assert problem.startswith(gone)
    shutil.rmtree(stored.folder)
    assert [problem.split("; ")[0] for problem in stored.said()] == [f"{stored.folder / examples.GOLD}: is missing", gone]


def test_gold_that_is_not_the_corpus_is_named(stored):
    gold = stored.folder / examples.GOLD
    gold.write_text(gold.read_text().replace('"person"', '"product"', 1))
    assert stored.said() == [f"{gold}: isn't what the corpus gives"]


def test_counts_by_document_that_are_missing_or_too_few_are_named(stored):
    first = stored.runs[1]
    for counts, wanted in (
        ({**COUNTS, "ner": COUNTS["ner"][:9]}, ["a fresh run differs in ner of 1/10 documents"]),
        ({**COUNTS, "ner": COUNTS["ner"] + [(1, 0, 0)]}, ["a fresh run differs in ner of 1/10 documents"]),
        ({}, [f"has no {name} by document to compare a fresh run with; do the run again" for name in COUNTS]),
    ):
        records.write(record(1, dataset="synthetic", documents=counts), stored.results / "runs")
        assert stored.said() == [f"{first.file_name}: {problem}" for problem in wanted]


@pytest.mark.slow
def test_a_fresh_run_is_compared_document_by_document(tiny_encoder, tmp_path):
    """By the command, with the embedded corpus in the way: its scores, and its example predictions."""
    profile, results = tmp_path / "tiny.toml", tmp_path / "results"
    profile.write_text(
        f'description = "tiny"\n[[group]]\nencoder = "{tiny_encoder}"\nseeds = [1]\n'
        'data = { dataset = "synthetic", train = "dev", dev = "none" }\n'
        "training = { epochs = 1, batch_size = 16, lr_heads = 1e-3 }\n"
    )

    def said():
        for command in ("tables", "figures"):
            assert CliRunner().invoke(app, [command, "--results", str(results)]).exit_code == 0
        told = CliRunner().invoke(app, ["verify", "--rerun", str(profile), "--results", str(results)])
        return str(told.exception) if told.exit_code else ""

    (run,) = matrix.load_profile(str(profile)).runs()
    assert "has no record" in rerun([run], results, report=lambda run, event: None)[0]
    folders = Folders(results, tmp_path / "runs")
    stored = execute(run, folders)
    examples.write([stored], folders.predictions, results / "examples")
    assert said() == ""
    counts = stored.documents["ner"]  # those of two documents change places, so that the sums stay
    other = next(i for i, count in enumerate(counts) if count != counts[0])
    others = {**stored.documents, "ner": (counts[other], *counts[1:other], counts[0], *counts[other + 1 :])}
    records.write(stored.model_copy(update={"documents": others}), results / "runs")
    shutil.rmtree(results / "examples")  # else they are scored again first, and name the record
    assert f"{stored.file_name}: a fresh run differs in ner of 2/{len(counts)} documents" in said()
    examples.write([stored], folders.predictions, results / "examples")
    (results / "examples" / stored.file_name).write_bytes((results / "examples" / examples.GOLD).read_bytes())
    assert f"examples/{stored.file_name}: the record says otherwise of ner in " in said(), "before anything is done again"
    told = "\n".join(rerun([run], results, report=lambda run, event: None))
    assert f"{stored.file_name}: a fresh run differs in ner of 2/{len(counts)} documents" in told
    assert re.search(rf"examples/{stored.file_name}: a fresh run predicts otherwise in \d+/200 documents", told)
