"""Operations counted from shapes are those that torch counts while it computes."""

import pytest
import torch
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from iter_bench.encoders import encoder_from_config
from iter_bench.encoders.flops import encoder_flops

BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 99}
T5 = {"d_model": 32, "num_layers": 2, "num_heads": 3, "d_kv": 8, "d_ff": 48, "vocab_size": 99}
BART = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 48, "vocab_size": 99}
DEBERTA = {"relative_attention": True, "position_buckets": 16, "max_relative_positions": -1, "share_att_key": True}
DEBERTA |= {"pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "norm_rel_ebd": "layer_norm"}
CONFIGS = {
    "bert": transformers.BertConfig(**BERT),
    "albert": transformers.AlbertConfig(**BERT, embedding_size=8),
    "t5": transformers.T5Config(**T5, feed_forward_proj="relu"),
    "flan-t5": transformers.T5Config(**T5, feed_forward_proj="gated-gelu"),
    "bart": transformers.BartConfig(**BART),
    "deberta": transformers.DebertaV2Config(**BERT, **DEBERTA),
    "modernbert": transformers.ModernBertConfig(**BERT, pad_token_id=0, eos_token_id=1, bos_token_id=1, cls_token_id=1),
}


def counted(function):
    # torch doesn't count a CPU's fused attention
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


@pytest.mark.parametrize("family", CONFIGS)
def test_an_encoder_of_every_family(family):
    encoder = encoder_from_config(CONFIGS[family]).eval()
    ids, mask = torch.ones(1, 40, dtype=torch.long), torch.ones(1, 40, dtype=torch.long)
    for length in (1, 40):
        seen = counted(lambda n=length: encoder(input_ids=ids[:, :n], attention_mask=mask[:, :n]))
        if family == "deberta":  # what depends on weights alone: keys and queries of positions -11 to 11, in 2 layers
            seen -= 2 * 2 * 2 * (1 if length == 1 else 23) * 32 * 32
        if family == "modernbert":  # what depends on positions alone: angles, a product in transformers 5.17
            places, states = torch.arange(length)[None], torch.ones(1, length, 8)
            for kind in set(encoder.config.layer_types):
                seen -= counted(lambda kind=kind, at=places, x=states: encoder.rotary_emb(x, at, kind))
        assert encoder_flops(encoder, length) == seen
