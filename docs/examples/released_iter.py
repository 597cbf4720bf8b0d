"""The released ITER as a system of one's own, to measure its prediction beside ours: the same weights, documents and harness.

It needs a checkout of github.com/fleonce/ITER (39b95b7) and this file's folder on PYTHONPATH, and `pip install torchcheck`.

    python docs/examples/released_iter.py TRAINED FOLDER

writes the weights of a flat ITER that was trained here, and decides as the released one does, in the released format, twice:
FOLDER/ours, which `iter` reads as it reads any released checkpoint, and FOLDER/released, which `ReleasedIter` reads.
docs/iter.md#beside-the-released-implementation has the commands; released.toml, beside this file, is their sweep.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedConfig

from iter_bench import systems
from iter_bench.batching import undivided
from iter_bench.devices import default_device
from iter_bench.document import Entity, Extraction, Relation, Schema
from iter_bench.encoders import load_tokenizer, max_length
from iter_bench.errors import SettingsError, UserError
from iter_bench.iter_model.released import WEIGHTS
from iter_bench.iter_model.released_config import settings_of
from iter_bench.tokenization import WindowTokenizer


class ReleasedIter:
    """The released model and its `generate`, flat data only; batches in the given order, as its loader makes them.

    Its own decoding tells no positions. A shorter one stands in for it, so that its time is rather under- than overstated.
    """

    name = "released_iter:ReleasedIter"

    def __init__(self, model, schema, tokenizer):
        self.device, self.schema, self.settings = default_device(), schema, {}
        self.module = model.to(self.device).eval()
        self.windows = WindowTokenizer(tokenizer, max_length(model.model.config))

    @classmethod
    def load(cls, folder: Path):
        from iter import ITERConfig, ITERForRelationExtraction  # the released package

        content = json.loads((folder / "config.json").read_text())
        with patch.object(PreTrainedConfig, "max_length", 20, create=True):  # for its own tokenising; transformers 5 has none
            model = ITERForRelationExtraction(ITERConfig(**content))
        missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        if odd := [*unexpected, *(name for name in missing if not name.startswith("model.pooler."))]:
            raise SettingsError(f"{folder}: the released code has other weights: {', '.join(odd)}")
        symmetric = frozenset(json.loads((folder / "symmetric.json").read_text()))
        schema = Schema(tuple(content["entity_types"]), tuple(content["link_types"]), symmetric)
        return cls(model, schema, load_tokenizer(content["transformer_config"]["_name_or_path"]))

    @property
    def parameters(self):
        return sum(weights.numel() for weights in self.module.parameters())

    @property
    def execution(self):
        attention = self.module.model.config._attn_implementation
        return {"dtype": "float32", "attention": attention, "compile": "none"}

    @torch.inference_mode()
    def predict(self, documents, *, batch_size=8):
        windows = self.windows.windows(documents)
        found = []
        for start in range(0, len(windows), batch_size):
            batch = windows[start : start + batch_size]
            ids = torch.full((len(batch), max(len(w.input_ids) for w in batch)), self.module.tokenizer.pad_token_id)
            mask = torch.zeros_like(ids)
            for row, window in enumerate(batch):
                ids[row, : len(window.input_ids)] = torch.from_numpy(window.input_ids)
                mask[row, : len(window.input_ids)] = 1
            ids, mask = ids.to(self.device), mask.to(self.device)
            with undivided(f"{len(batch)} documents", "choose a smaller batch size"):
                output = self.module.generate(ids, attention_mask=mask, decode_output=False)
            found += self.extractions(output, batch, documents)
        return self.windows.merge(found, windows, documents)

    def extractions(self, output, windows, documents):
        """One a window; a span is read as the words that its ends lie in, as ``bracket_positions: subtokens`` does."""
        words = [window.word_ids.tolist() for window in windows]
        left, right = ((output.actions & bit).ne(0).cpu().numpy() for bit in (1, 2))
        lefts, rights = ([np.flatnonzero(row) for row in marked] for marked in (left, right))
        entities = [{} for _ in windows]  # by the right bracket, of which each closes one
        for row, end, opened, kind in output.lr_pair_flag.nonzero().tolist():
            first, last = words[row][lefts[row][opened]], words[row][end]
            if 0 <= first <= last:
                entities[row][end] = Entity(first, last + 1, self.schema.entity_types[kind])
        relations = [{} for _ in windows]
        for row, head, tail, kind in output.rr_pair_flag.nonzero().tolist():
            of, ends = entities[row], rights[row]
            if head in of and tail < len(ends) and int(ends[tail]) in of:
                relations[row].setdefault(Relation(of[head], of[int(ends[tail])], self.schema.relation_types[kind]))
        return [
            Extraction(documents[window.document].id, tuple(dict.fromkeys(of.values())), tuple(links))
            for window, of, links in zip(windows, entities, relations, strict=True)
        ]

    def reachable(self, documents):
        windows = self.windows.windows(documents)
        within, lost = self.windows.reachable_gold(documents, windows)
        return systems.Reachable(within, Counter(lost), self.windows.notes(documents, windows))


def released_config(config, encoder):
    """What the released code's config.json says of our configuration, with the folder of its encoder.

    Raises:
        SettingsError: it can't say all of it; the settings that differ are named.
    """
    written = {
        "model_type": "iter",
        "transformer_config": {**config.encoder, "_name_or_path": str(encoder.resolve())},
        "num_types": len(config.entity_types),
        "num_links": len(config.relation_types),
        "features": 0,
        "max_nest_depth": config.omega,
        "dropout": config.dropout,
        "activation_fn": config.activation,
        "use_gate": config.gate,
        "d_ff": config.d_ff,
        "use_scale": config.two_vector_scale == 2,
        "threshold": config.link_threshold,
        "entity_types": list(config.entity_types),
        "link_types": list(config.relation_types),
    }
    read = settings_of(written)
    decides = ("omega", "bracket_positions", "span_decision", "link_span", "context_markers", "self_links")
    if other := [f"model.{name}={read[name]}" for name in decides if getattr(config, name) != read[name]]:
        raise SettingsError(f"the released code predicts otherwise; train with {', '.join(other)}")
    return written


def write(trained: Path, folder: Path):
    """Our trained ITER in the released format, as a checkpoint and as a `ReleasedIter`, and the encoder that both name.

    Raises:
        SettingsError: the released code would predict otherwise; the settings are named that it was to be trained with.
    """
    system = systems.load_system(trained)
    model = system.module
    config = released_config(model.config, folder / "encoder")
    system.save_encoder(folder / "encoder")
    theirs = {ours: name for name, ours in WEIGHTS.items()}
    weights = {}
    for name, value in model.state_dict().items():
        prefix = next(ours for ours in theirs if name.startswith(ours))
        weights[theirs[prefix] + name.removeprefix(prefix)] = value.contiguous()
    for name in ("ours", "released"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "config.json").write_text(json.dumps(config, indent=2))
        save_file(weights, folder / name / "model.safetensors")
    (folder / "released" / "symmetric.json").write_text(json.dumps(sorted(system.schema.symmetric)))
    systems.write_system_file(folder / "released", ReleasedIter)


if __name__ == "__main__":
    try:
        write(*map(Path, sys.argv[1:3]))
    except UserError as error:
        sys.exit(f"released_iter: {error}")
