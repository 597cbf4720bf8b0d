"""What a run is: data × system × encoder × seed × settings, as one validated, hashable description.

Unknown keys are errors. A run's identity is the hash of its settings, so that finished runs are recognised whatever file or
command line they came from.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from iter_bench.errors import SettingsError

Schedule = Literal["linear", "constant"]

TRAINED = "trained:"
"""Before the id of a run, as an encoder's name: the encoder that this run trained."""


def _none(value: Any) -> Any:
    """TOML has no null, so its files write the word."""
    return None if value == "none" else value


class Settings(BaseModel):
    """Base of all settings: frozen, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound=Settings)


def validated(kind: type[S], content: Any, where: Path | str = "") -> S:
    """The content as settings of that kind; of ``bytes`` the JSON that they are.

    Raises:
        SettingsError: names every wrong setting with its reason, a line each, after ``where`` it stands.
    """
    try:
        return kind.model_validate_json(content) if isinstance(content, bytes) else kind.model_validate(content)
    except ValidationError as error:
        raise _refusal(error, str(where), kind) from None


def _refusal(error: ValidationError, where: str, kind: type[Settings]) -> SettingsError:
    lines, known = [], list(_names(kind))
    for problem in error.errors(include_url=False):
        name = ".".join(map(str, problem["loc"]))
        unknown = problem["type"] == "extra_forbidden"
        reason = f"there is no such setting{_meant(name, known)}" if unknown else problem["msg"].removeprefix("Value error, ")
        place = ", ".join(filter(None, (where, name)))
        lines.append(f"{place}: {reason}" if place else reason)
    return SettingsError("\n".join(lines))


def _names(kind: type[BaseModel], before: str = "") -> Iterator[str]:
    """The dotted names of all settings, as ``--set`` has them."""
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _names(inner, f"{before}{name}.")
        else:
            yield before + name


def _meant(name: str, known: Sequence[str]) -> str:
    """What was probably meant: a setting of that name elsewhere, or one that is spelt nearly so."""
    last = name.split(".")[-1]
    there = [other for other in known if other.split(".")[-1] == last] or get_close_matches(name, known, 1, 0.8)
    return f"; there is {' and '.join(there)}" if there else ""


def content_id(settings: Settings) -> str:
    """First 12 hex digits of the SHA-256 of the canonical JSON."""
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_toml(path: Path) -> dict[str, Any]:
    """A file of settings, not yet validated.

    Raises:
        FileNotFoundError: there is no such file; the caller knows what else there is.
        SettingsError: it can't be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror or error}") from None
    except (ValueError, KeyError, RecursionError) as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise SettingsError(f"{path}: is no TOML file: {error}") from None


def read_named(name: str, folder: Path, what: str) -> tuple[Path, dict[str, Any]]:
    """The file of that name in the package's ``folder``, or the TOML file that it names, and its content, not yet validated.

    Raises:
        SettingsError: there is none, which names those that there are; or it's no TOML.
    """
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    try:
        return path, read_toml(path)
    except FileNotFoundError:
        known = ", ".join(sorted(path.stem for path in folder.glob("*.toml")))
        raise SettingsError(f"no {what} is called {name!r}; there are {known}, or name a .toml file") from None


def load_named(kind: type[S], name: str, folder: Path, what: str) -> S:
    """The settings in the file of that name in the package's ``folder``, or in the TOML file that it names.

    Raises:
        SettingsError: there is none, or the file isn't valid; every wrong field is named.
    """
    path, content = read_named(name, folder, what)
    return validated(kind, content, path)


def value_of(values: Mapping[str, Any], name: str) -> Any:
    """The setting of that dotted name, as in ``training.lr_encoder``; None where there's none."""
    value: Any = values
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def with_value(values: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """A copy with another value for the setting of that dotted name; groups that it lacks are added.

    Raises:
        SettingsError: a part of the name before the last is no group.
    """
    *groups, last = name.split(".")
    changed = place = dict(values)
    for group in groups:
        if not isinstance(inner := place.get(group, {}), Mapping):
            raise SettingsError(f"{name}: {group} is no group of settings")
        place[group] = dict(inner)
        place = place[group]
    place[last] = value
    return changed


class DataSettings(Settings):
    """Which documents a run trains, tunes and scores on."""

    dataset: str = Field("synthetic", description="catalogue name; `iter-bench data list` shows them")
    train: str = Field("train", description="split to train on; join splits with +, as in train+dev")
    dev: Annotated[str | None, BeforeValidator(_none)] = Field(
        "dev", description="split for early stopping and selection; none: the last epoch is kept"
    )
    test: str = Field("test", description="split that the record's scores are of")
    fold: int | None = Field(None, ge=0, description="fold of a cross-validated data set (ADE: 0 to 9)")
    context: int = Field(0, ge=0, description="context words on each side of a sentence")
    skip_bad: bool = Field(False, description="leave bad records out and count them, instead of stopping")


class TrainingSettings(Settings):
    """The one training loop's settings; the encoder and the layers above it (``heads``) have their own rates.

    Defaults are those that the released ITER ships for CoNLL04, where it ships one, but for ``lr_encoder`` (5e-5 there),
    ``epochs`` (100), ``patience`` (10) and ``batches`` (shuffled).
    """

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(8, ge=1)
    samples_at_once: int | None = Field(
        None,
        ge=1,
        # runs without it keep the id that they had before there was such a setting
        exclude_if=lambda value: value is None,
        description="the most samples of a batch that are computed together; gradients are added up",
    )
    batches: Literal["by_length", "shuffled"] = Field(
        "by_length",
        exclude_if=lambda value: value == "by_length",  # as above
        description="samples of about one length make a batch, which is faster, or any, as the systems' authors have it; by "
        "length, short texts weigh more, most where the loss is a mean over a batch's pairs, as PL-Marker's",
    )
    lr_encoder: float = Field(2e-4, gt=0)
    lr_heads: float = Field(3e-4, gt=0)
    schedule_encoder: Schedule = "linear"
    schedule_heads: Schedule = "linear"
    warmup_encoder: float = Field(0.05, ge=0, lt=1, description="share of all steps")
    warmup_heads: float = Field(0.01, ge=0, lt=1, description="share of all steps")
    weight_decay_encoder: float = Field(0.1, ge=0)
    weight_decay_heads: float = Field(0.02, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    clip: Literal["together", "apart"] = Field(
        "together",
        exclude_if=lambda value: value == "together",  # as above
        description="the norm is that of all weights' gradients, or of the encoder's and the heads' each",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 on CUDA, fp32 on the CPU")
    patience: int | None = Field(None, ge=1, description="stop after so many epochs without a better dev score")
    select_by: Literal["auto", "ner", "re", "re_plus"] = Field("auto", description="auto: re_plus, or ner without relations")

    @property
    def at_once(self) -> int:
        """The most samples whose activations a step holds."""
        return min(self.batch_size, self.samples_at_once or self.batch_size)


def dtype_of(precision: str, device: str) -> str:
    """Torch's name of the type of matrix products on ``device``; ``auto`` is bf16 on CUDA and fp32 on the CPU."""
    return "bfloat16" if precision == "bf16" or (precision == "auto" and device.startswith("cuda")) else "float32"


class RunSettings(Settings):
    """One run: everything that decides its numbers, apart from machine and versions."""

    system: str = Field("iter", description="registered system; `iter-bench ls systems` shows them")
    encoder: str = Field(
        "minilm", description="minilm, hub name[@revision], folder, random:NAME, trained:RUN_ID: docs/encoders.md"
    )
    seed: int = Field(42, ge=0)
    data: DataSettings = DataSettings()
    training: TrainingSettings = TrainingSettings()
    model: dict[str, Any] = Field(default_factory=dict, description="the system's own settings, validated by the system")

    @property
    def run_id(self) -> str:
        """The settings' content."""
        return content_id(self)
