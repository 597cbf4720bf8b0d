"""Documents of a workload are as long as it says, by the tokenizer itself."""

from statistics import mean

import pytest

from iter_bench import data
from iter_bench.errors import SettingsError
from iter_bench.throughput.settings import WORKLOADS
from iter_bench.throughput.workloads import documents_of, lengths_of, of_dataset, of_length, subtokens


@pytest.mark.parametrize("name", WORKLOADS)
def test_lengths_have_the_bounds_and_the_mean_of_the_data_set(name, tmp_path):
    for count in (32, 256):
        lengths = lengths_of(of_dataset(name, count, tmp_path))
        shortest, longest, average = WORKLOADS[name]["subtokens"]
        assert (len(lengths), min(lengths), max(lengths)) == (count, shortest, longest)
        assert mean(lengths) == pytest.approx(average, abs=0.3) and lengths == sorted(lengths)


def test_documents_have_these_lengths(tmp_path):
    for length, whole in ((16, 0.85), (64, 0.9)):  # a word more or less is a larger part of a short document
        found = subtokens(documents_of(of_length(length, 8))[0])
        assert all(0.8 * length <= n <= length for n in found) and mean(found) >= whole * length
    plain, _ = documents_of(of_dataset("conll04", 32, tmp_path))
    lengths = subtokens(plain)
    assert mean(lengths) == pytest.approx(43.84, rel=0.05) and 165 <= max(lengths) <= 173
    density = 100 * sum(len(d.entities) for d in plain) / sum(len(d.words) for d in plain)
    assert density == pytest.approx(WORKLOADS["conll04"]["density"], rel=0.2)
    assert documents_of(of_dataset("conll04", 32, tmp_path))[0] == plain, "the same documents for every system and run"


def test_context_is_around_and_not_within(tmp_path):
    without, _ = documents_of(of_dataset("ace05", 16, tmp_path))
    around, _ = documents_of(of_dataset("ace05-context", 16, tmp_path))
    assert [d.words for d in around] == [d.words for d in without]
    assert mean(subtokens(around)) - mean(subtokens(without)) == pytest.approx(110.14, rel=0.05)


def test_data_sets_without_relations_have_none_here_either(tmp_path):
    """PL-Marker would else pay for a second stage that its authors don't run there."""
    for name in WORKLOADS:
        documents, schema = documents_of(of_dataset(name, 16, tmp_path))
        assert any(d.relations for d in documents) == bool(schema.relation_types) == (not name.startswith("conll03")), name
        assert sum(len(d.entities) for d in documents) > 10


def test_a_corpus_gives_documents_of_all_its_lengths():
    every = data.load("synthetic", "test").documents
    few, schema = documents_of(of_dataset("conll04", 20, None).model_copy(update={"corpus": "synthetic"}))
    assert len(set(few)) == 20 and set(few) <= set(every) and schema == data.load("synthetic", "test").schema
    assert mean(len(d.words) for d in few) == pytest.approx(mean(len(d.words) for d in every), rel=0.02)
    all_of_it, _ = documents_of(of_dataset("conll04", 9999, None).model_copy(update={"corpus": "synthetic"}))
    assert set(all_of_it) == set(every) and len(all_of_it) == len(every)


def test_impossible_and_unknown_workloads_are_said(tmp_path):
    with pytest.raises(SettingsError, match="no workload is called 'conll05'; there are conll04"):
        of_dataset("conll05", 32, tmp_path)
    with pytest.raises(SettingsError, match="take more"):
        lengths_of(of_dataset("conll03-document", 3, tmp_path).model_copy(update={"mean": 1000.0}))
