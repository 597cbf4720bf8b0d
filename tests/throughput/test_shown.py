"""Tables and Figure 3 hold what VALID records say, to the digit, and compare only what was measured in alternation."""

import math

import pytest
from matplotlib.colors import to_hex
from throughput_examples import data_set, measured

from iter_bench import plots, published, tables
from iter_bench.errors import UserError
from iter_bench.plots.throughput import by_length, by_size
from iter_bench.tables.throughput import brief, counterpart, data_sets, growth, lengths
from iter_bench.throughput.settings import Subject
from iter_bench.throughput.workloads import of_length

CONLL04, ACE05 = data_set("conll04"), data_set("ace05")
BAD = {"problems": ("drift: by 9%",)}


def test_table_1_by_hand():
    asp = measured("asp", (4.0, 5.0, 6.0), workload=CONLL04, work=None)
    made = data_sets([asp, measured("iter", workload=CONLL04), measured("plmarker", workload=CONLL04, **BAD), measured()])
    ours = made.frame[made.frame["samples/s"].notna()]
    assert list(ours.system) == ["ITER", "ASP"], "INVALID and of one length left out"
    row = ours.iloc[1]
    assert (row["samples/s"], row["samples/s p5"], row["samples/s p95"]) == pytest.approx((5, 4.1, 5.9), rel=1e-5)
    assert row["speed-up of ITER"] == pytest.approx(20, rel=1e-5) and math.isnan(ours["speed-up of ITER"].iloc[0])
    assert row["forward ms"] == pytest.approx(8) and row["source"] == "embedded"
    assert "INVALID records of this kind, not shown: 1." in made.notes
    shared = "minilm | gold, sdpa, float32 | 22.7 M | 8 | 10 | embedded | 63.0 | 3.0 | {} | Some CPU (2 cores) |"
    assert [line for line in tables.markdown(made.shown).splitlines() if "Some CPU" in line] == [
        "| CoNLL04 | ITER | T5-small | 54 | 64 | 1x RTX 4090 | 1040.55 |  | "
        + shared.format("100 [99.1, 101] |  | 40.0% | 2 G"),
        "| CoNLL04 | ASP | T5-small | 64 | 64 | 1x RTX 4090 | 44.459 | 23.4× | " + shared.format("5 [4.1, 5.9] | 20× |  | "),
    ]
    assert list(brief(made).columns[-2:]) == ["share of ceiling", "hardware"] and len(brief(made)) == 2


def test_published_speeds_stand_in_columns_of_their_own():
    printed = published.figures(table=1)
    for records in ([], [measured("plmarker", workload=CONLL04), measured("iter", workload=ACE05, parameters=400_000_000)]):
        frame = data_sets(records).frame
        assert sorted(frame["published samples/s"].dropna()) == sorted(printed.value), "each once, and nothing else"
        assert frame["samples/s"].notna().sum() == len(records)
    (plmarker,) = frame[(frame.system == "PL-Marker") & (frame.dataset == "CoNLL04")].to_dict("records")
    assert math.isnan(plmarker["published samples/s"]), "the paper has no such row"
    speed_ups = frame.dropna(subset="published speed-up of ITER").set_index(["dataset", "published encoder"])
    assert speed_ups["published speed-up of ITER"].round(1).to_dict() == {
        ("CoNLL04", "T5-small"): 23.4,
        ("CoNLL04", "T5-large"): 22.3,
        ("ACE05 (with context)", "T5-large"): 4.6,
        ("CoNLL03 (document level)", "T5-small"): 27.6,
        ("CoNLL03 (document level)", "T5-large"): 28.7,
    }, "of the same hardware, batch size and size of encoder only"


def test_measured_rows_stand_beside_the_same_encoder_or_size():
    lineup = [Subject(system="iter", encoder="random:t5-large"), Subject(system="asp")]
    frame = data_sets(
        [measured("iter", workload=CONLL04, lineup=lineup), measured("asp", workload=CONLL04, lineup=lineup, parameters=10**9)]
    ).frame.dropna(subset="samples/s")
    assert list(frame["published encoder"]) == ["T5-large", "T5-large"]


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
    assert not [name for name in made.frame if name.startswith("published")]
    csv, markdown, latex = made.write(tmp_path, "lengths")
    assert csv.read_text().count("\n") == 5 and "at least 3 calls" in markdown.read_text()
    assert r"40.0\%" in latex.read_text()
    for make in (lengths, growth):
        assert len(make([]).frame) == 0 and make([]).write(tmp_path, "none")


def test_exponents_are_those_of_the_formula():
    """Seconds are 2 · N^1.5 · E^0.25 · ω^0.5, exactly; a pair of values is no fit, nor is what differs in more than one."""

    def one(length=64, density=15.0, omega=1, entities=30, **changes):
        workload = of_length(length, 10).model_copy(update={"density": density})
        lineup = [Subject(system="iter", model={"omega": n, "activation": "relu"}) for n in (1, 2, 4)]
        seconds = 2 * (length - 1) ** 1.5 * (entities / 10) ** 0.25 * omega**0.5
        changed = measured(workload=workload, rates=(1 / seconds,) * 3, length=length, lineup=lineup, **changes)
        subject = next(subject for subject in lineup if subject.model["omega"] == omega)
        documents = changed.documents.model_copy(update={"entities": entities})
        settings = changed.settings.model_copy(update={"subject": subject})
        return changed.model_copy(update={"documents": documents, "settings": settings})

    records = [one(length) for length in (16, 64, 256, 512)] + [one(256, omega=4), one(128, **BAD)]
    records += [one(density=5.0, entities=10), one(density=20.0, entities=40), one(omega=2), one(omega=4)]
    rows = growth(records).frame.set_index("x")
    assert rows.exponent.to_dict() == pytest.approx({"N": 1.5, "E": 0.25, "ω": 0.5}, abs=1e-4)
    assert rows.points.to_dict() == {"N": 4, "E": 3, "ω": 3} and (rows["exponent error"] < 1e-4).all()
    assert rows["stated in 3.5"].to_dict() == {"N": "O(N)", "E": "O(E²)", "ω": "O(N·ω)"}
    assert (rows.loc["N", "ms from"], rows.loc["E", "setting"]) == (
        pytest.approx(2000 * 15**1.5 * 3**0.25, rel=1e-4),
        "length=64, omega=1, activation=relu",
    )


def test_figure_3_draws_medians_and_bands_of_valid_records(tmp_path):
    records = [measured(length=length, rates=(50.0, 100.0, 200.0)) for length in (64, 16)]
    records += [measured("asp", (5.0,) * 3), measured("asp", (7.0,) * 3, length=16, **BAD), measured(workload=CONLL04)]
    records.append(measured(batch_size=1))  # one length is no curve
    plot = by_length(records)
    (ax,) = plot.figure.axes
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_title()) == ("log", "log", "minilm, batch 8\nSome CPU (2 cores)")
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
    of_panels = [{}, {"batch_size": 1}, {"hardware": "Other CPU"}, {"system": "plmarker", "lineup": mixed}]
    panels = by_length([measured(length=length, **panel) for panel in of_panels for length in (16, 64)]).figure.axes
    assert sorted(ax.get_title() for ax in panels) == [
        "minilm, batch 1\nSome CPU (2 cores)",
        "minilm, batch 8\nOther CPU",
        "minilm, batch 8\nSome CPU (2 cores)",
        "random:flan-t5-small + random:bert-base-cased, batch 8\nSome CPU (2 cores)",
    ]
    assert "PL-Marker, random:bert-base-cased" in [line.get_label() for ax in panels for line in ax.lines]


def test_published_speeds_are_hollow_and_name_their_hardware():
    records = [measured("iter", (50.0, 100.0, 200.0), workload=CONLL04), measured("asp", workload=CONLL04, **BAD), measured()]
    (ax,) = by_size(records).figure.axes
    drawn = [(line.get_label(), line.get_fillstyle(), *line.get_xydata()[0]) for line in ax.lines]
    table = published.figures(table=1)
    printed = table[table.dataset == "CoNLL04"]
    assert [point for point in drawn if point[1] == "full"] == [
        ("ITER, measured", "full", 22.713216, pytest.approx(100, rel=1e-5))
    ]
    assert [point[1:] for point in drawn if point[1] != "full"] == [
        ("none", row.parameters_millions, row.value) for row in printed.itertuples()
    ]
    assert [text.get_text() for text in ax.texts] == ["RTX 4090, b64"] * 4 + ["unstated hardware"]
    (bar,) = ax.collections
    assert bar.get_segments()[0][:, 1] == pytest.approx((records[0].rate.p5, records[0].rate.p95))


def test_nothing_valid_is_said():
    for draw, records in ((by_length, [measured(**BAD), measured(workload=CONLL04)]), (by_size, [measured()])):
        with pytest.raises(UserError, match="measure first"):
            draw(records)
