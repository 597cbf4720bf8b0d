"""A sweep end to end, with systems that cost nothing: resumed, cut off, and told in words."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from throughput_examples import Echo
from typer.testing import CliRunner

from iter_bench import data, records
from iter_bench.cli import app
from iter_bench.errors import SettingsError, UserError
from iter_bench.throughput import cells
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.throughput.sweep import SWEEPS, cells_of, load_sweep, run
from iter_bench.verify import verify

READING = "throughput-same-encoder"
SWEEP = """
description = "Two cells."
minutes = 2
subtokens = 32
rules = { warm_up = 1e-9, repetitions = 3, seconds = 0, drift = 1e9, others = 1 }
[[group]]
lengths = [16, 32, 1024]
batch_sizes = [2]
subjects = [SUBJECTS]
"""


@pytest.fixture
def sweep(tmp_path):
    """Writes a sweep of these systems and gives its file."""

    def write(*systems):
        subjects = ", ".join(f'{{ system = "throughput_examples:{name}" }}' for name in systems)
        path = tmp_path / "tiny.toml"
        path.write_text(SWEEP.replace("SUBJECTS", subjects))
        return str(path)

    return write


def test_a_second_run_measures_nothing_but_what_is_invalid(sweep, tmp_path):
    wanted, folder, here = load_sweep(sweep("Echo", "Bare")), tmp_path / "throughput", tmp_path / "here"
    steps = []
    first = run(wanted, folder, here, report=steps.append)
    assert [record.documents.documents for record in first.measured] == [2, 2] and all(r.valid for r in first.measured)
    assert [(step.number, step.of, step.records is None) for step in steps] == [
        (1, 2, True),
        (1, 2, False),
        (2, 2, True),
        (2, 2, False),
    ]
    assert [reason.split(":")[0] for reason in first.skipped] == ["1024 sub-tokens"] * 2 + ["throughput_examples"]
    assert records.load_all(folder, ThroughputRecord) == sorted(first.measured, key=lambda record: record.file_name)

    Echo.calls = 0
    again = run(wanted, folder, here)
    assert (again.measured, again.finished, again.left, Echo.calls) == ([], 2, [], 0), "a system that can't run changes nothing"
    spoilt = first.measured[0].model_copy(update={"problems": ("drift",)})
    records.write(spoilt, folder)
    third = run(wanted, folder, here)
    assert [record.run_id for record in third.measured] == [spoilt.run_id] and third.finished == 1
    assert records.find(folder, spoilt.run_id, ThroughputRecord).valid
    cloned = run(wanted, folder, tmp_path / "elsewhere")
    assert len(cloned.measured) == 2 and cloned.finished == 0, "records of a clone are no measurements of this machine"


@pytest.mark.parametrize(("error", "measured", "left"), [(RuntimeError, 1, 0), (torch.AcceleratorError, 0, 1)])
def test_an_error_of_a_library_costs_its_cell_and_one_of_the_device_those_after_it(
    error, measured, left, sweep, tmp_path, monkeypatch
):
    run_cell, calls = cells.run_cell, []

    def fails_once(*args, **options):
        calls.append(args)
        if len(calls) == 1:
            raise error("of the driver")
        return run_cell(*args, **options)

    monkeypatch.setattr(cells, "run_cell", fails_once)
    outcome = run(load_sweep(sweep("Echo")), tmp_path / "throughput", tmp_path / "here")
    assert (len(outcome.measured), len(outcome.left)) == (measured, left)
    assert sum(f"{error.__name__}: of the driver" in why for why in outcome.skipped) == 1
    again = run(load_sweep(sweep("Echo")), tmp_path / "throughput", tmp_path / "here")
    order = [record.settings.workload.length for record in (*outcome.measured, *again.measured)]
    assert order == [32, 16], "what broke the device comes last, or the next call would end there too"


def test_a_record_is_written_as_soon_as_it_is_made(sweep, tmp_path, monkeypatch):
    """A GPU's window of energy takes ten seconds a system: what ends the command there costs that system's record alone."""
    parts_of, written = cells.parts_of, []

    def seen(*of):
        written.append(len(records.load_all(tmp_path, ThroughputRecord)))
        return parts_of(*of)

    monkeypatch.setattr(cells, "parts_of", seen)
    run(load_sweep(sweep("Echo", "Loses")), tmp_path, tmp_path / "here")
    assert written == [0, 1, 2, 3]


SECOND_WRITE = """
import os, pathlib, signal, sys
sys.path.insert(0, {tests!r})
from iter_bench.throughput.sweep import load_sweep, run
real, records = os.replace, []
def replace(*paths):
    records.append(paths)
    if len(records) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*paths)
os.replace = replace
run(load_sweep({sweep!r}), pathlib.Path({folder!r}), pathlib.Path({here!r}))
"""


@pytest.mark.parametrize("fault", ["full disk", pytest.param("killed", marks=pytest.mark.slow)])
def test_a_fault_while_a_record_is_written_costs_that_cell_alone(sweep, tmp_path, monkeypatch, fault):
    file, folder, here = sweep("Echo"), tmp_path / "throughput", tmp_path / "here"
    if fault == "killed":
        code = SECOND_WRITE.format(tests=str(Path(__file__).parents[1]), sweep=file, folder=str(folder), here=str(here))
        assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    else:
        replace, paths = os.replace, []

        def full(*where):
            paths.append(where)
            if len(paths) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            return replace(*where)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full)
            with pytest.raises(UserError, match=r"the record could not be written: No space left on device"):
                run(load_sweep(file), folder, here)
        assert len(list(folder.iterdir())) == 1, "no half record is left"
    (kept,) = records.load_all(folder, ThroughputRecord)
    again = run(load_sweep(file), folder, here)
    assert (again.finished, len(again.measured), again.left) == (1, 1, [])
    assert kept in records.load_all(folder, ThroughputRecord) and len(records.load_all(folder, ThroughputRecord)) == 2


def test_the_budget_leaves_cells_and_names_them(sweep, tmp_path):
    outcome = run(load_sweep(sweep("Echo")), tmp_path, tmp_path / "here", minutes=0)
    assert [str(cell) for cell in outcome.left] == ["length-16, batch 2, minilm", "length-32, batch 2, minilm"]
    assert outcome.measured == []


def test_the_command_tells_all_and_ends_in_table_and_figure(sweep, tmp_path):
    command = ["throughput", sweep("Echo", "Loses"), "--results", str(tmp_path / "results"), "--work", str(tmp_path / "runs")]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    assert "1/2 length-16, batch 2, minilm: echo" in first.stderr and "loses INVALID" in first.stderr
    assert "wrong output: 1 of 2 documents" in first.stderr and "left out: 1024 sub-tokens" in first.stderr
    assert "Table 1, same encoder for all" in first.stdout and "echo" in first.stdout and "loses" not in first.stdout
    written = {path.name for path in (tmp_path / "results").rglob("*.*") if path.suffix != ".json"}
    assert written == {
        *(f"{name}.{suffix}" for name in ("table1-throughput", f"table1-{READING}") for suffix in ("csv", "md", "tex")),
        *(f"figure3-{READING}.{suffix}" for suffix in ("png", "svg", "md")),
        "README.md",
    }
    before = {path.name: path.read_bytes() for path in (tmp_path / "results").rglob("*.*")}
    for again in ("tables", "figures"):
        assert CliRunner().invoke(app, [again, "--results", str(tmp_path / "results")]).exit_code == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "results").rglob("*.*")}
    assert before == {name: content for name, content in after.items() if name in before} | {"README.md": before["README.md"]}
    assert verify(tmp_path / "results", [tmp_path / "results" / "README.md"])[1] == [], "what is made again says the same"
    nothing = CliRunner().invoke(
        app, ["throughput", sweep("Loses"), "--results", str(tmp_path / "other"), "--work", str(tmp_path / "w")]
    )
    assert isinstance(nothing.exception, UserError) and "nothing VALID was measured here" in str(nothing.exception)


def test_sweeps_of_the_package_hold_cells_for_every_system():
    for name in (path.stem for path in SWEEPS.glob("*.toml")):
        found, _ = cells_of(load_sweep(name))
        measured = {subject.system for cell in found for subject in cell.subjects}
        assert measured == {"asp", "plmarker", *(("iter",) if name != "paths" else ())}, "ITER has one way only"
        if name == "growth":
            assert [cell.workload.density for cell in found] == [2.5, 5, 10, 20]
        elif name == "paths":
            ways = {way for cell in found for subject in cell.subjects for way in subject.model.values()}
            assert ways == {"packed", "shared_text", "speculative", "stepwise", 4, 6, 8}
        else:
            others = set() if name == "readings" else {"ace05-context", "conll03"}
            assert {cell.workload.name for cell in found} >= {"conll04", "ace05", *others}
        ids = [run_id for cell in found for run_id in cell.ids("some machine")]
        assert len(ids) == len(set(ids)), "two cells would overwrite each other's records"


@pytest.mark.slow
def test_every_system_of_the_gpu_sweeps_can_be_built_and_same_parameters_are_the_same(monkeypatch):
    """Without memory for weights; those that are read from a file are left to the tests of their systems."""
    for module in ("iter_bench.iter_model", "baselines.asp", "baselines.plmarker"):
        monkeypatch.setattr(f"{module}.system.default_device", lambda: torch.device("meta"))
    corpus = data.load("synthetic-w1", "dev")
    for name in ("gpu", "parameters", "readings"):
        for lineup in {repr(cell.lineup): cell.lineup for cell in cells_of(load_sweep(name))[0]}.values():
            counts = []
            for subject in lineup:
                if subject.encoder.startswith("random:"):
                    with torch.device("meta"):
                        counts.append(cells.build(subject, corpus.schema, corpus.documents[:5]).parameters)
            if name == "parameters" or (name == "readings" and lineup[0].encoder == "random:deberta-v3-base"):
                assert len(counts) == len(lineup) and max(counts) < 1.05 * min(counts)


def test_wrong_sweeps_are_named(tmp_path):
    with pytest.raises(
        SettingsError, match="no sweep is called 'slow'; there are gpu, growth, parameters, paths, quick, readings"
    ):
        load_sweep("slow")
    path = tmp_path / "wrong.toml"
    path.write_text("description = 'x'\nminutes = 0\n[[group]]\nlengths = [16]\n")
    with pytest.raises(SettingsError, match=r"minutes: .*\n.*wrong.toml, group.0.subjects: "):
        load_sweep(str(path))
    for wrong, field in (
        ("lengths = [7]", "group.0.lengths.0"),
        ("batch_sizes = [0]", "group.0.batch_sizes.0"),
        ("densities = [50]", "group.0.densities.0"),
        ('subjects = [{ system = "iter", trained = "x", model = { omega = 3 } }]', "group.0.subjects.0"),
    ):
        subjects = "" if "subjects" in wrong else "subjects = [{ system = 'iter' }]"
        path.write_text(f"description = 'x'\nminutes = 2\n[[group]]\n{wrong}\n{subjects}\n")
        with pytest.raises(SettingsError, match=f"wrong.toml, {field}: "):
            load_sweep(str(path))
