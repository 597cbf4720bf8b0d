"""Encoders and systems of the hub: from a local server in its place, which cuts, corrupts, redirects and has new commits."""

import hashlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

from iter_bench import hub
from iter_bench.data import load
from iter_bench.data.synthetic import SCHEMA
from iter_bench.encoders import load_encoder, load_tokenizer, source_of, weights_of
from iter_bench.encoders.availability import problem
from iter_bench.errors import SettingsError, UserError
from iter_bench.iter_model.modeling import IterModel
from iter_bench.settings import RunSettings
from iter_bench.systems import RUN_FILE, load_system, run_of, system_class, word_rule

WEIGHTS = "model.safetensors"
FIRST, SECOND, ITER, PLMARKER, SEVERAL = (digit * 40 for digit in "12345")


def git_checksum(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """One repository, ``owner/tiny``, whose commits are folders; ``spoiled``: what goes wrong with each transfer of a file."""

    def __init__(self, commits: dict[str, Path]):
        self.commits, self.newest = commits, next(iter(commits))
        self.spoiled: dict[str, list[str]] = {}
        self.sent: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                owner.answer(self, self.path.partition("?")[0].strip("/").split("/"))
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, request, path: list[str]) -> None:
        match path:
            case ["api", "models", "owner", "tiny", *rest]:
                commit = self.commit(rest[1] if rest else "main")
                if commit not in self.commits:
                    return self.reply(request, 404, {"X-Error-Code": "RevisionNotFound"})
                listed = self.tree(commit)
                if rest[:1] == ["tree"]:
                    return self.reply(request, 200, {"Content-Type": "application/json"}, json.dumps(listed).encode())
                named = [{"rfilename": file["path"]} for file in listed]
                answer = {"id": "owner/tiny", "sha": commit, "siblings": named}
                return self.reply(request, 200, {"Content-Type": "application/json"}, json.dumps(answer).encode())
            case ["owner", "tiny", "resolve", revision, *file]:
                commit, name = self.commit(revision), "/".join(file)
                if not Path(self.commits[commit], name).is_file():
                    return self.reply(request, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
                return self.file(request, commit, name)
            case ["elsewhere", commit, *file]:
                return self.reply(request, 200, {}, Path(self.commits[commit], *file).read_bytes())
        return self.reply(request, 404, {"X-Error-Code": "RepoNotFound"})

    def commit(self, revision: str) -> str:
        return {"main": self.newest, "first": FIRST}.get(revision, revision)

    def tree(self, commit: str) -> list[dict]:
        folder = self.commits[commit]
        return [
            {"type": "file", "path": str(f.relative_to(folder)), "size": f.stat().st_size, "oid": git_checksum(f.read_bytes())}
            for f in sorted(folder.rglob("*"))
            if f.is_file()
        ]

    def file(self, request, commit: str, file: str) -> None:
        data = (self.commits[commit] / file).read_bytes()
        etag = hashlib.sha256(data).hexdigest() if file.endswith(WEIGHTS) else git_checksum(data)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"', "Content-Length": str(len(data))}
        if request.command == "HEAD":
            return self.reply(request, 200, headers)
        spoiled = self.spoiled.get(file, [])
        how = (spoiled.pop(0) if len(spoiled) > 1 else spoiled[0]) if spoiled else "whole"
        self.sent.append(file)
        if how == "cut":
            data = data[: len(data) // 2]
        elif how == "corrupt":
            data = bytes([data[0] ^ 1]) + data[1:-1] + bytes([data[-1] ^ 1])
        elif how.startswith("redirect"):
            to = SECOND if how.endswith("wrong") else commit
            return self.reply(request, 302, {"Location": f"{self.address}/elsewhere/{to}/{file}", "Content-Length": "0"})
        return self.reply(request, 200, headers, data)

    def reply(self, request, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        request.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)


@pytest.fixture(scope="module")
def commits(tmp_path_factory, tiny_encoder) -> dict[str, Path]:
    """Two commits of a tiny BERT with MiniLM's tokenizer, whose weights differ and are of the same size; and two systems."""
    folders = {}
    for seed, commit in enumerate((FIRST, SECOND)):
        folders[commit] = folder = tmp_path_factory.mktemp("commit")
        torch.manual_seed(seed)
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        AutoModel.from_config(AutoConfig.for_model("bert", vocab_size=30_522, **sizes)).save_pretrained(folder)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(Path(source_of("minilm").location, file), folder)
        (folder / "pytorch_model.bin").write_bytes(b"a pickle, which nobody asks for")
    folders[SEVERAL] = folder = Path(shutil.copytree(folders[FIRST], tmp_path_factory.mktemp("commit") / "several"))
    (folder / WEIGHTS).unlink()
    AutoModel.from_pretrained(folders[FIRST]).save_pretrained(folder, max_shard_size="400KB")
    for name, commit, settings in (("iter", ITER, {"omega": 2, "d_ff": 16}), ("plmarker", PLMARKER, {"max_span_words": 2})):
        folders[commit] = folder = tmp_path_factory.mktemp("commit")
        system_class(name).build(tiny_encoder, SCHEMA, [], settings, seed=5).save(folder)
        run = RunSettings(system=name, encoder=tiny_encoder, data={"dataset": "ade", "fold": 0})
        (folder / RUN_FILE).write_text(run.model_dump_json())
    return folders


@pytest.fixture
def served(commits, tmp_path, monkeypatch):
    """The hub, whose first commit is the newest, and an empty cache."""
    server = Hub(commits)
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    close_session()
    hub.files.cache_clear()
    yield server
    server.close()
    close_session()
    hub.files.cache_clear()


def sha256(folder: Path) -> dict[str, str]:
    return {WEIGHTS: hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()}


def same(name: str, folder: Path) -> bool:
    ours, theirs = load_encoder(name).state_dict(), load_encoder(str(folder)).state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(
    "spoiled", [[], ["cut", "whole"], ["corrupt", "whole"], ["corrupt", "cut", "corrupt", "whole"], ["redirect"]]
)
def test_an_encoder_is_what_the_hub_holds_whatever_the_transfer_does(served, commits, spoiled):
    served.spoiled[WEIGHTS] = spoiled
    assert same("owner/tiny", commits[FIRST])
    assert weights_of("owner/tiny") == (FIRST, sha256(commits[FIRST]))
    assert len(load_tokenizer("owner/tiny")) == 30_522
    assert "pytorch_model.bin" not in served.sent
    sent = len(served.sent)
    hub.files.cache_clear()  # as in a new process
    assert same("owner/tiny", commits[FIRST]) and len(served.sent) == sent


@pytest.mark.parametrize(
    ("file", "spoiled"),
    [(WEIGHTS, "corrupt"), (WEIGHTS, "redirect to what is wrong"), ("config.json", "corrupt"), ("tokenizer.json", "corrupt")],
)
def test_what_has_another_checksum_is_never_read(served, tmp_path, file, spoiled):
    served.spoiled[file] = [spoiled]
    with pytest.raises(UserError, match=rf"owner/tiny.*: {file}: another checksum than the hub's"):
        load_encoder("owner/tiny")
    assert served.sent.count(file) == hub.TRIES
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.name == file]


def test_a_file_that_decays_in_the_cache_is_fetched_again_and_without_a_network_missed(served, commits, monkeypatch):
    blob = (hub.encoder_weights("owner/tiny") / WEIGHTS).resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    hub.files.cache_clear()
    assert same("owner/tiny", commits[FIRST]) and served.sent.count(WEIGHTS) == 2
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    hub.files.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=rf"owner/tiny@{FIRST}: {WEIGHTS}: another checksum than the hub's"):
        load_encoder("owner/tiny")
    shutil.rmtree(Path(constants.HF_HUB_CACHE, "models--owner--tiny", "trees"))  # as in a cache that transformers filled
    config = (hub.files("owner/tiny") / "config.json").resolve()
    config.write_bytes(config.read_bytes()[:-1] + b" ")
    hub.files.cache_clear()
    with pytest.raises(UserError, match=r"owner/tiny: config\.json: another checksum than the hub's"):
        load_tokenizer("owner/tiny")


def test_a_name_may_pin_a_revision_and_else_gives_the_newest_one_for_a_whole_process(served, commits):
    assert same("owner/tiny", commits[FIRST])
    served.newest = SECOND
    assert same("owner/tiny", commits[FIRST])  # not half the runs of one process from another commit
    hub.files.cache_clear()
    assert same("owner/tiny", commits[SECOND]) and weights_of("owner/tiny")[0] == SECOND
    for name in ("owner/tiny@first", f"owner/tiny@{FIRST}"):
        assert same(name, commits[FIRST]) and weights_of(name) == (FIRST, sha256(commits[FIRST]))
    assert problem("owner/tiny@first") is None
    assert "no revision nowhere of it" in problem("owner/tiny@nowhere")
    assert problem(f"owner/tiny@{PLMARKER}") is not None and problem(f"random:owner/tiny@{PLMARKER}") is None
    with pytest.raises(SettingsError, match=r"owner/tiny@nowhere.*could not be loaded"):
        load_encoder("owner/tiny@nowhere")


def test_without_a_network_the_files_that_are_here_serve(served, commits, monkeypatch):
    load_encoder("owner/tiny"), load_tokenizer("owner/tiny")
    hub.files.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert same("owner/tiny", commits[FIRST]) and weights_of("owner/tiny") == (FIRST, sha256(commits[FIRST]))


def test_weights_may_lie_in_the_store_that_repositories_share(served, commits):
    blob = (hub.encoder_weights("owner/tiny") / WEIGHTS).resolve()
    size = blob.stat().st_size
    cache = Path(constants.HF_HUB_CACHE)
    assert publish_blob_to_shared_store(blob_path=str(blob), xet_hash="f" * 64, cache_dir=cache, expected_size=size)
    stored = blob.resolve()
    assert stored != blob
    hub.files.cache_clear()
    assert same("owner/tiny", commits[FIRST]) and served.sent.count(WEIGHTS) == 1 and stored.exists()
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    hub.files.cache_clear()
    assert same("owner/tiny", commits[FIRST]) and served.sent.count(WEIGHTS) == 2


def test_weights_in_several_files_are_here_once_all_are(served, commits):
    name = f"owner/tiny@{SEVERAL}"
    parts = sorted(path.name for path in commits[SEVERAL].glob("model-*.safetensors"))
    assert len(parts) > 1
    load_tokenizer(name)  # for which the index comes too
    assert hub.is_here(name, weights=False) and not hub.is_here(name, weights=True)
    served.spoiled[parts[-1]] = ["corrupt", "whole"]
    assert same(name, commits[FIRST]) and hub.is_here(name, weights=True)
    assert sorted(weights_of(name)[1]) == parts and served.sent.count(parts[-1]) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"weight_map": {"a": []}}', "[" * 3000])
def test_weights_whose_index_is_damaged_are_not_here(tmp_path, monkeypatch, content):
    (tmp_path / hub.INDEX).write_text(content)
    here = {"config.json": "config.json", hub.INDEX: str(tmp_path / hub.INDEX)}
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda _, file, **__: here.get(file))
    assert not hub.is_here("owner/tiny", weights=True)


def test_a_cache_that_tells_no_checksums_is_refused(served):
    file = hub.files("owner/tiny") / "config.json"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)
    hub.files.cache_clear()
    with pytest.raises(UserError, match="its checksum isn't known"):
        load_encoder("owner/tiny")


def test_a_system_of_the_hub_is_what_its_commit_holds(served, commits):
    documents = load("synthetic", "dev").documents[:4]
    for commit in (ITER, PLMARKER):
        expected = load_system(commits[commit]).predict(documents)
        assert load_system(f"owner/tiny@{commit}").predict(documents) == expected
        assert run_of(f"owner/tiny@{commit}").system == load_system(f"owner/tiny@{commit}").name
        assert word_rule(f"owner/tiny@{commit}") == word_rule(commits[commit]) != word_rule(commits[FIRST])
    served.newest = ITER
    weights = load_file(commits[ITER] / WEIGHTS)
    for model in (
        AutoModel.from_pretrained("owner/tiny"),
        AutoModel.from_pretrained("owner/tiny", revision=ITER),
        IterModel.from_pretrained("owner/tiny", revision=ITER),
        IterModel.from_pretrained("owner/tiny", local_files_only=True),
    ):
        assert all(torch.equal(model.state_dict()[name], value) for name, value in weights.items())


def test_a_system_of_the_hub_is_checked_as_well(served):
    with pytest.raises(UserError, match="no ITER checkpoint is there"):  # it's an encoder
        load_system("owner/tiny")
    hub.files.cache_clear()
    served.newest, served.spoiled = SECOND, {WEIGHTS: ["corrupt"]}
    with pytest.raises(UserError, match="another checksum"):
        load_system("owner/tiny")
    with pytest.raises(UserError, match="no such folder here, and none can be had from the hub"):
        load_system("owner/other")
