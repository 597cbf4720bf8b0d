"""`iter-bench reproduce` end to end: a matrix of all systems, two at a time, to records, one table and figures."""

import json
from collections import Counter
from itertools import product

import pytest
import torch
from typer.testing import CliRunner

from iter_bench import data, matrix, records, systems
from iter_bench.cli import app
from iter_bench.data.stand_in import write_ace05
from iter_bench.errors import UserError
from iter_bench.run import Folders, encoder_of
from iter_bench.tables import paper

GROUP = """
[[group]]
system = "{system}"
encoder = "{encoder}"
seeds = [1]
data = {{ dataset = "synthetic-w1", train = "dev", dev = "none" }}
training = {{ epochs = 1, batch_size = 16, lr_heads = 1e-3 }}
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


@pytest.mark.slow
def test_a_run_starts_from_the_encoder_that_another_trained(tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    group = GROUP.format(system="iter", encoder=tiny_encoder)
    start = group.replace('train = "dev"', 'train = "test"') + 'start = "synthetic-w1"\n'
    (tmp_path / "start.toml").write_text(f'description = "One after the other."\n{start}{group}')
    result = CliRunner().invoke(app, ["reproduce", "--profile", "start.toml", "--workers", "2"])
    assert result.exit_code == 0, result.output
    source, started = matrix.load_profile("start.toml").runs()
    folders = Folders()
    trained = systems.load_system(folders.system(source.run_id)).module.encoder.state_dict()
    first = systems.system_class("iter").build(
        encoder_of(started, folders), data.schema_of("synthetic-w1"), (), {"omega": 1}, seed=5
    )
    now = first.module.encoder.state_dict()
    assert all(torch.equal(now[name], weight) for name, weight in trained.items())
    assert records.find(folders.records, started.run_id).encoder == f"trained:{source.run_id}"
    with pytest.raises(UserError, match="do the run 0123456789ab first"):
        encoder_of(started.model_copy(update={"encoder": "trained:0123456789ab"}), folders)


@pytest.mark.slow
def test_the_matrix_of_ace05_runs_on_generated_texts_and_no_table_takes_them_for_ace05(tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_ace05(tmp_path / "data", texts=8)
    change = f'encoder = "{tiny_encoder}"\nseeds = [1]\ntraining = {{ epochs = 1, precision = "bf16" }}'
    (tmp_path / "small.toml").write_text(f'description = "On a stand-in."\ninclude = "ace05"\n[change]\n{change}\n')
    result = CliRunner().invoke(app, ["reproduce", "--profile", "small.toml", "--data-dir", "data"])
    assert result.exit_code == 0, result.output
    done = records.load_all(tmp_path / "results" / "runs")
    assert {(r.system, r.settings.data.context) for r in done} == {*product(systems.REGISTRY, (0, 64)), ("plmarker", 512)}
    # ITER's settings differ by family: the T5s, BART, DeBERTa and ALBERT
    assert Counter(r.system for r in done) == {"iter": 4 * 2, "asp": 2, "plmarker": 3}
    assert {record.dataset for record in done} == {"ace05 (stand-in)"}
    wide = next(r for r in done if r.system == "iter" and r.settings.data.context)
    folder = Folders().system(wide.run_id)
    command = ["evaluate", str(folder), "--dataset", "ace05", "--data-dir", "data", "--json", "--output"]
    for given, path in (([], "default.json"), (["--context", "64"], "same.json"), (["--context", "0"], "none.json")):
        shown = CliRunner().invoke(app, [*command, path, *given])
        assert shown.exit_code == 0, shown.output
        assert "computing in bf16, as in its training" in shown.stderr
    default, same, none = ((tmp_path / f"{name}.json").read_text() for name in ("default", "same", "none"))
    assert default == same == Folders().predictions(wide.run_id).read_text() != none
    (folder / "run.json").write_text('{"data": {"context": "many"}}')
    refused = CliRunner().invoke(app, [*command, "refused.json"])
    assert "run.json, data.context" in str(refused.exception)
    shown = (tmp_path / "results" / "tables" / "small.md").read_text()
    assert "generated samples, which stand in for the data set" in shown and "samples fewer than the 2050 expected" in shown
    for table in (paper.main_results(done), paper.encoders(done), paper.precision_recall(done)):
        assert not [name for name in table.frame if name.startswith("measured") and table.frame[name].notna().any()]
