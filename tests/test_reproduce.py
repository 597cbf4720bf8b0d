"""`iter-bench reproduce` end to end: a matrix of all systems, two at a time, to records, one table and figures."""

import json

import pytest
from typer.testing import CliRunner

from iter_bench import records, systems
from iter_bench.cli import app

GROUP = """
[[group]]
system = "{system}"
encoder = "{encoder}"
seeds = [1]
data = {{ dataset = "synthetic-w1", train = "dev", dev = "none" }}
training = {{ epochs = 1, batch_size = 16 }}
"""


@pytest.mark.slow
def test_all_systems_end_in_one_table(tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    groups = [GROUP.format(system=name, encoder=tiny_encoder) for name in systems.REGISTRY]
    (tmp_path / "all.toml").write_text('description = "All systems, hardly trained."\n' + "".join(groups))
    command = ["reproduce", "--profile", "all.toml", "--workers", "2"]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    done = records.load_all(tmp_path / "results" / "runs")
    assert {record.system for record in done} == set(systems.REGISTRY)
    assert all(len(record.documents["re_plus"]) == record.data["test"].documents for record in done)
    for system in systems.REGISTRY:
        assert f"\n {system} " in first.output
    written = {path.name for path in (tmp_path / "results").rglob("*")}
    assert {"all.md", "all.csv", "all.tex", "all-significance.md", "all-scores.png", "all-learning-curve.svg"} <= written

    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "runs").iterdir()}
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0 and f"{len(done)} of them finished before" in again.stderr
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "runs").iterdir()}
    listed = CliRunner().invoke(app, ["ls", "runs", "--json"])
    assert len(json.loads(listed.stdout)) == len(done)
