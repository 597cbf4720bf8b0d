"""Weights in the released format predict what they did, for our code and, where it is on PYTHONPATH, for the released code."""

import importlib
import importlib.util
import json
from pathlib import Path

import pytest

from iter_bench import data, systems
from iter_bench.errors import SettingsError
from iter_bench.iter_model.released import is_released
from iter_bench.iter_model.system import IterSystem
from iter_bench.throughput.sweep import cells_of, load_sweep

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
AS_RELEASED = {"omega": 1, "bracket_positions": "subtokens", "self_links": True}


@pytest.fixture(scope="module")
def documents():
    return data.load("synthetic-w1", "test").documents[:24]


@pytest.fixture
def written(tiny_encoder, documents, tmp_path, monkeypatch):
    """An ITER with new weights, which call a good half of all places brackets, and the folder that it was written to."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    system = IterSystem.build(tiny_encoder, data.schema_of("synthetic-w1"), documents, AS_RELEASED, seed=3)
    system.save(tmp_path / "trained")
    importlib.import_module("released_iter").write(tmp_path / "trained", tmp_path / "beside")
    return system, tmp_path / "beside"


def contents(extractions):
    return [(e.id, set(e.entities), set(e.relations)) for e in extractions]


def test_our_code_reads_it_as_a_released_checkpoint_and_predicts_the_same(written, documents):
    system, folder = written
    assert is_released(folder / "ours") and is_released(folder / "released")
    expected = contents(system.predict(documents))
    assert sum(len(entities) for _, entities, _ in expected) > 100 < sum(len(relations) for *_, relations in expected)
    assert contents(systems.load_system(folder / "ours").predict(documents, batch_size=3)) == expected


def test_the_sweep_measures_what_is_written_there_in_each_cell(written):
    folder = written[1]
    cells, left_out = cells_of(load_sweep(str(EXAMPLES / "released.toml")))
    assert sorted(cell.batch_size for cell in cells) == [1, 8, 64] and not left_out
    for subject in (subject for cell in cells for subject in cell.subjects):
        path = folder / Path(subject.trained).name
        stored = json.loads((path / systems.SYSTEM_FILE).read_text())["system"] if path.name == "released" else "iter"
        assert path.is_dir() and subject.system == stored
    assert all(len(cell.subjects) == 2 for cell in cells)


def test_the_released_code_predicts_the_same(written, documents):
    if not all(importlib.util.find_spec(name) for name in ("iter", "torchcheck")):
        pytest.skip("the released ITER is not on PYTHONPATH (docs/examples/released_iter.py says how to have it)")
    system, folder = written
    theirs = systems.load_system(folder / "released")
    assert contents(theirs.predict(documents, batch_size=5)) == contents(system.predict(documents))


@pytest.mark.parametrize("name, value", [("omega", 2), ("bracket_positions", "words"), ("self_links", False)])
def test_what_the_released_code_would_predict_otherwise_is_refused(name, value, tiny_encoder, documents, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    settings = AS_RELEASED | {name: value}
    IterSystem.build(tiny_encoder, data.schema_of("synthetic-w1"), documents, settings, seed=3).save(tmp_path / "trained")
    with pytest.raises(SettingsError, match=f"train with model.{name}={AS_RELEASED[name]}"):
        importlib.import_module("released_iter").write(tmp_path / "trained", tmp_path / "beside")
    assert not (tmp_path / "beside").exists()
