"""ITER behind the system protocol: documents in, extractions out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from iter_bench import systems
from iter_bench.batching import delayed, in_batches, in_lots, token_budget
from iter_bench.data.statistics import omega
from iter_bench.devices import compute_dtype, default_device, predicting
from iter_bench.document import CONTEXT_MARKERS, Document, Entity, Extraction, Schema
from iter_bench.encoders import encoder_config, load_encoder, load_tokenizer, max_length, row_width, shares_rows, states
from iter_bench.encoders.flops import linear_weights
from iter_bench.iter_model.assembling import assemble
from iter_bench.iter_model.batch import Inputs, Labels, collate_inputs, collate_labels
from iter_bench.iter_model.configuration import IterConfig, IterSettings
from iter_bench.iter_model.flops import iter_flops
from iter_bench.iter_model.imposed import Imposed, decisions_of, imposed, links_of
from iter_bench.iter_model.modeling import LEAST, IterModel, Sizes
from iter_bench.iter_model.plain import plain_states
from iter_bench.iter_model.targets import Slots, Targets, build_targets, slots_of
from iter_bench.observation.parts import part
from iter_bench.settings import validated
from iter_bench.tokenization import WindowTokenizer
from iter_bench.training import OneStage, as_mean, seed_everything
from iter_bench.windows import Window


@dataclass(frozen=True, slots=True)
class Example:
    """A window prepared for training."""

    input_ids: np.ndarray
    slots: Slots
    targets: Targets


class IterSystem(OneStage):
    """The reference ITER; see ``iter_bench.systems.System`` for what its methods promise."""

    name: ClassVar[str] = "iter"

    def __init__(self, model: IterModel, tokenizer: PreTrainedTokenizerFast):
        self.device = default_device()
        self.module = model.to(self.device).eval()
        self.config: IterConfig = model.config
        self.tokenizer = tokenizer
        markers = CONTEXT_MARKERS if self.config.context_markers else None
        self.windows = WindowTokenizer(tokenizer, max_length(model.encoder.config), markers=markers)
        self.precision = "auto"
        # on a GPU lists have lengths that sufficed for batches with as much room, so that nothing waits; a CPU's are exact
        self._sizes: dict[Sizes, Sizes] | None = None if self.device.type == "cpu" else {}

    @property
    def schema(self) -> Schema:
        """The types that it extracts."""
        return self.config.schema

    @property
    def settings(self) -> dict[str, Any]:
        """What ``IterSettings`` names, resolved."""
        return {name: getattr(self.config, name) for name in IterSettings.model_fields}

    @property
    def parameters(self) -> int:
        """How many weights there are, encoder and heads."""
        return self.module.num_parameters()

    @classmethod
    def build(
        cls, encoder: str, schema: Schema, train: Sequence[Document], settings: Mapping[str, Any], *, seed: int
    ) -> IterSystem:
        """Pretrained encoder, new heads; ω from ``train`` where the settings leave it open."""
        chosen = validated(IterSettings, dict(settings), "settings of iter").model_dump()
        chosen["omega"] = chosen["omega"] or max([1, *map(omega, train)])  # 1 too where nothing is annotated
        config = IterConfig(
            encoder=encoder_config(encoder).to_dict(),
            entity_types=schema.entity_types,
            relation_types=schema.relation_types,
            symmetric=sorted(schema.symmetric),
            **chosen,
        )
        seed_everything(seed)
        model = IterModel(config)
        model.encoder = load_encoder(encoder)
        return cls(model, load_tokenizer(encoder))

    @classmethod
    def load(cls, folder: Path) -> IterSystem:
        """A saved system, or a checkpoint of the released code."""
        model = IterModel.from_pretrained(folder)
        own = (folder / "tokenizer_config.json").is_file()  # released checkpoints hold none
        name = model.config.tokenizer if model.config.tokenizer and not own else str(folder)
        return cls(model, load_tokenizer(name, model.encoder.config.vocab_size))

    def save(self, folder: Path) -> None:
        """Weights, configuration and tokenizer, for ``load`` and for ``AutoModel``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.module.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        systems.write_system_file(folder, self)

    def save_encoder(self, folder: Path) -> None:
        """The encoder alone and its tokenizer, as a folder that any run can name as its encoder."""
        self.module.encoder.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    # --- training -----------------------------------------------------------------------------------------------------

    def examples(self, documents: Sequence[Document]) -> list[Example]:
        """The documents' windows with their targets; made once a run."""
        windows = self.windows.windows(documents)
        prepared = []
        for window, gold in zip(windows, self.windows.within(documents, windows), strict=True):
            slots = slots_of(window, self.config)
            prepared.append(Example(window.input_ids, slots, build_targets(gold, slots, self.config)[0]))
        return prepared

    def is_head(self, name: str) -> bool:
        """Whether a weight belongs to the heads."""
        return not name.startswith("encoder.")

    def length(self, example: Example) -> int:
        """Sub-tokens of an example."""
        return len(example.input_ids)

    def collate(self, examples: Sequence[Example]) -> tuple[Inputs, Labels]:
        """Examples as one batch on the device."""
        slots = [example.slots for example in examples]
        inputs = collate_inputs([example.input_ids for example in examples], slots, self._pad)
        labels = collate_labels(inputs, slots, [example.targets for example in examples], len(self.config.relation_types))
        return inputs.to(self.device), labels.to(self.device)

    def losses(self, batch: tuple[Inputs, Labels], whole: Sequence[Example]) -> dict[str, Tensor]:
        """The three losses of eq. 9."""
        losses = self.module(*batch)
        if self.config.loss_reduction == "mean":
            share = batch[0].windows / len(whole)
            losses = {name: as_mean(value, share, len(whole)) for name, value in losses.items()}
        return losses

    @property
    def _pad(self) -> int:
        return self.tokenizer.pad_token_id or 0

    # --- prediction ---------------------------------------------------------------------------------------------------

    def predict(
        self, documents: Sequence[Document], *, batch_size: int = 8, structure: Sequence[Imposed] | None = None
    ) -> list[Extraction]:
        """One extraction a document, with λ as configured; ``structure`` as ``prepare_structure`` gave it for them."""
        return self._predict(documents, self.config.link_threshold, batch_size, structure)

    def predict_above(self, documents: Sequence[Document], link_threshold: float, *, batch_size: int = 8) -> list[Extraction]:
        """``predict`` with another λ; with 0 every pair of entities comes with the probability of every relation."""
        return self._predict(documents, link_threshold, batch_size)

    def prepare_structure(self, documents: Sequence[Document], extractions: Sequence[Extraction]) -> list[Imposed]:
        """The extractions as decisions that ``predict`` takes in place of the model's own, one a window."""
        prepared = zip(*self._prepared(documents), strict=True)
        return [imposed(extractions[window.document], slots, self.config) for window, slots in prepared]

    def flops(self, documents: Sequence[Document], structure: Sequence[Imposed]) -> int:
        """Floating-point operations for the documents with that structure, from shapes."""
        return iter_flops(self.module, [len(w.input_ids) for w in self.windows.windows(documents)], structure)

    def plain_states(
        self, documents: Sequence[Document], structure: Sequence[Imposed], chosen: Sequence[int]
    ) -> dict[Hashable, Tensor]:
        """States at the brackets of each window of the chosen documents, one by one and never by compiled code."""
        with predicting(self.module, self.device, self.precision):
            return plain_states(self.module.eval(), self.windows.windows([documents[i] for i in chosen]))

    @property
    def matrix_weights(self) -> int:
        """Weights of all linear layers."""
        return linear_weights(self.module)

    @property
    def execution(self) -> dict[str, str]:
        """How it computes; see ``iter_bench.throughput.measurable``."""
        attention = self.module.encoder.config._attn_implementation
        compiled = "none" if self.module.states is states else str(self.module.states)
        return {"dtype": compute_dtype(self.device, self.precision), "attention": attention, "compile": compiled}

    def compile(self, documents: Sequence[Document]) -> None:
        """Compiles the encoder if that works and gives the same states for the documents; a note in the log says if not."""
        from iter_bench.compiled import checked

        rows = self._inputs(*self._prepared(documents)).tokens

        def run(states: Callable[..., Tensor]) -> Tensor:
            found = states(self.module.encoder, rows.input_ids, rows.segment, rows.position, padded=rows.padded)
            return found[rows.segment > 0]

        dtype = compute_dtype(self.device, self.precision)
        with predicting(self.module, self.device, self.precision):
            self.module.states = checked(self.module.states, run, "iter's encoder", dtype)

    def _predict(
        self,
        documents: Sequence[Document],
        link_threshold: float,
        batch_size: int,
        structure: Sequence[Imposed] | None = None,
    ) -> list[Extraction]:
        self.module.eval()
        given = None if structure is None else iter(structure)

        def begun() -> Iterator[Callable[[], list[Extraction]]]:
            end_last = None  # of a lot, once the first batch of the next has begun
            for lot, (windows, slots) in in_lots(documents, batch_size, self.device, self._prepared):
                of_lot = None if given is None else list(islice(given, len(windows)))
                end_last, extractions = self._extract(lot, windows, slots, link_threshold, batch_size, of_lot, end_last)
                yield extractions

        with predicting(self.module, self.device, self.precision):
            return [extraction for extractions in delayed(begun()) for extraction in extractions()]

    def _prepared(self, documents: Sequence[Document]) -> tuple[list[Window], list[Slots]]:
        windows = self.windows.windows(documents)
        return windows, [slots_of(window, self.config) for window in windows]

    def _extract(
        self,
        documents: Sequence[Document],
        windows: Sequence[Window],
        slots_of_windows: Sequence[Slots],
        link_threshold: float,
        batch_size: int,
        structure: Sequence[Imposed] | None,
        earlier: Callable[[], None] | None,
    ) -> tuple[Callable[[], None], Callable[[], list[Extraction]]]:
        """A lot, computed at once but for what its last batch leaves to the host: what ends that, and what gives all then."""
        found: list[Extraction | None] = [None] * len(windows)

        def begin(rows: list[int]) -> Callable[[], None]:
            given = None if structure is None else [structure[i] for i in rows]
            slots = [slots_of_windows[i] for i in rows]
            with part("transfer"):
                inputs = self._inputs([windows[i] for i in rows], slots)
                decisions = None if given is None else decisions_of(given).to(self.device)
            with part("forward"):
                room = Sizes.room([len(s) for s in slots])
                sizes = None if self._sizes is None else self._sizes.get(room, LEAST)
                pending = self.module.extract(inputs, sizes, decisions)

            def end() -> None:
                with part("forward"):
                    decided = pending.found()
                    if sizes is not None:
                        decided = self.module.whole(decided, inputs, sizes, decisions, self._sizes, room)
                with part("decode"):
                    holds = decided.link > link_threshold if given is None else links_of(given)
                    ids = [documents[windows[i].document].id for i in rows]
                    for row, extraction in zip(rows, assemble(decided, holds, slots, ids, self.config), strict=True):
                        found[row] = extraction

            return end

        lengths, tokens = [len(w.input_ids) for w in windows], token_budget(self.device)
        end_last = in_batches(
            lengths,
            batch_size,
            begin,
            tokens=tokens,
            name=lambda i: documents[windows[i].document].id,
            earlier=earlier,
        )

        def extractions() -> list[Extraction]:
            end_last()
            with part("decode"):
                return self.windows.merge(found, windows, documents)

        return end_last, extractions

    def _inputs(self, windows: Sequence[Window], slots: Sequence[Slots]) -> Inputs:
        """The windows as a batch on the device; on a GPU they share rows, a CPU's small batches have little padding."""
        ids, width = [window.input_ids for window in windows], None
        if self.device.type != "cpu" and shares_rows(self.module.encoder):
            width = row_width(self.module.encoder, max(map(len, ids)))
        return collate_inputs(ids, slots, self._pad, width).to(self.device)

    # --- what it can express ------------------------------------------------------------------------------------------

    def reachable(self, documents: Sequence[Document]) -> systems.Reachable:
        """What of the gold annotation windows, ω and ``span_decision`` let through."""
        windows = self.windows.windows(documents)
        within_windows, lost = self.windows.reachable_gold(documents, windows)
        found: list[Extraction] = []
        limits: list[dict[Entity, str]] = [{} for _ in documents]
        for window, gold in zip(windows, self.windows.within(documents, windows), strict=True):
            found.append(gold)
            if gold.entities:  # of documents that are only predicted on there are none
                _, expressed, beyond = build_targets(gold, slots_of(window, self.config), self.config)
                limits[window.document].update(beyond)
                relations = tuple(r for r in gold.relations if r.head in expressed and r.tail in expressed)
                found[-1] = Extraction(gold.id, tuple(e for e in gold.entities if e in expressed), relations)
        reached = self.windows.merge(found, windows, documents)
        for before, after, limit in zip(within_windows, reached, limits, strict=True):
            lost.update(f"entities: {limit[entity]}" for entity in set(before.entities) - set(after.entities))
            if fewer := len(set(before.relations) - set(after.relations)):
                lost["relations: an entity of theirs is unreachable"] += fewer
        return systems.Reachable(reached, lost, self.windows.notes(documents, windows))
