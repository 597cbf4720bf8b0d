"""Golden records give golden tables, to the letter; what does not belong together is not averaged."""

import io
import math
import re
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pandas as pd
import pytest
from golden_sources import GOLDEN as ALL
from golden_sources import written
from record_examples import ENVIRONMENT, record
from rich.console import Console
from throughput_examples import data_set, measured

from iter_bench import data as corpus
from iter_bench import tables
from iter_bench.data import statistics
from iter_bench.tables import beyond, mistakes, overview, paper, slices

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
    notes = ("Profile a_b.", "P in %, ω ≥ 1. Command: `make reproduce PROFILE=a_b`.")
    assert tables.latex(text, "a_b", notes) == (FIXTURES / "runs.tex").read_text()


def environments(source):
    """Those that are opened, in order, each closed before the one around it."""
    opened, found = [], []
    for which, name in re.findall(r"\\(begin|end){(\w+)}", source):
        if which == "begin":
            opened.append(name)
            found.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    return found


def cells(line):
    return re.split(r"(?<!\\) & ", line.removesuffix(r" \\"))


@pytest.mark.parametrize(
    ("rows", "columns", "wanted"),
    [
        (3, 4, ["table", "adjustbox", "tabular"]),
        (60, 4, ["longtable"]),
        (3, 30, ["landscape", "longtable"]),
        (60, 30, ["landscape", "longtable"]),
    ],
    ids=["small", "long", "wide", "both"],
)
def test_latex_is_a_float_or_breaks_over_pages_and_its_rows_fit_its_columns(rows, columns, wanted):
    text = pd.DataFrame({f"measured column {i}": [f"{i}.{j:04d}" for j in range(rows)] for i in range(columns)})
    text.insert(0, "dataset", "a_b & c")
    text["nothing"] = ""
    source = tables.latex(text, "x", ("About.",))
    assert environments(source) == wanted
    (alignment,) = re.findall(r"\\begin{(?:longtable|tabular)}{(.*)}", source)
    assert alignment == "l" + columns * "r", "without the column that holds nothing"
    lines = [line for line in source.splitlines() if " & " in line]
    head, body = lines[0], [line for line in lines if line.startswith(r"a\_b \& c & ")]
    assert len(body) == rows and {len(cells(line)) for line in lines} == {columns + 1}
    repeated = wanted[-1] == "longtable"
    assert lines.count(head) == 1 + repeated and len(lines) == rows + 1 + repeated
    assert not repeated or source.index(r"\endfirsthead") < source.rindex(head) < source.index(r"\endhead") < source.index(
        body[0]
    )
    assert source.count(r"\caption[") == source.count(r"\label{tab:x}") == 1


def test_long_cells_and_names_do_not_widen_a_latex_table():
    setting = "model.activation=relu, training.lr_encoder=0.000207, training.epochs=7"
    text = pd.DataFrame({"setting": [setting, ""], "published speed-up of ITER": ["4.3×", "5×"]})
    source = tables.latex(text, "x")
    assert environments(tables.latex(pd.concat([text] * 12), "x"))[-1] == "longtable", "24 rows, but 48 lines"
    assert re.search(r"begin{tabular}{>{\\raggedright\\arraybackslash}p{[\d.]+em}r}", source)
    assert r"\shortstack[r]{published \\ speed-up \\ of \\ ITER}" in source
    assert r"training.lr\_\allowbreak{}encoder=\allowbreak{}0.000207" in source and setting not in source
    assert source.replace(r"\allowbreak{}", "").replace("\\", "").count(setting) == 1


@pytest.mark.parametrize("columns", [2, 8, 9, 10, 16, 24])
def test_a_long_latex_table_has_the_largest_font_that_fits_the_page(columns):
    source = tables.latex(pd.DataFrame({f"c{i}": ["84.07 ± 0.32"] * 50 for i in range(columns)}), "x")
    size = float(re.search(r"\\fontsize{([\d.]+)}", source)[1])
    upright = "landscape" not in source
    page = 345 if upright else 598  # A4's points
    digits = columns * size * (8 * 0.5 + 2 * 0.25 + 0.78 + 2 * 0.25)  # Times: a digit half an em, point and blank a quarter
    assert digits < page and (size == 8 or digits > 0.8 * page)
    assert size >= 6 if upright else columns > 8, "turned only where it would be too small to read"


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


@pytest.mark.parametrize(
    ("rates", "shown"),
    [((1.3061468549e-4, 2e-4), ("0.000131", "0.0002")), ((1.30614e-4, 1.30615e-4), ("0.000130614", "0.000130615"))],
)
def test_settings_are_told_with_three_digits_unless_two_would_look_alike(rates, shown):
    trials = [
        record(1, quality, training={"lr_encoder": rate, "epochs": 7}) for rate, quality in zip(rates, (70, 80), strict=True)
    ]
    groups = tables.group_runs(trials)
    assert [group.setting for group in groups] == [f"training.lr_encoder={rate}" for rate in shown]
    assert [group.records[0].settings.training.lr_encoder for group in groups] == list(rates)


def test_no_records_give_an_empty_table():
    table = tables.runs_table([])
    assert len(table) == 0 and "re_plus_f1_std" in table
    assert tables.markdown(tables.formatted(table))


def test_the_terminal_shows_the_table_and_its_hardware():
    console = Console(width=160, file=io.StringIO())
    console.print(tables.rich_table(tables.formatted(tables.runs_table(GOLDEN[:2]), full=False), "runs"))
    assert "Some CPU (2 cores)" in console.file.getvalue() and "85.86 ± 2.33" in console.file.getvalue()


def test_main_results_stand_beside_the_published_ones_and_never_in_their_columns():
    made = paper.main_results([*GOLDEN, record(42, 80, dataset="conll04", encoder="google/flan-t5-xl")])
    frame = made.frame
    assert frame["published NER"].notna().sum() + frame["published RE+∗"].notna().sum() > 60
    table = frame[frame.dataset == "CoNLL04"].set_index(["published encoder", "measured encoder"])
    same = table.loc[("FLAN-T5-xl", "google/flan-t5-xl")]
    f1 = 100 * 2 * 80 / (2 * 80 + 10 + 20)
    assert (same["published NER"], same["measured seeds"]) == (90.1, 1)
    assert same["measured NER"] == pytest.approx(f1, abs=1e-3) and same["difference NER"] == pytest.approx(f1 - 90.1, abs=1e-3)
    other = table.loc[[("BERT-large-cased", "minilm")]]
    assert len(other) == 2 and set(other["published RE+"]) == {68.0}, "the fewest parameters of the same system, both settings"
    on_scierc = paper.main_results([record(42, 80, dataset="scierc")]).frame
    beside = on_scierc[on_scierc["measured NER"].notna()]["published encoder"]
    assert list(beside) == ["FLAN-T5-large"], "BERT-large is smaller, and one of its runs diverged"
    plmarker = frame[(frame.dataset == "SciERC") & (frame.system == "PL-Marker")].iloc[0]
    assert math.isnan(plmarker["difference RE+"]), "what PL-Marker published is counted twice; only ∗ may be subtracted"
    assert plmarker["difference RE+∗"] == pytest.approx(plmarker["measured RE+∗"] - 41.6)
    assert frame[frame.system == "TANL"].filter(like="measured").isna().all(axis=None)


def test_precision_and_recall_stand_beside_the_nearest_published_ones_of_the_same_system():
    frame = paper.precision_recall(GOLDEN).frame
    measured = frame[frame["measured F1"].notna()]
    assert len(measured) > 5 and (measured["published F1"].notna() == (measured.system == "ITER")).all(), "no others printed"
    iter_ = measured[measured.system == "ITER"]
    on_conll04 = iter_[iter_.dataset == "CoNLL04"]
    assert set(on_conll04["published encoder"]) == {"BERT-large-cased"}, "the fewest parameters"
    wanted = iter_["measured F1"] - iter_["published F1"]
    assert list(iter_["difference F1"]) == pytest.approx(list(wanted)) and len(set(wanted)) > 1
    scierc = measured[measured.dataset == "SciERC"]
    assert [tuple(row) for row in scierc[["criterion", "convention"]].values] == [
        ("ner", "strict"),
        ("re", "strict"),
        ("re_plus", "strict"),
        ("re", "pl_marker"),
        ("re_plus", "pl_marker"),
    ], "of NER the second convention would say the same"
    large = [record(seed, 80, encoder="bert-large-cased") for seed in (1, 2)]
    (row,) = paper.precision_recall(large).frame.dropna(subset="difference F1").query("criterion == 'ner'").to_dict("records")
    assert (row["published P"], row["published seeds"], row["measured seeds"]) == (87.3, 3, 2)


def test_published_values_in_doubt_carry_their_note():
    made = paper.main_results([])
    table = made.frame.set_index(["dataset", "system", "published encoder"])["published note"]
    assert table[("SciERC", "ITER", "BERT-large-cased")] == "a" and table[("CoNLL04", "ASP", "T5-base")] == "b"
    assert table.isna().sum() > 10 and "Published note a: one of the five runs diverged, says the paper; b: " in made.notes[2]
    made = paper.encoders([])
    assert list(made.frame["published encoder"][made.frame["published note"] == "a"]) == ["T5-large"]


def test_upper_bounds_are_told_once_and_captions_point_there():
    part = record(1, 80).data["test"]
    lost = {"unreachable": {"entities: too long": 7}, "ceiling": {"ner": 0.912, "re": 0.8}}
    runs = [record(1, 80), *(record(n, 80, system="asp") for n in (1, 2))]
    runs[2] = runs[2].model_copy(update={"data": {**runs[2].data, "test": part.model_copy(update=lost)}})
    (row,) = overview.upper_bounds(runs).shown.to_dict("records")
    assert row == {
        "dataset": "conll04",
        "system": "asp",
        "runs": "1",
        "NER F1": "91.2",
        "RE F1": "80.0",
        "RE+ F1": "",
        "limits": "7 entities: too long",
    }
    told = "table `upper-bounds`"
    assert told in beyond.conventions(runs).notes[1] and told not in beyond.conventions(runs[:2]).notes[1]


def test_the_summary_sets_what_was_measured_beside_what_was_published():
    runs = [record(seed, quality) for seed, quality in ((1, 80), (2, 84))] + [record(1, 60, training={"epochs": 7})]
    runs += [record(1, 92, system="mine", dataset="genia", relations=False, lambda_curve=None), record(1, 99, test="dev")]
    rates = {"iter": (99.0, 100.0, 101.0), "asp": (5.0,) * 3}
    speeds = [measured(name, of, workload=data_set("conll04")) for name, of in rates.items()]
    made = overview.summary(runs, speeds)
    rows = made.shown.set_index(["quantity", "dataset", "system", "setting"]).to_dict("index")
    assert list(rows) == [
        ("RE+ F1", "CoNLL04", "ITER", "training.epochs=20"),
        ("RE+ F1", "CoNLL04", "ITER", "training.epochs=7"),
        ("NER F1", "GENIA", "mine", ""),
        ("samples/s", "CoNLL04", "ITER ÷ ASP", "same encoder for all, batch 8"),
    ], "trials on dev are no results"
    f1 = {quality: 200 * (quality // 2 - 5) / (2 * (quality // 2 - 5) + 0.75 * (100 - quality) + 10) for quality in (80, 84)}
    first, _, other, speed = rows.values()
    assert first["measured"] == f"{mean(f1.values()):.2f} ± {stdev(f1.values()):.2f}" and first["runs"] == "2"
    assert (first["published"], first["published encoder"], first["table"]) == ("68", "BERT-large-cased", "table3-main")
    assert (other["published"], other["published encoder"]) == ("", ""), "the paper has no such system"
    assert (speed["published"], speed["published hardware"], speed["measured"]) == ("23.4×", "1x RTX 4090", "20×")


def test_trials_on_dev_are_no_results():
    dev = [record(1, 99, test="dev")]
    assert paper.main_results(dev).frame["measured NER"].isna().all()
    assert len(beyond.conventions(dev).frame) == 0


def test_conventions_are_of_the_same_predictions():
    """By hand, tp, fp, fn: NER 80, 10, 20; RE 40, 5, 10, ten of the hits twice in pl_marker; surface finds one more."""
    frame = beyond.conventions([record(1, 80, dataset="scierc", symmetric=True)]).frame
    assert list(frame.criterion) == ["NER", "RE", "RE+"]

    def f1(tp, fp, fn):
        return pytest.approx(200 * tp / (2 * tp + fp + fn), abs=1e-3)

    ner, re, re_plus = (row for _, row in frame.iterrows())
    assert (ner.strict, ner.pl_marker, ner.surface) == (f1(80, 10, 20), f1(80, 10, 20), f1(81, 9, 19))
    assert (re.strict, re.pl_marker, re.surface) == (f1(40, 5, 10), f1(50, 5, 10), f1(41, 4, 9))
    assert (re_plus.strict, re_plus.pl_marker, re_plus.surface) == (f1(35, 10, 15), f1(45, 10, 15), f1(36, 9, 14))
    assert re["difference pl_marker"] == pytest.approx(re.pl_marker - re.strict)


def test_errors_by_type_are_sums_over_runs():
    row = beyond.types([record(1, 80), record(2, 60)]).frame.query("criterion == 'NER'").iloc[0]
    assert (row.type, row.hit, row.missed, row.spurious) == ("PER", 140, 60, 30)
    assert row["strict F1"] == pytest.approx(100 * 280 / (280 + 60 + 30))


def test_all_tables_are_golden_to_the_letter(tmp_path):
    files = written(tmp_path)
    assert {path.stem for path in ALL.glob("*.md")} == set(files)
    for name, path in files.items():
        assert path.read_text() == (ALL / f"{name}.md").read_text(), name


def test_runs_of_version_1_are_counted_where_mistakes_are_shown():
    known = [record(1, 80), record(3, 70, mistakes={}, schema_version=1)]
    assert "Recorded before mistakes were counted, so not here: iter on conll04, 1 run." in mistakes.entities(known).notes


def test_mistakes_by_hand():
    (row,) = mistakes.relations([record(1, 80)]).frame.to_dict("records")
    assert (row["gold"], row["hit %"], row["entities %"], row["missed entity %"], row["spurious %"]) == (50, 70, 6, 20, 14)
    assert row["R given entities"] == pytest.approx(100 * 35 / 37) and row["P given entities"] == pytest.approx(100 * 35 / 42)


def of_documents(dataset, right):
    """A record of the embedded corpus, scored on its test split: each document one entity, hit or missed."""
    sha256 = corpus.fingerprint(corpus.load(dataset, "test").documents)
    split = record().data["test"].model_copy(update={"sha256": sha256, "documents": len(right)})
    counts = {"ner": [(1, 0, 0) if hit else (0, 0, 1) for hit in right]}
    return record(dataset=dataset, data=record().data | {"test": split}, documents=counts)


def test_bins_of_length_hold_as_many_documents_each():
    words = [len(document.words) for document in corpus.load("synthetic-lengths", "test").documents]
    third = sorted(words)[3 * len(words) // 4]
    frame = slices.length([of_documents("synthetic-lengths", [n > third for n in words])]).frame
    assert list(frame.documents) == [38, 37, 38, 37] and third in (frame["to"][2], frame["from"][3])
    hits = sum(n > third for n in words)
    assert list(frame["NER F1"]) == pytest.approx([0, 0, 0, 100 * 2 * hits / (hits + 37)])


def test_slices_add_up_to_the_whole_and_stand_in_their_bin():
    """Every document of the embedded corpus with ω = 3 is all hit, every other all missed."""
    documents = corpus.load("synthetic-w3", "test").documents
    deep = [statistics.omega(document) == 3 for document in documents]
    frame = slices.depth([of_documents("synthetic-w3", deep), record()]).frame
    assert list(frame["ω"]) == [1, 2, 3] and list(frame["NER F1"]) == [0, 0, 100] and list(frame["NER F1 low"]) == [0, 0, 100]
    assert frame.documents.sum() == len(documents) and frame.documents.iloc[2] == sum(deep)
    assert not len(slices.length([of_documents("synthetic-w3", deep)]).frame), "single sentences"
    other = record(dataset="synthetic-w3", documents={"ner": [(1, 0, 0)] * 200})
    assert not len(slices.depth([other]).frame), "scored on another version of the corpus"


def test_the_interval_is_that_of_a_share():
    """F1 of documents with one item, hit or (missed and spurious) by halves, is the share of hits: a binomial."""
    counts = np.array([[(1, 0, 0)] * 50 + [(0, 1, 1)] * 50])
    f1, low, high = slices.f1_interval(counts)
    assert f1 == 50 and (low, high) == pytest.approx((40.2, 59.8), abs=1.1)
