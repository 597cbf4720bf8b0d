"""What the figures show is checked by their data; how they look was checked by eye."""

import re

import pytest
from matplotlib.colors import to_hex
from record_examples import record
from throughput_examples import data_set, measured

from iter_bench import data, plots
from iter_bench.document import Document, Entity, Extraction, Relation
from iter_bench.errors import UserError
from iter_bench.tables.captions import provenance

SEEDS = {42: 80, 43: 84, 44: 88}
RUNS = [record(seed, quality) for seed, quality in SEEDS.items()]
F1 = {quality: 200 * quality / (2 * quality + (100 - quality) * 1.5) for quality in SEEDS.values()}


def line(ax, label):
    (found,) = [line for line in ax.lines if line.get_label() == label]
    return found


def test_scores_show_each_run_and_the_mean_in_the_systems_look():
    baseline = [record(42, 76, system="plmarker"), record(42, 60, system="mine")]
    ax = plots.scores([*RUNS, *baseline]).figure.axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["NER", "RE", "RE+"]
    means = line(ax, "ITER")
    assert means.get_ydata()[0] == pytest.approx(sum(F1.values()) / 3, abs=1e-3)
    runs = next(x for x in ax.lines if x.get_color() == means.get_color() and len(x.get_ydata()) == 3 and x is not means)
    assert sorted(runs.get_ydata()) == pytest.approx(sorted(F1.values()), abs=1e-3)
    assert len(set(runs.get_xdata())) == 1
    for system, label in (("iter", "ITER"), ("plmarker", "PL-Marker"), ("mine", "mine")):
        drawn = line(ax, label)
        assert (to_hex(drawn.get_color()).upper(), drawn.get_marker()) == (plots.look(system).color, plots.look(system).marker)
    assert f"{means.get_ydata()[0]:.1f}" in [text.get_text() for text in ax.texts]


def test_scores_follow_the_convention_and_the_data_set():
    records = [record(42, 70, dataset="scierc", symmetric=True), record(42, 90, dataset="conll03", relations=False)]
    figure = plots.scores(records, "pl_marker").figure
    assert [ax.get_title() for ax in figure.axes] == ["conll03, minilm", "scierc, minilm"]
    assert [len(line(ax, "ITER").get_ydata()) for ax in figure.axes] == [1, 3]


def test_two_settings_of_a_system_can_be_told_apart():
    plot = plots.scores([record(42), record(42, training={"epochs": 7})])
    ax = plot.figure.axes[0]
    fills = {x.get_label(): x.get_fillstyle() for x in ax.lines if x.get_label().startswith("ITER")}
    assert fills == {"ITER 1": "full", "ITER 2": "none"}
    assert "ITER 1 on conll04: training.epochs=20. ITER 2 on conll04: training.epochs=7." in plot.caption


def test_learning_curve():
    dev, loss = plots.learning_curve(RUNS).figure.axes
    mean = line(dev, "ITER, NER")
    assert list(mean.get_xdata()) == [1, 2, 3]
    assert mean.get_ydata() == pytest.approx([84 - 30, 84 - 15, 84 - 10])
    assert line(loss, "ITER").get_ydata() == pytest.approx([6, 3, 2], abs=1e-4)
    assert len(dev.lines) == 2 * (3 + 1) and len(loss.lines) == 3 + 1
    assert loss.get_yscale() == "log"


def test_the_mean_covers_only_epochs_that_all_runs_reached():
    stopped = record(45, 80, history=[epoch.model_dump() for epoch in record(45).history[:2]])
    dev = plots.learning_curve([*RUNS, stopped]).figure.axes[0]
    assert list(line(dev, "ITER, NER").get_xdata()) == [1, 2]


def test_lambda_curve():
    without = record(50, lambda_curve=None)
    plot = plots.lambda_curve([*RUNS, without])
    (ax,) = plot.figure.axes
    assert list(line(ax, "precision").get_xdata()) == [0, 0.25, 0.5, 0.75, 1]
    assert line(ax, "recall").get_ydata() == pytest.approx([90, 80, 70, 60, 50])
    assert line(ax, "F1").get_ydata() == pytest.approx([50 + 8.4] * 5)
    assert "3 runs, seeds 42–44." in plot.caption, "a run without a curve is not claimed to be drawn"


def test_captions_name_seeds_folds_and_hardware():
    folds = [record(42, dataset="ade", fold=fold) for fold in range(10)]
    assert provenance(folds) == "10 runs, seed 42, folds 0–9. Hardware: Some CPU (2 cores)."
    assert plots.scores(RUNS).caption.endswith("3 runs, seeds 42–44. Hardware: Some CPU (2 cores).")


@pytest.mark.parametrize("draw", [plots.scores, plots.learning_curve, plots.lambda_curve])
def test_nothing_to_draw_is_said(draw):
    with pytest.raises(UserError, match="train first"):
        draw([record(history=[], lambda_curve=None)] if draw is not plots.scores else [])


def test_files_are_the_same_each_time(tmp_path):
    first = plots.save(plots.lambda_curve(RUNS), tmp_path / "a", "lambda")
    again = plots.save(plots.lambda_curve(RUNS), tmp_path / "b", "lambda")
    assert [path.suffix for path in first] == [".png", ".svg", ".md"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert not re.search(r"<dc:date>", first[1].read_text())
    assert "Hardware" in first[2].read_text()


def test_steps_mark_every_start_span_and_link():
    inner, outer, other = Entity(0, 1, "PER"), Entity(0, 2, "PER"), Entity(3, 4, "LOC")
    document = Document("1", ("Ann", "Lee", "left", "Rome", "."), (inner, outer, other), (Relation(outer, other, "left"),))
    starts, spans, links = plots.steps(document).figure.axes
    assert [text.get_position()[0] for text in starts.texts] == [0, 3], "spans that start together share one bracket"
    assert sorted((*x.get_xdata()[[0, -1]].round(1), x.get_ydata()[1] > 0.3) for x in spans.lines) == [
        (-0.3, 0.3, False),
        (-0.3, 1.3, True),
        (2.7, 3.3, False),
    ], "the outer of two nested spans is drawn above"
    (link,) = links.lines
    assert link.get_xdata()[[0, -1]] == pytest.approx([1, 3]), "from the head's last word to the tail's"
    nothing = plots.steps(document, Extraction("1"), source="a model").figure.axes
    assert not any(ax.lines or ax.texts for ax in nothing)


def test_conventions_and_speed_show_the_records_numbers():
    ax = plots.conventions([record(1, 80, system="asp"), record(2, 80, system="asp")]).figure.axes[0]
    strict = [x.get_xdata()[0] for x in ax.lines if x.get_label() == "strict"]
    assert strict[0] == pytest.approx(F1[80], abs=1e-3) and len(ax.lines) == 3 * 3
    assert [text.get_text() for text in ax.get_yticklabels()] == ["ASP, NER", "ASP, RE", "ASP, RE+"]
    with pytest.raises(UserError, match="timed prediction"):
        plots.speed([*RUNS, record(45, prediction=None)])  # a mean over part of a row's runs is none
    plot = plots.speed(RUNS)
    ax = plot.figure.axes[0]
    mean = ax.lines[0]
    assert ax.get_legend_handles_labels()[1] == ["ITER, minilm"]
    assert mean.get_xdata()[0] == 40 and mean.get_ydata()[0] == pytest.approx(
        200 * sum((q // 2 - 5) / (2 * (q // 2 - 5) + (100 - q) // 4 + 5 + (100 - q) // 2 + 5) for q in SEEDS.values()) / 3,
        abs=1e-3,
    )
    assert "no benchmark" in plot.caption and "3 runs" in plot.caption


def test_speed_takes_throughput_records_where_there_are_any_and_never_mixes_sources():
    runs = [record(1, 80), record(1, 70, system="asp")]
    bench = [
        measured("iter", (290.0, 300.0, 310.0), workload=data_set("conll04"), batch_size=64),
        measured("iter", workload=data_set("conll04"), batch_size=1),
        measured("asp", (9e9,) * 3, workload=data_set("conll04"), problems=("drift",)),
        measured("asp", (9e9,) * 3, length=64),
    ]
    figure = plots.speed(runs, bench).figure
    scored, benchmark = figure.axes
    assert [ax.get_title() for ax in figure.axes] == [
        "conll04, scored pass\nSome CPU (2 cores)",
        "conll04, throughput record\nSome CPU (2 cores)",
    ]
    assert [x.get_xdata()[0] for x in scored.lines] == [40, 40], "ASP has no VALID record of this data set"
    assert [x.get_xdata()[0] for x in benchmark.lines] == pytest.approx([300], rel=1e-4), "the fastest batch size"


def test_joules_are_drawn_where_measured_and_else_said_to_be_missing():
    runs = [record(seed, 80 + seed) for seed in (1, 2)]
    plot = plots.energy(runs, [measured("iter", workload=data_set("conll04"))])
    assert not plot.figure.axes[0].lines and "not measured" in plot.figure.axes[0].texts[0].get_text()
    assert plot.caption.endswith("Nothing was measured for this.")
    power = {"watts": 300.0, "joules_per_sample": 0.5, "seconds": 10.0}
    (ax,) = plots.energy(runs, [measured("iter", workload=data_set("conll04"), power=power)]).figure.axes
    assert ax.lines[0].get_xdata()[0] == 0.5 and ax.get_xlabel() == "joules a sample"


def test_the_roofline_is_what_was_reached_below_the_ceiling():
    ceiling = {"dtype": "float32", "flops": 1e12, "matrix": 4096, "copy_rate": 1e10}
    work = {"flops": 2e9, "read": 4e7, "seconds": 0.004, "share": 0.4}  # 50 operations a byte
    shown = [measured(ceiling=ceiling), measured("asp", work=None), measured("plmarker", ceiling=ceiling, problems=("drift",))]
    shown += [measured(work=work, ceiling=ceiling), measured(batch_size=64, ceiling=ceiling)]
    plot = plots.roofline(shown)
    known, unknown = plot.figure.axes
    point, roof, half = known.lines
    assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx((50, 2 * 100), rel=1e-4)
    assert dict(zip(roof.get_xdata(), roof.get_ydata(), strict=True)) == {25: 250, 100: 1000}, "10 G bytes/s, to 1000 G/s"
    assert half.get_ydata()[0] == 500 and known.get_xlabel() == "operations a byte of weights"
    point, whole_call, roof, _ = unknown.lines  # an older record doesn't tell bytes
    assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx((2 * 8, 2 * 100), rel=1e-4), "2 G a document"
    assert whole_call.get_xdata()[0] == pytest.approx(2 * 10, rel=1e-4), "a call has 10 documents, fewer than a batch"
    assert set(roof.get_ydata()) == {1000} and "3 VALID records" in plot.caption


def test_depth_is_drawn_for_each_system_with_its_interval():
    documents = data.load("synthetic-w2", "test").documents
    split = record().data["test"].model_copy(update={"sha256": data.fingerprint(documents), "documents": len(documents)})
    shared = {"dataset": "synthetic-w2", "data": record().data | {"test": split}}
    runs = [record(system=name, documents={"ner": [(3, 1, 1)] * 200}, **shared) for name in ("iter", "asp")]
    (ax,) = plots.depth(runs).figure.axes
    assert line(ax, "ASP").get_ydata() == pytest.approx([75, 75]) and ax.get_xlabel() == "ω of the document"
    assert abs(line(ax, "ASP").get_xdata() - line(ax, "ITER").get_xdata()).max() < 0.05, "beside, so that none is hidden"
    with pytest.raises(UserError):
        plots.depth(RUNS)


def test_mistakes_fill_a_hundred_percent_of_gold_and_spurious_stand_on_the_other_side():
    runs = [record(seed, quality) for seed, quality in ((1, 80), (2, 60))]
    entities, relations = plots.mistakes([*runs, record(3, mistakes={}, schema_version=1)]).figure.axes
    bars = {drawn.get_label(): drawn[0] for drawn in entities.containers}
    spans = {name: (bar.get_x(), bar.get_width()) for name, bar in bars.items()}
    assert spans["hit"] == pytest.approx((0, 70)) and spans["missed"] == pytest.approx((77.5, 22.5))
    assert spans["spurious"] == pytest.approx((-7.5, 7.5)), "means of 5 and 10 of 100"
    of_gold = [drawn[0].get_width() for drawn in relations.containers if not drawn.get_label().startswith("spurious")]
    assert sum(of_gold) == pytest.approx(100)
    with pytest.raises(UserError):
        plots.mistakes([record(3, mistakes={})])
