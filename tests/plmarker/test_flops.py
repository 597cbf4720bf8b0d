"""Operations counted from shapes are those that torch counts while it computes."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from iter_bench.document import Extraction
from iter_bench.throughput.measurable import CountsFlops, CountsReads, DescribesExecution


def counted(system, document, structure):
    # torch doesn't count a CPU's fused attention
    with sdpa_kernel(SDPBackend.MATH), torch.no_grad(), FlopCounterMode(display=False) as counter:
        system.predict([document], batch_size=1, structure=structure)
    return counter.get_total_flops()


@pytest.mark.parametrize("family", ["bert", "roberta", "albert"])
@pytest.mark.parametrize(
    "execution, pairs", [("shared_text", {}), ("packed", {}), ("packed", {"ner_pairs": 1, "re_pairs": 1})], ids=str
)
def test_a_document_alone(tiny, family, execution, pairs):
    """Counts are equal: a pass's examples are all of one length, and one pack or packs of one pair, so nothing is padded."""
    system, documents = tiny(family, count=2, execution=execution, **pairs)
    assert isinstance(system, CountsFlops)
    for document, given in ((documents[0], documents[0].relations), (documents[1], ())):
        entities = document.entities if given else ()
        structure = system.prepare_structure([document], [Extraction(document.id, entities, given)])
        assert (len(structure.pairs) > 1) == bool(given)
        assert system.flops([document], structure) == counted(system, document, structure)


def test_weights_are_read_by_stage(tiny, monkeypatch):
    """Stage 2 too reads its own once for each five documents, however many subjects these have."""
    monkeypatch.setattr("baselines.plmarker.stage.CPU_ROWS", 10**6)
    system, documents = tiny("roberta")
    assert isinstance(system, CountsReads)
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)
    read, batches = [], []
    for stage in (system.ner, system.relation):
        for layer in stage.module.encoder.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.register_forward_hook(lambda layer, *_: read.append(layer.weight.numel()))
        heads = [w.numel() for name, w in stage.module.named_parameters() if name.endswith("classifier.weight")]
        stage.module.register_forward_hook(lambda *_, heads=heads: batches.append(sum(heads)))
    system.predict(documents, batch_size=5, structure=structure)
    assert len(batches) == 2 * 3 and system.weights_read(documents, structure, batch_size=5) == sum(read) + sum(batches)


def test_description(tiny):
    system, _ = tiny(count=1)
    assert isinstance(system, DescribesExecution)
    assert system.execution == {"dtype": "float32", "attention": "sdpa (text), eager (markers)", "compile": "none"}
    # of both stages: 2 layers with 4 projections of 32 x 32 and 2 of 32 x 48, and the classifiers, bias left out
    types, classes = len(system.schema.entity_types) + 1, len(system.relation.classes)
    layers = 2 * (4 * 32 * 32 + 2 * 32 * 48)
    assert system.matrix_weights == 2 * layers + 4 * 32 * types + 4 * 32 * classes + 2 * 32 * types
