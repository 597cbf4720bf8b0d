"""The steps of Figure 1, and the figures beyond the paper: conventions, depth, length, mistakes; checked by their data."""

from statistics import mean, stdev

import pytest
from plot_examples import F1, RUNS, by_convention, line
from record_examples import record

from iter_bench import data, plots
from iter_bench.data import statistics
from iter_bench.document import Document, Entity, Extraction, Relation
from iter_bench.errors import UserError


def of_documents(dataset, documents, counts, **changes):
    """A record that was scored on these documents, with NER counts of each."""
    split = record().data["test"].model_copy(update={"sha256": data.fingerprint(documents), "documents": len(documents)})
    return record(dataset=dataset, data=record().data | {"test": split}, documents={"ner": counts}, **changes)


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


def test_steps_have_room_for_every_level_and_for_relations_between_the_same_words():
    nest = tuple(Entity(0, end, "a_$x$") for end in range(1, 7))
    last = Entity(5, 6, "b")
    document = Document("1", ("a",) * 6, (*nest, last), (Relation(nest[0], last, "up"), Relation(nest[0], nest[5], "on")))
    figure = plots.steps(document).figure
    figure.draw_without_rendering()
    spans, links = figure.axes[1:]
    box = spans.get_window_extent()
    for drawn in (*spans.lines, *spans.texts):
        within = drawn.get_window_extent()
        assert box.y0 <= within.y0 and within.y1 <= box.y1, "six levels, their types too, and none runs into the row above"
    assert {text.get_text() for text in spans.texts} == {r"a_\$x\$", "b"}, "a dollar sign of a type begins no formula"
    assert len(links.lines) == 1 and [text.get_text() for text in links.texts if text.get_text()] == ["up, on"]
    back = Document("1", document.words, document.entities, (Relation(nest[0], last, "up"), Relation(last, nest[0], "down")))
    links = plots.steps(back).figure.axes[2]
    assert len({round(text.get_position()[1], 2) for text in links.texts if text.get_text()}) == 2, (
        "neither label hides another"
    )


def test_conventions_are_drawn_side_by_side_with_their_spread():
    runs = [
        record(1, system="asp", scores=by_convention(80, 60, 84)),
        record(2, system="asp", scores=by_convention(88, 72, 84)),
    ]
    ax = plots.conventions(runs).figure.axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["ASP, NER", "ASP, RE", "ASP, RE+"]
    assert [drawn.get_label() for drawn in ax.containers] == ["strict", "surface", *2 * ["strict", "pl_marker", "surface"]]
    places = []
    for drawn, qualities in zip(ax.containers[2:5], ((80, 88), (60, 72), (84, 84)), strict=True):
        marks, _, (bar,) = drawn
        values, ((low, y), (high, _)) = [F1[quality] for quality in qualities], bar.get_segments()[0]
        assert marks.get_xdata()[0] == pytest.approx(mean(values), abs=1e-3)
        assert (high - low) / 2 == pytest.approx(stdev(values), abs=1e-3)
        places.append(y)
    assert len(set(places)) == 3 and all(abs(y - 1) < 0.5 for y in places), "within their row, so that no bar hides another"


def test_panels_of_conventions_stand_in_two_columns_that_are_about_as_high_and_fit_a_page():
    sets = ("ade", "conll04", "conll03", "genia", "scierc", "ace05", "synthetic")
    runs = [record(1, system=system, dataset=name) for name in sets for system in ("iter", "asp", "plmarker")]
    figure = plots.conventions([*runs, record(1, dataset="alone")]).figure
    figure.draw_without_rendering()
    assert [ax.get_title() for ax in figure.axes] == [f"{name}, minilm" for name in sorted((*sets, "alone"))]
    assert figure.get_figheight() < 9.7, "inches between the margins of A4"
    boxes = [ax.get_window_extent() for ax in figure.axes]
    columns = [[box for box in boxes if (box.x0 < figure.bbox.width / 2) == left] for left in (True, False)]
    assert [len(column) for column in columns] == [4, 4]
    heights = {round(box.height / figure.dpi, 1) for box in boxes}
    assert len(heights) <= 4, "as high as their rows, whatever stands beside them"


def test_depth_is_drawn_for_each_system_with_its_interval():
    documents = data.load("synthetic-w2", "test").documents
    counts = [(1, 0, 0) if i % 3 else (0, 0, 1) for i in range(len(documents))]
    runs = [of_documents("synthetic-w2", documents, counts, system=name) for name in ("iter", "asp")]
    (ax,) = plots.depth(runs).figure.axes
    omegas = [statistics.omega(document) for document in documents]
    for label, bars in zip(("ASP", "ITER"), ax.collections, strict=True):
        for i, bar in enumerate(bars.get_segments()):
            hits = [tp for (tp, _, _), omega in zip(counts, omegas, strict=True) if omega == i + 1]
            share = mean(hits)
            assert line(ax, label).get_ydata()[i] == pytest.approx(200 * share / (1 + share))
            # of F1 = 2p / (1 + p), where p of n documents are hit: the normal approximation
            half = 1.96 * 200 / (1 + share) ** 2 * (share * (1 - share) / len(hits)) ** 0.5
            assert (bar[1, 1] - bar[0, 1]) / 2 == pytest.approx(half, rel=0.15)
            assert bar[0, 0] == line(ax, label).get_xdata()[i] and bar[0, 1] < line(ax, label).get_ydata()[i] < bar[1, 1]
    assert ax.get_xlabel() == "ω of the document"
    assert plots.depth(runs).caption.startswith("F1 by ω (most positions inside one entity at which an entity begins)")
    assert 0 < abs(line(ax, "ASP").get_xdata() - line(ax, "ITER").get_xdata()).max() < 0.05, "beside, so that none is hidden"
    with pytest.raises(UserError):
        plots.depth(RUNS)


def test_length_is_drawn_over_the_mean_words_of_each_bin():
    documents = data.load("synthetic-lengths", "test").documents
    words = [len(document.words) for document in documents]
    longest = sorted(words)[3 * len(words) // 4]
    plot = plots.length(
        [of_documents("synthetic-lengths", documents, [(1, 0, 0) if n > longest else (0, 0, 1) for n in words])]
    )
    (ax,) = plot.figure.axes
    drawn = line(ax, "ITER")
    x, f1 = drawn.get_xdata(), drawn.get_ydata()
    assert min(words) < x[0] < x[1] < x[2] < longest <= x[3] < max(words)
    assert sum(x * [38, 37, 38, 37]) == pytest.approx(sum(words)), "bins of as many documents each"
    assert list(f1[:3]) == [0, 0, 0] and f1[3] > 90
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("words of the document", "NER F1 (%)") and "1 run, seed 42" in plot.caption
    with pytest.raises(UserError, match="several sentences"):
        plots.length(RUNS)


def test_mistakes_fill_a_hundred_percent_of_gold_and_spurious_stand_on_the_other_side():
    runs = [record(seed, quality) for seed, quality in ((1, 80), (2, 60))]
    plot = plots.mistakes([*runs, record(3, system="asp", mistakes={}, schema_version=1)])
    entities, relations = plot.figure.axes
    assert "Recorded before mistakes were counted, so not here: asp on conll04, 1 run." in plot.caption
    bars = {drawn.get_label(): drawn[0] for drawn in entities.containers}
    spans = {name: (bar.get_x(), bar.get_width()) for name, bar in bars.items()}
    assert spans["hit"] == pytest.approx((0, 70)) and spans["missed"] == pytest.approx((77.5, 22.5))
    assert spans["spurious"] == pytest.approx((-7.5, 7.5)), "means of 5 and 10 of 100"
    assert entities.get_xlim()[0] < -7.5 - 1 and entities.get_xlim()[1] > 100 + 1, "no bar ends on the axis, as if cut off"
    assert [tick.get_text() for tick in entities.get_xticklabels()][:2] == ["25", "0"], "a share has no sign"
    of_gold = [drawn[0].get_width() for drawn in relations.containers if not drawn.get_label().startswith("spurious")]
    assert sum(of_gold) == pytest.approx(100)
    with pytest.raises(UserError):
        plots.mistakes([record(3, mistakes={})])
