"""PL-Marker behind the system protocol: documents in, extractions out."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from baselines.plmarker.candidates import Candidates
from baselines.plmarker.configuration import PlMarkerConfig, PlMarkerSettings
from baselines.plmarker.flops import stage_flops
from baselines.plmarker.imposed import Imposed, InOrder, imposed
from baselines.plmarker.layers import check_family
from baselines.plmarker.ner import NerStage
from baselines.plmarker.packing import Example
from baselines.plmarker.reachable import reachable
from baselines.plmarker.relation import RelationStage, groups_of
from iter_bench import systems
from iter_bench.batching import delayed, in_lots
from iter_bench.checkpoints import load_module, save_module
from iter_bench.data.catalogue import catalogue
from iter_bench.devices import compute_dtype, default_device, lowered
from iter_bench.document import Document, Entity, Extraction, Schema
from iter_bench.encoders import encoder_config, load_encoder, load_tokenizer
from iter_bench.encoders.flops import linear_weights
from iter_bench.settings import TrainingSettings, validated
from iter_bench.training import fit, seed_everything
from iter_bench.windows import Window

RELEASED_SPAN_WORDS = 8
COVERED = 0.99
"""Share of the training entities that L lets through at least where no catalogue gives it, as the catalogue's L do."""

Prepared = tuple[list[tuple[Window, Candidates]], list[Example], list[Window]]
"""Of some documents, all that is done before stage 1: its candidates and their examples, and the windows of stage 2."""


def _span_words(schema: Schema, train: Sequence[Document]) -> int:
    """L of the catalogue's data set with these types; where there's none the released one, or more if the entities need it."""
    if known := [entry.max_span_words for entry in catalogue().values() if entry.schema == schema]:
        return max(known)
    words = sorted(entity.end - entity.start for document in train for entity in document.entities)
    needed = words[math.ceil(COVERED * len(words)) - 1] if words else 0
    return max(RELEASED_SPAN_WORDS, needed)


class PlMarkerSystem:
    """PL-Marker, both stages; see ``iter_bench.systems.System`` for what its methods promise."""

    name: ClassVar[str] = "plmarker"

    def __init__(self, config: PlMarkerConfig, tokenizer: PreTrainedTokenizerFast, encoder: str | None = None):
        """New classifiers over the pre-trained ``encoder``, or without one weights that are to be loaded."""
        self.config = config
        self.tokenizer = tokenizer
        self.device = default_device()

        def start() -> Any:
            return None if encoder is None else load_encoder(encoder)

        self.ner = NerStage(config, tokenizer, self.device, start())
        self.relation = RelationStage(config, tokenizer, self.device, start()) if config.relation_types else None
        self.module = nn.ModuleDict({name: stage.module for name, stage in self._stages.items()})

    @property
    def schema(self) -> Schema:
        """The types that it extracts."""
        return self.config.schema

    @property
    def settings(self) -> dict[str, Any]:
        """What ``PlMarkerSettings`` names, resolved."""
        return self.config.settings.model_dump()

    @property
    def parameters(self) -> int:
        """How many weights there are in both stages."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def matrix_weights(self) -> int:
        """Weights of all linear layers of both stages."""
        return linear_weights(self.module)

    def weights_read(self, documents: Sequence[Document], structure: Imposed, *, batch_size: int) -> int:
        """Weights read at least: stage 1's once a batch of windows, stage 2's once for all subjects of a batch."""
        batches = {"ner": -(-len(self.ner.candidates(documents)) // batch_size)}
        if self.relation is not None:
            batches["re"] = len(groups_of(*self.relation.pairs(documents, structure.entities), batch_size))
        return sum(count * linear_weights(self._stages[name].module) for name, count in batches.items())

    @property
    def precision(self) -> str:
        """In which both stages compute; training sets each stage's."""
        return self.ner.precision

    @precision.setter
    def precision(self, precision: str) -> None:
        for stage in self._stages.values():
            stage.precision = precision

    @property
    def execution(self) -> dict[str, str]:
        """How it computes; see ``iter_bench.throughput.measurable``."""
        attention = self.ner.module.encoder.config._attn_implementation
        if self.config.settings.execution == "shared_text":
            attention = "sdpa (text), eager (markers)"
        parts = {name: stage.compiled for name, stage in self._stages.items()}
        compiled = "; ".join(f"{name}: {part}" for name, part in parts.items()) if set(parts.values()) != {"none"} else "none"
        return {"dtype": compute_dtype(self.device, self.precision), "attention": attention, "compile": compiled}

    def compile(self, documents: Sequence[Document]) -> None:
        """Compiles both encoders, each if that works and gives the same states for the documents; the log says if not."""
        for name, stage in self._stages.items():
            stage.compile(documents, f"plmarker's encoder ({name})")

    @property
    def _stages(self) -> dict[str, NerStage | RelationStage]:
        return {"ner": self.ner} if self.relation is None else {"ner": self.ner, "re": self.relation}

    @classmethod
    def build(
        cls, encoder: str, schema: Schema, train: Sequence[Document], settings: Mapping[str, Any], *, seed: int
    ) -> PlMarkerSystem:
        """Each stage starts from the pre-trained encoder, with new marker embeddings and classifiers."""
        chosen = validated(PlMarkerSettings, dict(settings), "settings of plmarker")
        described = encoder_config(encoder)
        check_family(described)
        chosen = chosen.model_copy(update={"max_span_words": chosen.max_span_words or _span_words(schema, train)})
        seed_everything(seed)
        config = PlMarkerConfig(
            described.to_dict(), schema.entity_types, schema.relation_types, tuple(sorted(schema.symmetric)), chosen
        )
        return cls(config, load_tokenizer(encoder), encoder)

    @classmethod
    def load(cls, folder: Path) -> PlMarkerSystem:
        """A saved system."""
        config = PlMarkerConfig.read(folder)
        system = cls(config, load_tokenizer(str(folder), config.encoder["vocab_size"]))
        for name, stage in system._stages.items():
            load_module(stage.module, folder / name)
        return system

    def save(self, folder: Path) -> None:
        """Configuration and tokenizer, and the weights of each stage in a folder of their own."""
        for name, stage in self._stages.items():
            save_module(stage.module, folder / name)
        self.config.write(folder)
        self.tokenizer.save_pretrained(folder)
        systems.write_system_file(folder, self)

    # --- training -----------------------------------------------------------------------------------------------------

    def fit(
        self,
        train_documents: Sequence[Document],
        dev_documents: Sequence[Document],
        training: TrainingSettings,
        *,
        seed: int,
        folder: Path | None = None,
        report: systems.Report | None = None,
    ) -> list[systems.EpochReport]:
        """Trains stage 1, then stage 2 on gold entities; on dev, stage 2 is selected by what it makes of stage 1's."""
        common = {"seed": seed, "train_documents": train_documents, "model": self.settings, "report": report}
        history = fit(
            self.ner,
            self.ner.examples(train_documents),
            self._training("ner", training),
            dev=[replace(document, relations=()) for document in dev_documents],
            predict=lambda documents: [
                Extraction(d.id, e) for d, e in zip(documents, self.find_entities(documents), strict=True)
            ],
            schema=Schema(self.schema.entity_types),
            folder=folder and folder / "ner",
            stage="ner",
            **common,
        )
        if self.relation is None:
            return history
        entities = self.find_entities(dev_documents)  # stage 1 is fixed from here on
        return history + fit(
            self.relation,
            self.relation.examples(train_documents),
            self._training("re", training),
            dev=dev_documents,
            predict=lambda documents: self.find_relations(documents, entities),
            schema=self.schema,
            folder=folder and folder / "re",
            stage="re",
            **common,
        )

    def _training(self, stage: str, training: TrainingSettings) -> TrainingSettings:
        """The settings of a stage, which is selected by a score that it decides: NER in stage 1, never NER in stage 2."""
        if stage == "re":
            training = TrainingSettings(**{**training.model_dump(), **self.config.settings.re_training})
        if stage == "ner" or training.select_by == "ner":
            training = training.model_copy(update={"select_by": "auto"})
        self._stages[stage].precision = training.precision
        return training

    # --- prediction ---------------------------------------------------------------------------------------------------

    def predict(
        self, documents: Sequence[Document], *, batch_size: int = 8, structure: Imposed | None = None
    ) -> list[Extraction]:
        """One extraction a document; ``structure`` as ``prepare_structure`` gave it for them."""
        given = None if structure is None else structure.in_order()
        with ExitStack() as stack:
            for stage in self._stages.values():  # around all lots: weights are exchanged once
                stack.enter_context(lowered(stage.module, self.device, stage.precision))
            # each stage of a lot is waited for once the same of the next was begun
            entities = (
                (lot, windows, self.ner.find(lot, candidates, examples, batch_size, given and given.spans))
                for lot, (candidates, examples, windows) in in_lots(documents, batch_size, self.device, self._prepared)
            )
            relations = (self._relations(lot, windows, of(), batch_size, given) for lot, windows, of in delayed(entities))
            found = [extraction for extractions in delayed(relations) for extraction in extractions()]
        return found if structure is None else structure.as_given(found)

    def _prepared(self, documents: Sequence[Document]) -> Prepared:
        candidates = self.ner.candidates(documents)
        return candidates, self.ner.unlabelled(candidates), self._windows(documents)

    def _windows(self, documents: Sequence[Document]) -> list[Window]:
        """Those of stage 2; without it none."""
        return [] if self.relation is None else self.relation.windows.windows(documents)

    def _relations(
        self,
        documents: Sequence[Document],
        windows: Sequence[Window],
        entities: Sequence[Sequence[Entity]],
        batch_size: int,
        given: InOrder | None = None,
    ) -> Callable[[], list[Extraction]]:
        """Stage 2, computed at once and waited for where it's asked for; without it the entities alone."""
        if given is not None:
            entities = list(islice(given.entities, len(documents)))
        if self.relation is None:
            return lambda: [Extraction(d.id, tuple(of)) for d, of in zip(documents, entities, strict=True)]
        return self.relation.find(documents, entities, windows, batch_size, given and given.pairs)

    def prepare_structure(self, documents: Sequence[Document], extractions: Sequence[Extraction]) -> Imposed:
        """The extractions as decisions of both stages that ``predict`` takes in place of their own."""
        return imposed(self.ner, self.relation, documents, extractions)

    def plain_states(self, documents: Sequence[Document], structure: Imposed, chosen: Sequence[int]) -> dict[Hashable, Tensor]:
        """What pairs are scored by in stage 1, and in stage 2 with each document's first and last subject."""
        some = [documents[i] for i in chosen]
        found = self.ner.plain_states(self.ner.unlabelled(self.ner.candidates(some)))
        if self.relation is not None:
            examples, pairs = self.relation.pairs(some, [structure.entities[i] for i in chosen])
            of = [columns[0, 0] for columns in pairs]
            ends = [i for i, document in enumerate(of) if document not in of[:i] or document not in of[i + 1 :]]
            found |= self.relation.plain_states([examples[i] for i in ends])
        return found

    def flops(self, documents: Sequence[Document], structure: Imposed) -> int:
        """Floating-point operations for the documents with that structure, both stages, from shapes."""
        work = stage_flops(self.ner, self.ner.unlabelled(self.ner.candidates(documents)))
        if self.relation is not None:
            work += stage_flops(self.relation, self.relation.pairs(documents, structure.entities)[0])
        return work

    def find_entities(self, documents: Sequence[Document], *, batch_size: int = 8) -> list[tuple[Entity, ...]]:
        """Stage 1: the entities of each document."""
        candidates = self.ner.candidates(documents)
        return self.ner.find(documents, candidates, self.ner.unlabelled(candidates), batch_size)()

    def find_relations(
        self, documents: Sequence[Document], entities: Sequence[Sequence[Entity]], *, batch_size: int = 8
    ) -> list[Extraction]:
        """Stage 2: relations between the given entities, wherever these are from."""
        return self._relations(documents, self._windows(documents), entities, batch_size)()

    def reachable(self, documents: Sequence[Document]) -> systems.Reachable:
        """What of the gold annotation candidates, windows and overlap filters let through."""
        return reachable(self.ner, self.relation, documents)
