"""`iter-bench verify`: the committed results hold, and whatever is changed in them is named."""

import json
import re
import shutil
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from record_examples import entry, record, scores
from typer.testing import CliRunner

from iter_bench import data, matrix, records, summary
from iter_bench.cli import app
from iter_bench.data import catalogue, spert
from iter_bench.document import Document, Entity
from iter_bench.errors import UserError
from iter_bench.records import describe_split
from iter_bench.report import write_all_tables
from iter_bench.scoring import CONVENTIONS
from iter_bench.tables.catalogue import load_sources
from iter_bench.verify import check_data, check_record, verify, verify_figures

ROOT = Path(__file__).parents[1]
NAME = "scierc"
LOCK = (ROOT / "requirements.lock").read_text()


@pytest.mark.slow
def test_the_committed_results_and_readme_hold():
    checked, problems, absent = verify(ROOT / "results", [ROOT / "README.md", *sorted(ROOT.glob("baselines/*/README.md"))])
    assert problems == []
    assert absent == ["ade", "conll04", "genia", "scierc"], "no folder of data was given"
    assert checked["records"] == len(list(ROOT.glob("results/runs/*.json"))) + len(list(ROOT.glob("results/throughput/*.json")))
    assert checked["numbers"] > 20 and checked["tables"] > 5


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """One profile's records, as committed, with every table that they give."""
    folder = tmp_path_factory.mktemp("whole") / "results"
    (folder / "runs").mkdir(parents=True)
    wanted = {run.run_id for run in matrix.load_profile(NAME).runs()}
    for path in (ROOT / "results" / "runs").glob("*.json"):
        if path.stem.rsplit("-", 1)[1] in wanted:
            shutil.copy(path, folder / "runs")
    tabled(folder)
    return folder


def tabled(results: Path) -> Path:
    """The folder, once all tables are made."""
    write_all_tables(load_sources(results), results / "tables")
    return results


@pytest.fixture
def results(whole, tmp_path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(whole, tmp_path / "results"))


def first_record(results: Path) -> Path:
    return min((results / "runs").iterdir())


def in_record(*place, value=None):
    """A change of the value at ``place`` of the first record; without a value it's taken away."""

    def change(results: Path) -> None:
        path = first_record(results)
        content = node = json.loads(path.read_text())
        for key in place[:-1]:
            node = node[key]
        assert node[place[-1]] != value
        if value is None:
            del node[place[-1]]
        else:
            node[place[-1]] = value
        path.write_text(json.dumps(content))

    return change


def recounted(convention, criterion, of):
    """Other counts by type, with all that follows from them: ``of`` makes them of tp, fp and fn."""

    def change(results: Path) -> None:
        tallies = records.load(first_record(results)).scores.test[convention][criterion].per_type
        counts = {name: of(tally.tp, tally.fp, tally.fn) for name, tally in tallies.items()}
        in_record("scores", "test", convention, criterion, value=entry(**counts))(results)

    return change


def point(number, like):
    """λ ``number`` of the curve with the ratios of another."""

    def change(results: Path) -> None:
        curve = json.loads(first_record(results).read_text())["lambda_curve"]
        in_record("lambda_curve", number, value=curve[like] | {"lambda": curve[number]["lambda"]})(results)

    return change


def committed_ner() -> tuple[float, float]:
    """Mean and deviation of NER F1 in the committed table, in percent."""
    row = pd.read_csv(ROOT / "results" / "tables" / f"{NAME}.csv").iloc[0]
    return 100 * row.ner_f1, 100 * row.ner_f1_std


def in_table(results: Path) -> None:
    path = results / "tables" / f"{NAME}.md"
    mean, _ = committed_ner()
    path.write_text(path.read_text().replace(f"{mean:.2f}", f"{mean + 0.01:.2f}"))


def renamed(results: Path) -> None:
    path = first_record(results)
    path.rename(path.with_name(path.name.replace("-s1-", "-s9-")))


STRICT = ("scores", "test", "strict")
CHANGES = {
    "count": (in_record(*STRICT, "ner", "tp", value=1), "scores.test.strict.ner: the counts aren't the sums over the types"),
    "ratio": (in_record(*STRICT, "re", "f1", value=0.99), "scores.test.strict.re: precision, recall and F1 aren't those of tp"),
    "macro": (in_record(*STRICT, "re", "macro", "f1", value=0.99), "scores.test.strict.re: macro f1 isn't the mean over the"),
    "gold": (in_record("data", "test", "entities", value=7), "strict.ner: hits and misses aren't the entities of the split"),
    "split": (in_record("data", "test", "split", value="dev"), "data.test: is of dev, the settings name test"),
    "no split": (in_record("data", "test"), "data: Value error, lacks test, the split that was scored"),
    "no convention": (in_record(*STRICT), "scores.test: Value error, lacks strict.ner, strict.re, strict.re_plus; restore"),
    "no criterion": (in_record(*STRICT, "re_plus"), "scores.test: Value error, lacks strict.re_plus; restore the record"),
    "no types": (in_record(*STRICT, "ner", "per_type", value={}), "strict.ner: the counts aren't the sums over the types"),
    "all right": (
        recounted("pl_marker", "re_plus", lambda tp, fp, fn: (tp + fn, 0, 0)),
        "pl_marker.re_plus.Conjunction: the counts aren't twice those of strict",
    ),
    "one more": (
        recounted("pl_marker", "ner", lambda tp, fp, fn: (tp + 1, fp, fn - 1)),
        "pl_marker.ner.Method: the counts aren't those of strict",
    ),
    "surface": (recounted("surface", "ner", lambda *_: (0, 0, 0)), "surface.ner.Method: 0 gold items, "),
    "surface hits": (recounted("surface", "re", lambda tp, fp, fn: (0, tp + fp, tp + fn)), "surface.re.Used-for: no hit, "),
    "class": (in_record("mistakes", "relations", value={"zzz": 1}), "mistakes: Value error, relations: the classes are hit, "),
    "classes": (in_record("mistakes", "entities", "missed", value=0), "mistakes.entities: the classes don't add up"),
    "given": (in_record("mistakes", "given", "gold", value=974), "mistakes.given.gold: is 974, the classes of relations leave"),
    "λ": (in_record("lambda_curve", 3, "recall", value=0.5), "lambda_curve at 0.15: precision, recall and F1 come from no"),
    "falling": (point(15, like=2), "lambda_curve at 0.75: more relations than at a smaller λ"),
    "own λ": (point(10, like=9), "lambda_curve: isn't at 0.5, the run's own λ, what scores.test.strict.re_plus is"),
    "documents": (in_record("prediction", "documents", value=1), "prediction.documents: is 1, the split has 551"),
    "seconds": (in_record("durations", "training", value=1.0), "durations.training: isn't the "),
    "settings": (in_record("settings", "seed", value=77), "run_id is"),
    "field": (in_record("parameters", value="many"), "parameters: "),
    "cut": (lambda results: first_record(results).write_text("{"), "is not a JSON file"),
    "name": (renamed, "should be called"),
    "absent": (lambda results: first_record(results).unlink(), f"{NAME}.*: 4 of the 5 runs of the profile have a record"),
    "table": (in_table, f"{NAME}.md: isn't what the records give"),
    "no tex": (lambda results: (results / "tables" / f"{NAME}.tex").unlink(), f"{NAME}.tex: is missing"),
    "no table": (
        lambda results: [path.unlink() for path in (results / "tables").glob("types.*")],
        "types.*: is missing: run `iter-bench tables`",
    ),
    "no csv": (lambda results: (results / "tables" / f"{NAME}.csv").unlink(), f"{NAME}.csv: is missing"),
    "other": (lambda results: (results / "tables" / "mine.csv").write_text("a\n1\n"), "mine.*: no profile is called 'mine'"),
    "stray": (
        lambda results: (results / "tables" / f"{NAME}-significance.md").write_text("9.99"),
        f"{NAME}-significance.md: no table of that name comes from the records",
    ),
}


def test_one_profile_s_results_hold(whole):
    tables = len(list((whole / "tables").glob("*.csv")))
    assert verify(whole, []) == ({"records": 5, "splits": 0, "tables": tables, "numbers": 0}, [], [NAME])


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_named(results, name):
    change, wanted = CHANGES[name]
    change(results)
    assert any(wanted in problem for problem in verify(results, [])[1])


DRAWN_HERE = pytest.mark.skipif(
    f"matplotlib=={matplotlib.__version__}\n" not in LOCK, reason="drawings depend on the version of matplotlib"
)


@pytest.mark.slow
@DRAWN_HERE
def test_figures_are_drawn_again_and_what_differs_is_named(results, monkeypatch):
    monkeypatch.setattr("iter_bench.report.FIGURES", {})
    figures = results / "figures"
    figures.mkdir()
    for figure in ("lambda-curve", "learning-curve", "scores"):  # not those of profiles whose names begin alike
        for path in (ROOT / "results" / "figures").glob(f"{NAME}-{figure}.*"):
            shutil.copy(path, figures)
    assert verify_figures(results) == (3, [])
    drawing, caption, gone, stray = (
        figures / f"{NAME}{rest}" for rest in ("-scores.svg", "-learning-curve.md", "-lambda-curve.png", "-old.png")
    )
    drawing.write_text(re.sub(r"(?<=L \d{2})\d", lambda digit: str((int(digit[0]) + 1) % 10), drawing.read_text(), count=1))
    caption.write_text(caption.read_text().replace("5 runs", "6 runs"))
    gone.rename(stray)
    assert verify_figures(results) == (
        3,
        [
            f"{gone}: is missing: run `iter-bench figures`",
            f"{caption}: isn't what the records give",
            f"{figures / NAME}-old.*: no figure of that name comes from the records",
            f"{drawing}: isn't what the records give",
        ],
    )
    summary.write(results)
    refused = CliRunner().invoke(app, ["verify", "--results", str(results)])
    assert isinstance(refused.exception, UserError) and "4 things don't hold" in str(refused.exception)
    for path in figures.glob(f"{NAME}-scores.*"):
        path.unlink()
    assert f"{figures / NAME}-scores.*: is missing: run `iter-bench figures`" in verify_figures(results)[1]


@pytest.mark.slow
@DRAWN_HERE
def test_the_committed_figures_are_what_the_records_give():
    drawn, problems = verify_figures(ROOT / "results")
    assert problems == [] and drawn == len(list(ROOT.glob("results/figures/*.md"))) > 20


def test_a_number_without_record_is_named_with_its_line(results, tmp_path, monkeypatch):
    monkeypatch.setattr("iter_bench.verify.verify_figures", lambda results: (0, []))  # has tests of its own
    text = tmp_path / "text.md"
    mean, deviation = committed_ner()
    text.write_text(
        f"# F1\n\n<!-- from: tables/scierc.csv -->\nNER {mean:.2f}, so {mean:.1f} ± {deviation:.2f},\nnot {mean - 0.6:.1f}.\n\n"
        "<!-- verify: printed by the paper -->\n88.8 and\n88.9\n\n88.7\n"
    )
    problems = verify(results, [text])[1]
    assert [problem[: len(f"{text}, line 11: 88.7")] for problem in problems] == [
        f"{text}, line 5: {mean - 0.6:.1f} ",
        f"{text}, line 11: 88.7",
    ]
    refused = CliRunner().invoke(app, ["verify", "--results", str(results)])
    assert f"{results / summary.NAME}: is missing: run `iter-bench tables`" in str(refused.exception)
    summary.write(results)
    refused = CliRunner().invoke(app, ["verify", str(text), "--results", str(results)])
    assert isinstance(refused.exception, UserError) and "2 things don't hold" in str(refused.exception)
    in_table(results)  # a table that can't be made again supports nothing
    assert any("the records give no tables/scierc.csv" in problem for problem in verify(results, [text])[1])
    text.write_bytes(b"\xff")
    assert any(f"{text}: can't be read as text in UTF-8" in problem for problem in verify(results, [text])[1])


def test_dev_scores_document_counts_and_embedded_documents_must_be_the_same_again():
    strict = scores(80)["strict"]
    whole = {name: [(s["tp"], s["fp"], s["fn"]), *[(0, 0, 0)] * 9] for name, s in strict.items()}
    good = record(documents=whole)
    assert list(check_record(good, good.file_name)) == []
    for counts, wanted in (
        ([(1, 0, 0)] + [(0, 0, 0)] * 9, "documents.re: the counts of the documents don't add up"),
        (whole["re"][:9], "documents.re: 9 documents, the split has 10"),
    ):
        bad = record(documents={**whole, "re": counts})
        (problem,) = check_record(bad, bad.file_name)
        assert wanted in problem
    dev = scores(78)
    dev["strict"]["ner"]["fn"] += 1
    bad = record(scores={"test": scores(80), "dev": dev})
    assert {problem.split(":")[0] for problem in check_record(bad, bad.file_name)} == {"scores.dev.strict.ner"}
    fewer = good.data["dev"].model_copy(update={"relations": 49})
    bad = record(data={**good.data, "dev": fewer})
    assert list(check_record(bad, bad.file_name)) == [
        "scores.dev.strict.re_plus: hits and misses aren't the relations of the split"
    ]
    bad = record(scores={"test": scores(80)})
    assert list(check_record(bad, bad.file_name)) == ["scores.dev: are missing"]
    embedded = next(path for path in (ROOT / "results" / "runs").glob("synthetic-iter-*.json"))
    good = records.load(embedded)
    assert list(check_data(good, None)) == []
    other = good.data["test"].model_copy(update={"sha256": good.data["dev"].sha256})
    bad = good.model_copy(update={"data": {**good.data, "test": other}})
    assert list(check_data(bad, None)) == ["data.test: hash or counts aren't those of the split test of synthetic"]


def test_real_corpora_are_compared_where_they_are(tmp_path):
    """By a record of the two documents that lie there; without them it's said."""
    folder = tmp_path / "data"
    conll04 = catalogue.entry("conll04")
    documents = [Document(f"d{i}", ("Ann", "left", "Rome"), (Entity(0, 1, "Peop"), Entity(2, 3, "Loc"))) for i in range(2)]
    for split in ("train", "dev", "test"):
        path = folder / conll04.folder / conll04.files[split]
        path.parent.mkdir(parents=True, exist_ok=True)
        spert.write_gold(path, documents[: 1 if split == "dev" else 2])
    read = {split: data.load("conll04", split, data_dir=folder) for split in ("train", "dev", "test")}
    splits = {split: describe_split(loaded, data.fingerprint(loaded.documents)) for split, loaded in read.items()}
    found, tuned = ({convention: {"ner": entry(Peop=(n, 0, 0), Loc=(n, 0, 0))} for convention in CONVENTIONS} for n in (2, 1))
    told = {"mistakes": {}, "lambda_curve": None, "prediction": None}
    good = record(data=splits, scores={"test": found, "dev": tuned}, **told)
    assert good.data["test"].entities == 4 and list(check_data(good, folder)) == []
    results = tmp_path / "results"
    wrong = good.data["test"].model_copy(update={"sha256": "0" * 64})
    records.write(good.model_copy(update={"data": {**good.data, "test": wrong}}), results / "runs")
    tabled(results)
    (problem,) = verify(results, [], folder).problems
    assert problem.endswith("data.test: hash or counts aren't those of the split test of conll04")
    for elsewhere in (None, tmp_path):
        assert verify(results, [], elsewhere)[1:] == ([], ["conll04"])
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    (broken / path.relative_to(folder)).write_text("[")
    (problem,) = verify(results, [], broken).problems
    assert "data.test: can't be read again: " in problem and "broken JSON" in problem


def test_where_nothing_is_nothing_holds(tmp_path):
    (problem,) = verify(tmp_path, []).problems
    assert "there is no record" in problem
    refused = CliRunner().invoke(app, ["verify", "--results", str(tmp_path)])
    assert isinstance(refused.exception, UserError) and "there is no record" in str(refused.exception)
