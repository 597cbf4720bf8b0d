"""What is said before a matrix starts: what is missing, and hours that follow from records or from operations."""

import json
from dataclasses import replace

import pytest
import torch
from record_examples import record
from typer.testing import CliRunner

from iter_bench import environment, execution, matrix, preflight, systems
from iter_bench.cli import app
from iter_bench.costs import OPERATIONS, Cost, Costs, Size
from iter_bench.data import load, schema_of
from iter_bench.data.synthetic import SCHEMA
from iter_bench.devices import autocast
from iter_bench.document import Document
from iter_bench.errors import UserError
from iter_bench.records import EncoderWeights
from iter_bench.run import Folders
from iter_bench.settings import RunSettings
from iter_bench.throughput import ceiling
from iter_bench.throughput.schema import Ceiling

MIXED = """
description = "One that can run and two that can't."
[[group]]
seeds = [1, 2]
data = { dataset = "synthetic-w1", train = "dev", dev = "none" }
training = { epochs = 1 }
[[group]]
seeds = [1]
data = { dataset = "conll03" }
[[group]]
seeds = [1]
start = "conll03"
data = { dataset = "conll04" }
"""
RATE = 4e12


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path, monkeypatch):
    """An empty folder, no data, and a device of a known rate."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ITER_BENCH_DATA", raising=False)
    monkeypatch.setattr(
        ceiling, "measure_ceiling", lambda device, dtype: Ceiling(dtype=dtype, flops=RATE, matrix=1024, copy_rate=1e9)
    )
    return tmp_path


@pytest.mark.slow
def test_ace05_says_all_that_is_missing_and_what_it_would_cost_and_starts_nothing(somewhere_else):
    said = CliRunner().invoke(app, ["reproduce", "--profile", "ace05", "--plan", "--json"])
    assert said.exit_code == 0, said.output
    plan = json.loads(said.stdout)
    problems = {entry["problem"]: entry["runs"] for entry in plan["problems"]}
    (data,) = [problem for problem in problems if problem.startswith("ace05:")]
    assert all(part in data for part in ("train.json", "dev.json", "test.json", "LDC2006T06", "folder ace05/"))
    assert problems[data] == plan["runs"] == 95 and plan["can_run"] == 0
    lacking = {problem.split("'")[1] for problem in problems if "HF_HUB_OFFLINE" in problem}
    assert lacking == {run.encoder for run in matrix.load_profile("ace05").runs()}

    (line,) = [g for g in plan["groups"] if (g["system"], g["encoder"], g["context"]) == ("iter", "t5-large", 0)]
    # 24 layers of four 1024² and two 1024×4096 matrices meet each of the 25.21 sub-tokens of Table 1; attention is little
    forward = 2 * 24 * (4 * 1024**2 + 2 * 1024 * 4096) * 25.21
    passes = 25 * (3 * 10051 + 2424) + 2050
    assert line["hours"] == pytest.approx(5 * passes * forward / (0.3 * RATE) / 3600, rel=0.02)
    assert line["basis"].startswith("assumed: 30 % of 4.00 TFLOP/s") and "Table 1" in line["basis"]
    alone = CliRunner().invoke(app, ["reproduce", "--profile", "ace05", "--plan", "--json", "--workers", "1"])
    alone = json.loads(alone.stdout)
    assert alone["hours"] == pytest.approx(sum(group["hours"] for group in alone["groups"])) and alone["runs_at_once"] == 1
    at_once, each = plan["runs_at_once"], [group["hours"] / len(group["runs"]) for group in plan["groups"]]
    least = sum(group["hours"] for group in plan["groups"]) / at_once
    assert at_once == execution.default_workers(95) and least <= plan["hours"] <= least + max(each)

    run = RunSettings(encoder="t5-large", data={"dataset": "ace05_asp", "context": 256}, training={"epochs": 25})
    (with_context,) = preflight.plan([run], Folders(), None).lines  # ASP's files hold less: 135.35 sub-tokens in Table 1
    assert with_context.hours == pytest.approx(line["hours"] / 5 * 135.35 / 25.21, rel=0.05)

    refused = CliRunner().invoke(app, ["reproduce", "--profile", "ace05"])
    assert isinstance(refused.exception, UserError) and "95 of 95 runs lack something" in str(refused.exception)
    assert not list(somewhere_else.iterdir())


def test_the_longest_runs_begin_first():
    def line(system, seconds, *problems, seeds=(1,)):
        runs = tuple(RunSettings(system=system, seed=seed) for seed in seeds)
        return preflight.Line(runs, 0, "minilm", Cost(seconds, "measured"), None, problems)

    lines = line("iter", 60, seeds=(1, 2)), line("asp", None), line("plmarker", 300), line("iter", 900, "no data")
    plan = preflight.Plan((*lines, line("asp", 60, seeds=(3,))), "cpu", None, 2)
    order = "plmarker 1, iter 1, iter 2, asp 3, asp 1"
    assert ", ".join(f"{run.system} {run.seed}" for run in plan.can_run) == order
    three = line("iter", 3600, seeds=(1, 2, 3))
    assert [plan.hours([replace(three, finished=n)]) for n in range(4)] == pytest.approx([2, 1, 1, 0]), "two at a time"
    assert plan.hours([three, line("plmarker", 7200)]) == pytest.approx(3) and plan.hours([line("asp", None)]) is None


def test_what_can_run_runs_and_what_starts_from_the_rest_does_not(somewhere_else, monkeypatch):
    (somewhere_else / "mixed.toml").write_text(MIXED)
    refused = CliRunner().invoke(app, ["reproduce", "--profile", "mixed.toml"])
    assert "--what-can-run starts the other 2" in str(refused.exception)
    assert "1 run: runs that start from those of minilm need these first" in str(refused.exception)
    started = []

    def execute_all(runs, *_, **__):
        started.extend(runs)
        return [], {}

    monkeypatch.setattr(execution, "execute_all", execute_all)
    done = CliRunner().invoke(app, ["reproduce", "--profile", "mixed.toml", "--what-can-run"])
    assert done.exit_code == 0 and [run.data.dataset for run in started] == ["synthetic-w1"] * 2


def test_a_finished_run_on_other_data_and_a_model_too_large_are_named(somewhere_else, monkeypatch):
    (somewhere_else / "mixed.toml").write_text(MIXED)
    first = matrix.load_profile("mixed.toml").runs()[0]
    folders = Folders()
    old = record(1).model_copy(update={"settings": first, "run_id": first.run_id})
    folders.predictions(first.run_id).parent.mkdir(parents=True)
    folders.predictions(first.run_id).write_text("[]")
    folders.finish(old.model_copy(update={"weights": EncoderWeights(sha256={"model.safetensors": "0" * 64})}))
    small = environment.describe().model_copy(update={"memory": 2**20})
    monkeypatch.setattr(preflight.environment, "describe", lambda: small)
    said = str(CliRunner().invoke(app, ["reproduce", "--profile", "mixed.toml"]).exception)
    assert f"{first.run_id}: finished on other data" in said
    assert f"{first.run_id}: finished with other weights than minilm holds now" in said
    assert "iter over minilm needs about" in said and "there are 0" in said


def test_hours_come_from_the_nearest_records(monkeypatch):
    before = torch.get_num_threads()
    sizes = {role: Size.of_words(10, 200) for role in ("train", "dev", "test")}
    run = RunSettings(data={"dataset": "conll04"})
    known = [record(seed) for seed in (1, 3, 5)]  # 32, 34 and 36 seconds
    costs = Costs(known, known[0].hardware, torch.device("cpu"))
    cost = costs.of(run, "minilm", sizes)
    assert cost.seconds == pytest.approx(34) and cost.basis.startswith("measured: 3 runs of this system and encoder")
    twice = {role: Size(2 * size.samples, size.mean, size.longest, size.own) for role, size in sizes.items()}
    assert costs.of(run, "minilm", twice).seconds == pytest.approx(68)
    assert costs.of(run, "trained:0123456789ab", sizes).seconds is None
    larger = costs.of(run, "bert-base-cased", sizes)
    assert larger.basis.startswith("scaled by operations") and 7 < larger.seconds / 34 < 9  # 85 M weights for 10.6 M

    reads = run.model_copy(update={"data": run.data.model_copy(update={"context": 512})})
    around, full = ({role: Size(10, mean, 9999, 99) for role in sizes} for mean in (1400, 512))
    assert costs.of(reads, "minilm", around) == costs.of(reads, "minilm", full), "a window cuts context"
    assert costs.of(run, "minilm", around).seconds > costs.of(run, "minilm", full).seconds, "a text becomes several windows"

    threads = []
    measured = Ceiling(dtype="float32", flops=1e12, matrix=1024, copy_rate=1e9)
    with monkeypatch.context() as patch:
        patch.setattr(ceiling, "measure_ceiling", lambda *_: threads.append(torch.get_num_threads()) or measured)
        Costs([], "another machine", torch.device("cpu"), threads=before + 1).of(run, "minilm", sizes)
    assert (threads, torch.get_num_threads()) == ([before + 1], before), "the rate is one run's"

    asp = [record(1, system="asp", durations={"training": 67.0, "scoring": 1.0})]
    elsewhere = Costs([*known, *asp], "another machine", torch.device("cpu"))
    assumed = elsewhere.of(run, "minilm", sizes)
    assert assumed.basis == "assumed: 30 % of 4.00 TFLOP/s, measured here for matrix products"
    of_asp = run.model_copy(update={"system": "asp"})
    counted = Costs(known, "another machine", torch.device("cpu")).of(of_asp, "minilm", sizes)
    assert counted.seconds == pytest.approx(1.9 * assumed.seconds) and "1.9 times ITER's operations" in counted.basis
    slower = elsewhere.of(of_asp, "minilm", sizes)
    assert slower.seconds == pytest.approx(2 * assumed.seconds) and "2.0 times ITER's time" in slower.basis


@pytest.mark.parametrize("dataset", ["synthetic", "synthetic-w1"])
def test_the_baselines_operations_are_those_that_they_count(dataset):
    documents = load(dataset, "test").documents[:40]
    counted = {}
    for name in systems.REGISTRY:
        system = systems.system_class(name).build("minilm", schema_of(dataset), documents, {}, seed=1)
        counted[name] = system.flops(documents, system.prepare_structure(documents, system.reachable(documents).extractions))
    for name, times in OPERATIONS.items():
        assert counted[name] / counted["iter"] == pytest.approx(times, rel=0.1), name


def test_memory_is_measured_or_counted():
    sizes = {"train": Size(10, 20, 100, 100)}
    run = RunSettings(encoder="t5-large", training={"batch_size": 4, "precision": "bf16"})
    costs = Costs([record(1)], record(1).hardware, torch.device("cpu"))
    weights = 32128 * 1024 + 24 * (4 * 1024**2 + 2 * 1024 * 4096)  # of T5-large's encoder with its embedding
    assert costs.memory(run, "t5-large", sizes) == pytest.approx(16 * weights + 34 * 4 * 100 * 24 * 1024, rel=0.01)
    parts = RunSettings(encoder="t5-large", training={"batch_size": 64, "samples_at_once": 4, "precision": "bf16"})
    assert costs.memory(parts, "t5-large", sizes) == costs.memory(run, "t5-large", sizes)
    assert costs.memory(RunSettings(), "minilm", sizes) == 3 * 2**30  # the record's


@pytest.mark.parametrize(("precision", "around"), [("fp32", 0), ("bf16", 60)])
def test_memory_of_markers_is_what_a_step_keeps_for_its_backward_pass(precision, around):
    words = ("city", "citys", "city", "city", "citys", "city", "city") * 9  # 1.3 sub-tokens each
    documents = [Document(name, words, (), (), context_before=words[:around]) for name in ("a", "b")]
    run = RunSettings(system="plmarker", training={"batch_size": 2, "precision": precision})
    system = systems.system_class("plmarker").build("minilm", SCHEMA, documents, {}, seed=1)
    stage, kept = system.ner, {}
    examples = stage.examples(documents)
    stage.module.train()

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast(stage.device, precision):
        stage.losses(stage.collate(examples), examples)
    weights = {weight.untyped_storage().data_ptr() for weight in stage.module.parameters()}
    measured = sum(storage.nbytes() for place, storage in kept.items() if place not in weights)
    costs = Costs([], "this machine", torch.device("cpu"))
    text = len(examples[0].input_ids)
    expected, empty = (
        costs.memory(run, "minilm", {"train": Size(2, size, size, own)})
        for size, own in ((text, text * 63 / (63 + around)), (0, 0))
    )
    assert expected - empty == pytest.approx(measured, rel=0.3)


def test_samples_that_are_not_here_have_the_lengths_of_table_1(somewhere_else):
    """ASP's ACE05 files hold the context of Table 1 at most, whole documents as much as is asked for; CoNLL04 is what it is."""
    hours = []
    asked = [{"dataset": "ace05_asp", "context": 256}, *({"dataset": "ace05", "context": around} for around in (64, 128))]
    for data in (*asked, {"dataset": "conll04"}):
        (line,) = preflight.plan([RunSettings(encoder="t5-small", data=data)], Folders(), None).lines
        assert "Table 1" in line.cost.basis
        hours.append(line.hours)
    assert 1 < hours[1] / hours[0] < 2 and hours[2] / hours[1] == pytest.approx((25.21 + 332.8) / (25.21 + 166.4), rel=0.1)
