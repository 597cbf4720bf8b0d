"""What only CUDA can show: `pytest -m gpu`. No GPU was there yet, so only the bodies were run, on a CPU in its place."""

import os
import time
from pathlib import Path

import pytest
import torch

from iter_bench import data, systems
from iter_bench.devices import default_device
from iter_bench.observation.shown import look
from iter_bench.settings import TrainingSettings
from iter_bench.throughput import cells
from iter_bench.throughput.conditions import Watch, measure_power
from iter_bench.throughput.outputs import APART, CHECKED
from iter_bench.throughput.settings import Subject
from iter_bench.throughput.sweep import Sweep, run

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ENCODER = str(Path(__file__).parent / "fixtures" / "tiny_bert")
CORPUS = data.load("synthetic-w1", "train")
DOCUMENTS = CORPUS.documents[:12]
NAMES = sorted(systems.REGISTRY)


def built(name, device, monkeypatch):
    """A system on the device, in fp32; its weights depend on no device."""
    default_device()  # which sets CUDA up
    for module in ("iter_bench.iter_model", "baselines.asp", "baselines.plmarker"):
        monkeypatch.setattr(f"{module}.system.default_device", lambda: device)
    system = systems.system_class(name).build(ENCODER, CORPUS.schema, DOCUMENTS, {}, seed=5)
    assert {weights.device.type for weights in system.module.parameters()} == {device.type}
    system.precision = "fp32"
    return system


def decisive(system):
    """The system, with weights that decide at random."""
    torch.manual_seed(3)
    for name, weights in system.module.named_parameters():
        if weights.dim() > 1:
            weights.data += ((0.3 if "encoder" not in name else 0.05) * torch.randn(weights.shape)).to(weights.device)
    return system


def plain(extractions):
    return [(e.id, set(e.entities), set(e.relations)) for e in extractions]


def test_cuda_is_hidden_from_tests_that_are_not_for_it():
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "" and not torch.cuda.is_available()


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_in_fp32_extractions_and_states_are_those_of_the_cpu(name, monkeypatch):
    there, here = (decisive(built(name, device, monkeypatch)) for device in (CUDA, CPU))
    expected = here.predict(DOCUMENTS, batch_size=4)
    assert sum(len(e.entities) for e in expected) > 12
    found = there.predict(DOCUMENTS, batch_size=4)
    assert plain(found) == plain(expected)
    for one, other in zip(found, expected, strict=True):
        scores = {item: item.score for item in (*other.entities, *other.relations)}
        assert [x.score for x in (*one.entities, *one.relations)] == pytest.approx(
            [scores[x] for x in (*one.entities, *one.relations)], abs=1e-3
        )
    every = range(len(DOCUMENTS))
    of_cpu = here.plain_states(DOCUMENTS, here.prepare_structure(DOCUMENTS, expected), every)
    structure = there.prepare_structure(DOCUMENTS, expected)
    one_by_one = there.plain_states(DOCUMENTS, structure, every)
    with look(of_cpu) as in_batches:
        there.predict(DOCUMENTS, batch_size=4, structure=structure)
    for states in (one_by_one, in_batches):
        assert states.keys() == of_cpu.keys()
        for key, wanted in of_cpu.items():
            assert (states[key].cpu() - wanted).norm() <= APART * wanted.norm()


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_harness_finds_nothing_wrong(precision, name, monkeypatch):
    system = built(name, CUDA, monkeypatch)
    system.precision = precision
    assert cells.check(cells.prepare(Subject(system=name), system, DOCUMENTS), DOCUMENTS, 4) == []
    assert system.execution["dtype"] == {"fp32": "float32", "bf16": "bfloat16"}[precision]


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiling_works_and_changes_nothing(precision, name, monkeypatch):
    system = built(name, CUDA, monkeypatch)
    system.precision = precision
    system.compile(DOCUMENTS[:CHECKED])
    assert "inductor, graphs: " in system.execution["compile"] and "none" not in system.execution["compile"]
    assert cells.check(cells.prepare(Subject(system=name), system, DOCUMENTS), DOCUMENTS, 4) == []
    assert "none" not in system.execution["compile"], "nor did it fail at other sizes"


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nothing_waits_between_the_copy_of_a_batch_and_its_decisions(precision, monkeypatch):
    """Of ITER, by compiled code, once there are graphs for all batches, and lists are as long as they need."""
    system = decisive(built("iter", CUDA, monkeypatch))
    system.precision = precision
    system.compile(DOCUMENTS[:CHECKED])
    expected, calls = system.predict(DOCUMENTS, batch_size=4), []
    for owner, name in ((system, "_inputs"), (system.module, "extract")):
        method = getattr(owner, name)

        def watched(*of, name=name, method=method):
            calls.append(name)
            torch.cuda.set_sync_debug_mode("error")  # what waits raises
            try:
                return method(*of)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        monkeypatch.setattr(owner, name, watched)
    assert plain(system.predict(DOCUMENTS, batch_size=4)) == plain(expected)
    assert calls.count("_inputs") == calls.count("extract") > 2, "none was computed twice"
    assert "inductor, graphs: " in system.execution["compile"] and "none" not in system.execution["compile"]


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_trains_the_same_weights(name, monkeypatch):
    longer = [d for d in data.load("synthetic-lengths", "train").documents if 100 < len(d.words) < 300][:6]
    assert len(longer) == 6  # over several blocks of keys, whose gradients are added up

    def trained():
        system = built(name, CUDA, monkeypatch)
        system.fit(longer, [], TrainingSettings(epochs=2, batch_size=4, precision="bf16"), seed=5)
        return {key: value.cpu() for key, value in system.module.state_dict().items()}

    first, again = trained(), trained()
    assert all(torch.equal(value, again[key]) for key, value in first.items())


@pytest.mark.gpu
def test_the_driver_is_asked_while_it_computes():
    matrix, begun = torch.ones(2048, 2048, device=CUDA), time.monotonic()

    def work():
        (matrix @ matrix).sum().item()

    watch = Watch(CUDA)
    with watch.looking():
        while time.monotonic() - begun < 1:
            work()
    seen = watch.seen()
    for clock in (seen.sm_clock, seen.memory_clock):
        assert clock is not None and 0 < clock[0] <= clock[1] <= clock[2]
    assert 0 <= seen.power_limited <= 1 and (seen.gpu_processes is None or seen.gpu_processes >= 1)
    power = measure_power(work, 1, CUDA, synchronize=lambda: torch.cuda.synchronize(CUDA), before=lambda: None)
    assert power is None or (1 < power.watts < 2000 and power.joules_per_sample > 0)


@pytest.mark.gpu
def test_a_cell_is_valid_or_says_why(tmp_path):
    """Of the machine alone, that is: its outputs are right, and its memory suffices."""
    rules = {"warm_up": 1, "repetitions": 5, "seconds": 1, "limit": 20}
    group = {"subjects": [{"system": name} for name in NAMES], "lengths": [32], "batch_sizes": [4]}
    outcome = run(Sweep(description="Short.", minutes=10, subtokens=512, rules=rules, group=[group]), tmp_path, tmp_path / "h")
    assert not outcome.skipped and sorted(record.system for record in outcome.measured) == NAMES
    for record in outcome.measured:
        assert not any(problem.startswith(("wrong output", "out of memory")) for problem in record.problems)
        assert record.device == str(CUDA)
        assert record.batches.samples[2] <= 4 or record.system == "plmarker"  # stage 2 takes all subjects of four documents
        assert record.execution["dtype"] == ("bfloat16" if CUDA.type == "cuda" else "float32")
        assert 0 < record.work.share < 1 and sum(record.parts.values()) > 0
        assert (record.peak_memory is not None) == (CUDA.type == "cuda")
