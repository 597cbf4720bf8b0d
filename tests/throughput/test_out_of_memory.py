"""Where memory ends, a number is INVALID or a cell is left out, and the sweep goes on."""

import weakref

import pytest
import torch
from throughput_examples import Echo

from iter_bench import systems
from iter_bench.iter_model.modeling import IterModel
from iter_bench.throughput import cells
from iter_bench.throughput.check import check_record
from iter_bench.throughput.settings import CellSettings, Rules, Subject
from iter_bench.throughput.sweep import Sweep, run
from iter_bench.throughput.workloads import documents_of, of_length

RULES = {"warm_up": 1e-9, "repetitions": 3, "seconds": 0, "drift": 1e9, "others": 1}
ENDED = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")


def sweep(*lineups, lengths=(16, 32)):
    groups = [{"subjects": [{"system": name} for name in names], "lengths": lengths, "batch_sizes": [2]} for names in lineups]
    return Sweep(description="Made up.", minutes=10, subtokens=32, rules=RULES, group=groups)


@pytest.mark.parametrize("most", [2, 5])
def test_batches_that_are_halved_make_a_run_invalid_and_their_sizes_are_recorded(most, monkeypatch):
    subject, workload, extract = Subject(system="iter"), of_length(16, 5), IterModel.extract

    def refuses(self, inputs, *of):
        if inputs.windows > most:
            raise ENDED
        return extract(self, inputs, *of)

    monkeypatch.setattr(IterModel, "extract", refuses)
    documents, schema = documents_of(workload)
    system = systems.system_class("iter").build("minilm", schema, documents, {}, seed=1)
    settings = CellSettings(
        subject=subject, lineup=(subject,), workload=workload, batch_size=4, rules=Rules(**RULES), hardware="made up"
    )
    (record,) = cells.run_cell([system], [settings], documents, lambda dtype: None)
    halved = most == 2
    assert record.problems == (("out of memory: batches were halved",) if halved else ()) and record.valid != halved
    assert record.batches.samples == ((1, 2, 2) if halved else (1, 2.5, 4))
    assert (record.batches.halved > 0) == halved
    says = [problem for problem in check_record(record, record.file_name) if problem.startswith("problems")]
    assert says == [], "the record says itself why"
    lies = record.model_copy(update={"problems": ()})
    assert halved == any("batches were halved" in problem for problem in check_record(lies, lies.file_name))


def test_a_system_whose_weights_do_not_fit_is_left_out_and_the_others_are_measured(tmp_path, monkeypatch):
    build = cells.build

    def refuses(subject, *of):
        if subject.system.endswith("Loses"):
            raise ENDED
        return build(subject, *of)

    monkeypatch.setattr(cells, "build", refuses)
    wanted = sweep(["throughput_examples:Loses", "throughput_examples:Echo"])
    outcome = run(wanted, tmp_path, tmp_path / "here")
    assert [(record.system, record.valid) for record in outcome.measured] == [("echo", True)] * 2
    (why,) = outcome.skipped
    assert why.startswith("throughput_examples:Loses: out of memory with its weights (CUDA out of memory.")


@pytest.mark.parametrize("place", ["prepare_structure", "predict"])
def test_a_cell_that_runs_out_of_memory_is_left_out_and_the_next_is_measured(place, tmp_path, monkeypatch):
    method = getattr(Echo, place)

    def refuses(self, documents, *of, **given):
        if max(len(document.words) for document in documents) > 14:
            raise ENDED
        return method(self, documents, *of, **given)

    monkeypatch.setattr(Echo, place, refuses)
    outcome = run(sweep(["throughput_examples:Echo"], lengths=(32, 16)), tmp_path, tmp_path / "here")
    assert [record.settings.workload.length for record in outcome.measured] == [16]
    (why,) = outcome.skipped
    assert why.startswith("length-32, batch 2, minilm: out of memory with the systems of this cell (CUDA out of memory")


def test_systems_are_gone_before_those_of_another_lineup_are_built(tmp_path, monkeypatch):
    build, alive, held = cells.build, weakref.WeakSet(), []

    def counted(*of):
        held.append(len(alive))
        alive.add(system := build(*of))
        return system

    monkeypatch.setattr(cells, "build", counted)
    echo, loses = "throughput_examples:Echo", "throughput_examples:Loses"
    lineups = [echo], [loses], [loses, echo]
    assert len(run(sweep(*lineups, lengths=(16,)), tmp_path, tmp_path / "here").measured) == 4
    assert held == [0, 0, 1], "what the next line-up has too is kept, and nothing else"
