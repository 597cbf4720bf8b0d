"""Tables and Figure 3 hold what VALID records say, to the digit, and compare only what was measured in alternation."""

import pytest
from matplotlib.colors import to_hex
from throughput_examples import data_set, measured

from iter_bench import plots, tables
from iter_bench.errors import UserError
from iter_bench.plots.throughput import throughput
from iter_bench.tables.throughput import counterpart, data_sets, lengths
from iter_bench.throughput.settings import Subject

CONLL04, ACE05 = data_set("conll04"), data_set("ace05")
BAD = {"problems": ("drift: by 9%",)}


def test_table_1_by_hand():
    asp = measured("asp", (4.0, 5.0, 6.0), workload=CONLL04, work=None)
    made = data_sets([asp, measured("iter", workload=CONLL04), measured("plmarker", workload=CONLL04, **BAD), measured()])
    assert list(made.frame.system) == ["iter", "asp"], "in the order of the line-up; INVALID and of one length left out"
    row = made.frame.iloc[1]
    assert (row["samples/s"], row["samples/s p5"], row["samples/s p95"]) == pytest.approx((5, 4.1, 5.9), rel=1e-5)
    assert row["speed-up of ITER"] == pytest.approx(20, rel=1e-5) and made.frame["speed-up of ITER"].isna()[0]
    assert row["forward ms"] == pytest.approx(8) and row["source"] == "embedded"
    assert made.notes[-1] == "INVALID records of this kind, not shown: 1."
    shared = "| CoNLL04 | 10 | embedded | 63.0 | {} | minilm | gold, sdpa, float32 | 22.7 M | 8 | {} | Some CPU (2 cores) |"
    assert tables.markdown(made.shown).splitlines()[2:] == [
        shared.format("iter", "100 [99.1, 101] |  | 40.0% | 2 G"),
        shared.format("asp", "5 [4.1, 5.9] | 20× |  | "),
    ]


def test_speed_ups_are_within_a_cell_and_never_of_invalid_runs():
    iter_, asp = measured("iter"), measured("asp", (10.0,) * 3)
    assert counterpart(asp, [asp, iter_]) is iter_
    for other in (
        measured("iter", **BAD),
        measured("iter", cell=1),
        measured("iter", batch_size=1),
        measured("iter", structure="predicted"),
        measured("iter", hardware="Other CPU"),
    ):
        assert counterpart(asp, [asp, other]) is None
    large = [Subject(system="iter"), Subject(system="iter", encoder="random:bert-base-cased"), Subject(system="asp")]
    assert counterpart(measured("asp", lineup=large), [measured("iter", lineup=large)]) is not None


def test_files_of_lengths(tmp_path):
    records = [measured(length=length, batch_size=size) for length in (128, 16) for size in (8, 1)]
    made = lengths([*records, measured(workload=ACE05)])
    assert [tuple(row) for row in made.frame[["batch size", "dataset"]].values] == [
        (1, "length-16"),
        (1, "length-128"),
        (8, "length-16"),
        (8, "length-128"),
    ]
    csv, markdown, latex = made.write(tmp_path, "lengths")
    assert csv.read_text().count("\n") == 5 and "at least 3 calls" in markdown.read_text()
    assert r"40.0\%" in latex.read_text()
    assert len(lengths([]).frame) == 0 and lengths([]).write(tmp_path, "none")


def test_figure_3_draws_medians_and_bands_of_valid_records(tmp_path):
    records = [measured(length=length, rates=(50.0, 100.0, 200.0)) for length in (64, 16)]
    records += [measured("asp", (5.0,) * 3), measured("asp", (7.0,) * 3, length=16, **BAD), measured(workload=CONLL04)]
    plot = throughput(records)
    (ax,) = plot.figure.axes
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_title()) == ("log", "log", "minilm, batch 8")
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}
    assert drawn == {"ITER": ([15, 63], pytest.approx([100, 100], rel=1e-5)), "ASP": ([63], pytest.approx([5]))}
    for line, system in zip(ax.lines, ("iter", "asp"), strict=True):
        assert (to_hex(line.get_color()).upper(), line.get_marker()) == (plots.look(system).color, plots.look(system).marker)
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((records[0].rate.p5, records[0].rate.p95))
    assert plot.caption.endswith("3 VALID records. Hardware: Some CPU (2 cores).")
    assert [path.suffix for path in plots.save(plot, tmp_path, "figure3")] == [".png", ".svg", ".md"]


def test_a_panel_for_each_batch_size_line_up_and_machine():
    mixed = [
        Subject(system="iter", encoder="random:flan-t5-small"),
        Subject(system="plmarker", encoder="random:bert-base-cased"),
    ]
    records = [measured(), measured(batch_size=1), measured(hardware="Other CPU"), measured("plmarker", lineup=mixed)]
    panels = throughput(records).figure.axes
    assert sorted(ax.get_title() for ax in panels) == [
        "minilm, batch 1",
        "minilm, batch 8",
        "minilm, batch 8",
        "random:flan-t5-small + random:bert-base-cased, batch 8",
    ]
    assert "PL-Marker, random:bert-base-cased" in [line.get_label() for ax in panels for line in ax.lines]


def test_nothing_valid_is_said():
    with pytest.raises(UserError, match="measure first"):
        throughput([measured(**BAD), measured(workload=CONLL04)])
