"""The one decoder against transformers' own of each family, in float64."""

import pytest
import torch
from transformers import BartConfig, BartModel, BertConfig, BertModel, RobertaConfig, RobertaModel, T5Config, T5Model

from baselines.asp.configuration import AspConfig, AspSettings
from baselines.asp.decoder import Cache
from baselines.asp.modeling import AspModel
from baselines.asp.system import AspSystem
from baselines.asp.warm_start import decoder_for
from iter_bench.document import Document, Entity, Schema
from iter_bench.encoders import load_encoder, load_tokenizer
from iter_bench.encoders.families import BartEncoderModel

SIZES = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def t5(gated):
    kind = "gated-gelu" if gated else "relu"
    config = T5Config(
        vocab_size=99,
        d_model=32,
        num_layers=2,
        num_heads=2,
        d_kv=8,
        d_ff=48,
        feed_forward_proj=kind,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=16,
        pad_token_id=0,
    )
    return T5Model(config)


def save(model, folder):
    model.save_pretrained(folder)
    return type(model).from_pretrained(folder)


def reference(family, folder):
    """An encoder, and a function (ids, positions, what each layer reads, mask) → states of transformers' decoder."""
    torch.manual_seed(2)
    if family.startswith("t5") or family == "bart":
        whole = (
            t5(family == "t5-gated")
            if family != "bart"
            else BartModel(
                BartConfig(
                    vocab_size=99,
                    d_model=32,
                    encoder_layers=2,
                    decoder_layers=2,
                    encoder_attention_heads=2,
                    decoder_attention_heads=2,
                    encoder_ffn_dim=48,
                    decoder_ffn_dim=48,
                    max_position_embeddings=64,
                    scale_embedding=True,
                )
            )
        )
        with torch.no_grad():
            for name, weight in whole.named_parameters():
                if "norm" in name:
                    weight.add_(torch.randn_like(weight) * 0.1)
        whole = save(whole, folder).double().eval()
        encoder = whole.encoder if family != "bart" else BartEncoderModel.from_pretrained(folder)
        encoder.config._name_or_path = str(folder)
        encoder.get_input_embeddings().to(torch.float64)
        table = whole.get_input_embeddings()

        def run(ids, positions, states, mask):
            assert states[0] is states[1]
            return whole.decoder(input_ids=ids, encoder_hidden_states=states[0], encoder_attention_mask=mask).last_hidden_state

        return encoder, table, run
    config_class, model_class = (BertConfig, BertModel) if family == "bert" else (RobertaConfig, RobertaModel)
    encoder = model_class(config_class(**SIZES, pad_token_id=1), add_pooling_layer=False)
    decoder = model_class(
        config_class(**SIZES, pad_token_id=1, is_decoder=True, add_cross_attention=True), add_pooling_layer=False
    )
    weights = encoder.state_dict()
    crossed = {n.replace(".attention.", ".crossattention."): w for n, w in weights.items() if ".attention." in n}
    decoder.load_state_dict({**weights, **crossed}, strict=False)
    assert set(decoder.state_dict()) - set(weights) == set(crossed)
    for layer in decoder.encoder.layer:  # its norm, new, changes nothing; nor does what it norms, once self-attention is mute
        for weight in layer.attention.output.dense.parameters():
            weight.data.zero_()
    decoder = decoder.double().eval()
    shift = 2 if family == "roberta" else 0

    def run(ids, positions, states, mask):
        def reads(layer, args, kwargs):
            """In place of the states that transformers gives every layer, those of this one."""
            own = states[list(decoder.encoder.layer).index(layer)]
            assert any(a is states[0] for a in (*args, *kwargs.values()))
            kwargs = {name: own if value is states[0] else value for name, value in kwargs.items()}
            return tuple(own if a is states[0] else a for a in args), kwargs

        hooks = [layer.register_forward_pre_hook(reads, with_kwargs=True) for layer in decoder.encoder.layer]
        out = decoder(
            input_ids=ids, position_ids=positions + shift, encoder_hidden_states=states[0], encoder_attention_mask=mask
        ).last_hidden_state
        for hook in hooks:
            hook.remove()
        return out

    return encoder, encoder.get_input_embeddings().double(), run


@pytest.mark.parametrize("family", ["bert", "roberta", "t5", "t5-gated", "bart"])
def test_states_are_those_of_transformers(family, tmp_path):
    encoder, table, run = reference(family, tmp_path)
    ours = decoder_for(encoder, pretrained=True).double().eval()
    # T5's norms in transformers compute in float32, and BERT's positions and token type are added in it
    atol = 1e-10 if family == "bart" else 1e-6
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 99, (3, 25), generator=generator)
    positions = torch.arange(25).expand(3, -1)
    if family in ("bert", "roberta"):  # theirs may stand anywhere
        positions = torch.randint(0, 40, (3, 25), generator=generator)
    states = [torch.randn(3, 11, 32, generator=generator, dtype=torch.float64) for _ in range(2)]
    if not ours.shape.layerwise:
        states = states[:1] * 2
    mask = torch.ones(3, 11, dtype=torch.long)
    mask[1, 6:] = mask[2, 9:] = 0
    with torch.no_grad():
        expected = run(ids, positions, states, mask)
        memory = ours.memory(states, mask)
        embedded = torch.nn.functional.embedding(ids, table.weight.double())
        forced = ours(embedded, positions, memory)
        torch.testing.assert_close(forced, expected, atol=atol, rtol=0)

        # with a cache: uneven pieces, some given wrong first and then overwritten, rows at different outputs
        cache = Cache(ours.shape, 3, 4, memory.layers[0][0])
        start = torch.tensor([0, 0, 0])
        found = torch.zeros_like(forced)
        row = torch.arange(3)[:, None]
        while (start < 25).any():
            slots = (start[:, None] + torch.arange(4)).clamp_max(24)
            cache.use(int(slots.max()) + 1)
            piece = ours(embedded[row, slots], positions[row, slots], memory, slots, cache)
            ours(embedded[row, slots] + 1, positions[row, slots], memory, slots, cache)
            piece = ours(embedded[row, slots], positions[row, slots], memory, slots, cache)
            found[row, slots] = piece
            start = start + torch.tensor([1, 2, 3])
        torch.testing.assert_close(found, forced, atol=1e-12, rtol=0)


def test_a_warm_started_decoder_begins_as_the_encoder():
    """Given the text once more, its states are close to the encoder's own; nothing of what was written before enters yet."""
    encoder, tokenizer = load_encoder("minilm").eval(), load_tokenizer("minilm")
    decoder = decoder_for(encoder, pretrained=True).eval()
    assert decoder.shape.layerwise
    text = "Marlow Ridge lies north of Halden, where Ann Corvin founded the Orrin Institute in 1911."
    ids = tokenizer(text, return_tensors="pt").input_ids
    mask, positions = torch.ones_like(ids), torch.arange(ids.shape[1])[None]
    with torch.no_grad():
        *read, last = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        memory = decoder.memory(read, mask)
        embedded = torch.nn.functional.embedding(ids, encoder.get_input_embeddings().weight)
        states = decoder(embedded, positions, memory)[0]
        backwards = decoder(embedded.flip(1), positions.flip(1), memory)[0].flip(0)
    torch.testing.assert_close(backwards, states, atol=1e-5, rtol=0)
    ours, own = (torch.nn.functional.normalize(s - s.mean(0), dim=1) for s in (states, last[0]))
    likeness = ours @ own.T
    assert likeness.diagonal().mean() > 0.9 and (likeness.argmax(1) == positions[0]).all()


def test_a_bracket_before_the_text_is_told_from_the_start():
    """In BERT's first position, whose embedding outweighs all others, both states would be the same."""
    document = Document("begins", ("Ann", "Corvin", "sings"), (Entity(0, 2, "person"),))
    system = AspSystem.build("minilm", Schema(("person",)), [document], {}, seed=1)
    with torch.no_grad():
        start, bracket, copied, *_ = system.module.states(system.collate(system.examples([document])))[0]
    for one, other in ((start, bracket), (bracket, copied), (start, copied)):
        assert torch.cosine_similarity(one, other, 0) < 0.6


@pytest.mark.parametrize("layers", [1, 3])
def test_each_layer_reads_what_the_encoders_reads_whose_last_is_dropped(layers):
    torch.manual_seed(1)
    encoder = BertModel(BertConfig(**{**SIZES, "num_hidden_layers": layers}), add_pooling_layer=False).eval()
    ids = torch.arange(5, 12)[None]
    mask = torch.ones_like(ids)
    with torch.no_grad():
        *expected, _ = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        decoder = decoder_for(encoder, pretrained=True)
        config = AspConfig(encoder.config.to_dict(), ("A",), ("R",), (), (), 0, 97, 98, 95, 96, AspSettings(hidden=8))
        model = AspModel(config, encoder, decoder).eval()
        read = model.encode(ids, mask, padded=False)
    assert len(model.encoder.encoder.layer) == layers - 1 and len(model.decoder.layers) == layers
    assert len(read) == layers and all(map(torch.equal, read, expected))
    again = AspModel(config)  # as a saved one is read
    assert {n: w.shape for n, w in again.named_parameters()} == {n: w.shape for n, w in model.named_parameters()}
