"""Prediction in bf16: weights of linear layers are converted until they change, to the numbers that autocast alone gives."""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from iter_bench import batching, compiled, data, devices, systems
from iter_bench.batching import chunks
from iter_bench.data.synthetic import SCHEMA
from iter_bench.devices import forget_lowered, predicting

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
    return built(request.param, tiny_encoder, documents)


def built(name, encoder, documents):
    system = systems.system_class(name).build(encoder, SCHEMA, documents, {}, seed=5)
    system.precision = "bf16"
    return system


def lowering_nothing(monkeypatch):
    for module in ("iter_bench.devices", "baselines.plmarker.system"):
        monkeypatch.setattr(f"{module}.lowered", lambda *_: nullcontext())


def converted(system, *of, **named):
    """The prediction, and how many weights were converted for it."""
    with Conversions(system.module) as conversions:
        found = system.predict(*of, **named)
    assert conversions.count <= len(conversions.layers)
    return found, conversions.count


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_weights_are_converted_once_however_many_batches_and_calls_there_are(system, documents, device, monkeypatch):
    """Where documents go in lots too, as on a GPU."""
    monkeypatch.setattr(batching, "chunks", lambda documents, size, _: chunks(documents, size, torch.device(device)))
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)
    first, count = converted(system, documents, batch_size=1, structure=structure)
    assert count > 0 and converted(system, documents, batch_size=1, structure=structure) == (first, 0)
    forget_lowered()
    assert converted(system, documents, batch_size=1, structure=structure) == (first, count)


def models(system):
    """What is trained as one: each stage of PL-Marker."""
    return (system.ner.module, system.relation.module) if system.name == "plmarker" else (system.module,)


def trained(module):
    """A step whose optimizer torch doesn't count as a change of weights."""
    optimizer = torch.optim.AdamW(module.train().parameters(), lr=0.1, fused=True)
    for weight in module.parameters():
        weight.grad = torch.randn_like(weight)
    optimizer.step()


def loaded(module):
    module.load_state_dict({name: value + 0.1 * torch.randn_like(value) for name, value in module.state_dict().items()})


def assigned(module):
    """As where a divided module is put together: the parameter stays, what it holds is another tensor."""
    for weight in module.parameters():
        weight.data = weight.data + 0.1 * torch.randn_like(weight)


@pytest.mark.parametrize("change", [trained, loaded, assigned])
def test_changed_weights_are_seen(system, documents, change, monkeypatch):
    torch.manual_seed(7)
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)
    before = system.plain_states(documents, structure, [0])
    for module in models(system):
        change(module)
    found = system.predict(documents), system.plain_states(documents, structure, [0])
    lowering_nothing(monkeypatch)
    assert found[0] == system.predict(documents)
    for key, states in system.plain_states(documents, structure, [0]).items():
        assert torch.equal(found[1][key], states) and not torch.equal(before[key], states)


def test_converted_weights_go_with_their_model_and_while_it_is_trained(system, documents):
    forget_lowered()
    system.predict(documents[:1])
    assert len(devices._LOWERED) > 0
    for module in models(system):
        module.train()
    assert len(devices._LOWERED) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_compiled_code_is_the_same_for_every_call(name, tiny_encoder, documents, monkeypatch):
    torch._dynamo.reset()
    graphs = []
    monkeypatch.setattr(compiled, "lookup_backend", lambda name: lambda graph, _: graphs.append(graph) or graph.forward)
    system = built(name, tiny_encoder, documents)
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)
    plain = system.predict(documents, batch_size=3, structure=structure)
    system.compile(documents[:4])
    first, count = system.predict(documents, batch_size=3, structure=structure), len(graphs)
    assert "none" not in system.execution["compile"] and count > 0
    for call in range(2):
        if call:  # converted anew
            forget_lowered()
        assert system.predict(documents, batch_size=3, structure=structure) == first == plain
        assert len(graphs) == count


def test_the_numbers_are_those_of_autocast(system, documents, monkeypatch):
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)

    def found():
        return system.predict(documents, batch_size=3), system.plain_states(documents, structure, range(len(documents)))

    extractions, states = found()

    lowering_nothing(monkeypatch)
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
