"""The one page and the command line: made from records alone, self-contained, the same each time."""

import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser

import pytest
from record_examples import record
from throughput_examples import measured
from typer.testing import CliRunner

from iter_bench import data, examples, matrix, records, summary
from iter_bench.cli import app
from iter_bench.data import spert
from iter_bench.data.synthetic import SCHEMA
from iter_bench.document import Entity, Extraction, Relation
from iter_bench.errors import UserError
from iter_bench.html_report.examples import examples_html
from iter_bench.report import write_report
from iter_bench.tables.catalogue import load_sources
from iter_bench.tables.profiles import profile_tables
from iter_bench.verify import verify


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for seed in (1, 2):
        records.write(record(seed, 80 + seed), folder / "runs")
        records.write(record(seed, 70, dataset="scierc", system="plmarker", symmetric="Conjunction"), folder / "runs")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def test_the_page_holds_everything_and_needs_no_network(results, tmp_path):
    page = tmp_path / "report.html"
    assert run("report", "--results", results, "--output", page).exit_code == 0
    text = page.read_text()
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", text), "nothing is loaded from elsewhere"
    assert "@import" not in text and "$" not in re.sub(r"<script>.*</script>", "", text, flags=re.DOTALL)
    seen = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: seen.append((tag, dict(attributes)))
    parser.feed(text)
    ids = {attributes["id"] for _, attributes in seen if "id" in attributes}
    links = {attributes["href"][1:] for tag, attributes in seen if tag == "a"}
    assert ids == links and {"table3-main", "table7-transfer", "conventions", "drawn-figure2-lambda"} <= ids
    assert "FLAN-T5-xl" in text and "75.68" in text  # one published row, one measured value


def test_what_the_records_do_not_fill_any_more_is_deleted_and_nothing_else(tmp_path):
    records.write(record(1), tmp_path / "runs")
    own = [tmp_path / "tables" / "mine.csv", tmp_path / "figures" / "mine-scores.png"]
    for path in own:
        path.parent.mkdir()
        path.touch()
    for command in ("tables", "figures"):
        run(command, "--results", tmp_path)
    assert (tmp_path / "tables" / "table3-main.csv").exists()
    conventions = [tmp_path / "tables" / "conventions.csv", tmp_path / "figures" / "conventions.svg"]
    assert all(path.exists() for path in conventions)
    stale = [tmp_path / "tables" / "quick-significance.md", tmp_path / "figures" / "quick-lambda-curve.svg"]
    for path in stale:
        path.touch()
    shutil.rmtree(tmp_path / "runs")
    records.write(measured(), tmp_path / "throughput")
    for command in ("tables", "figures"):
        run(command, "--results", tmp_path)
    assert not any(path.exists() for path in (*conventions, *stale)) and all(path.exists() for path in own)
    assert (tmp_path / "tables" / "table3-main.csv").exists(), "what was published stays"


def test_a_typo_in_a_search_s_result_is_one_readable_line(tmp_path):
    best = tmp_path / "searches" / "x.toml"
    best.parent.mkdir()
    best.write_text("[training]\nepoch = 3\n")
    with pytest.raises(UserError) as refused:
        load_sources(tmp_path)
    assert str(refused.value) == f"{best}, training.epoch: there is no such setting; there is training.epochs"


@pytest.mark.parametrize("command", ["tables", "figures", "report"])
def test_a_folder_without_records_is_refused_before_anything_is_written(command, tmp_path):
    with pytest.raises(UserError, match="holds no record"):
        run(command, "--results", tmp_path / "reslts")
    assert not list(tmp_path.iterdir())


def test_the_page_shows_the_figures_of_finished_profiles_with_the_captions_of_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr("iter_bench.report.FIGURES", {})
    done = [record(run_id=settings.run_id, settings=settings) for settings in matrix.load_profile("quick").runs()]
    for one in [*done, record(dataset="synthetic", training={"epochs": 1})]:
        records.write(one, tmp_path / "runs")
    write_report(done, tmp_path, "quick")
    before = {path: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    run("figures", "--results", tmp_path)
    assert {path: path.read_bytes() for path in (tmp_path / "figures").iterdir()} == before
    captions = {path.stem: path.read_text().split("\n\n")[1].strip() for path in (tmp_path / "figures").glob("*.md")}
    assert set(captions) == {"quick-scores", "quick-learning-curve", "quick-lambda-curve"}
    assert not any("ITER " in caption for caption in captions.values()), "no number: the other setting isn't drawn"
    run("report", "--results", tmp_path, "--output", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    shown = re.findall(r'<section id="drawn-([^"]+)">.*?<img alt="([^"]*)" src="data:image/png;base64,\w', page)
    assert {name: unescape(caption) for name, caption in shown} == captions


def test_tables_of_a_profile_say_what_they_are_of():
    """The same on the page and in files: data trained on, convention, hardware, command, and who could not be compared."""
    split = record().data["train"].model_copy(update={"split": "train+dev"})
    counts = {"ner": ((1, 0, 0),) * 10}
    runs = [record(seed, data=record().data | {"train": split}, documents=counts) for seed in (1, 2)]
    runs += [record(1, 70, system="asp", documents=counts), record(1, 70, system="plmarker")]
    made = profile_tables(runs, "conll04-systems")
    assert list(made) == ["conll04-systems", "conll04-systems-significance"]
    notes = " ".join(made["conll04-systems"].notes)
    for told in ("convention `strict`", "Scored on test", "`make reproduce PROFILE=conll04-systems`", "seeds 1–2", "Some CPU"):
        assert told in notes
    assert "conll04, train+dev: used as training data." in notes
    about = made["conll04-systems-significance"].notes
    assert "common seed: plmarker on conll04." in about[1] and about[2].startswith("2 runs, seed 1.")
    assert list(profile_tables(runs[:1], "search-conll04-iter")) == ["search-conll04-iter"]
    assert (
        "`iter-bench search conll04-iter`" in profile_tables(runs[:1], "search-conll04-iter")["search-conll04-iter"].notes[-1]
    )


def test_examples_show_what_each_system_found_right_wrong_and_not(tmp_path):
    documents = data.load("synthetic", "test").documents
    run_, other = record(system="plmarker", dataset="synthetic"), record(dataset="conll04")
    first = documents[0]
    ends = {end for relation in first.relations for end in (relation.head, relation.tail)}
    lost = next(entity for entity in first.entities if entity not in ends)
    wrong, kept = Entity(lost.start, lost.end, "product"), {*first.entities} - {lost}
    backwards = [Relation(r.tail, r.head, r.type) for r in first.relations]
    found = [Extraction(d.id, d.entities, d.relations) for d in documents]
    found[0] = Extraction(first.id, tuple(sorted({wrong, *kept})), tuple(sorted(backwards)))
    spert.write_predictions(tmp_path / "predictions.json", documents, found)
    (tmp_path / "examples").mkdir()
    for earlier in ("synthetic-plmarker-old.json", "synthetic-iter-kept.json"):
        (tmp_path / "examples" / earlier).write_text("[]")
    with pytest.raises(UserError):
        examples.write([other, run_], lambda _: tmp_path / "none.json", tmp_path / "examples")
    assert (tmp_path / "examples" / "synthetic-plmarker-old.json").exists(), "until others are written"
    examples.write([other, run_], lambda _: tmp_path / "predictions.json", tmp_path / "examples")
    left = {"gold.json", run_.file_name, "synthetic-iter-kept.json"}
    assert {path.name for path in (tmp_path / "examples").iterdir()} == left, "of another system nothing new was written"
    (tmp_path / "examples" / "synthetic-iter-kept.json").unlink()
    loaded = examples.load(tmp_path / "examples", [run_])
    assert loaded.documents == tuple(documents) and loaded.found[0][1] == tuple(found)
    page = examples_html(loaded, SCHEMA)
    assert re.findall("<h3>(.*?)</h3>", page) == [d.id for d in documents[::10]]
    block = page.split("<h3>")[1]
    assert block.count('<span class="wrong">]product✗</span>') == 1
    assert block.count('<span class="right">]') == len(first.entities) - 1
    assert f"○ {' '.join(first.words[lost.start : lost.end])} ({lost.type})" in block
    directed = [r for r in first.relations if r.type not in SCHEMA.symmetric]
    assert directed and block.count('<div class="wrong">✗ ') == len(directed), "the wrong way round"
    assert 'class="wrong"' not in "".join(page.split("<h3>")[2:])
    with pytest.raises(UserError, match="has no record"):
        examples.load(tmp_path / "examples", [other])


class Finds:
    name = "plmarker"

    def predict(self, documents):
        return [Extraction(document.id, (Entity(0, 2, "person"),)) for document in documents]


def test_figure_1_of_any_text_or_document_as_predicted_or_gold(tmp_path, monkeypatch):
    monkeypatch.setattr("iter_bench.systems.load_system", lambda _: Finds())
    drawn = tmp_path / "drawn"
    (mine := tmp_path / "mine").mkdir()
    assert run("figures", "steps", "Ann Lee left.", "--system", mine, "--output", drawn).exit_code == 0
    assert (
        "on the text, predicted by PL-Marker" in drawn.with_suffix(".md").read_text()
        and drawn.with_suffix(".png").stat().st_size > 5000
    )
    gold = tmp_path / "gold"
    run("figures", "steps", "--document", "synthetic-1.0-test-000003", "--output", gold)
    assert "synthetic-1.0-test-000003, gold" in gold.with_suffix(".md").read_text()
    for arguments, message in (
        (["a text"], "name a --system"),
        ([], "either a text or"),
        (["--document", "none"], "no document 'none'"),
        ([" ", "--system", mine], "no word"),
    ):
        with pytest.raises(UserError, match=message):
            run("figures", "steps", *arguments)


def test_the_page_begins_with_a_summary_and_links_to_all_that_it_holds(results):
    for command in ("tables", "figures"):
        run(command, "--results", results)
    page = summary.readme(results)
    headings = {
        re.sub(r"[^\w -]", "", name).lower().replace(" ", "-") for name in re.findall(r"^##+ (.*)$", page, flags=re.MULTILINE)
    }
    links = re.findall(r"\]\(#([^)]+)\)", page)
    assert set(links) <= headings and {"conventions", "conventions-figure", "table3-main", "more-tables"} <= set(links)
    files = [link for link in re.findall(r"\]\(([^#)]+)\)", page) if not link.startswith("http")]
    assert all((results / file).exists() for file in files) and "tables/types.md" in files and "### types" not in page
    contents, first, tables = (page.index(f"## {name}\n") for name in ("Contents", "Summary", "Tables"))
    assert contents < first < tables < len(page) and page.count("| [table3-main](#table3-main) |\n") == page.count(
        "| RE+ F1 | "
    )


def test_tables_and_figures_are_remade_to_the_byte_and_verified(results):
    for command in ("tables", "figures"):
        assert run(command, "--results", results).exit_code == 0
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    run("tables", "--results", results)
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before
    readme = results / summary.NAME
    assert "### table3-main" in readme.read_text() and "figures/figure1-steps.png" in readme.read_text()
    assert verify(results, [readme])[1] == []

    table = results / "tables" / "table3-main.md"
    table.write_text(table.read_text().replace("71.9", "79.9"))
    problems = "\n".join(verify(results, [readme])[1])
    table.write_bytes(before[table])
    assert "table3-main.md: isn't what the records give" in problems
    assert "README.md: isn't what `iter-bench tables` writes" in problems


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome")
@pytest.mark.parametrize(
    ("clicks", "order"),
    [
        (("F1",), "d c a b"),
        (("F1", "F1"), "a c d b"),  # empty cells stay below
        (("F1", "system"), "a b c d"),
    ],
)
def test_a_browser_sorts_a_table_by_the_head_that_is_clicked(results, tmp_path, clicks, order):
    page = tmp_path / "report.html"
    run("report", "--results", results, "--output", page)
    (script,) = re.findall(r"<script>.*</script>", page.read_text(), flags=re.DOTALL)
    cells = {"b": "", "d": "\u22121.5", "a": "74.0 ± 0.3", "c": "9.8"}
    rows = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in cells.items())
    head = "".join(f"<th><button id='{name}'>{name}</button></th>" for name in ("system", "F1"))
    presses = "".join(f"document.getElementById('{name}').click();" for name in clicks)
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{script}<script>{presses}</script>"
    page.write_text(f"<!doctype html><meta charset='utf-8'>{body}", encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    shown = subprocess.run([BROWSER, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    assert re.findall(r"<tr><td>(\w)</td>", shown) == order.split()
    assert f'aria-sort="{"descending" if len(set(clicks)) < len(clicks) else "ascending"}"' in shown
