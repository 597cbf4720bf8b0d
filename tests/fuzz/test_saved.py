"""Each file of a saved system, mutated: it loads and extracts, or a UserError says what is wrong with it."""

import os
import shutil
from pathlib import Path

import pytest
from fuzzing import SCHEMA, fuzz
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from iter_bench import systems
from iter_bench.document import Document, Entity
from iter_bench.settings import RunSettings

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ann", "met", "bob", "##s", "##o")
FILES = ("system.json", "run.json", "config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
DOCUMENTS = [Document("one", ("ann", "met", "bobs"), (Entity(0, 1, "Drug"),)), Document("two", ("bob",))]


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A folder with an ITER whose files are small enough for a mutation to hit what matters."""
    encoder = tmp_path_factory.mktemp("encoder")
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(encoder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=16, **sizes)).save_pretrained(encoder)
    settings = RunSettings(system="iter", model={"d_ff": 8})
    system = systems.system_class("iter").build(str(encoder), SCHEMA, DOCUMENTS, settings.model, seed=1)
    folder = tmp_path_factory.mktemp("saved")
    system.save(folder)
    (folder / systems.RUN_FILE).write_text(settings.model_dump_json(indent=1), encoding="utf-8")
    return folder


def extracted(path: Path, _: bool) -> None:
    found = systems.load_system(path.parent).predict(DOCUMENTS)
    assert [e.id for e in found] == ["one", "two"]
    for document, extraction in zip(DOCUMENTS, found, strict=True):
        assert all(0 <= e.start < e.end <= len(document.words) for e in extraction.entities)


def run(name: str, saved: Path, folder: Path, numbers: range) -> int:
    shutil.copytree(saved, folder / "system")
    extracted(folder / "system" / name, False)
    content = (saved / name).read_bytes()
    return fuzz(f"system/{name}", content, extracted, folder, numbers)[0]


@pytest.mark.parametrize("name", FILES)
def test_a_sample_of_mutations(name, saved, tmp_path):
    run(name, saved, tmp_path, range(8))


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_mutations(name, saved, tmp_path):
    """Fewer than of a format of data: each loads a model; see ``test_mutations.py``."""
    each = int(os.environ.get("ITER_BENCH_MUTATIONS", "10000")) // 100
    print(name, each, "mutations,", run(name, saved, tmp_path, range(1000, 1000 + each)), "read without an error")
