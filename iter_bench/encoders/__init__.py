"""Pre-trained encoders of several families behind one interface, and their tokenizers. See ``docs/encoders.md``."""

from iter_bench.encoders.architectures import KNOWN
from iter_bench.encoders.families import encoder_dims, encoder_from_config, first_position, max_length
from iter_bench.encoders.loading import encoder_config, load_encoder, load_tokenizer, quiet, source_of, weights_of
from iter_bench.encoders.states import row_width, shares_rows, states, states_of_layers

__all__ = [
    "KNOWN",
    "encoder_config",
    "encoder_dims",
    "encoder_from_config",
    "first_position",
    "load_encoder",
    "load_tokenizer",
    "max_length",
    "quiet",
    "row_width",
    "shares_rows",
    "source_of",
    "states",
    "states_of_layers",
    "weights_of",
]
