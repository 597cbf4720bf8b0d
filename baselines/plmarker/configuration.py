"""PL-Marker's settings, what a saved system consists of, and the order of its classes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from iter_bench.document import Schema
from iter_bench.errors import UserError
from iter_bench.settings import Settings, TrainingSettings

CONFIG_FILE = "plmarker.json"
NIL = 0  # the class "nothing", the first one of every head

Execution = Literal["packed", "shared_text"]
Overlap = Literal["same_type", "any", "keep"]


class PlMarkerSettings(Settings):
    """PL-Marker's own settings of a run; defaults are those of the authors' scripts, for SciERC where the data decide."""

    max_span_words: int | None = Field(
        None,
        ge=1,
        description="L, the most words of a candidate span; none: that of the catalogue's data set with this schema, else 8 "
        "or as many as 99 % of the training entities need",
    )
    ner_pairs: int = Field(256, ge=1, description="the most marker pairs of a pack in stage 1")
    re_pairs: int = Field(16, ge=1, description="the most marker pairs of a pack in stage 2 (32 for ACE05)")
    ner_length: int = Field(512, ge=8, description="the most sub-tokens of a text in stage 1, if the encoder reads as many")
    re_length: int = Field(256, ge=8, description="the same for stage 2, the two solid markers included")
    execution: Execution = Field(
        "shared_text", description="packed: each pack encodes its text anew, as released; shared_text: once; same outputs"
    )
    entity_types: Literal["re", "ner"] = Field(
        "re", description="types of the entities of relations: as stage 2 predicts them again, or those of stage 1"
    )
    brackets: bool = Field(
        False,
        description="stage 1 reads -LRB-, -RSB- and the like as the brackets that they stand for, as released; stage 2 never",
    )
    ner_overlap: Overlap = Field(
        "same_type", description="which spans that overlap a more probable one are dropped: of its type, of any, or none"
    )
    re_overlap: Literal["same_type", "keep"] = Field(
        "same_type", description="whether a relation is dropped that overlaps a better one of its type at both ends"
    )
    re_markers: Literal["words", "new"] = Field(
        "words", description="stage 2's markers start as embeddings of words, as those of stage 1 do, or at random"
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="on the states that the classifiers read; none: the encoder's own, as released"
    )
    re_training: dict[str, Any] = Field({}, description="training settings of stage 2 where they differ from stage 1's")

    @field_validator("re_training")
    @classmethod
    def _known(cls, value: dict[str, Any]) -> dict[str, Any]:
        TrainingSettings(**value)
        return value


@dataclass(frozen=True)
class PlMarkerConfig:
    """What a PL-Marker system is made of.

    Attributes:
        encoder: configuration of the pre-trained encoder, which both stages start from, without marker embeddings.
        entity_types, relation_types, symmetric: the schema; without relation types there is no stage 2.
        settings: with ``max_span_words`` resolved.
    """

    encoder: dict[str, Any]
    entity_types: tuple[str, ...]
    relation_types: tuple[str, ...]
    symmetric: tuple[str, ...]
    settings: PlMarkerSettings

    @property
    def schema(self) -> Schema:
        """The types as the rest of the suite knows them."""
        return Schema(self.entity_types, self.relation_types, frozenset(self.symmetric))

    @property
    def relations(self) -> RelationClasses:
        """The classes of stage 2."""
        return RelationClasses(self.schema)

    def write(self, folder: Path) -> None:
        """Stores it in ``folder``."""
        content = {**asdict(self), "settings": self.settings.model_dump()}
        (folder / CONFIG_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> PlMarkerConfig:
        """What ``write`` stored.

        Raises:
            UserError: the file is missing or damaged.
        """
        path = folder / CONFIG_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            types = {name: tuple(content[name]) for name in ("entity_types", "relation_types", "symmetric")}
            return cls(content["encoder"], **types, settings=PlMarkerSettings(**content["settings"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{path}: no configuration of a saved plmarker system ({error})") from None


class RelationClasses:
    """The classes of stage 2: NIL, symmetric relations, directed ones, and the inverses of the directed ones.

    Attributes:
        forward: relation type → its class.
        inverse: relation type → class of the same relation seen from its tail.
        swap: [classes] class of a pair → that of the same pair the other way round.
    """

    def __init__(self, schema: Schema):
        symmetric = [name for name in schema.relation_types if name in schema.symmetric]
        directed = [name for name in schema.relation_types if name not in schema.symmetric]
        self.names = ("", *symmetric, *directed)  # by class; an inverse class has no name of its own
        self.forward = {name: i for i, name in enumerate(self.names) if i != NIL}
        self.inverse = {name: i + len(directed) if name in directed else i for name, i in self.forward.items()}
        self.swap = np.arange(len(self.names) + len(directed))
        for name, i in self.forward.items():
            self.swap[i], self.swap[self.inverse[name]] = self.inverse[name], i

    def __len__(self) -> int:
        return len(self.swap)
