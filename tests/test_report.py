"""The one page and the command line: made from records alone, self-contained, the same each time."""

import re
from html.parser import HTMLParser

import pytest
from record_examples import record
from typer.testing import CliRunner

from iter_bench import records, summary
from iter_bench.cli import app
from iter_bench.verify import verify


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for seed in (1, 2):
        records.write(record(seed, 80 + seed), folder / "runs")
        records.write(record(seed, 70, dataset="scierc", system="plmarker", symmetric=True), folder / "runs")
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
