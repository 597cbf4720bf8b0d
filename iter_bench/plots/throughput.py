"""Figure 3: documents a second against parameters, published ones beside as hollow marks; and a figure for each reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.ticker import ScalarFormatter
from matplotlib.transforms import Bbox

from iter_bench import published
from iter_bench.errors import UserError
from iter_bench.plots.panels import grid, legend
from iter_bench.plots.style import FILLS, TITLE_SIZE, Plot, in_style, look, plain_numbers
from iter_bench.tables.runs import ranges
from iter_bench.tables.throughput import STAGES, TITLES, commands
from iter_bench.throughput.readings import MEANINGS, READINGS, by_reading
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.throughput.settings import WORKLOADS, Subject

PLACES = (
    {"position": (0, 4), "ha": "center", "va": "bottom"},
    {"position": (0, -4), "ha": "center", "va": "top"},
    {"position": (4, 0), "ha": "left", "va": "center"},
    {"position": (-4, 0), "ha": "right", "va": "center"},
)
"""Of a label beside its mark, in points."""
ASIDE = 0.12
"""Between the marks of a data set, of the way to the next one."""
REGION = "documents in, Python entities and relations out, systems measured in alternation."
BY_SIZE = (
    "Documents a second against parameters, both logarithmic, all readings together. Filled, with a bar from the 5th to the "
    f"95th percentile: medians measured here, {REGION} Hollow: what the paper printed (Table 1), each with its hardware and "
    f"batch size (b). {STAGES}"
)
OF_READING = (
    "Documents a second (logarithmic), median, and from the 5th to the 95th percentile, of data sets and against the length of "
    f"documents (logarithmic); {REGION} A batch holds at most so many documents as its panel says, of calls of {{}} documents. "
    "Lengths and settings that were measured without another to compare are in the table alone."
)
GENERATED = (
    "Documents called {} are generated sentences with about that data set's length and density of entities "
    "(iter_bench/throughput/workloads.toml), not the data set itself."
)
CHOICES = {
    "lookahead": (
        "ASP's `lookahead`: how many outputs a pass of speculative decoding tries; by default as many as suit the rows of its "
        "batch."
    ),
    "decoding": (
        "ASP's `decoding`: `speculative` (the default) tries several outputs a pass and keeps those that are right, `stepwise` "
        "writes one a pass."
    ),
    "execution": (
        "PL-Marker's `execution`: `shared_text` (the default) encodes a text once for all markers, `packed`, as released, anew "
        "for each pack of them."
    ),
}
"""What the values of a system's settings mean that a line-up compares."""
STRUCTURES = {
    "gold": "New weights, which decide nothing: every system was given the gold structure.",
    "predicted": "Trained weights and what they predict.",
}


@in_style
def by_size(records: Sequence[ThroughputRecord]) -> Plot:
    """A panel for each data set and machine, as in the paper: its Table 1 hollow, what was measured here filled.

    Line-ups that compare settings of one system, or have one alone, are left to the figures of readings, which tell settings
    and batch sizes apart.

    Raises:
        UserError: there is no VALID record of a data set in such a line-up of systems.
    """
    of_sets = [record for record in records if record.settings.workload.name in WORKLOADS]
    of_sets = [r for r in of_sets if len(r.settings.lineup) > 1 and not _compared(r.settings.lineup)]
    shown = [record for record in of_sets if record.valid]
    panels: dict[tuple[int, str], list[ThroughputRecord]] = {}
    for record in shown:
        panels.setdefault((list(WORKLOADS).index(record.settings.workload.name), record.hardware), []).append(record)
    if not panels:
        raise UserError("no VALID record compares systems on a data set; measure first (`iter-bench throughput`)")
    figure, axes = grid(len(panels))
    labels = []
    for ax, ((_, hardware), members) in zip(axes, sorted(panels.items()), strict=True):
        title = WORKLOADS[members[0].settings.workload.name]["title"]
        labels.append(_published(ax, title))
        for record in members:
            rate, of = record.rate, look(record.system)
            x = [record.parameters / 1e6]
            ax.plot(x, [rate.median], color=of.color, marker=of.marker, linestyle="none", label=f"{of.label}, measured")
            ax.vlines(x, rate.p5, rate.p95, color=of.color, linewidth=0.8)
        ax.set(xlabel="million parameters", ylabel="documents/s")
        ax.set_title(f"{title}\nmeasured: {hardware}", fontsize=TITLE_SIZE)
        ax.margins(x=0.15, y=0.15)
        ax.set_xscale("log")
        ax.set_yscale("log")
        plain_numbers(ax.xaxis)
        plain_numbers(ax.yaxis)
    legend(figure, axes)
    figure.draw_without_rendering()  # after which all have their place
    for ax, of in zip(axes, labels, strict=True):
        _put_beside(ax, of)
    return Plot(figure, " ".join([BY_SIZE, *_left_out(of_sets), _provenance(shown)]))


@in_style
def of_reading(name: str, records: Sequence[ThroughputRecord]) -> Plot:
    """One of the `READINGS`: for each line-up and batch size a panel of data sets, and one of lengths for each density.

    A panel is of one machine and one set of rules. One length alone is no curve, and of settings of one system one mark alone
    compares nothing: these are left to the table.

    Raises:
        UserError: no VALID record of the reading is of a data set, or no two of a panel are of different lengths.
    """
    of_kind = by_reading(records)[name]
    valid = [record for record in of_kind if record.valid]
    sets = _panels(record for record in valid if record.settings.workload.name in WORKLOADS)
    sets = [of for of in sets if len(of) > 1 or not _compared(of[0].settings.lineup)]
    curves = _panels(record for record in valid if record.settings.workload.length is not None)
    curves = [of for of in curves if len({record.settings.workload.length for record in of}) > 1]
    if not sets and not curves:
        raise UserError(f"no VALID records are of the reading `{READINGS[name]}`; measure first (`iter-bench throughput`)")
    figure, axes = grid(len(sets) + len(curves))
    looks = _Looks([*sets, *curves])
    for ax, members in zip(axes, [*sets, *curves], strict=True):
        settings = members[0].settings
        encoders = " + ".join(dict.fromkeys(map(_encoder, settings.lineup)))
        draw = _data_sets if settings.workload.length is None else _lengths
        draw(ax, members, looks)
        title = ", ".join([encoders, f"batch {settings.batch_size}", *_compared(settings.lineup)])
        ax.set(ylabel="documents/s", yscale="log")
        ax.set_title(f"{title}\n{settings.hardware}", fontsize=TITLE_SIZE)
        plain_numbers(ax.yaxis)
    legend(figure, axes)
    shown = [record for members in (*sets, *curves) for record in members]
    about = OF_READING.format(ranges({record.documents.documents for record in shown}))
    told = [about, MEANINGS[name], *looks.alike(), *_left_out(of_kind), _provenance(shown)]
    return Plot(figure, " ".join(told))


FIGURES: dict[str, Callable[[Sequence[ThroughputRecord]], Plot]] = {
    "figure3-throughput": by_size,
    **{f"figure3-throughput-{name}": partial(of_reading, name) for name in READINGS},
}
"""File name → what draws the figure."""


def _provenance(records: Sequence[ThroughputRecord]) -> str:
    told = [STRUCTURES[name] for name in sorted({record.structure for record in records})]
    told += [CHOICES[name] for name in CHOICES if any(name in _compared(record.settings.lineup) for record in records)]
    named = {record.settings.workload.name for record in records if record.settings.workload.corpus is None}
    if titles := [profile["title"] for name, profile in WORKLOADS.items() if name in named]:
        told.append(GENERATED.format(", ".join(titles)))
    hardware = "; ".join(sorted({record.hardware for record in records}))
    return " ".join([*told, f"{len(records)} VALID records. Hardware: {hardware}.", *commands(records)])


def _left_out(records: Sequence[ThroughputRecord]) -> tuple[str, ...]:
    """A sentence on what was measured but is INVALID; none where nothing is."""
    told = [
        f"{_name(record.settings.subject, record.settings.lineup)} on {_title(record)}, batch "
        f"{record.settings.batch_size} ({', '.join(problem.partition(':')[0] for problem in record.problems)})"
        for record in records
        if not record.valid
    ]
    return (f"INVALID, so not drawn: {'; '.join(told)}.",) if told else ()


def _title(record: ThroughputRecord) -> str:
    return TITLES.get(record.settings.workload.name, record.settings.workload.name)


def _compared(lineup: Sequence[Subject]) -> list[str]:
    """The settings of systems in which subjects of a line-up differ."""
    models: dict[str, list[dict[str, object]]] = {}
    for subject in lineup:
        models.setdefault(subject.system, []).append(subject.model)
    return sorted({n for of in models.values() for n in set().union(*of) if any(m.get(n) != of[0].get(n) for m in of)})


def _published(ax: Axes, dataset: str) -> list[Annotation]:
    """The paper's Table 1 of a data set; gives the marks' labels."""
    labels = []
    table = published.figures(table=1)
    names = {printed: name for name, printed in published.SYSTEMS.items()}
    for row in table[table.dataset == dataset].itertuples():
        of = look(names.get(row.system, row.system))
        marks = {"color": of.color, "marker": of.marker, "fillstyle": "none", "linestyle": "none"}
        ax.plot([row.parameters_millions], [row.value], label=f"{of.label}, published", **marks)
        where = f"{row.hardware.removeprefix('1x ')}, b{row.batch_size:g}" if row.hardware else "unstated hardware"
        at = (row.parameters_millions, row.value)
        labels.append(ax.annotate(where, at, (0, 0), textcoords="offset points", fontsize=6))
    return labels


def _put_beside(ax: Axes, labels: Sequence[Annotation]) -> None:
    """Gives each label the first of `PLACES` where it lies on no mark and on no other label, or, without any, the first."""
    taken = []
    for line in ax.lines:
        at, size = ax.transData.transform(line.get_xydata()), line.get_markersize() / 72 * ax.figure.dpi
        taken += [Bbox.from_bounds(x - size / 2, y - size / 2, size, size) for x, y in at]
    for label in labels:
        for place in (*PLACES, PLACES[0]):
            label.set(**place)
            if not any(label.get_window_extent().overlaps(other) for other in taken):
                break
        taken.append(label.get_window_extent())


def _panels(records: Iterable[ThroughputRecord]) -> list[list[ThroughputRecord]]:
    """Records that share hardware, line-up, batch size, rules and structure; of one length also density."""
    panels: dict[tuple[object, ...], list[ThroughputRecord]] = {}
    for record in sorted(records, key=lambda record: record.documents.subtokens[1]):
        settings = record.settings
        of_length = settings.workload.length is not None
        fields = {"lineup": True, "rules": True, **({"workload": {"density"}} if of_length else {})}
        weights = tuple(subject.weights for subject in settings.lineup)
        key = (settings.hardware, weights, settings.batch_size, record.structure)
        panels.setdefault((*key, settings.model_dump_json(include=fields)), []).append(record)
    return [members for _, members in sorted(panels.items())]


def _data_sets(ax: Axes, records: Sequence[ThroughputRecord], looks: _Looks) -> None:
    """A mark a system and data set, side by side, so that no bar hides another."""
    there = [name for name in WORKLOADS if any(record.settings.workload.name == name for record in records)]
    subjects = _of_subjects(records)
    for i, (subject, of) in enumerate(subjects):
        aside = (i - (len(subjects) - 1) / 2) * ASIDE
        x = [there.index(record.settings.workload.name) + aside for record in of]
        ax.plot(x, [record.rate.median for record in of], linestyle="none", **looks.of(subject, records[0].settings.lineup))
        ax.vlines(x, [r.rate.p5 for r in of], [r.rate.p95 for r in of], color=look(subject.system).color, linewidth=0.8)
    ax.set_xticks(range(len(there)), [TITLES[name].replace(" ", "\n") for name in there], fontsize=6)
    ax.set_xlim(-0.5, len(there) - 0.5)
    ax.margins(y=0.15)
    ax.grid(axis="x", visible=False)


def _lengths(ax: Axes, records: Sequence[ThroughputRecord], looks: _Looks) -> None:
    """A line a system, with a band."""
    for subject, of in _of_subjects(records):
        x = [record.documents.subtokens[1] for record in of]
        ax.plot(x, [record.rate.median for record in of], **looks.of(subject, records[0].settings.lineup))
        low, high = [record.rate.p5 for record in of], [record.rate.p95 for record in of]
        ax.fill_between(x, low, high, color=look(subject.system).color, alpha=0.2, linewidth=0)
    ax.set(xlabel="sub-tokens a document")
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(ScalarFormatter())


def _of_subjects(records: Sequence[ThroughputRecord]) -> list[tuple[Subject, list[ThroughputRecord]]]:
    """The line-up's systems that have a record here, each with its own."""
    own = [(subject, [r for r in records if r.settings.subject == subject]) for subject in records[0].settings.lineup]
    return [(subject, of) for subject, of in own if of]


def _encoder(subject: Subject) -> str:
    return subject.weights.removeprefix("random:")  # the caption says that weights are new


def _name(subject: Subject, lineup: Sequence[Subject]) -> str:
    """What tells the subject from the others of its line-up: the system, its encoder, the settings that are compared."""
    system = look(subject.system).label
    named = [_encoder(subject)] if len({other.weights for other in lineup}) > 1 else []
    twins = [other for other in lineup if other.system == subject.system]
    own = [f"{name}={value}" for name, value in sorted(subject.model.items())] if len(twins) > 1 else []
    return ", ".join([system, *named, *own])


class _Looks:
    """How subjects are drawn, alike in all panels of a figure: each name of a system has another of `FILLS`, the last all more.

    Args:
        panels: the records of each.
    """

    def __init__(self, panels: Sequence[Sequence[ThroughputRecord]]) -> None:
        self._names: dict[str, list[str]] = {}
        for records in panels:
            for subject, _ in _of_subjects(records):
                names = self._names.setdefault(subject.system, [])
                if (name := _name(subject, records[0].settings.lineup)) not in names:
                    names.append(name)
        for names in self._names.values():
            names.sort(key=lambda name: "=" in name)  # the system as it is by default before its settings

    def of(self, subject: Subject, lineup: Sequence[Subject]) -> dict[str, str]:
        """Colour, mark and label."""
        system, name = look(subject.system), _name(subject, lineup)
        fill = FILLS[min(self._names[subject.system].index(name), len(FILLS) - 1)]
        return {"color": system.color, "marker": system.marker, "fillstyle": fill, "label": name}

    def alike(self) -> tuple[str, ...]:
        """A sentence on the names whose marks are alike; none where all are told apart."""
        last = [names[len(FILLS) - 1 :] for names in self._names.values() if len(names) > len(FILLS)]
        return (f"These marks are alike: {'; '.join(name for names in last for name in names)}.",) if last else ()
