"""Nothing is ever unpickled: no code of ours can, and what lies in a folder of weights beside safetensors is never run."""

import ast
import json
import pickle
import shutil
import sys
from pathlib import Path

import pytest

from iter_bench import systems
from iter_bench.document import Schema
from iter_bench.encoders import load_encoder
from iter_bench.errors import UserError

ROOT = Path(__file__).parents[1]
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"torch.load", "torch.save", "np.load", "numpy.load", "pd.read_pickle", "pandas.read_pickle", "eval", "exec"}
OBJECTS = "_object", "_object_list", "_objects"  # ends of the names of torch.distributed's calls that send pickles
WORDS = {"allow_pickle": None, "weights_only": None, "trust_remote_code": False, "use_safetensors": True}
"""Arguments, and the only value that each may have; None: it may not be there."""


def code():
    for folder in ("iter_bench", "baselines", "docs/examples"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def test_no_module_can_unpickle():
    found, loads = [], 0
    for path, tree in code():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [(node.module or "").split(".")[0]]
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                arguments = {keyword.arg: keyword.value for keyword in node.keywords}
                found += [f"{path}:{node.lineno}: {called}"] * (called in CALLS or called.endswith(OBJECTS))
                for word, allowed in WORDS.items():
                    if word in arguments and ast.unparse(arguments[word]) != repr(allowed):
                        found.append(f"{path}:{node.lineno}: {word}={ast.unparse(arguments[word])}")
                if called.endswith("model_class.from_pretrained"):
                    loads += 1
                    found += [f"{path}:{node.lineno}: no use_safetensors"] * ("use_safetensors" not in arguments)
            found += [f"{path}:{node.lineno}: import {name}" for name in names if name in MODULES]
    assert found == [] and loads >= 2


class Harm:
    """What runs when it's unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def poisoned(tiny_encoder, tmp_path):
    """An encoder's folder without safetensors, with pickles and code of every name in its place; and what they'd touch."""
    folder, mark = tmp_path / "encoder", tmp_path / "was-run"
    shutil.copytree(tiny_encoder, folder)
    (folder / "model.safetensors").unlink()
    pickle.loads(pickle.dumps(Harm(mark)))
    assert mark.exists(), "it would do harm"
    mark.unlink()
    for name in ("pytorch_model.bin", "model.pt", "vocab.pkl", "optimizer.pt", "training_args.bin"):
        (folder / name).write_bytes(pickle.dumps(Harm(mark)))
    (folder / "own.py").write_text(f"open({str(mark)!r}, 'w')\nclass Model: pass\nclass Config: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "own.Config", "AutoModel": "own.Model", "AutoTokenizer": ["own.Model", "own.Model"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, mark


def test_pickles_and_code_beside_a_configuration_are_not_run(poisoned):
    folder, mark = poisoned
    with pytest.raises(UserError, match="weights could not be loaded"):
        load_encoder(str(folder))
    for file in (None, {"system": "asp", "schema_version": 1}, {"system": "plmarker", "schema_version": 1}):
        if file:
            (folder / systems.SYSTEM_FILE).write_text(json.dumps(file))
        with pytest.raises(UserError):
            systems.load_system(folder)
    pickle_as_weights = (folder / "pytorch_model.bin").read_bytes()
    (folder / "model.safetensors").write_bytes(pickle_as_weights)
    with pytest.raises(UserError):
        load_encoder(str(folder))
    assert not mark.exists()


MARKS = "open(__file__ + '.was-run', 'w')\nclass X:\n    @classmethod\n    def load(cls, folder): return cls()\n"


@pytest.mark.parametrize(
    ("code", "named", "on_path"),
    [
        ("own.py", "own:X", "model"),
        ("own.py", "model.own:X", "."),
        ("__init__.py", "model:X", "."),
        ("__init__.py", "model.own:X", "."),
        ("deep/own.py", "model.deep.own:X", "."),
        ("own.py", "linked.own:X", "."),  # a link beside the folder, into it
        ("own.py", "model.lent:X", "."),  # a link in the folder, out of it
        ("own.py", "outer.own:X", "."),  # a package outside, whose path leads into it
    ],
)
def test_code_in_a_systems_folder_is_not_run_though_it_is_on_the_path(tmp_path, monkeypatch, code, named, on_path):
    folder = tmp_path / "model"
    (folder / code).parent.mkdir(parents=True)
    (folder / code).write_text(MARKS)
    (tmp_path / "linked").symlink_to(folder)
    (tmp_path / "elsewhere.py").write_text(MARKS)
    (folder / "lent.py").symlink_to(tmp_path / "elsewhere.py")
    (tmp_path / "outer.py").write_text(f"__path__ = [{str(folder)!r}]\n")
    (folder / systems.SYSTEM_FILE).write_text(json.dumps({"system": named, "schema_version": 1}))
    monkeypatch.syspath_prepend(tmp_path / on_path)
    finders = list(sys.meta_path)
    with pytest.raises(UserError, match="never run"):
        systems.load_system(folder)
    assert not list(tmp_path.rglob("*.was-run")) and sys.meta_path == finders


def test_code_from_elsewhere_is_run(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "trusted_system.py").write_text(MARKS)
    (tmp_path / "model" / systems.SYSTEM_FILE).write_text(json.dumps({"system": "trusted_system:X", "schema_version": 1}))
    monkeypatch.syspath_prepend(tmp_path)
    assert type(systems.load_system(tmp_path / "model")).__name__ == "X"
    assert (tmp_path / "trusted_system.py.was-run").exists()


@pytest.mark.parametrize("name", ["..own:X", "a:b:c", ":X", "own:", "a..b:X", "", 3, ["iter"], {}, None])
def test_what_names_no_system_is_said(tmp_path, name):
    (tmp_path / systems.SYSTEM_FILE).write_text(json.dumps({"system": name, "schema_version": 1}))
    with pytest.raises(UserError, match=r"no system is called|not a system file"):
        systems.load_system(tmp_path)


@pytest.mark.parametrize("name", sorted(systems.REGISTRY))
def test_a_saved_system_and_its_encoder_consist_of_safetensors_and_text(name, tiny_encoder, tmp_path):
    system = systems.system_class(name).build(tiny_encoder, Schema(("a",), ("r",)), [], {}, seed=1)
    system.save(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt"}
    for path in files:
        if path.suffix != ".safetensors":
            path.read_text(encoding="utf-8")
