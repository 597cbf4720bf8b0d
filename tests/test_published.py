"""Published figures: entries copied by hand from the sources, and every entry has a source and a known convention."""

import pytest

from iter_bench import data, published

ALL = published.figures()

# typed from the camera-ready paper's tables and the model cards, not from the file
BY_HAND = [
    ("Table 6", "ITER", "FLAN-T5-xl", "ACE05", "re_plus_f1", "strict", 71.9),
    ("Table 6", "ITER", "FLAN-T5-xl", "ACE05", "re_plus_f1", "pl_marker", 72.6),
    ("Table 6", "ITER", "BERT-large-cased", "CoNLL04", "ner_f1", "strict", 87.4),
    ("Table 6", "ITER", "DeBERTaV3-large", "SciERC", "re_f1", "pl_marker", 52.2),
    ("Table 3", "ITER", "FLAN-T5-xl", "ACE05", "re_plus_f1", "pl_marker", 72.7),
    ("Table 3", "ASP", "T5-base", "CoNLL04", "re_plus_f1", "strict", 73.8),
    ("Table 4", "ITER", "T5-large", "ACE05", "re_plus_f1", "strict", 69.4),
    ("Table 7", "ITER", "FLAN-T5-large+CoNLL03-pretrained", "CoNLL04", "re_plus_f1", "strict", 76.3),
    ("model card", "ITER", "DeBERTaV3-large", "ACE05", "re_plus_f1", "unstated", 71.37),
]


@pytest.mark.parametrize(("place", "system", "encoder", "dataset", "metric", "convention", "value"), BY_HAND)
def test_entries_as_printed(place, system, encoder, dataset, metric, convention, value):
    chosen = ALL[
        ALL.place.str.startswith(place)
        & (ALL.system == system)
        & (ALL.encoder == encoder)
        & (ALL.dataset == dataset)
        & (ALL.metric == metric)
        & (ALL.convention == convention)
    ]
    assert list(chosen.value) == [value]


def test_speeds_name_hardware_batch_and_encoder():
    chosen = published.figures(table=1)
    (row,) = chosen[(chosen.system == "ITER") & (chosen.dataset == "CoNLL04") & (chosen.encoder == "T5-large")].itertuples()
    assert (row.value, row.hardware, row.batch_size) == (605.398, "1x RTX 4090", 64)
    assert set(chosen[chosen.system == "PL-Marker"].hardware) == {""}, "the paper doesn't state it"


def test_table_6_holds_precision_recall_and_seeds():
    chosen = published.figures(table=6)
    assert chosen[["precision", "precision_std", "recall", "recall_std", "std", "seeds"]].notna().all(axis=None)
    f1 = 2 * chosen.precision * chosen.recall / (chosen.precision + chosen.recall)
    assert (abs(f1 - chosen.value) < 0.25).all(), "a mean of F1s lies near the F1 of the means"
    (row,) = chosen[(chosen.dataset == "GENIA") & (chosen.encoder == "FLAN-T5-large")].itertuples()
    assert (row.precision, row.recall, row.recall_std, row.seeds) == (81.7, 78.7, 7.25, 5)


def test_every_entry_has_a_source_and_a_known_convention():
    assert (ALL.source != "").all() and (ALL.place != "").all()
    scores = ALL[ALL.metric != "samples_per_second"]
    assert set(scores.convention) == {"strict", "pl_marker", "macro", "unstated"}
    assert scores.value.between(20, 100).all()


def test_hyperparameters_and_data_as_printed():
    ade = published.hyperparameters().set_index("dataset").loc["ADE"]
    assert (ade.lr_encoder, ade.lr_heads, ade.schedule_encoder, ade.batch_size) == (2e-4, 2.9e-4, "constant", 32)
    genia = published.data().set_index("dataset").loc["GENIA"]
    assert (genia.train, genia.test, genia.omega, genia.overlap) == ("16692", "1854", 4, "21.6%")


# typed from configs/ere.conf and util/runner.py of ASP, and from PL-Marker's scripts/, not from the file
SHIPPED = [
    ("ASP", "CoNLL04", "T5-base", "", "train+dev", 200, 5e-5, 1e-4, 0.05, 0.1),
    ("ASP", "CoNLL04", "T5-3b", "", "train+dev", 200, 3e-5, 3e-4, 0.05, 0.1),
    ("ASP", "ACE05", "T5-base", "", "train", 100, 5e-5, 3e-4, 0.1, 0.1),
    ("ASP", "ACE05", "T5-3b", "", "train", 100, 5e-5, 3e-4, 0.05, 0.1),
    ("PL-Marker", "ACE05", "albert-xxlarge-v1", "re", "train", 10, 1e-5, 1e-5, 0.1, 0.0),
    ("PL-Marker", "SciERC", "scibert-uncased", "ner", "train", 50, 2e-5, 2e-5, 0.1, 0.0),
]


def test_what_the_baselines_authors_ship():
    table = published.released()
    subject = ["system", "dataset", "encoder", "stage"]
    assert not table.duplicated(subject).any() and (table.source != "").all() and (table.place != "").all()
    columns = [*subject, "train", "epochs", "lr_encoder", "lr_heads", "warmup_encoder", "weight_decay_encoder"]
    assert set(SHIPPED) < set(table[columns].itertuples(index=False, name=None))


def test_names_match_those_of_the_suite():
    assert set(published.DATASETS) <= set(data.names())
    assert set(published.DATASETS.values()) <= set(ALL.dataset)
    assert published.same_encoder("FLAN-T5-large", "google/flan-t5-large")
    assert published.same_encoder("DeBERTaV3-large", "microsoft/deberta-v3-large")
    assert not published.same_encoder("T5-large", "google/flan-t5-large") and not published.same_encoder("", "")
