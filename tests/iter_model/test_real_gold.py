"""Gold → targets → perfect logits → decode → gold on the real corpora, up to what is unreachable."""

import pytest
from plain_iter import perfect

from iter_bench import data
from iter_bench.document import Relation
from iter_bench.encoders import load_tokenizer
from iter_bench.iter_model.system import IterSystem

SPLITS = [
    *(("conll04", split, 0) for split in ("train", "dev", "test")),
    *(("scierc", split, None) for split in ("train", "dev", "test")),
    ("ade", "all", None),
    *(("genia", split, None) for split in ("dev", "test")),
]


@pytest.mark.slow
@pytest.mark.parametrize("name, split, lost_entities", SPLITS)
def test_gold_survives(tiny_encoder, data_dir, name, split, lost_entities):
    """With symmetric relations trained in both directions, each comes out twice, and nothing else is added."""
    corpus = data.load(name, split, data_dir=data_dir)
    system = IterSystem.build(tiny_encoder, corpus.schema, corpus.documents, {}, seed=1)
    assert load_tokenizer("minilm").vocab_size == system.tokenizer.vocab_size
    reachable = system.reachable(corpus.documents)
    for setting in ("once", "both") if corpus.schema.symmetric else ("once",):
        system.config.symmetric_targets = setting
        for document, gold in zip(corpus.documents, reachable.extractions, strict=True):
            if document.entities:
                decoded = perfect(system, document)
                turned = {Relation(r.tail, r.head, r.type) for r in gold.relations if r.type in corpus.schema.symmetric}
                relations = {*gold.relations, *(turned if setting == "both" else ())}
                assert (set(decoded.entities), set(decoded.relations)) == (set(gold.entities), relations), document.id
    lost = sum(n for reason, n in reachable.lost.items() if reason.startswith("entities"))
    kept = sum(len(e.entities) for e in reachable.extractions)
    assert kept + lost == sum(len(d.entities) for d in corpus.documents)
    assert lost == lost_entities or (lost_entities is None and lost < 0.01 * kept)
