"""Tables and Figure 3 hold what VALID records say, to the digit, and compare only what was measured in alternation."""

import math
from functools import partial
from itertools import combinations

import pytest
from matplotlib.colors import to_hex
from throughput_examples import data_set, measured

from iter_bench import plots, published, tables
from iter_bench.errors import UserError
from iter_bench.plots import throughput as figures
from iter_bench.tables.throughput import brief, counterpart, data_sets, growth, of_reading
from iter_bench.throughput import report
from iter_bench.throughput.readings import READINGS, by_reading
from iter_bench.throughput.settings import Subject
from iter_bench.throughput.workloads import of_length

CONLL04, ACE05 = data_set("conll04"), data_set("ace05")
BAD = {"problems": ("drift: by 9%",)}


def test_what_no_record_fills_any_more_is_deleted_and_nothing_else(tmp_path):
    stale = [tmp_path / "tables" / "table1-throughput-same-encoder.md", tmp_path / "figures" / "figure3-throughput-other.svg"]
    own = tmp_path / "tables" / "mine.md"
    for path in (*stale, own):
        path.parent.mkdir(exist_ok=True)
        path.write_text("of an earlier call")
    report.write(tmp_path)
    assert own.exists() and not any(path.exists() for path in stale)


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
    shared = "same encoder for all | minilm | gold, sdpa, float32 | 22.7 M | 8 | 10 | embedded | 63.0 | 3.0 | "
    shared += "{} | Some CPU (2 cores) |"
    assert [line for line in tables.markdown(made.shown).splitlines() if "Some CPU" in line] == [
        "| CoNLL04 | ITER | T5-small | 54 | 64 | 1x RTX 4090 | 1040.55 |  |  | "
        + shared.format("100 [99.1, 101] |  | 40.0% | 2 G | – + – + 8 + 1"),
        "| CoNLL04 | ASP | T5-small | 64 | 64 | 1x RTX 4090 | 44.459 | 23.4× |  | "
        + shared.format("5 [4.1, 5.9] | 20× |  |  | – + – + 8 + 1"),
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


def lineup(**encoders):
    return [Subject(system=system, encoder=encoder) for system, encoder in encoders.items()]


SMALL = lineup(iter="random:t5-small", asp="google-t5/t5-small", plmarker="random:bert-base-cased")
BASE = lineup(iter="random:deberta-v3-base", asp="random:flan-t5-base", plmarker="random:bert-base-cased")


def of_lineup(subjects, millions, **changes):
    """A record a subject, with so many parameters each."""
    systems = [subject.system for subject in subjects]
    return [
        measured(name, lineup=subjects, parameters=int(1e6 * count), **changes)
        for name, count in zip(systems, millions, strict=False)
    ]


def test_a_line_up_has_the_reading_that_its_records_show():
    of = {
        "same-encoder": of_lineup(lineup(iter="minilm", asp="minilm"), (22, 40)),
        "same-parameters": of_lineup(BASE, (226, 229, 218)),
        "as-published": of_lineup(SMALL, (54, 64, 218)),
        "other-code": of_lineup(
            [Subject(system=name, trained=f"beside/{name[:4]}") for name in ("iter", "theirs:Iter")], (22, 22)
        ),
        "other": of_lineup(lineup(iter="random:bert-base-cased", plmarker="random:roberta-base"), (150, 250)),
    }
    found = by_reading([record for members in of.values() for record in members])
    assert list(found) == list(READINGS) and {name: len(members) for name, members in found.items()} == {
        name: len(of[name]) for name in READINGS
    }
    for name, members in of.items():
        assert set(map(id, found[name])) == set(map(id, members)), name
    for millions, reading in (
        ((226, 229, 218), "same-parameters"),
        ((226, 229, 205), "as-published"),
        ((226, 229), "as-published"),  # nobody knows yet what the third will have
    ):
        assert by_reading(of_lineup(BASE, millions))[reading], millions
    invalid = of_lineup(BASE, (226, 229, 218), **BAD)
    assert len(by_reading(invalid)["same-parameters"]) == 3, "their parameters hold, whatever their time"
    trained = [Subject(system=name, trained=f"runs/{name}/system") for name in ("iter", "asp")]
    assert by_reading(of_lineup(trained, (22, 40)))["other"], "a folder doesn't tell its encoder"
    absolute = [Subject(system=of.system, trained=f"/trainings/{of.trained}") for of in trained]
    assert [of.weights for of in absolute] == ["iter/system", "asp/system"]
    assert by_reading(of_lineup(absolute, (22, 40)))["other"]


def test_a_reading_has_a_table_of_its_own(tmp_path):
    records = [measured(length=length, batch_size=size) for length in (128, 16) for size in (8, 1)]
    others = of_lineup(BASE, (226, 229, 218), workload=CONLL04)
    made = of_reading("same-encoder", [*others, *records, measured(workload=ACE05)])
    assert [tuple(row) for row in made.frame[["batch size", "dataset"]].values] == [
        (8, "ACE05 (without context)"),
        (1, "length-16"),
        (1, "length-128"),
        (8, "length-16"),
        (8, "length-128"),
    ]
    assert not [name for name in made.frame if name.startswith("published")] and "one and the same encoder" in made.notes[0]
    csv, markdown, latex = made.write(tmp_path, "same-encoder")
    assert csv.read_text().count("\n") == 6 and "at least 3 calls" in markdown.read_text()
    assert r"40.0\%" in latex.read_text()
    same_parameters = of_reading("same-parameters", [*others, *records]).frame
    assert list(same_parameters.encoder) == [subject.encoder for subject in BASE]
    assert list(same_parameters["speed-up of ITER"].dropna()) == [1, 1], "within the cell, encoders aside"
    for made in (of_reading("other", []), growth([])):
        assert len(made.frame) == 0 and made.write(tmp_path, "none")


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


def test_a_figure_of_a_reading_draws_medians_and_bands_of_valid_records(tmp_path):
    records = [measured(length=length, rates=(50.0, 100.0, 200.0)) for length in (64, 16)]
    records += [measured("asp", (5.0,) * 3), measured("asp", (7.0,) * 3, length=16, **BAD), measured(workload=CONLL04)]
    records += [measured("asp", (4.0,) * 3, workload=ACE05), measured("plmarker", (4.0,) * 3, workload=ACE05, **BAD)]
    records.append(measured(batch_size=1))  # one length is no curve
    records += of_lineup(BASE, (226, 229, 218), workload=CONLL04)  # of another reading
    plot = figures.of_reading("same-encoder", records)
    sets, ax = plot.figure.axes
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_title()) == ("log", "log", "minilm, batch 8\nSome CPU (2 cores)")
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}
    assert drawn == {"ITER": ([15, 63], pytest.approx([100, 100], rel=1e-5)), "ASP": ([63], pytest.approx([5]))}
    for line, system in zip(ax.lines, ("iter", "asp"), strict=True):
        assert (to_hex(line.get_color()).upper(), line.get_marker()) == (plots.look(system).color, plots.look(system).marker)
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((records[0].rate.p5, records[0].rate.p95))
    assert ([text.get_text() for text in sets.get_xticklabels()], sets.get_yscale()) == (
        ["CoNLL04", "ACE05\n(without\ncontext)"],
        "log",
    ), "called as in the caption"
    assert sets.get_title() == "minilm, batch 8\nSome CPU (2 cores)"
    marks = {line.get_label(): (list(line.get_xdata().round()), list(line.get_ydata())) for line in sets.lines}
    places = [line.get_xdata()[0] % 1 for line in sets.lines]
    assert len(set(places)) == 2, "beside each other, so that no bar hides another"
    assert marks == {"ITER": ([0], pytest.approx([100], rel=1e-5)), "ASP": ([1], pytest.approx([4]))}
    assert plot.caption.endswith("5 VALID records. Hardware: Some CPU (2 cores).") and "same encoder for all" in plot.caption
    told = "INVALID, so not drawn: ASP on length-16, batch 8 (drift); PL-Marker on ACE05 (without context), batch 8 (drift)."
    assert told in plot.caption and "of calls of 10 documents" in plot.caption
    assert [path.suffix for path in plots.save(plot, tmp_path, "figure3")] == [".png", ".svg", ".md"]


def test_a_panel_for_each_batch_size_line_up_and_machine():
    small = lineup(iter="random:bert-base-cased", asp="random:bert-base-cased")
    of_panels = [{}, {"batch_size": 1}, {"hardware": "Other CPU"}, {"lineup": small}]
    records = [measured(length=length, **panel) for panel in of_panels for length in (16, 64)]
    panels = figures.of_reading("same-encoder", records).figure.axes
    assert sorted(ax.get_title() for ax in panels) == [
        "bert-base-cased, batch 8\nSome CPU (2 cores)",
        "minilm, batch 1\nSome CPU (2 cores)",
        "minilm, batch 8\nOther CPU",
        "minilm, batch 8\nSome CPU (2 cores)",
    ]
    (ax,) = figures.of_reading("as-published", of_lineup(SMALL, (54, 64, 218), workload=CONLL04)).figure.axes
    assert ax.get_title() == "t5-small + google-t5/t5-small + bert-base-cased, batch 8\nSome CPU (2 cores)"
    assert "PL-Marker, bert-base-cased" in [line.get_label() for line in ax.lines]


def test_a_panel_and_the_caption_say_what_a_line_up_compares():
    models = [("asp", {"decoding": "speculative"}), ("asp", {"decoding": "stepwise"}), ("plmarker", {"max_span_words": 4})]
    paths = [Subject(system=system, model=model) for system, model in models]
    records = [measured("asp", length=length, **of) for of in ({}, {"lineup": paths}) for length in (16, 64)]
    plot = figures.of_reading("same-encoder", records)
    titles = sorted(ax.get_title().partition("\n")[0] for ax in plot.figure.axes)
    assert titles == ["minilm, batch 8", "minilm, batch 8, decoding"], "what all have alike isn't compared"
    assert "`speculative` (the default)" in plot.caption and "shared_text" not in plot.caption
    assert "speculative" not in figures.of_reading("same-encoder", records[:2]).caption


def test_settings_of_a_system_stand_in_the_figure_of_their_reading_alone_and_only_beside_each_other():
    pair = [Subject(system="asp", model={"lookahead": outputs}) for outputs in (4, 6)]
    first, other = measured("asp", workload=CONLL04, lineup=pair), measured(workload=CONLL04)
    settings = first.settings.model_copy(update={"subject": pair[1]})
    second = first.model_copy(update={"settings": settings, "run_id": settings.run_id})
    for records, panels in (([first, other], 1), ([first, second, other], 2)):
        plot = figures.of_reading("same-encoder", records)
        assert len(plot.figure.axes) == panels and ("`lookahead`" in plot.caption) == (panels == 2), (
            "what is shown is explained"
        )
    alone = measured("plmarker", workload=CONLL04, batch_size=1024, lineup=[Subject(system="plmarker")])
    (ax,) = figures.by_size([first, second, other, alone]).figure.axes
    drawn = {line.get_label() for line in ax.lines}
    assert "ITER, measured" in drawn and not drawn & {"ASP, measured", "PL-Marker, measured"}


def test_no_two_names_of_a_system_look_the_same_in_any_panel_or_are_said_to():
    def of(values, length=None):
        subjects = [Subject(system="asp", model={"lookahead": value}) for value in values]
        for subject in subjects:
            workload = {"length": length} if length else {"workload": CONLL04}
            made = measured("asp", lineup=subjects, **workload)
            settings = made.settings.model_copy(update={"subject": subject})
            yield made.model_copy(update={"settings": settings, "run_id": settings.run_id})

    few = [measured("asp", length=length) for length in (16, 64)] + [*of((2, 3)), *of((4, 5), 16), *of((4, 5), 64)]
    plot = figures.of_reading("same-encoder", few)
    fills = {line.get_label(): line.get_fillstyle() for ax in plot.figure.axes for line in ax.lines}
    assert fills["ASP"] == "full" and len(set(fills.values())) == len(fills) == 5 and "alike" not in plot.caption
    plot = figures.of_reading("same-encoder", [*few, *of((6, 7, 8))])
    drawn = {line.get_label(): line.get_fillstyle() for ax in plot.figure.axes for line in ax.lines}
    alike = [name for name, fill in drawn.items() if list(drawn.values()).count(fill) > 1]
    assert len(alike) == 3 and f"These marks are alike: {'; '.join(alike)}." in plot.caption


def test_captions_say_which_documents_are_generated():
    there = data_set("conll04", corpus="conll04")
    for draw in (figures.by_size, partial(figures.of_reading, "same-encoder")):
        told = draw([measured(workload=there), measured("asp", workload=ACE05)]).caption
        assert "Documents called ACE05 (without context) are generated sentences" in told and "workloads.toml" in told
        assert "generated" not in draw([measured(workload=there)]).caption


def test_published_speeds_are_hollow_and_name_their_hardware():
    records = [measured("iter", (50.0, 100.0, 200.0), workload=CONLL04), measured("asp", workload=CONLL04, **BAD), measured()]
    (ax,) = figures.by_size(records).figure.axes
    drawn = [(line.get_label(), line.get_fillstyle(), *line.get_xydata()[0]) for line in ax.lines]
    table = published.figures(table=1)
    printed = table[table.dataset == "CoNLL04"]
    caption = figures.by_size(records).caption
    assert ax.get_title() == "CoNLL04\nmeasured: Some CPU (2 cores)" and "published 108 M are one BERT-base" in caption
    assert "INVALID, so not drawn: ASP on CoNLL04, batch 8 (drift)." in caption
    assert [point for point in drawn if point[1] == "full"] == [
        ("ITER, measured", "full", 22.713216, pytest.approx(100, rel=1e-5))
    ]
    assert [point[1:] for point in drawn if point[1] != "full"] == [
        ("none", row.parameters_millions, row.value) for row in printed.itertuples()
    ]
    assert [text.get_text() for text in ax.texts] == ["RTX 4090, b64"] * 4 + ["unstated hardware"]
    (bar,) = ax.collections
    assert bar.get_segments()[0][:, 1] == pytest.approx((records[0].rate.p5, records[0].rate.p95))


def test_no_label_of_figure_3_lies_on_a_mark_or_on_another_label():
    places = ((33, 82), (55, 38), (64, 6))  # of ITER's and ASP's marks below the label of ASP's published one
    records = [measured(rates=(rate,) * 3, parameters=10**6 * size, workload=CONLL04, cell=size) for size, rate in places]
    figure = figures.by_size(records).figure
    figure.draw_without_rendering()
    (ax,) = figure.axes
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    marks = [ax.transData.transform(of.get_xydata())[0] for of in ax.lines]
    assert len(boxes) == 5 and len(marks) == 5 + 3 and not any(box.contains(*mark) for box in boxes for mark in marks)


def test_nothing_valid_is_said():
    same_encoder = partial(figures.of_reading, "same-encoder")
    for draw, records in ((same_encoder, [measured(**BAD), measured()]), (figures.by_size, [measured()])):
        with pytest.raises(UserError, match="measure first"):
            draw(records)
