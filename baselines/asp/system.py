"""ASP behind the system protocol: documents in, extractions out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from baselines.asp import actions
from baselines.asp.batch import Batch, Example, collate, example_of
from baselines.asp.configuration import AspConfig, AspSettings
from baselines.asp.decisions import Given, Greedy
from baselines.asp.decoder import write
from baselines.asp.flops import asp_flops, asp_weights_read
from baselines.asp.generation import decode, generate, width_of
from baselines.asp.imposed import Imposed, imposed
from baselines.asp.modeling import HEADS, AspModel
from baselines.asp.plain import plain_states
from baselines.asp.source import Source, source_of
from baselines.asp.warm_start import decoder_for, shape_of
from iter_bench import systems
from iter_bench.batching import in_batches, in_lots
from iter_bench.checkpoints import load_module, save_module
from iter_bench.devices import compute_dtype, default_device, predicting
from iter_bench.document import CONTEXT_MARKERS, Document, Entity, Extraction, Relation, Schema
from iter_bench.encoders import encoder_config, load_encoder, load_tokenizer, max_length
from iter_bench.encoders.flops import linear_weights
from iter_bench.observation.parts import part
from iter_bench.settings import validated
from iter_bench.tokenization import WindowTokenizer
from iter_bench.training import OneStage, as_mean, seed_everything
from iter_bench.windows import Window

T5_PREFIX = "relation extraction:"


class AspSystem(OneStage):
    """ASP-style autoregressive extraction; see ``iter_bench.systems.System`` for what its methods promise."""

    name: ClassVar[str] = "asp"

    def __init__(self, model: AspModel, tokenizer: PreTrainedTokenizerFast):
        self.device = default_device()
        self.module = model.to(self.device).eval()
        self.config: AspConfig = model.config
        self.tokenizer = tokenizer
        longest = max_length(model.encoder.config)
        room = None if longest is None else longest - len(self.config.prefix)
        self.windows = WindowTokenizer(tokenizer, room, beside_context=len(CONTEXT_MARKERS))
        self.precision = "auto"

    @property
    def schema(self) -> Schema:
        """The types that it extracts."""
        return self.config.schema

    @property
    def settings(self) -> dict[str, Any]:
        """What ``AspSettings`` names, resolved."""
        return self.config.settings.model_dump()

    @property
    def parameters(self) -> int:
        """How many weights there are: encoder, decoder and heads; the embeddings that the first two share count once."""
        return sum(weight.numel() for weight in self.module.parameters())

    @classmethod
    def build(
        cls, encoder: str, schema: Schema, train: Sequence[Document], settings: Mapping[str, Any], *, seed: int
    ) -> AspSystem:
        """Pre-trained encoder; its family's own decoder, or one made of the encoder's layers; new heads."""
        shape_of(described := encoder_config(encoder))  # refuses what isn't supported before any weights are read
        chosen = validated(AspSettings, dict(settings), "settings of asp")
        if chosen.task_prefix is None:
            chosen = chosen.model_copy(update={"task_prefix": T5_PREFIX if described.model_type == "t5" else ""})
        seed_everything(seed)
        tokenizer, body = load_tokenizer(encoder), load_encoder(encoder)
        decoder = decoder_for(body, pretrained=not encoder.startswith("random:"))
        markers = _add_markers(body, tokenizer)
        config = AspConfig(
            encoder=body.config.to_dict(),
            entity_types=schema.entity_types,
            relation_types=schema.relation_types,
            symmetric=tuple(sorted(schema.symmetric)),
            prefix=tuple(_ids(tokenizer, chosen.task_prefix)),
            start=_start(getattr(body.config, "decoder_start_token_id", None), tokenizer),
            **markers,
            settings=chosen,
        )
        return cls(AspModel(config, body, decoder), tokenizer)

    @classmethod
    def load(cls, folder: Path) -> AspSystem:
        """A saved system."""
        model = AspModel(AspConfig.read(folder))
        load_module(model, folder)
        return cls(model, load_tokenizer(str(folder), model.config.encoder["vocab_size"]))

    def save(self, folder: Path) -> None:
        """Weights, configuration and tokenizer."""
        save_module(self.module, folder)
        self.config.write(folder)
        self.tokenizer.save_pretrained(folder)
        systems.write_system_file(folder, self)

    # --- training -----------------------------------------------------------------------------------------------------

    def examples(self, documents: Sequence[Document]) -> list[Example]:
        """The documents' windows with their targets; made once a run."""
        windows, sources = self._sources(documents)
        prepared = []
        for gold, source in zip(self.windows.within(documents, windows), sources, strict=True):
            script, _, _ = actions.script_of(gold, source, self.config)
            prepared.append(example_of(script, source, self.config))
        return prepared

    def is_head(self, name: str) -> bool:
        """Whether a weight belongs to the heads; encoder and decoder share the other rate, as released."""
        return name.startswith(HEADS)

    def length(self, example: Example) -> int:
        """Sub-tokens of an example, read and written."""
        return len(example.input_ids) + len(example.decoder_ids)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Examples as one batch on the device."""
        return collate(examples, self._pad).to(self.device)

    def losses(self, batch: Batch, whole: Sequence[Example]) -> dict[str, Tensor]:
        """The loss of actions and that of links, minimised as means over the samples of ``whole``."""
        share = len(batch.input_ids) / len(whole)
        return {name: as_mean(mean, share, len(whole)) for name, mean in self.module(batch).items()}

    @property
    def _pad(self) -> int:
        return self.tokenizer.pad_token_id or 0

    # --- prediction ---------------------------------------------------------------------------------------------------

    def predict(
        self, documents: Sequence[Document], *, batch_size: int = 8, structure: Sequence[Imposed] | None = None
    ) -> list[Extraction]:
        """One extraction a document, greedily decoded; ``structure`` as ``prepare_structure`` gave it for them."""
        self.module.eval()
        found, given = [], None if structure is None else iter(structure)
        with predicting(self.module, self.device, self.precision):
            for lot, (windows, sources) in in_lots(documents, batch_size, self.device, self._sources):
                of_lot = None if given is None else list(islice(given, len(windows)))
                found += self._extract(lot, windows, sources, batch_size, of_lot)
        return found

    def _extract(
        self,
        documents: Sequence[Document],
        windows: Sequence[Window],
        sources: Sequence[Source],
        batch_size: int,
        structure: Sequence[Imposed] | None,
    ) -> list[Extraction]:
        found: list[Extraction | None] = [None] * len(windows)

        def run(rows: list[int]) -> None:
            given = None if structure is None else [structure[i] for i in rows]
            with part("transfer"):
                width = width_of(self.config.settings, len(rows), self.device)
                decisions = Greedy() if given is None else Given(given, width, self.device)
            outputs = generate(self.module, [sources[i] for i in rows], self._pad, decisions)
            with part("decode"):
                for i, (row, output) in enumerate(zip(rows, outputs, strict=True)):
                    decided = (output.actions, output.types, output.links)
                    extraction = actions.replay(documents[windows[row].document].id, *decided, sources[row], self.config)
                    found[row] = extraction if given is None else given[i].as_given(extraction)

        lengths = [len(source.input_ids) for source in sources]
        in_batches(lengths, batch_size, run, name=lambda i: documents[windows[i].document].id)
        with part("decode"):
            return self.windows.merge(found, windows, documents)

    def prepare_structure(self, documents: Sequence[Document], extractions: Sequence[Extraction]) -> list[Imposed]:
        """The extractions as decisions that ``predict`` takes in place of its own, one a window."""
        windows, sources = self._sources(documents)
        return [imposed(extractions[w.document], source, self.config) for w, source in zip(windows, sources, strict=True)]

    def plain_states(
        self, documents: Sequence[Document], structure: Sequence[Imposed], chosen: Sequence[int]
    ) -> dict[Hashable, Tensor]:
        """States of encoder and decoder for each window of the chosen documents, one by one and never by compiled code."""
        windows, sources = self._sources(documents)
        of_chosen = [(s, given) for w, s, given in zip(windows, sources, structure, strict=True) if w.document in chosen]
        with predicting(self.module, self.device, self.precision):
            return plain_states(self.module.eval(), of_chosen)

    def flops(self, documents: Sequence[Document], structure: Sequence[Imposed]) -> int:
        """Floating-point operations for the documents with that structure, from shapes."""
        return asp_flops(self.module, self._sources(documents)[1], structure)

    @property
    def matrix_weights(self) -> int:
        """Weights of all linear layers."""
        return linear_weights(self.module)

    def weights_read(self, documents: Sequence[Document], structure: Sequence[Imposed], *, batch_size: int) -> int:
        """Weights read at least, those of the decoder's layers once a pass."""
        return asp_weights_read(self.module, self._sources(documents)[1], structure, batch_size)

    @property
    def execution(self) -> dict[str, str]:
        """How it computes; see ``iter_bench.throughput.measurable``."""
        attention = f"{self.module.encoder.config._attn_implementation} (encoder), sdpa (decoder)"
        compiled = "none"
        if self.module.write is not write:
            compiled = f"encoder: {self.module.read}; decoder: {self.module.write}"
        return {"dtype": compute_dtype(self.device, self.precision), "attention": attention, "compile": compiled}

    def compile(self, documents: Sequence[Document]) -> None:
        """Compiles encoder and decoder, each if that works and gives the same states for the documents; the log says if not."""
        from iter_bench.compiled import checked

        sources, gold = self._sources(documents)[1], self.reachable(documents).extractions
        width = width_of(self.config.settings, len(sources), self.device)
        given = Given(self.prepare_structure(documents, gold), width, self.device)
        batch = self.collate(self.examples(documents))
        real, dtype = batch.attention_mask > 0, compute_dtype(self.device, self.precision)

        def run_encoder(read: Callable[..., Any]) -> Tensor:
            found = read(self.module.encoder, batch.input_ids, batch.attention_mask, None, padded=batch.padded)
            return torch.cat([states[real] for states in found]) if isinstance(found, tuple) else found[real]

        def run_decoder(write: Callable[..., Tensor]) -> Tensor:
            self.module.write = write
            return decode(self.module, sources, self._pad, given)[1]

        with predicting(self.module, self.device, self.precision):
            self.module.read = checked(self.module.read, run_encoder, "asp's encoder", dtype)
            self.module.write = checked(self.module.write, run_decoder, "asp's decoder", dtype, dynamic=True)

    def _sources(self, documents: Sequence[Document]) -> tuple[list[Window], list[Source]]:
        """The documents' windows, and what is read and copied of each."""
        windows = self.windows.windows(documents)
        return windows, [source_of(window, self.config) for window in windows]

    # --- what it can express ------------------------------------------------------------------------------------------

    def reachable(self, documents: Sequence[Document]) -> systems.Reachable:
        """What of the gold annotation windows, brackets without nesting and ``max_steps`` let through."""
        windows, sources = self._sources(documents)
        within_windows, lost = self.windows.reachable_gold(documents, windows)
        found: list[Extraction] = []
        reasons: list[dict[Entity, str]] = [{} for _ in documents]
        seconds: list[set[Relation]] = [set() for _ in documents]
        for window, gold, source in zip(windows, self.windows.within(documents, windows), sources, strict=True):
            written, beyond, second = actions.reachable(gold, source, self.config)
            found.append(written)
            reasons[window.document].update(beyond)
            seconds[window.document].update(second)
        reached = self.windows.merge(found, windows, documents)
        for before, after, reason, second in zip(within_windows, reached, reasons, seconds, strict=True):
            entities = set(after.entities)
            lost.update(f"entities: {reason[entity]}" for entity in set(before.entities) - entities)
            for relation in set(before.relations) - set(after.relations):
                whole = relation.head in entities and relation.tail in entities and relation in second
                lost["relations: " + (actions.SECOND if whole else "an entity of theirs is unreachable")] += 1
        return systems.Reachable(reached, Counter(lost), self.windows.notes(documents, windows))


def _ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []


def _start(configured: int | None, tokenizer: PreTrainedTokenizerFast) -> int:
    """What the decoder is started with: the model's own start, else the sub-token that starts every input, else padding."""
    for start in (configured, tokenizer.cls_token_id, tokenizer.pad_token_id):
        if start is not None:
            return start
    return 0


def _add_markers(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Ids of the brackets and of the context markers, with rows of the embedding where there are none to spare.

    T5 has both: embeddings beyond its vocabulary, which the released code takes for the brackets, and ``<extra_id_N>``. New
    rows start as those of the square and the round brackets.
    """
    size = len(tokenizer)
    ids = {"opening": size, "closing": size + 1}
    known = tokenizer.get_vocab()
    for i, (name, token) in enumerate(zip(("context_opening", "context_closing"), CONTEXT_MARKERS, strict=True)):
        ids[name] = known.get(token, size + 2 + i)
    before, needed = encoder.get_input_embeddings().weight.shape[0], max(ids.values()) + 1
    if needed > before:
        encoder.resize_token_embeddings(needed, mean_resizing=False)
        weight = encoder.get_input_embeddings().weight
        with torch.no_grad():
            for new, like in zip(ids.values(), "[]()", strict=True):
                pieces = _ids(tokenizer, like)
                if new >= before and pieces:
                    weight[new] = weight[pieces[-1]]
    return ids
