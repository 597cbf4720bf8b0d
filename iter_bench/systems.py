"""What a system is, and which ones there are.

A system takes documents and gives extractions; everything else of the suite (training loop, scorer, harness, command line)
knows it only through the protocol below. Adding one is a module, a line in ``REGISTRY`` and a configuration.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from iter_bench.data.catalogue import DATA_DIR, FILE, catalogue
from iter_bench.data.synthetic import PRESETS
from iter_bench.document import Document, Extraction, Schema
from iter_bench.errors import SettingsError, UserError
from iter_bench.settings import RunSettings, TrainingSettings, validated
from iter_bench.text import WordRule

REGISTRY: dict[str, str] = {
    "asp": "baselines.asp.system:AspSystem",
    "iter": "iter_bench.iter_model.system:IterSystem",
    "plmarker": "baselines.plmarker.system:PlMarkerSystem",
}

SYSTEM_FILE = "system.json"
RUN_FILE = "run.json"
"""In a trained system's folder: the settings of the run that trained it."""

EpochReport = dict[str, Any]
Report = Callable[[EpochReport], None]


@dataclass(frozen=True, slots=True)
class Reachable:
    """The gold annotation as far as a system can express it.

    Attributes:
        extractions: what a perfect prediction would be, one a document.
        lost: gold items that no prediction can be, counted by reason.
        notes: what tokenising changed or left out, counted by what it was.
    """

    extractions: list[Extraction]
    lost: Counter[str]
    notes: Counter[str]


@runtime_checkable
class System(Protocol):
    """An extraction system.

    Attributes:
        name: as in ``REGISTRY``.
        schema: the types that it extracts.
        settings: its own settings, resolved; a stored epoch is resumed under the same ones only.
    """

    name: ClassVar[str]
    schema: Schema
    settings: Mapping[str, Any]

    @classmethod
    def build(
        cls, encoder: str, schema: Schema, train: Sequence[Document], settings: Mapping[str, Any], *, seed: int
    ) -> System:
        """An untrained system. ``train`` may decide settings left open, such as ω; unknown settings are a SettingsError."""
        ...

    @classmethod
    def load(cls, folder: Path) -> System:
        """What ``save`` stored."""
        ...

    def save(self, folder: Path) -> None:
        """Stores weights (safetensors), configuration and tokenizer; ``load`` gives the same predictions."""
        ...

    def fit(
        self,
        train_documents: Sequence[Document],
        dev_documents: Sequence[Document],
        training: TrainingSettings,
        *,
        seed: int,
        folder: Path | None = None,
        report: Report | None = None,
    ) -> list[EpochReport]:
        """Trains with the one training loop and returns its epochs; resumes from ``folder`` when an epoch is stored there."""
        ...

    def predict(self, documents: Sequence[Document], *, batch_size: int = 8) -> list[Extraction]:
        """One extraction a document, in the same order, with the documents' ids."""
        ...

    def reachable(self, documents: Sequence[Document]) -> Reachable:
        """What of the gold annotation the system can express at all."""
        ...

    @property
    def parameters(self) -> int:
        """How many weights take part in a prediction."""
        ...


@runtime_checkable
class PredictsAbove(Protocol):
    """A system with a threshold λ on the probability of a relation; its record holds RE+ over λ."""

    def predict_above(self, documents: Sequence[Document], link_threshold: float, *, batch_size: int = 8) -> list[Extraction]:
        """As `System.predict` with another λ; each relation's ``score`` is its probability, and with 0 all have one."""
        ...


@runtime_checkable
class SavesEncoder(Protocol):
    """A system whose trained encoder another run can start from."""

    def save_encoder(self, folder: Path) -> None:
        """Stores the encoder alone and its tokenizer, as a folder that any run can name as its encoder."""
        ...


@runtime_checkable
class ChoosesPrecision(Protocol):
    """A system whose matrix products have a type that can be set."""

    precision: str
    """``fp32``, ``bf16`` or ``auto``; see ``iter_bench.devices.compute_dtype``."""


def system_class(name: str) -> type[System]:
    """The class registered as ``name``, or the one that ``module:Class`` names, imported now.

    Raises:
        SettingsError: there is no such system.
    """
    if name not in REGISTRY and not re.fullmatch(r"\w+(\.\w+)*:\w+", name):
        known = ", ".join(sorted(REGISTRY))
        raise SettingsError(f"no system is called {name!r}; there are {known}, and your own as module:Class")
    module, attribute = REGISTRY.get(name, name).split(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        if name in REGISTRY:
            raise
        raise SettingsError(f"system {name!r}: {error}; is its folder on PYTHONPATH?") from None


def write_system_file(folder: Path, system: System) -> None:
    """Marks ``folder`` as one that ``load_system`` can open; a system's ``save`` calls it last."""
    (folder / SYSTEM_FILE).write_text(json.dumps({"system": system.name, "schema_version": 1}) + "\n", encoding="utf-8")


def run_of(name: str | Path) -> RunSettings | None:
    """The run that trained the system ``name``, a folder or the hub's (`load_system`), or None where it doesn't say.

    Raises:
        SettingsError: what it says can't be read.
        UserError: there is no such folder, nor a repository.
    """
    from iter_bench import hub

    path = hub.folder_of(name) / RUN_FILE
    return validated(RunSettings, path.read_bytes(), path) if path.is_file() else None


def word_rule(name: str | Path) -> WordRule:
    """How raw text is divided into words for the system ``name``: as its training data was, where `run_of` tells.

    Raises:
        UserError: as `run_of`; or nothing here knows the data set, which is one of somebody's own.
    """
    trained = run_of(name)
    if trained is None or trained.data.dataset in PRESETS:
        return "joined"
    if (entry := catalogue().get(trained.data.dataset)) is None:
        raise SettingsError(
            f"{name}: was trained on {trained.data.dataset}, which no catalogue here has, so nobody knows how its texts are "
            f"divided into words; name the folder with the {FILE} that has it by {DATA_DIR}"
        )
    return entry.words


def load_system(name: str | Path) -> System:
    """The system stored in a folder or the hub's repository ``owner/name[@revision]``.

    Anything without this suite's mark is taken for an ITER checkpoint, ours or released. Where its folder tells the run that
    trained it, it computes in the precision of that run, as when its record was scored.
    A system of one's own is imported from where Python finds it, never from the folder itself, which may come from others.

    Raises:
        UserError: the folder is damaged, holds no system, or names code of its own.
    """
    from iter_bench import hub

    folder = hub.folder_of(name)
    path = folder / SYSTEM_FILE
    system_name = _stored_name(path) if path.is_file() else "iter"
    if system_name in REGISTRY:
        loader = system_class(system_name)
    else:
        with _no_code_of(folder):
            loader = system_class(system_name)
    trained = run_of(folder)
    try:
        system = loader.load(folder)
    except UserError:
        raise
    except Exception as error:  # damaged configurations make transformers and torch raise anything
        raise UserError(f"{folder}: the saved system can't be loaded ({type(error).__name__}: {error})") from error
    if trained and isinstance(system, ChoosesPrecision):
        system.precision = trained.training.precision
    return system


@contextmanager
def _no_code_of(folder: Path) -> Iterator[None]:
    """Modules and packages in ``folder`` or below it are refused before any of their code runs."""
    forbidden = folder.resolve()

    class Refuses:
        def find_spec(self, fullname, path, target=None):
            spec = PathFinder.find_spec(fullname, path)
            places = [Path(p) for p in (spec.origin, *(spec.submodule_search_locations or ())) if p] if spec else []
            # a link in the folder lies in it as well, wherever it leads
            if any(p.resolve().is_relative_to(forbidden) for place in places for p in (place, place.parent)):
                raise UserError(
                    f"{folder}: names the module {fullname}, which lies in that folder: code of a system's folder "
                    "is never run; move what you trust elsewhere, and name that place by PYTHONPATH"
                )

    sys.meta_path.insert(0, guard := Refuses())
    try:
        yield
    finally:
        sys.meta_path.remove(guard)


def _stored_name(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        name, version = content["system"], content["schema_version"]
        if not isinstance(name, str):
            raise TypeError(f"system {name!r} is no name")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not a system file ({error}); the folder isn't one that iter-bench saved") from None
    if version != 1:
        raise UserError(f"{path}: schema_version {version} is newer than this iter-bench can read (1)")
    return name
