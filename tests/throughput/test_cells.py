"""What surrounds the clock: outputs are checked, operations and ceiling are put together, conditions make runs INVALID."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from throughput_examples import Echo, Loses

from iter_bench import data, systems
from iter_bench.document import Extraction
from iter_bench.errors import SettingsError
from iter_bench.observation.parts import listen, part
from iter_bench.settings import RunSettings
from iter_bench.throughput import ceiling as ceilings
from iter_bench.throughput import cells, conditions
from iter_bench.throughput.ceiling import measure_ceiling
from iter_bench.throughput.conditions import Watch
from iter_bench.throughput.schema import Ceiling, Conditions
from iter_bench.throughput.settings import Rules, Subject

CORPUS = data.load("synthetic-w1", "dev")
DOCUMENTS = [document for document in CORPUS.documents if document.entities][:5]


def prepared(system, **subject):
    return cells.prepare(Subject(system=f"throughput_examples:{type(system).__name__}", **subject), system, DOCUMENTS)


def test_imposed_structure_must_come_out():
    ready = prepared(Echo())
    assert (ready.structure, ready.entities) == ("gold", sum(len(d.entities) for d in DOCUMENTS))
    assert cells.check(ready, DOCUMENTS, 2) == []
    assert cells.check(prepared(Loses()), DOCUMENTS, 2) == ["wrong output: 1 of 5 documents don't have the imposed structure"]


def test_batches_must_not_change_the_scores_beside_an_imposed_structure():
    class Pads(Echo):
        def predict(self, documents, *, batch_size=8, structure=None):
            found = super().predict(documents, batch_size=batch_size, structure=structure)
            score = 0.75 if batch_size > 1 else self.alone
            return [replace(e, entities=tuple(replace(entity, score=score) for entity in e.entities)) for e in found]

    system = Pads()
    ready = prepared(system)
    system.alone = 0.75005
    assert cells.check(ready, DOCUMENTS, 2) == []
    for system.alone, apart in ((0.5, "0.25"), (float("nan"), "nan")):
        wrong = f"wrong output: probabilities differ by up to {apart} from those of the document alone"
        assert cells.check(ready, DOCUMENTS, 2) == [wrong]


@pytest.mark.parametrize("name", ["iter", "asp"])
def test_wrong_padding_shows_in_the_scores(name, monkeypatch):
    """A system that doesn't mask what it pads gives the imposed structure all the same."""
    system = systems.system_class(name).build("minilm", CORPUS.schema, DOCUMENTS, {}, seed=1)
    ready = cells.prepare(Subject(system=name), system, DOCUMENTS)
    assert cells.check(ready, DOCUMENTS, len(DOCUMENTS)) == []
    real = system.module.encoder.forward

    def unmasked(*args, **given):
        return real(*args, **{**given, "attention_mask": None})

    monkeypatch.setattr(system.module.encoder, "forward", unmasked)
    assert "probabilities differ" in "".join(cells.check(ready, DOCUMENTS, len(DOCUMENTS)))


def test_batches_must_not_change_predictions():
    class Leaks(Echo):
        def predict(self, documents, *, batch_size=8, structure=None):
            gold = self.reachable(documents).extractions
            return gold if batch_size == 1 else [*gold[:1], *super().predict(documents[1:])]

    assert cells.check(prepared(Leaks(), trained="somewhere"), DOCUMENTS, 2) == [
        "wrong output: 3 of 4 documents differ from their extraction one by one"
    ]


@pytest.mark.parametrize("name", ["iter", "asp", "plmarker"])
def test_predictions_of_batches_are_compared_in_float32(name, monkeypatch):
    """Where fewer bits decide otherwise, nothing is wrong with the batch; the precision is as before afterwards."""
    system = systems.system_class(name).build("minilm", CORPUS.schema, DOCUMENTS, {}, seed=1)
    system.precision, seen = "bf16", []

    def predict(documents, *, batch_size=8):
        seen.append((system.execution["dtype"], batch_size))
        return [Extraction(d.id, d.entities[: batch_size if seen[-1][0] == "bfloat16" else 1]) for d in documents]

    ready = cells.Prepared(system, "predicted", None, 0, 0)
    monkeypatch.setattr(system, "predict", predict)
    assert cells.check(ready, DOCUMENTS, 2) == []
    assert seen == [("float32", 2)] + [("float32", 1)] * 4 and system.execution["dtype"] == "bfloat16"


def test_new_weights_need_a_structure():
    with pytest.raises(SettingsError, match="no prepare_structure"):
        cells.build(Subject(system="throughput_examples:Bare"), CORPUS.schema, DOCUMENTS)


def test_a_trained_system_is_measured_in_the_precision_of_new_weights(tmp_path):
    system = systems.system_class("iter").build("minilm", CORPUS.schema, DOCUMENTS, {}, seed=1)
    system.save(tmp_path)
    (tmp_path / systems.RUN_FILE).write_text(RunSettings(training={"precision": "bf16"}).model_dump_json())
    assert systems.load_system(tmp_path).precision == "bf16"
    subject = Subject(system="iter", trained=str(tmp_path))
    assert cells.build(subject, CORPUS.schema, DOCUMENTS).precision == system.precision == "auto"


def test_work_is_operations_at_the_ceiling_or_reading_weights_at_it():
    ready = prepared(Echo())  # 1000 operations a document; 500 weights of 4 bytes, read once in each of 3 batches
    computing = Ceiling(dtype="float32", flops=1e4, matrix=8, copy_rate=1e9)
    work = cells.work_of(ready, DOCUMENTS, 2, seconds=2.0, ceiling=computing)
    assert (work.flops, work.read, work.seconds, work.share) == pytest.approx((1000, 3 * 500 * 4 / 5, 0.1, 0.25))
    reading = Ceiling(dtype="float32", flops=1e9, matrix=8, copy_rate=1e4)
    work = cells.work_of(ready, DOCUMENTS, 2, seconds=2.0, ceiling=reading)
    assert (work.flops, work.seconds, work.share) == pytest.approx((1000, 0.12, 0.3))
    assert cells.work_of(ready, DOCUMENTS, 2, 2.0, None) is None

    class Rereads(Echo):
        def weights_read(self, documents, structure, *, batch_size):
            return 100 * len(structure) * batch_size

    again = cells.work_of(prepared(Rereads()), DOCUMENTS, 2, seconds=2.0, ceiling=reading)
    assert (again.flops, again.read, again.seconds) == pytest.approx((1000, 800, 0.08)), "a system's own count"


def test_ceiling_is_measured(monkeypatch):
    monkeypatch.setitem(ceilings.MATRICES, "cpu", (16, 128))
    monkeypatch.setitem(ceilings.COPIED, "cpu", 2**16)
    found = measure_ceiling(torch.device("cpu"), "float32")
    assert found.matrix == 128, "the larger product has the higher rate by far"
    monkeypatch.setattr(ceilings, "_seconds", lambda work, device: (work(), 0.5)[1])
    found = measure_ceiling(torch.device("cpu"), "float32")
    assert (found.flops, found.copy_rate) == pytest.approx((2 * 128**3 / 0.5, 2 * 2**16 / 0.5)), "multiply, add; read, write"


def test_conditions_make_a_run_invalid():
    rules = Rules()
    assert Conditions(others=0.05, gpu_processes=1, power_limited=1.0).problems(rules) == []
    assert Conditions(others=0.5, gpu_processes=2, slowed=("thermal slowdown",)).problems(rules) == [
        "throttling: thermal slowdown",
        "another process on the GPU: there were 2",
        "other processes took 50% of the cores, not 10% at most",
    ]


@pytest.mark.parametrize(("own", "others"), [(12.0, 0.4), (20.0, 0.0), (25.0, 0.0)], ids=["half", "all", "rounded"])
def test_what_other_processes_take_is_what_the_usable_cores_did_besides_this_one(monkeypatch, own, others):
    at = {"clock": 100.0, "busy": 50.0, "own": 7.0}
    cores = [SimpleNamespace(user=0.0, system=0.0), SimpleNamespace(user=1e6, system=1e6)]  # the second isn't ours to use
    process = SimpleNamespace(cpu_times=lambda: SimpleNamespace(user=at["own"] - 1, system=1.0))
    monkeypatch.setattr(conditions, "usable_cores", lambda: [0])
    monkeypatch.setattr(conditions.time, "perf_counter", lambda: at["clock"])
    monkeypatch.setattr(
        conditions.psutil,
        "cpu_times",
        lambda percpu: [SimpleNamespace(user=at["busy"] - 3, system=1.0, nice=1.5, irq=0.5), *cores[1:]],
    )
    monkeypatch.setattr(conditions.psutil, "Process", lambda: process)
    watch = Watch(torch.device("cpu"))
    at |= {"clock": 120.0, "busy": 70.0, "own": 7.0 + own}
    cores[1] = SimpleNamespace(user=5e6, system=5e6)
    assert watch.seen() == Conditions(others=others), "nothing is said of a GPU"


def test_parts_are_heard_only_while_somebody_listens():
    with part("no such part"):
        pass
    with listen(lambda: None) as seconds:
        for _ in range(2):
            with part("forward"):
                pass
        with pytest.raises(ValueError, match="count twice"), part("forward"), part("decode"):
            pass
        with pytest.raises(ValueError, match="no part is called"), part("encode"):
            pass
    assert set(seconds) == {"forward"}
