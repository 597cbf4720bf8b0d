"""What the figures show is checked by their data; how they look was checked by eye."""

import re
from datetime import timedelta
from itertools import pairwise
from statistics import mean

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from plot_examples import F1, RUNS, SEEDS, by_convention, line
from record_examples import ENVIRONMENT, record
from throughput_examples import data_set, measured

from iter_bench import matrix, plots, search
from iter_bench.document import Document, Entity, Relation
from iter_bench.errors import UserError
from iter_bench.plots.catalogue import FIGURES
from iter_bench.plots.style import COLUMN_WIDTH, plain_numbers, styled
from iter_bench.records import superseded
from iter_bench.tables.captions import provenance
from iter_bench.tables.catalogue import Sources


def staged(*stages):
    """A run of PL-Marker in stages, whose first finds no relations."""
    history = []
    for i, stage in enumerate(stages):
        for epoch in record(1, 60, system="plmarker").history:
            dev = {"ner": epoch.dev["ner"] + i / 10} | ({"re_plus": 0.1 * i} if i else {})
            history.append(epoch.model_dump() | {"stage": stage, "dev": dev, "loss": {"classes": 2.0**-i}})
    return record(1, system="plmarker", history=history)


def of_settings(count, **changes):
    return [
        record(seed, epochs, training={"epochs": epochs}, **changes)
        for epochs in range(60, 60 + 2 * count, 2)
        for seed in (1, 2)
    ]


def looks(drawn):
    return to_hex(drawn.get_color()), drawn.get_linestyle(), drawn.get_marker(), drawn.get_alpha()


def test_scores_show_each_run_and_the_mean_in_the_systems_look():
    baseline = [record(42, 76, system="plmarker"), record(42, 60, system="mine")]
    ax = plots.scores([*RUNS, *baseline]).figure.axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["NER", "RE", "RE+"]
    means = line(ax, "ITER")
    assert means.get_ydata()[0] == pytest.approx(mean(F1[quality] for quality in SEEDS.values()), abs=1e-3)
    runs = next(x for x in ax.lines if x.get_color() == means.get_color() and len(x.get_ydata()) == 3 and x is not means)
    assert sorted(runs.get_ydata()) == pytest.approx([F1[quality] for quality in sorted(SEEDS.values())], abs=1e-3)
    assert len(set(runs.get_xdata())) == 1
    for system, label in (("iter", "ITER"), ("plmarker", "PL-Marker"), ("mine", "mine")):
        drawn = line(ax, label)
        assert (to_hex(drawn.get_color()).upper(), drawn.get_marker()) == (plots.look(system).color, plots.look(system).marker)
    told = {text.xy: text.get_text() for text in ax.texts}
    assert told == {(x, y): f"{y:.1f}" for of in ax.lines if of.get_label()[0] != "_" for x, y in of.get_xydata()}, (
        "at the mean"
    )


def test_scores_have_a_panel_a_data_set_and_are_strict():
    records = [record(42, dataset="scierc", scores=by_convention(80, 60, 72)), record(42, dataset="conll03", relations=False)]
    flat, related = plots.scores(records).figure.axes
    assert (flat.get_title(), related.get_title()) == ("conll03, minilm", "scierc, minilm")
    assert len(line(flat, "ITER").get_ydata()) == 1 and len(line(related, "ITER").get_ydata()) == 3
    assert line(related, "ITER").get_ydata()[0] == pytest.approx(F1[80], abs=1e-3)


def test_two_settings_of_a_system_can_be_told_apart():
    plot = plots.scores([record(42), record(42, training={"epochs": 7}), record(42, system="asp")])
    ax = plot.figure.axes[0]
    fills = {x.get_label(): x.get_fillstyle() for x in ax.lines if x.get_label().startswith(("ITER", "ASP"))}
    assert fills == {"ITER, 20 epochs": "full", "ITER, 7 epochs": "none", "ASP": "full"}
    (legend,) = plot.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ITER, 20 epochs", "ITER, 7 epochs", "ASP"]
    ax = plots.scores([record(42), record(42, model={"omega": 2})]).figure.axes[0]
    assert line(ax, "ITER, default") and line(ax, "ITER, omega=2")
    ax = plots.scores([record(42, training={"epochs": 7})]).figure.axes[0]
    assert line(ax, "ITER"), "one alone has nothing to be told from"


def test_more_than_two_differences_are_numbered_and_explained():
    tuned = {"epochs": 7, "lr_encoder": 1e-4, "lr_heads": 2e-4}
    plot = plots.scores([record(42), record(42, training=tuned)])
    assert line(plot.figure.axes[0], "ITER 1") and line(plot.figure.axes[0], "ITER 2")
    found = re.findall(r"ITER (\d) on conll04, minilm: training.epochs=(\d+), training.lr_encoder=[^ ]+, ", plot.caption)
    assert found == [("1", "20"), ("2", "7")]
    shown = [record(42, system="asp"), record(42, system="asp", training={"epochs": 7}), record(42), record(42, training=tuned)]
    caption = plots.scores(shown).caption
    assert "ITER 2 on" in caption and "ASP" not in caption.partition(" runs, ")[0], "a system at a time"


def test_a_setting_is_called_alike_whatever_else_is_shown():
    """By what tells it from the one that is most alike, though a third, which has a number, differs in much more."""
    pair = [record(42), record(42, training={"epochs": 7})]
    tuned = record(42, training={"epochs": 7, "lr_encoder": 1e-4, "lr_heads": 2e-4}, model={"activation": "relu"})
    for records, names in ((pair, set()), ([*pair, tuned], {"ITER 1"})):
        plot = plots.scores(records)
        assert {x.get_label() for x in plot.figure.axes[0].lines if x.get_label()[0] != "_"} == {
            "ITER, 20 epochs",
            "ITER, 7 epochs",
            *names,
        }
    assert "ITER, 7 epochs on conll04, minilm: training.epochs=7, training.lr_encoder=" in plot.caption, "all that differs"
    grid = [record(42, training={"epochs": epochs, "lr_heads": rate}) for epochs in (7, 20) for rate in (1e-4, 2e-4)]
    plot = plots.scores(grid)
    names = {x.get_label() for x in plot.figure.axes[0].lines if x.get_label()[0] != "_"}
    assert names == {f"ITER, {epochs} epochs, lr_heads={rate}" for epochs in (7, 20) for rate in ("0.0001", "0.0002")}
    assert " on conll04, minilm: " not in plot.caption, "the names say all"


def test_a_name_that_leaves_out_what_differs_is_explained():
    one = [{}, {"training": {"epochs": 7}}, {"model": {"omega": 2}}, {"training": {"batch_size": 4}}]  # each from the first
    plot = plots.scores([record(42, **changes) for changes in one])
    names = {x.get_label() for x in plot.figure.axes[0].lines if x.get_label()[0] != "_"}
    assert {"ITER, 7 epochs", "ITER, omega=2", "ITER, batch_size=4"} <= names and len(names) == 4
    assert "ITER, 7 epochs on conll04, minilm: training.batch_size=8, training.epochs=7." in plot.caption


@pytest.mark.parametrize("more", [{}, {"lr_encoder": 1.5e-5, "lr_heads": 2.5e-5}], ids=["named", "numbered"])
def test_what_a_label_says_is_what_is_drawn_in_every_figure_and_panel(more):
    quality = {15: 80, 20: 60, 7: 72}  # by epochs

    def of(seed, epochs, **changes):
        training = {"epochs": epochs, **{name: epochs * rate for name, rate in more.items()}}
        return record(seed, changes.pop("quality", quality.get(epochs)), training=training, **changes)

    elsewhere = ENVIRONMENT.model_copy(update={"cpu": "Other CPU"})
    several = [of(seed, epochs) for epochs in (15, 7) for seed in (1, 2)]
    alone = of(1, 20, mistakes={}, environment=elsewhere)  # not in all figures
    trials = [of(1, epochs, quality=88, test="dev") for epochs in (1, 2, 3)]
    bench = [measured(workload=data_set("conll04"), hardware=name) for name in ("Some CPU", "Other CPU")]
    sources = Sources([*several, alone, *trials], {}, {}, bench)
    made = {name: FIGURES[name](sources) for name in ("figure2-lambda", "mistakes", "speed")}
    drawn = {name: {} for name in made}  # figure → label → what it shows
    for ax in made["figure2-lambda"].figure.axes:
        label = ax.get_title().removeprefix("conll04, ").removesuffix(", minilm")
        drawn["figure2-lambda"][label] = line(ax, "F1").get_ydata()[0]
    entities = made["mistakes"].figure.axes[0]
    hits = [of[0].get_width() for of in entities.containers if of.get_label() == "hit"]
    drawn["mistakes"] = dict(zip([text.get_text() for text in entities.get_yticklabels()], hits, strict=True))
    assert len(made["speed"].figure.axes) == 2
    marks = [of for ax in made["speed"].figure.axes for of in ax.containers]
    drawn["speed"] = {of.get_label().removesuffix(", minilm"): of[0].get_ydata()[0] for of in marks}
    assert len(marks) == 2 * 3 and len({of[0].get_fillstyle() for of in marks}) == 3, "one legend for both panels"
    shows = {
        "figure2-lambda": lambda quality: 100 * record(1, quality).lambda_curve[0].f1,
        "mistakes": lambda quality: quality,
        "speed": lambda quality: 100 * record(1, quality).scores.test["strict"]["re_plus"].f1,
    }
    for name, plot in made.items():
        shown = (15, 20, 7) if name == "speed" else (15, 7)
        said = {f"ITER, {epochs} epochs": epochs for epochs in shown}
        if more:
            found = re.findall(r"(ITER \d) on conll04, minilm: training.epochs=(\d+), ", plot.caption)
            said = {label: int(epochs) for label, epochs in found}
            assert list(said) == [f"ITER {i + 1}" for i in range(len(shown))], "from 1 in each figure, whatever others show"
        assert sorted(said.values()) == sorted(shown)
        assert drawn[name] == pytest.approx({label: shows[name](quality[epochs]) for label, epochs in said.items()}, abs=1e-3)
    ticks = FIGURES["conventions"](sources).figure.axes[0].get_yticklabels()
    assert {text.get_text().rpartition(",")[0] for text in ticks} == set(drawn["speed"])


@pytest.mark.parametrize("limits", [(52, 106), (17.2, 39), (105, 190), (0.65, 70_000), (0.02, 3), (100, 103)])
def test_a_logarithmic_axis_has_two_numbers_or_more_that_do_not_touch(limits):
    with styled():
        figure = Figure(figsize=(COLUMN_WIDTH, 2.3))
        ax = figure.subplots()
        ax.set(xscale="log", xlim=limits)
        plain_numbers(ax.xaxis)
        figure.draw_without_rendering()
    numbers = [text for text in ax.get_xticklabels() if text.get_text() and limits[0] <= text.get_position()[0] <= limits[1]]
    assert len(numbers) >= 2 and all(float(text.get_text()) == pytest.approx(text.get_position()[0]) for text in numbers)
    boxes = sorted((text.get_window_extent().x0, text.get_window_extent().x1) for text in numbers)
    assert all(left[1] < right[0] for left, right in pairwise(boxes))


@pytest.mark.parametrize("count", [1, 2, 3, 6, 9])
def test_a_runs_point_stands_beside_its_own_mean_and_marks_that_are_alike_are_named(count):
    plot = plots.scores(of_settings(count))
    ax = plot.figure.axes[0]
    means = [x for x in ax.lines if x.get_label().startswith("ITER")]
    points = [ax.lines[ax.lines.index(drawn) - 3] for drawn in means]  # of NER; then RE, RE+ and the means
    for i, (of, drawn) in enumerate(zip(points, means, strict=True)):
        assert mean(of.get_ydata()) == pytest.approx(drawn.get_ydata()[0])
        distances = [abs(of.get_xdata()[0] - other.get_xdata()[0]) for other in means]
        own = distances.pop(i)
        assert all(other > 1.4 * own for other in distances)
        assert max(abs(of.get_xdata()[0]), abs(drawn.get_xdata()[0])) < 0.5, "NER's place is 0, RE's 1"
    fills = [drawn.get_fillstyle() for drawn in means]
    assert len(set(fills)) == min(count, 6)
    alike = [drawn.get_label() for drawn in means if fills.count(drawn.get_fillstyle()) > 1]
    named = f"On conll04 these marks are alike: {'; '.join(f'{name}, minilm' for name in alike)}. "
    assert (named in plot.caption) if alike else ("alike" not in plot.caption)


def test_learning_curve():
    dev, loss = plots.learning_curve(RUNS).figure.axes
    means = line(dev, "ITER, NER")
    assert list(means.get_xdata()) == [1, 2, 3]
    assert means.get_ydata() == pytest.approx([84 - 30, 84 - 15, 84 - 10])
    assert line(loss, "ITER, loss").get_ydata() == pytest.approx([6, 3, 2], abs=1e-4)
    assert len(dev.lines) == 2 * (3 + 1) and len(loss.lines) == 3 + 1
    assert loss.get_yscale() == "log"


def test_losses_that_older_records_hold_divided_by_the_batch_size_are_drawn_as_todays():
    size, whole = {"batch_size": 4}, [6, 3, 2]
    for version, system, model, factor in (
        (3, "asp", {}, 1),
        (2, "asp", {}, 4),
        (1, "iter", {"loss_reduction": "mean"}, 4),
        (2, "iter", {}, 1),
    ):
        _, loss = plots.learning_curve(
            [record(1, system=system, training=size, model=model, schema_version=version)]
        ).figure.axes
        drawn = next(x for x in loss.lines if x.get_label().endswith(", loss"))
        assert drawn.get_ydata() == pytest.approx([factor * value for value in whole], abs=1e-4)


def test_every_stage_has_a_line_and_the_legend_is_right_for_both_panels():
    plot = plots.learning_curve([record(1), staged("ner", "re", "third")])
    dev, loss = plot.figure.axes
    stages = [f"PL-Marker (stage {stage})" for stage in ("ner", "re", "third")]
    losses = {f"{name}, loss" for name in ("ITER", *stages)}
    f1 = {"ITER, NER", "ITER, RE+", *(f"{name}, NER" for name in stages), *(f"{name}, RE+" for name in stages[1:])}
    assert ({x.get_label() for x in dev.lines}, {x.get_label() for x in loss.lines}) == (f1, losses)
    assert line(dev, "PL-Marker (stage re), NER").get_ydata() == pytest.approx([40, 55, 60], abs=1e-3)
    assert [line(loss, f"{name}, loss").get_ydata()[0] for name in stages] == [1, 0.5, 0.25]
    (legend,) = plot.figure.legends
    named = {text.get_text(): looks(of) for of, text in zip(legend.legend_handles, legend.get_texts(), strict=True)}
    assert named == {x.get_label(): looks(x) for ax in (dev, loss) for x in ax.lines}
    assert len(set(named.values())) == len(named), "no two entries look the same"
    assert "those of different systems can't be compared. Nor can those of stages" in plot.caption
    plot.figure.draw_without_rendering()
    assert dev.get_window_extent().height > 1.4 * plot.figure.dpi, "the legend takes nothing of the panels"


def test_settings_have_panels_of_their_own_where_their_lines_would_be_alike():
    dev, loss = plots.learning_curve(of_settings(3)).figure.axes
    for ax, what in ((dev, "NER"), (loss, "loss")):
        assert len({looks(line(ax, f"ITER, {epochs} epochs, {what}")) for epochs in (60, 62, 64)}) == 3
    axes = plots.learning_curve(of_settings(4)).figure.axes
    assert [ax.get_title() for ax in axes[::2]] == [f"conll04, ITER, {i} epochs, minilm" for i in (60, 62, 64, 66)]
    assert [line(ax, "ITER, NER").get_ydata()[-1] for ax in axes[::2]] == pytest.approx([50, 52, 54, 56])
    assert [len(ax.lines) for ax in axes] == [2 * (2 + 1), 2 + 1] * 4


def test_the_mean_covers_only_epochs_that_all_runs_reached():
    stopped = record(45, 80, history=[epoch.model_dump() for epoch in record(45).history[:2]])
    dev = plots.learning_curve([*RUNS, stopped]).figure.axes[0]
    assert list(line(dev, "ITER, NER").get_xdata()) == [1, 2]


def test_lambda_curve():
    without = record(50, lambda_curve=None)
    plot = plots.lambda_curve([*RUNS, without])
    (ax,) = plot.figure.axes
    assert list(line(ax, "precision").get_xdata()) == [0, 0.25, 0.5, 0.75, 1]
    assert line(ax, "recall").get_ydata() == pytest.approx([78, 76, 74, 72, 70])
    assert line(ax, "F1").get_ydata()[0] == pytest.approx(100 * (74 / 101 + 78 / 102 + 82 / 103) / 3, abs=1e-3)
    means = [100 * sum(run.lambda_curve[i].f1 for run in RUNS) / len(RUNS) for i in range(5)]
    assert line(ax, "F1").get_ydata() == pytest.approx(means, abs=1e-3)
    assert "3 runs, seeds 42–44." in plot.caption, "a run without a curve is not claimed to be drawn"
    nothing = {"lambda": 1, "precision": 0, "recall": 0, "f1": 0}
    curve = [point.model_dump(by_alias=True) for point in record().lambda_curve[:4]]
    (ax,) = plots.lambda_curve([record(1), record(2, lambda_curve=[*curve, nothing])]).figure.axes
    for name in ("precision", "recall", "F1"):
        assert list(line(ax, name).get_xdata()) == [0, 0.25, 0.5, 0.75], "at 1 a run keeps nothing, so that there is no mean"


ELSEWHERE = "{} runs are of no profile or search; records name their command."


def test_captions_name_seeds_folds_epochs_hardware_and_commands():
    folds = [record(42, dataset="ade", fold=fold) for fold in range(10)]
    assert provenance(
        folds
    ) == "10 runs, seed 42, folds 0–9. Epochs: iter 20. Hardware: Some CPU (2 cores). " + ELSEWHERE.format(10)
    assert plots.scores(RUNS).caption.endswith(
        f"3 runs, seeds 42–44. Epochs: iter 20. Hardware: Some CPU (2 cores). {ELSEWHERE.format(3)}"
    )
    runs = matrix.load_profile("conll04-longer").runs()  # which includes all of conll04
    known = [record().model_copy(update={"settings": run, "run_id": run.run_id}) for run in runs]
    assert provenance(known).endswith("cores). Command: `make reproduce PROFILE=conll04-longer`.")
    assert "Epochs: iter 7, 15." in provenance(known)
    seven = [run for run in known if run.settings.training.epochs == 7]
    assert provenance(seven).endswith("Command: `make reproduce PROFILE=conll04`."), "the profile that holds little else"
    base = search.load_search("conll04-plmarker").base
    trial = record().model_copy(update={"settings": base, "run_id": base.run_id})
    assert provenance([*seven, trial]).endswith("PROFILE=conll04`, `iter-bench search conll04-plmarker`.")


def one_document(_):
    head, tail = Entity(0, 1, "PER"), Entity(1, 2, "PER")
    return plots.steps(Document("1", ("Ann", "Bob"), (head, tail), (Relation(head, tail, "knows"),)))


@pytest.mark.parametrize("draw", [plots.conventions, plots.lambda_curve, plots.mistakes, one_document])
def test_what_is_no_system_has_no_systems_colour_or_mark(draw):
    figure = draw(RUNS).figure
    lines, words, bars = (figure.findobj(kind) for kind in (Line2D, Text, Rectangle))
    colours = {to_hex(of.get_color()).upper() for of in (*lines, *words)} | {to_hex(of.get_facecolor()).upper() for of in bars}
    systems = [plots.look(system) for system in ("iter", "asp", "plmarker")]
    assert len(colours) > 2 and not colours & {of.color for of in systems}
    assert not {of.get_marker() for of in lines} & {of.marker for of in systems}


def test_captions_tell_of_runs_with_a_defect_that_was_mended_since():
    (defect,) = superseded.DEFECTS
    shown = [record(1, system=defect.system), record(2, system=defect.system, started=defect.until)]
    of_old = [record(seed, system=defect.system, started=defect.until - timedelta(seconds=1)) for seed in (3, 4)]
    assert "scores may be too low" not in provenance([*shown, record(1, started=of_old[0].started)])
    assert f"1 run of asp is of {defect.told}. " in provenance([*shown, of_old[0]])
    assert "2 runs of asp are of a decoder" in provenance([*shown, *of_old])


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
