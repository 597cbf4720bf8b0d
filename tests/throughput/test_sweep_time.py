"""Whether sweeps fit into the time that they have, by clocks that the test moves, and into a GPU's memory, by shapes."""

import math
from collections import Counter
from datetime import timedelta

import numpy as np
import pytest
import torch
from throughput_examples import Echo

from baselines.asp.actions import COPY
from baselines.asp.generation import width_of
from baselines.asp.modeling import PAIRS_AT_ONCE
from baselines.plmarker.stage import GPU_ROWS
from baselines.plmarker.system import PlMarkerSystem
from iter_bench import records
from iter_bench.batching import GPU_TOKENS
from iter_bench.encoders import max_length
from iter_bench.throughput import cells
from iter_bench.throughput.protocol import measure, problems
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.throughput.sweep import REPORT, Sweep, cells_of, load_sweep, run
from iter_bench.throughput.workloads import documents_of, subtokens

PASS, BATCH, RATE = 0.008, 0.01, 200e12
"""Seconds of a pass of ASP's decoder, of any other batch at least, and operations a second: slower than a GPU should be."""
MEMORY = 80e9 * 0.9
"""Bytes of a GPU that tensors may take."""
SAMPLE = 24
"""Documents that stand for all of a call."""


def passes(actions, width):
    """Of the decoder for one sequence: each ends with a bracket, the end, or ``width`` outputs."""
    count = at = 0
    while at < len(actions):
        tried = actions[at : at + width]
        at, count = at + min(1 + int(np.argmax(np.append(tried != COPY, True))), len(tried)), count + 1
    return count


def of_relations(system, documents, given):
    """PL-Marker's subjects and, of the document with the most of them, their count; none where there are no relations."""
    if system.relation is None:
        return [], 0
    subjects, pairs = system.relation.pairs(documents, given.entities)
    return subjects, max(Counter(int(columns[0, 0]) for columns in pairs).values(), default=0)


def seconds_of(system, documents, cell):
    """Of a call, counted from some of its documents."""
    given = system.prepare_structure(documents, system.reachable(documents).extractions)
    count, many = cell.workload.count, cell.workload.count / len(documents)
    batches = math.ceil(count / cell.batch_size)
    if system.name == "asp":
        width = width_of(system.config.settings, min(count, cell.batch_size), torch.device("cuda"))
        waits = batches * PASS * max(passes(of.actions, width) for of in given)
    elif isinstance(system, PlMarkerSystem):
        rows = many * sum(example.rows for example in of_relations(system, documents, given)[0])
        waits = BATCH * (2 * batches + math.ceil(rows / GPU_ROWS))
    else:
        waits = BATCH * batches
    return waits + many * system.flops(documents, given) / RATE


def held_by_markers(system, documents, batch):
    """Bytes of PL-Marker's largest pass in bf16, of text and markers, at the worst moment of either stage."""
    given = system.prepare_structure(documents, system.reachable(documents).extractions)
    windows = system.ner.unlabelled(system.ner.candidates(documents))
    subjects, most = of_relations(system, documents, given)
    encoder, held = system.ner.module.encoder.config, []
    for examples, together in ((windows, batch), (subjects, batch * most)):
        rows = max((example.rows for example in examples), default=1)
        text = max((len(example.input_ids) for example in examples), default=1)
        together = max(1, min(together, GPU_ROWS // rows))
        # of each marker with each sub-token, itself and its partner: scores, and in float32 these masked, side by side, softmax
        scores = together * encoder.num_attention_heads * (rows - text) * (text + 2) * (2 + 4 + 4 + 4)
        held.append(scores + together * rows * (12 * encoder.hidden_size + 2 * encoder.intermediate_size) * 2)
    return max(held)


def held_by(system, documents, cell):
    """Bytes of a batch in bf16: an encoder's pass, and what ASP's decoder holds of all of the batch at its worst moment."""
    batch = min(cell.batch_size, cell.workload.count)
    if isinstance(system, PlMarkerSystem):
        return held_by_markers(system, documents, batch)
    module = system.module
    encoder, limit = module.encoder.config, max_length(module.encoder.config)
    longest = min(max(subtokens(documents)), limit or math.inf)
    tokens = max(longest, min(max(GPU_TOKENS, GPU_ROWS), batch * longest))  # the larger of all budgets
    # scores or a bias of each query with each key, twice, and a dozen tensors of states
    held = tokens * (2 * encoder.num_attention_heads * longest + 12 * encoder.hidden_size) * 2
    if system.name != "asp":
        return held
    given = system.prepare_structure(documents, system.reachable(documents).extractions)
    sources, shape = system._sources(documents)[1], system.module.decoder.shape
    width = width_of(system.config.settings, batch, torch.device("cuda"))
    position = 2 * shape.layers * shape.heads * shape.head_width * 2  # keys and values
    read = batch * max(len(source.input_ids) for source in sources) * position
    room = max(len(source.copied) for source in sources) + width + 16
    more = max(max(len(of.actions) for of in given) + width - room, room // 2)
    first, grown = batch * room * position, batch * (room + more) * position
    combined = 0
    if module.config.relation_types:  # two shares and their sum, of as many pairs of the batch as are combined at once
        pairs = min(PAIRS_AT_ONCE, batch * max(len(of.classes) for of in given))
        combined = pairs * module.link_head.inner.out_features * 3 * 2
    return held + read + max(read + first, first + grown, grown + combined)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpu", "parameters"])
def test_every_cell_can_become_valid_within_its_limit_and_a_call_of_the_command_and_fits_into_80_gb(name, monkeypatch):
    for module in ("iter_bench.iter_model", "baselines.asp", "baselines.plmarker"):
        monkeypatch.setattr(f"{module}.system.default_device", lambda: torch.device("meta"))
    sweep, built = load_sweep(name), {}
    for cell in cells_of(sweep, None)[0]:
        size = {"count": min(cell.workload.count, SAMPLE if cell.workload.length is None else 6)}
        documents, schema = documents_of(cell.workload.model_copy(update=size))
        seconds, weights, held = [], 0, []
        for subject in cell.subjects:
            key = (subject.system, subject.encoder, schema)
            if key not in built:
                with torch.device("meta" if subject.encoder.startswith("random:") else "cpu"):
                    built[key] = cells.build(subject, schema, documents)
            seconds.append(seconds_of(built[key], documents, cell))
            weights += (4 + 2) * built[key].parameters  # as they are kept, and converted
            held.append(held_by(built[key], documents, cell))
        assert weights + max(held) < MEMORY, f"{cell}: {weights / 1e9:.0f} GB of weights, {[f'{of / 1e9:.0f}' for of in held]}"
        now = [0.0]

        def call(duration, now=now):
            now[0] += duration

        calls = [lambda duration=duration: call(duration) for duration in seconds]
        samples = measure(calls, sweep.rules, synchronize=lambda: None, clock=lambda now=now: now[0])
        assert not any(problems(of, sweep.rules) for of in samples), f"{cell}: {seconds}"
        # and as many calls again as the check, parts, energy and memory take
        assert now[0] + 5 * sum(seconds) + 10 * len(seconds) < 60 * sweep.minutes - REPORT, f"{cell}: {seconds}"


def test_a_group_has_calls_of_its_own_size():
    group = {"subjects": [{"system": "iter"}], "lengths": [64, 512], "batch_sizes": [4]}
    sweep = Sweep(description="Two groups.", minutes=2, subtokens=4096, group=[group, group | {"subtokens": 1024}])
    assert [cell.workload.count for cell in cells_of(sweep)[0]] == [64, 8, 16, 4]


def test_data_sets_have_the_batch_sizes_of_table_1_or_those_of_their_group():
    group = {"subjects": [{"system": "iter"}], "workloads": ["conll04", "conll03-document"]}
    sweep = Sweep(description="Two groups.", minutes=2, group=[group, group | {"batch_sizes": [64, 1024]}])
    assert [cell.batch_size for cell in cells_of(sweep)[0]] == [64, 8, 64, 1024, 64, 1024]


def made_up(*lengths, minutes=10):
    subject = {"system": "throughput_examples:Echo"}
    rules = {"warm_up": 1e-9, "repetitions": 3, "seconds": 0, "drift": 1e9, "others": 1}
    group = {"subjects": [subject], "lengths": lengths, "batch_sizes": [1]}
    return Sweep(description="Made up.", minutes=minutes, subtokens=1, rules=rules, group=[group])


def test_a_cell_begins_only_if_one_as_long_as_the_longest_still_fits(tmp_path, monkeypatch):
    now, begun = [0.0], []
    durations = {16: 100, 32: 240, 64: 100, 128: 50, 256: 50}

    def run_cell(systems, settings, documents, ceiling_of):
        length = settings[0].workload.length
        begun.append(length)
        now[0] += durations[length]
        return []

    monkeypatch.setattr("iter_bench.throughput.sweep.time.monotonic", lambda: now[0])
    monkeypatch.setattr(cells, "run_cell", run_cell)
    outcome = run(made_up(*durations, minutes=11), tmp_path, tmp_path / "here")
    assert begun == [16, 32, 64] and now[0] == 440, "after 340 seconds 240 more fit into 660 - 60, after 440 they don't"
    assert [cell.workload.length for cell in outcome.left] == [128, 256]
    sweep = made_up(*durations, minutes=3)
    for seconds, left in ((119, 4), (121, 5)):
        wanted = sweep.model_copy(update={"rules": sweep.rules.model_copy(update={"seconds": seconds})})
        assert len(run(wanted, tmp_path, tmp_path / "here").left) == left, "nor one whose samples alone wouldn't fit"


def test_what_is_invalid_is_measured_again_the_longest_ago_first_and_after_what_is_new(tmp_path):
    """One that has no VALID record, however often it's tried, doesn't keep others from their turn."""
    first = run(made_up(16, 32, 64), tmp_path, tmp_path / "here").measured
    for record, hours in zip(first, (2, 3, 1), strict=True):
        spoilt = {"problems": ("drift",), "finished": record.finished + timedelta(hours=hours)}
        records.write(record.model_copy(update=spoilt), tmp_path)
    again = run(made_up(16, 32, 64, 128), tmp_path, tmp_path / "here")
    assert [record.settings.workload.length for record in again.measured] == [128, 64, 16, 32]
    assert all(record.valid for record in records.load_all(tmp_path, ThroughputRecord)) and Echo.calls
