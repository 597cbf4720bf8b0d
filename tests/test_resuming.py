"""What is taken up again: only what began with the same documents, encoder and settings, undamaged; records say the code."""

import errno
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from record_examples import record
from safetensors.torch import load_file, save_file

from iter_bench import checkpoints, data, environment, systems
from iter_bench.data.synthetic import SCHEMA
from iter_bench.environment import Git
from iter_bench.errors import DataError, UserError
from iter_bench.files import whole_file
from iter_bench.records import EncoderWeights
from iter_bench.run import Folders, execute, other_weights
from iter_bench.settings import DataSettings, RunSettings, TrainingSettings

DOCUMENTS = data.load("synthetic", "train").documents[:16]
ONE = TrainingSettings(epochs=1, batch_size=16, lr_heads=1e-3)
FILES = ["last/model.safetensors", "last/optimizer.safetensors", "last/state.json", "best/model.safetensors"]


def fit(encoder, folder, train=DOCUMENTS, dev=DOCUMENTS[:4], seed=5, schema=SCHEMA, **model):
    system = systems.system_class("iter").build(encoder, schema, [], {"omega": 2, "d_ff": 16, **model}, seed=5)
    return system.fit(train, dev, ONE, seed=seed, folder=folder)


@pytest.fixture(scope="module")
def stored(tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    fit(tiny_encoder, folder)
    return folder


@pytest.fixture
def folder(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "c")


@pytest.fixture
def other_encoder(tiny_encoder, tmp_path):
    """One number is another."""
    folder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    weights = load_file(folder / "model.safetensors")
    weights["pooler.dense.bias"][-1] += 1
    weights["embeddings.word_embeddings.weight"][7, 3] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def test_an_epoch_is_taken_up_only_over_what_it_was_trained_on(folder, tiny_encoder, other_encoder):
    changed = (replace(DOCUMENTS[0], entities=(), relations=()), *DOCUMENTS[1:])
    for other, arguments in (
        ("training documents", {"train": changed}),
        ("dev documents", {"dev": changed[:4]}),
        ("training documents, dev documents", {"train": DOCUMENTS[:15], "dev": ()}),
        ("seed", {"seed": 6}),
        ("encoder", {"encoder": other_encoder}),
        ("system settings", {"dropout": 0.5, "link_loss": "brackets"}),
        ("types", {"schema": replace(SCHEMA, entity_types=SCHEMA.entity_types[::-1])}),
    ):
        with pytest.raises(UserError, match=rf"belongs to the run with another {other}; delete .* to start over"):
            fit(**{"encoder": tiny_encoder, "folder": folder, **arguments})
    assert len(fit(tiny_encoder, folder)) == 1


@pytest.mark.parametrize("name", [*FILES, "last/sha256.json"])
def test_a_bit_that_is_another_is_found(folder, tiny_encoder, name):
    content = bytearray((folder / name).read_bytes())
    content[-9] ^= 1  # the last weight's, where there are weights, so that the file can be read
    (folder / name).write_bytes(content)
    damaged = f"{folder / name.split('/')[0]}: the checkpoint is damaged"
    with pytest.raises(UserError, match=damaged if name.endswith("sha256.json") else rf"{damaged} \({name.split('/')[1]}: "):
        fit(tiny_encoder, folder)


def test_selected_weights_that_are_gone_are_missed(folder, tiny_encoder):
    shutil.rmtree(folder / "best")
    with pytest.raises(UserError, match="best: the checkpoint is damaged"):
        fit(tiny_encoder, folder)


def test_a_checkpoint_that_can_not_be_read_now_is_not_called_damaged(folder, tiny_encoder, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checkpoints, "_sums", refused)
    with pytest.raises(UserError, match=r"last: the checkpoint can't be read: Permission denied$"):
        fit(tiny_encoder, folder)
    monkeypatch.setattr(checkpoints, "_sums", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit(tiny_encoder, folder)


def test_a_finished_run_counts_only_over_the_documents_that_it_saw(tmp_path):
    folders, finished = Folders(tmp_path / "results", tmp_path / "runs"), record(dataset="synthetic-w1")
    with whole_file(folders.predictions(finished.run_id)) as file:
        file.write("[]")
    folders.finish(finished)
    now = {"train": "train", "dev": "dev", "test": "test"}
    now = {role: data.fingerprint(data.load(finished.dataset, split).documents) for role, split in now.items()}
    with pytest.raises(DataError, match=rf"{finished.file_name}: finished on other documents \(train, "):
        execute(finished.settings, folders)
    same = {role: of.model_copy(update={"sha256": now[role]}) for role, of in finished.data.items()}
    folders.finish(finished.model_copy(update={"data": same}))
    assert execute(finished.settings, folders).data == same


def test_a_finished_run_counts_only_with_the_weights_that_it_began_with(tmp_path, tiny_encoder):
    encoder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder")) / "model.safetensors"
    weights = EncoderWeights(sha256={encoder.name: hashlib.sha256(encoder.read_bytes()).hexdigest()})
    finished = record(encoder=str(encoder.parent)).model_copy(update={"weights": weights})
    assert other_weights(finished) == []
    encoder.write_bytes(encoder.read_bytes()[:-1] + b"?")
    assert other_weights(finished) == [encoder.name]
    shutil.rmtree(encoder.parent)  # so nobody can tell
    assert other_weights(finished) == [] == other_weights(finished.model_copy(update={"weights": None}))


class Interrupted(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(("later", "dirty"), [("a", False), ("b", True)])
def test_a_record_tells_the_code_that_its_run_began_with(tmp_path, tiny_encoder, monkeypatch, later, dirty):
    small = DataSettings(dataset="synthetic-w1", train="dev", dev=None, test="dev")
    training = TrainingSettings(epochs=2, batch_size=64)
    run = RunSettings(encoder=tiny_encoder, data=small, training=training, model={"d_ff": 16})
    folders = Folders(tmp_path / "results", tmp_path / "runs")

    def checked_out(commit):
        monkeypatch.setattr(environment, "git_state", lambda _: Git(commit=commit * 40, dirty=False))

    def interrupted(event):
        if event.get("epoch") == 0:
            raise Interrupted

    checked_out("a")
    with pytest.raises(Interrupted):
        execute(run, folders, report=interrupted)
    checked_out(later)
    done = execute(run, folders, report=lambda event: checked_out("c"))  # while it trains
    assert done.environment.git == Git(commit="a" * 40, dirty=dirty)
    weights = Path(tiny_encoder, "model.safetensors")
    assert done.weights == EncoderWeights(sha256={weights.name: hashlib.sha256(weights.read_bytes()).hexdigest()})
    assert execute(run, folders) == done
    monkeypatch.setattr("iter_bench.encoders.weights_of", lambda encoder: (None, {weights.name: "0" * 64}))
    with pytest.raises(DataError, match=rf"{done.file_name}: finished with other weights \(model\.safetensors\)"):
        execute(run, folders)
