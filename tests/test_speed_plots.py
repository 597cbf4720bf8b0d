"""F1 against speed and energy, and the roofline: what the figures show is checked by their data."""

from statistics import mean, stdev

import pytest
from record_examples import ENVIRONMENT, record
from throughput_examples import data_set, measured

from iter_bench import plots
from iter_bench.errors import UserError
from iter_bench.tables.speed import speed
from iter_bench.throughput.settings import Subject

SEEDS = {42: 80, 43: 84, 44: 88}


def test_speed_is_that_of_throughput_records_and_f1_that_of_the_runs_with_its_spread():
    runs = [record(seed, quality) for seed, quality in SEEDS.items()]
    runs += [record(1, 70, system="asp"), record(1, 70, system="asp", dataset="scierc")]
    bench = [
        measured("iter", (290.0, 300.0, 310.0), workload=data_set("conll04"), batch_size=64),
        measured("iter", workload=data_set("conll04"), batch_size=1),
        measured("asp", (9e9,) * 3, workload=data_set("conll04"), problems=("drift",)),
        measured("asp", (9e9,) * 3, length=64),
    ]
    with pytest.raises(UserError, match="tells samples/s of a system"):
        plots.speed(runs, bench[2:])  # a scored pass is no benchmark
    plot = plots.speed(runs, bench)
    (ax,) = plot.figure.axes
    assert ax.get_title() == "conll04\nspeed: Some CPU (2 cores)"
    assert ax.get_legend_handles_labels()[1] == ["ITER, minilm"], "ASP has no VALID record of such lengths"
    # RE+: hits, spurious and missed ones of `record`
    f1 = [200 * (q // 2 - 5) / (2 * (q // 2 - 5) + (100 - q) // 4 + 5 + (100 - q) // 2 + 5) for q in SEEDS.values()]
    marks, _, (bar,) = ax.containers[0]
    assert marks.get_xydata()[0] == pytest.approx((300, mean(f1)), abs=1e-3), "the fastest batch size"
    assert bar.get_segments()[0][:, 1] == pytest.approx([mean(f1) - stdev(f1), mean(f1) + stdev(f1)], abs=1e-3)
    assert "3 runs, seeds 42–44. Epochs: iter 20." in plot.caption, "ASP's runs aren't drawn"


def test_the_caption_says_under_what_speed_and_f1_were_measured_as_the_records_do():
    bench = [measured("iter", workload=data_set("conll04"), batch_size=64)]
    told = plots.speed([record(1, training={"precision": "bf16"})], bench).caption
    assert "new weights with the gold structure imposed, float32, calls of 10 generated documents at batch 64" in told
    assert "F1: trained weights, bfloat16, the data set's own documents; 1 run" in told
    trained = [measured("iter", workload=data_set("conll04", corpus="conll04"), structure="predicted")]
    told = plots.speed([record(1)], trained).caption
    assert (
        "Speed: trained weights, float32, calls of 10 documents at batch 8" in told and "F1: trained weights, float32" in told
    )


def test_a_trained_system_s_speed_belongs_to_the_runs_that_trained_it_whatever_its_folder():
    mine, other = record(1), record(1, model={"decoding": "stepwise"})
    lineup = [Subject(system="iter", trained="/trainings/mine/system")]
    bench = [measured(workload=data_set("conll04"), lineup=lineup, structure="predicted", trained_by=mine.run_id)]
    table = speed([mine, other], bench).frame
    assert list(table.source[table.source == "throughput record"]) == ["throughput record"]
    assert not len(speed([other], bench).frame.query("source == 'throughput record'"))
    untold = [measured(workload=data_set("conll04"), lineup=lineup, structure="predicted")]
    assert not len(speed([mine], untold).frame.query("source == 'throughput record'"))


def test_a_setting_is_told_only_from_those_that_are_drawn():
    runs = [record(1), record(1, model={"decoding": "stepwise"}), record(1, system="asp")]
    lineup = [Subject(system="iter", model={"decoding": "stepwise"}), Subject(system="asp")]
    bench = [measured(name, workload=data_set("conll04"), lineup=lineup) for name in ("iter", "asp")]
    assert {of.get_label() for of in plots.speed(runs, bench).figure.axes[0].containers} == {"ITER, minilm", "ASP, minilm"}


def test_settings_that_share_a_throughput_record_stand_at_its_x_in_sizes_that_hide_none():
    bench = [measured("iter", (300.0,) * 3, workload=data_set("conll04"))]
    (ax,) = plots.speed([record(1), record(1, training={"epochs": 7})], bench).figure.axes
    first, second = ax.lines
    assert first.get_ydata() == second.get_ydata() and first.get_fillstyle() != second.get_fillstyle()
    places = [ax.transData.inverted().transform(of.get_transform().transform(of.get_xydata()))[0] for of in (first, second)]
    assert [place[0] for place in places] == pytest.approx([300, 300], rel=1e-4), "as drawn, no mark is moved aside"
    assert second.get_markersize() < first.get_markersize() - 2 and second.get_zorder() >= first.get_zorder()


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
    unknown = [measured("iter", workload=data_set("conll04"))]
    with pytest.raises(UserError, match="tells joules a sample of a system"):
        plots.energy(runs, unknown)
    assert "no figure `energy`" in " ".join(speed(runs, unknown).notes), "no empty frame, but a word at the table"
    power = {"watts": 300.0, "joules_per_sample": 0.5, "seconds": 10.0}
    bench = [measured("iter", workload=data_set("conll04"), power=power)]
    (ax,) = plots.energy(runs, bench).figure.axes
    assert "no figure `energy`" not in " ".join(speed(runs, bench).notes)
    assert ax.lines[0].get_xdata()[0] == 0.5 and ax.get_xlabel() == "joules a sample"
    more = [record(3, training={"epochs": 7}), record(9, dataset="scierc"), record(9, system="asp")]
    caption = plots.energy([*runs, *more], bench).caption
    names = {drawn.get_label() for drawn in plots.energy([*runs, *more], bench).figure.axes[0].containers}
    assert names == {"ITER, 20 epochs, minilm", "ITER, 7 epochs, minilm"}
    assert "; 3 runs, seeds 1–3. Epochs: iter 7, 20. Hardware: " in caption, "those without joules are not in the figure"


def test_the_roofline_is_what_was_reached_below_the_ceiling():
    ceiling = {"dtype": "float32", "flops": 1e12, "matrix": 4096, "copy_rate": 1e10}
    work = {"flops": 2e9, "read": 4e7, "seconds": 0.004, "share": 0.4}  # 50 operations a byte
    shown = [measured(ceiling=ceiling), measured("asp", work=None), measured("plmarker", ceiling=ceiling, problems=("drift",))]
    shown += [measured(work=work, ceiling=ceiling), measured(batch_size=64, ceiling=ceiling)]
    plot = plots.roofline(shown)
    known, unknown = plot.figure.axes
    point, roof, half = known.lines
    assert point.get_fillstyle() == "full", "as all that is measured"
    assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx((50, 2 * 100), rel=1e-4)
    assert dict(zip(roof.get_xdata(), roof.get_ydata(), strict=True)) == {25: 250, 100: 1000}, "10 G bytes/s, to 1000 G/s"
    assert half.get_ydata()[0] == 500 and known.get_xlabel() == "operations a byte of weights"
    point, whole_call, roof, _ = unknown.lines  # an older record doesn't tell bytes
    assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx((2 * 8, 2 * 100), rel=1e-4), "2 G a document"
    assert whole_call.get_xdata()[0] == pytest.approx(2 * 10, rel=1e-4), "a call has 10 documents, fewer than a batch"
    assert set(roof.get_ydata()) == {1000} and "3 VALID records" in plot.caption
