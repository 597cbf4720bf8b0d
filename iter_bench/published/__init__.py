"""Published figures, each with its source: facts that others printed, kept in files of their own, away from what is measured.

``figures.csv`` holds scores and speeds (Tables 1, 3, 4, 6 and 7 of the ITER paper's camera-ready version, and what rivals
published themselves), ``hyperparameters.csv`` its Table 5, ``data.csv`` its Table 2, ``released.csv`` how the code of all
three systems' authors trains. Scores are in percent, as printed.
A convention is that of `iter_bench.scoring`, as the source claims it: ``strict`` (a symmetric pair counts once), ``pl_marker``
(twice), ``macro`` (strict, averaged over types) or ``unstated``. The released ITER compares mentions by their words where the
paper says strict, so its figures are nearer to `surface` than to `strict` here (``docs/scoring.md``).
"""

from __future__ import annotations

from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parent

SYSTEMS = {"iter": "ITER", "asp": "ASP", "plmarker": "PL-Marker"}
"""Registered name → name in the sources."""

DATASETS = {
    "conll04": "CoNLL04",
    "scierc": "SciERC",
    "scierc_dygie": "SciERC",
    "ade": "ADE",
    "ace05": "ACE05",
    "ace05_asp": "ACE05",
    "genia": "GENIA",
    "conll03": "CoNLL03",
}
"""Catalogue name → name in the sources, where the scores are of the same documents."""


def figures(table: int | None = None) -> pd.DataFrame:
    """Scores and speeds; a row is one printed value.

    Args:
        table: of the paper's tables only this one.

    Returns:
        Columns ``system``, ``encoder`` (empty where the source names none), ``parameters_millions``, ``dataset``, ``metric``
        (``ner_f1``, ``re_f1``, ``re_plus_f1``, ``samples_per_second``), ``convention``, ``value`` and ``std``, ``precision``
        and ``recall`` with their deviations, ``seeds``, ``hardware``, ``batch_size``, ``source``, ``place`` (table and page),
        ``note``. What the source does not say is NaN, in columns of words an empty string.
    """
    found = _read("figures")
    return found if table is None else found[found["place"].str.startswith(f"Table {table},")].reset_index(drop=True)


def letters(figures: pd.DataFrame) -> dict[str, str]:
    """Each note that one of the figures has → the letter that a table marks it with."""
    return dict(zip(dict.fromkeys(note for note in figures["note"] if note), ascii_lowercase, strict=False))


def told(letters: dict[str, str]) -> tuple[str, ...]:
    """What the letters stand for, as a sentence below the table; none without letters."""
    notes = "; ".join(f"{letter}: {note}" for note, letter in letters.items())
    return (f"Published note {notes}.",) if notes else ()


def hyperparameters() -> pd.DataFrame:
    """Table 5: one row a data set, columns as in `iter_bench.settings.TrainingSettings`, and ``activation``."""
    return _read("hyperparameters")


def released() -> pd.DataFrame:
    """How the three systems' authors train, by their code; one row a data set, encoder and stage of the system.

    ITER's rows hold what its Table 5 doesn't print, and all for the encoders that have a configuration of their own.

    Returns:
        Columns as in `iter_bench.settings.TrainingSettings`; ``train`` and ``dev``, the splits they train and select on;
        ``context``: ``none``, ``extended`` (ASP's field of that name) or ``text`` (from both sides, up to ``length`` sub-tokens
        in all); ``brackets``, whether ``-LRB-`` and the like are read as brackets; the system's own settings (``pairs``: of a
        pack); ``source`` with its commit, and ``place`` in it. What a system doesn't have is NaN or "".
    """
    return _read("released")


def data() -> pd.DataFrame:
    """Table 2: samples a split as printed, ``omega``, and the share of samples with overlapping entities."""
    return _read("data")


def data_row(name: str) -> dict[str, Any] | None:
    """The row of ``data()`` for a data set of the catalogue; None where the paper has none."""
    return data().set_index("dataset").to_dict("index").get(DATASETS.get(name))


def same_encoder(printed: str, measured: str) -> bool:
    """Whether a record's encoder (``google/flan-t5-large``) is the one that a source prints (``FLAN-T5-large``)."""
    return _key(printed) == _key(measured) != ""


def _key(encoder: str) -> str:
    return encoder.rsplit("/", 1)[-1].lower().replace("-", "").replace("_", "")


def _read(name: str) -> pd.DataFrame:
    import pandas as pd

    table = pd.read_csv(FOLDER / f"{name}.csv", dtype={column: str for column in ("train", "dev", "test", "overlap")})
    words = table.select_dtypes(["object", "string"]).columns
    return table.fillna(dict.fromkeys(words, ""))
