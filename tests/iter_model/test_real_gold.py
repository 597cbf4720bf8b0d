"""Gold → targets → perfect logits → decode → gold on the real corpora, up to what is unreachable."""

import pytest
from plain_iter import perfect

from iter_bench import data
from iter_bench.encoders import load_tokenizer
from iter_bench.iter_model.system import IterSystem


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, split, lost_entities",
    [("conll04", "train+dev", 0), ("scierc", "train", None), ("ade", "all", None), ("genia", "test", None)],
)
def test_gold_survives(tiny_encoder, data_dir, name, split, lost_entities):
    corpus = data.load(name, split, data_dir=data_dir)
    system = IterSystem.build(tiny_encoder, corpus.schema, corpus.documents, {"symmetric_targets": "once"}, seed=1)
    assert load_tokenizer("minilm").vocab_size == system.tokenizer.vocab_size
    reachable = system.reachable(corpus.documents)
    for document, gold in zip(corpus.documents, reachable.extractions, strict=True):
        if document.entities:
            decoded = perfect(system, document)
            assert (set(decoded.entities), set(decoded.relations)) == (set(gold.entities), set(gold.relations)), document.id
    lost = sum(n for reason, n in reachable.lost.items() if reason.startswith("entities"))
    kept = sum(len(e.entities) for e in reachable.extractions)
    assert kept + lost == sum(len(d.entities) for d in corpus.documents)
    assert lost == lost_entities or (lost_entities is None and lost < 0.01 * kept)
