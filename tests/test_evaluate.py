"""`iter-bench evaluate` for a program: the scores of what it wrote, and the gold that the system could not have found."""

from json import loads

from typer.testing import CliRunner

from baselines.asp.system import AspSystem
from iter_bench import data
from iter_bench.cli import app


def _apart(entities):
    """How many of them can be had without overlap: by their ends, each that begins after the last one taken."""
    count = end = 0
    for entity in sorted(entities, key=lambda entity: entity.end):
        if entity.start >= end:
            count, end = count + 1, entity.end
    return count


def test_json_has_the_scores_and_what_is_out_of_the_systems_reach(tiny_encoder, tmp_path):
    dev = data.load("synthetic", "dev")
    AspSystem.build(tiny_encoder, dev.schema, dev.documents, {}, seed=1).save(tmp_path / "asp")
    gold, written = tmp_path / "dev.json", tmp_path / "found.json"
    command = ["evaluate", str(tmp_path / "asp"), "--dataset", "synthetic", "--split", "dev", "--json"]
    shown = CliRunner().invoke(app, [*command, "--output", str(written)])
    assert shown.exit_code == 0, shown.output
    result = loads(shown.stdout)
    lost = sum(count for reason, count in result["data"]["unreachable"].items() if reason.startswith("entities"))
    assert lost == sum(len(document.entities) - _apart(document.entities) for document in dev.documents) > 0
    assert "out of the system's reach" in shown.stderr

    exported = CliRunner().invoke(app, ["data", "export", "synthetic", "--split", "dev", "--output", str(gold)])
    assert exported.exit_code == 0, exported.output
    scored = CliRunner().invoke(app, ["score", str(gold), str(written), "--types", str(tmp_path / "dev_types.json"), "--json"])
    assert scored.exit_code == 0 and loads(scored.stdout) == result["scores"]
