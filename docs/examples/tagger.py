"""A system of one's own: a BIO tagger, an encoder with one linear layer, flat entities only and no relations."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from iter_bench import systems
from iter_bench.batching import in_batches
from iter_bench.devices import autocast, default_device
from iter_bench.document import Entity, Extraction, Schema
from iter_bench.encoders import encoder_config, encoder_dims, encoder_from_config, load_encoder, load_tokenizer, max_length
from iter_bench.settings import Settings, validated
from iter_bench.tokenization import WindowTokenizer
from iter_bench.training import fit, seed_everything


class TaggerSettings(Settings):
    """What ``--set model.NAME=VALUE`` can change."""

    subtoken: Literal["first", "last"] = "first"  # which one of a word is read


class Tagger:
    """Tags are O, then B and I of each entity type."""

    name = "tagger:Tagger"

    def __init__(self, encoder, tokenizer, schema, settings):
        self.device, self.precision = default_device(), "auto"
        self.tokenizer, self.schema, self.settings = tokenizer, schema, settings
        classes = 1 + 2 * len(schema.entity_types)
        self.module = nn.ModuleDict({"encoder": encoder, "head": nn.Linear(encoder_dims(encoder.config)[0], classes)})
        self.module.to(self.device).eval()
        self.windows = WindowTokenizer(tokenizer, max_length(encoder.config))

    @classmethod
    def build(cls, encoder, schema, train, settings, *, seed):
        chosen = validated(TaggerSettings, settings, "settings of tagger").model_dump()
        seed_everything(seed)
        return cls(load_encoder(encoder), load_tokenizer(encoder), schema, chosen)

    @classmethod
    def load(cls, folder: Path):
        content = json.loads((folder / "tagger.json").read_text())
        schema = Schema(*map(tuple, content["types"]), frozenset(content["symmetric"]))
        tagger = cls(encoder_from_config(encoder_config(str(folder))), load_tokenizer(str(folder)), schema, content["settings"])
        tagger.module.load_state_dict(load_file(folder / "model.safetensors"))
        return tagger

    def save(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.module["encoder"].config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        save_file(self.module.state_dict(), folder / "model.safetensors")
        types = [self.schema.entity_types, self.schema.relation_types]
        content = {"types": types, "symmetric": sorted(self.schema.symmetric), "settings": self.settings}
        (folder / "tagger.json").write_text(json.dumps(content))
        systems.write_system_file(folder, self)

    @property
    def parameters(self):
        return sum(weights.numel() for weights in self.module.parameters())

    # what the training loop asks for: examples, which weights are the heads, a batch, its loss

    def fit(self, train_documents, dev_documents, training, *, seed, folder=None, report=None):
        self.precision = training.precision
        windows = self.windows.windows(train_documents)
        examples = [(w, self.tags(w, flat(train_documents[w.document].entities)[0])) for w in windows]
        dev = [replace(document, relations=()) for document in dev_documents]  # entities alone decide which epoch is best
        schema = Schema(self.schema.entity_types)
        of = {"train_documents": train_documents, "dev": dev, "predict": self.predict, "schema": schema, "model": self.settings}
        return fit(self, examples, training, seed=seed, folder=folder, report=report, **of)

    def is_head(self, name):
        return name.startswith("head.")

    def length(self, example):
        return len(example[0].input_ids)

    def collate(self, examples):
        windows, tags = zip(*examples, strict=True)
        return self.inputs(windows), torch.from_numpy(np.concatenate(tags)).to(self.device)

    def losses(self, batch, whole):
        inputs, tags = batch
        return {"tags": nn.functional.cross_entropy(self.logits(*inputs), tags, reduction="sum")}

    # words to tags and back

    def tags(self, window, entities):
        tags = np.zeros(window.end_word - window.start_word, dtype=np.int64)
        for entity in filter(window.holds, entities):
            begin = 1 + 2 * self.schema.entity_types.index(entity.type)
            tags[entity.start - window.start_word : entity.end - window.start_word] = begin + 1
            tags[entity.start - window.start_word] = begin
        return tags[window.first_subtoken >= 0]

    def inputs(self, windows):
        """Padded ids and mask, [B, N], and where in the flattened states the words' sub-tokens stand, [words]."""
        size = max(len(window.input_ids) for window in windows)
        ids = torch.full((len(windows), size), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        rows = []
        for row, window in enumerate(windows):
            ids[row, : len(window.input_ids)] = torch.from_numpy(window.input_ids)
            mask[row, : len(window.input_ids)] = 1
            positions = getattr(window, f"{self.settings['subtoken']}_subtoken")
            rows.append(positions[positions >= 0] + row * size)
        return ids.to(self.device), mask.to(self.device), torch.from_numpy(np.concatenate(rows)).to(self.device)

    def logits(self, ids, mask, rows):
        states = self.module["encoder"](input_ids=ids, attention_mask=mask).last_hidden_state.flatten(0, 1)
        return self.module["head"](states[rows]).float()

    @torch.inference_mode()
    def predict(self, documents, *, batch_size=8):
        self.module.eval()
        windows = self.windows.windows(documents)
        found = [None] * len(windows)

        def run(batch):
            with autocast(self.device, self.precision):
                tags = self.logits(*self.inputs([windows[i] for i in batch])).argmax(1).tolist()  # one transfer a batch
            for i in batch:
                window = windows[i]
                words = (np.flatnonzero(window.first_subtoken >= 0) + window.start_word).tolist()
                entities = self.entities(words, tags[: len(words)])
                tags = tags[len(words) :]
                found[i] = Extraction(documents[window.document].id, tuple(entities))

        lengths = [len(window.input_ids) for window in windows]
        in_batches(lengths, batch_size, run, name=lambda i: documents[windows[i].document].id)
        return self.windows.merge(found, windows, documents)

    def entities(self, words, tags):
        open_since, inside, last = None, 0, -1
        for word, tag in zip([*words, None], [*tags, 0], strict=True):
            if open_since is not None and tag != inside:
                yield Entity(open_since, last + 1, self.schema.entity_types[inside // 2 - 1])
                open_since = None
            if tag % 2:
                open_since, inside = word, tag + 1
            last = word

    def reachable(self, documents):
        """Gold without overlaps and relations; what that leaves out is counted."""
        windows = self.windows.windows(documents)
        within, lost = self.windows.reachable_gold(documents, windows)
        kept = []
        for extraction in within:
            entities, overlapping = flat(extraction.entities)
            lost += Counter({"entities: they overlap another one": overlapping})
            lost += Counter({"relations: a tagger has none": len(extraction.relations)})
            kept.append(Extraction(extraction.id, tuple(entities)))
        return systems.Reachable(kept, lost, self.windows.notes(documents, windows))


def flat(entities):
    """The longest of overlapping entities, and how many are left out."""
    kept = []
    for entity in sorted(entities, key=lambda e: e.start - e.end):
        if all(entity.end <= other.start or other.end <= entity.start for other in kept):
            kept.append(entity)
    return sorted(kept), len(entities) - len(kept)
