"""The one decoder against transformers' own of each family, in float64."""

import pytest
import torch
from transformers import BartConfig, BartModel, BertConfig, BertModel, RobertaConfig, RobertaModel, T5Config, T5Model

from baselines.asp.decoder import Cache
from baselines.asp.warm_start import decoder_for
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
    """An encoder, and a function (ids, positions, encoder states, mask) → states of transformers' decoder."""
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
            return whole.decoder(input_ids=ids, encoder_hidden_states=states, encoder_attention_mask=mask).last_hidden_state

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
    decoder = decoder.double().eval()
    shift = 2 if family == "roberta" else 0

    def run(ids, positions, states, mask):
        return decoder(
            input_ids=ids, position_ids=positions + shift, encoder_hidden_states=states, encoder_attention_mask=mask
        ).last_hidden_state

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
    states = torch.randn(3, 11, 32, generator=generator, dtype=torch.float64)
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
