"""Stored predictions are scored again: a record that says otherwise of them is named, also where all sums are right."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from record_examples import record

from iter_bench import data, examples, scoring
from iter_bench.data import spert
from iter_bench.data.synthetic import SCHEMA
from iter_bench.document import Extraction
from iter_bench.verify.predictions import check_predictions

DOCUMENTS = data.load("synthetic", "test").documents
GOLD = [Extraction(d.id, d.entities, d.relations) for d in DOCUMENTS]
NER_ONLY = [replace(of, relations=()) for of in GOLD]


@pytest.fixture
def stored(tmp_path):
    """A record whose run lost the first entity of the first document and all relations, and its predictions."""
    found = [replace(NER_ONLY[0], entities=NER_ONLY[0].entities[1:]), *NER_ONLY[1:]]
    counts = {name: scoring.per_document_counts(DOCUMENTS, found, SCHEMA, "strict", name) for name in scoring.CRITERIA}
    run = record(dataset="synthetic", documents=counts)
    scores = type(run.scores).model_validate({"test": scoring.score(DOCUMENTS, found, SCHEMA)})
    run = run.model_copy(update={"scores": scores})
    folder = tmp_path / "examples"

    def said(predicted):
        spert.write_predictions(tmp_path / "predictions.json", DOCUMENTS, predicted)
        examples.write([run], lambda _: tmp_path / "predictions.json", folder)
        return list(check_predictions(folder, [run]))

    return SimpleNamespace(said=said, found=found, folder=folder, run=run, file=folder / run.file_name)


def test_what_is_stored_scores_as_its_record_says(stored, tmp_path):
    assert stored.said(stored.found) == []
    assert list(check_predictions(tmp_path / "none", [stored.run])) == []


def test_predictions_of_other_scores_are_named_by_convention(stored):
    problems = stored.said([stored.found[0], replace(NER_ONLY[1], entities=()), *stored.found[2:]])
    assert len([of for of in problems if "its ner in convention" in of]) == 3
    assert problems[0].startswith(f"{stored.file}: its ner in convention strict is tp ")
    assert problems[-1] == f"{stored.file}: the record says otherwise of ner in 1/200 documents"


def test_predictions_of_the_same_sums_are_named_by_document(stored):
    elsewhere = [NER_ONLY[0], replace(NER_ONLY[1], entities=NER_ONLY[1].entities[1:]), *stored.found[2:]]
    found = [of for of in stored.said(elsewhere) if "convention" not in of]
    assert found == [f"{stored.file}: the record says otherwise of ner in 2/200 documents"]


def test_another_gold_or_a_damaged_file_is_named(stored):
    stored.said(stored.found)
    whole = stored.file.read_text()
    stored.file.write_text("[")
    assert any(str(stored.file) in problem for problem in check_predictions(stored.folder, [stored.run]))
    stored.file.write_text(whole)
    gold = stored.folder / examples.GOLD
    gold.write_text(gold.read_text().replace('"person"', '"product"', 1))
    assert list(check_predictions(stored.folder, [stored.run])) == [f"{gold}: isn't what the corpus gives"]
    gold.unlink()
    assert [problem.split(";")[0] for problem in check_predictions(stored.folder, [stored.run])] == [f"{gold}: is missing"]
