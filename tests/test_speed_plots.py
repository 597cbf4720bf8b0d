"""F1 against speed and energy, and the roofline: what the figures show is checked by their data."""

from statistics import mean, stdev

import pytest
from record_examples import ENVIRONMENT, record
from throughput_examples import data_set, measured

from iter_bench import plots
from iter_bench.errors import UserError

SEEDS = {42: 80, 43: 84, 44: 88}


def test_speed_shows_the_records_numbers_with_their_spread():
    with pytest.raises(UserError, match="timed prediction"):
        plots.speed([record(42), record(45, prediction=None)])  # a mean over part of a row's runs is none
    seconds = {42: 0.2, 43: 0.25, 44: 0.5}
    runs = [
        record(seed, quality, prediction={"documents": 10, "seconds": seconds[seed], "batch_size": 8})
        for seed, quality in SEEDS.items()
    ]
    plot = plots.speed(runs)
    ax = plot.figure.axes[0]
    assert ax.get_legend_handles_labels()[1] == ["ITER, minilm"]
    # RE+: hits, spurious and missed ones of `record`
    f1 = [200 * (q // 2 - 5) / (2 * (q // 2 - 5) + (100 - q) // 4 + 5 + (100 - q) // 2 + 5) for q in SEEDS.values()]
    marks, _, (bar,) = ax.containers[0]
    assert marks.get_xdata()[0] == pytest.approx((50 + 40 + 20) / 3) and marks.get_ydata()[0] == pytest.approx(
        mean(f1), abs=1e-3
    )
    assert bar.get_segments()[0][:, 1] == pytest.approx([mean(f1) - stdev(f1), mean(f1) + stdev(f1)], abs=1e-3)
    (passes,) = [of for of in ax.collections if of is not bar]
    assert passes.get_segments()[0][:, 0] == pytest.approx([20, 50]), "the slowest and the fastest run"
    low, high = ax.get_xlim()
    assert low < 20 and high > 50
    assert "no benchmark" in plot.caption and "slowest to the fastest run" in plot.caption and "3 runs" in plot.caption


def test_a_setting_is_told_only_from_those_that_are_drawn():
    runs = [record(1), record(1, training={"epochs": 7}, prediction=None), record(1, system="asp")]
    assert {of.get_label() for of in plots.speed(runs).figure.axes[0].containers} == {"ITER, minilm", "ASP, minilm"}


def test_settings_that_share_a_throughput_record_stand_side_by_side():
    bench = [measured("iter", (300.0,) * 3, workload=data_set("conll04"))]
    figure = plots.speed([record(1), record(1, training={"epochs": 7})], bench).figure
    figure.draw_without_rendering()
    ax = next(ax for ax in figure.axes if "throughput record" in ax.get_title())
    first, second = ax.lines
    assert first.get_ydata() == second.get_ydata() and first.get_fillstyle() != second.get_fillstyle()
    assert [of.get_xdata()[0] for of in (first, second)] == pytest.approx([300, 300], rel=1e-4), "what was measured"
    (at,) = [of.get_segments()[0][:, 0] for of in ax.collections if of.get_segments()]
    assert at == pytest.approx([300, 300], rel=1e-4), "a line that shows the x of both"
    marks = [of.get_transform().transform(of.get_xydata())[0] for of in (first, second)]
    (x, y) = ax.transData.transform(first.get_xydata())[0]
    assert (marks[0] + marks[1]) / 2 == pytest.approx((x, y)) and ax.bbox.contains(x, y), "around it"
    assert (marks[1] - marks[0])[0] / figure.dpi * 72 > first.get_markersize()


def test_speed_takes_throughput_records_where_there_are_any_and_never_mixes_sources():
    runs = [record(1, 80), record(1, 70, system="asp"), record(1, 70, system="asp", dataset="scierc")]
    bench = [
        measured("iter", (290.0, 300.0, 310.0), workload=data_set("conll04"), batch_size=64),
        measured("iter", workload=data_set("conll04"), batch_size=1),
        measured("asp", (9e9,) * 3, workload=data_set("conll04"), problems=("drift",)),
        measured("asp", (9e9,) * 3, length=64),
    ]
    plot = plots.speed(runs, bench)
    benchmark, scored = plot.figure.axes
    assert [ax.get_title() for ax in plot.figure.axes] == [
        "conll04, throughput record\nSome CPU (2 cores)",
        "scierc, scored pass\nSome CPU (2 cores)",
    ], "a scored pass is no benchmark, so never of a data set that has one"
    assert [x.get_xdata()[0] for x in benchmark.lines] == pytest.approx([300], rel=1e-4), "the fastest batch size"
    assert [(of.get_label(), of[0].get_xdata()[0]) for of in scored.containers] == [("ASP, minilm", 40)]
    assert "only for data sets that no throughput record is of" in plot.caption
    assert "2 runs, seed 1. Epochs: asp 20; iter 20." in plot.caption, "ASP's run on conll04 isn't drawn"


def by_sweep(name, *arguments, **changes):
    """A record that names the sweep that measured it."""
    environment = ENVIRONMENT.model_copy(update={"command": f"iter-bench throughput {name} --minutes 9"})
    return measured(*arguments, environment=environment, **changes)


def test_captions_name_the_sweeps_that_measured_what_is_drawn():
    ceiling = {"dtype": "float32", "flops": 1e12, "matrix": 4096, "copy_rate": 1e10}
    power = {"watts": 300.0, "joules_per_sample": 0.5, "seconds": 10.0}
    drawn = by_sweep("mine", workload=data_set("conll04"), power=power, ceiling=ceiling)
    others = [by_sweep("slow", rates=(50.0,) * 3, workload=data_set("conll04")), by_sweep("other", length=16, rates=(7.0,) * 3)]
    for draw in (plots.speed, plots.energy):
        caption = draw([record(1)], [drawn, *others]).caption
        assert caption.endswith("Command: `iter-bench throughput mine`."), "not the sweeps of records that aren't drawn"
    assert plots.roofline([drawn, *others]).caption.endswith("Command: `iter-bench throughput mine`.")


def test_joules_are_drawn_where_measured_and_else_said_to_be_missing():
    runs = [record(seed, 80 + seed) for seed in (1, 2)]
    plot = plots.energy(runs, [measured("iter", workload=data_set("conll04"))])
    assert not plot.figure.axes[0].lines and "not measured" in plot.figure.axes[0].texts[0].get_text()
    assert plot.caption.endswith("No run was measured for this.")
    power = {"watts": 300.0, "joules_per_sample": 0.5, "seconds": 10.0}
    bench = [measured("iter", workload=data_set("conll04"), power=power)]
    (ax,) = plots.energy(runs, bench).figure.axes
    assert ax.lines[0].get_xdata()[0] == 0.5 and ax.get_xlabel() == "joules a sample"
    more = [record(3, training={"epochs": 7}), record(9, dataset="scierc"), record(9, system="asp")]
    caption = plots.energy([*runs, *more], bench).caption
    names = {drawn.get_label() for drawn in plots.energy([*runs, *more], bench).figure.axes[0].containers}
    assert names == {"ITER, epochs=20, minilm", "ITER, epochs=7, minilm"}
    assert " 3 runs, seeds 1–3. Epochs: iter 7, 20. Hardware: " in caption, "those without joules are not in the figure"


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
