"""Prediction in bf16: weights of linear layers are converted once a call, to the numbers that autocast alone gives."""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from iter_bench import batching, data, systems
from iter_bench.batching import chunks
from iter_bench.data.synthetic import SCHEMA
from iter_bench.devices import predicting

SYSTEMS = sorted(systems.REGISTRY)


class Conversions(TorchDispatchMode):
    """Counts the conversions to bf16 of weights of linear layers, or of parts of them."""

    def __init__(self, module):
        super().__init__()
        self.layers = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]
        self.places = {layer.weight.untyped_storage().data_ptr() for layer in self.layers}
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # inference mode shows the composite operation
        if func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.to) and args[0].dtype == torch.float32:
            wanted = (kwargs or {}).get("dtype", args[1] if len(args) > 1 else None)
            self.count += wanted == torch.bfloat16 and args[0].untyped_storage().data_ptr() in self.places
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def documents():
    return data.load("synthetic", "dev").documents[:7]


@pytest.fixture(params=SYSTEMS)
def system(request, tiny_encoder, documents):
    built = systems.system_class(request.param).build(tiny_encoder, SCHEMA, documents, {}, seed=5)
    built.precision = "bf16"
    return built


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_weights_are_converted_once_a_call_however_many_batches_it_takes(system, documents, device, monkeypatch):
    """Where documents go in lots too, as on a GPU."""
    monkeypatch.setattr(batching, "chunks", lambda documents, size, _: chunks(documents, size, torch.device(device)))
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)
    with Conversions(system.module) as conversions:
        system.predict(documents, batch_size=1, structure=structure)
    assert 0 < conversions.count <= len(conversions.layers)


def test_the_numbers_are_those_of_autocast(system, documents, monkeypatch):
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)

    def found():
        return system.predict(documents, batch_size=3), system.plain_states(documents, structure, range(len(documents)))

    extractions, states = found()

    for module in ("iter_bench.devices", "baselines.plmarker.system"):
        monkeypatch.setattr(f"{module}.lowered", lambda *_: nullcontext())
    plain, plain_states = found()
    assert extractions == plain and states.keys() == plain_states.keys()
    assert all(torch.equal(value, plain_states[key]) for key, value in states.items())


def test_a_model_gets_its_own_weights_back_also_where_prediction_fails(system):
    before = dict(system.module.named_parameters())
    with pytest.raises(KeyError), predicting(system.module, torch.device("cpu"), "bf16"):
        inside = dict(system.module.named_parameters())
        raise KeyError
    assert any(weight.dtype == torch.bfloat16 for weight in inside.values())
    after = dict(system.module.named_parameters())
    assert list(after) == list(before) and all(after[name] is weight for name, weight in before.items())
