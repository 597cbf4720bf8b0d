"""`data get`: from a local server that cuts, corrupts and redirects, and from archives that want out of their folder."""

import hashlib
import io
import os
import tarfile
import tempfile
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest
from typer.testing import CliRunner

from iter_bench.cli import app
from iter_bench.data import fetching
from iter_bench.errors import DataError, SettingsError, UserError

NAMES = ["conll04_train.json", "conll04_dev.json", "conll04_test.json"]


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(*members: tuple[str, dict]) -> bytes:
    """Members by name, with fields of ``TarInfo``; regular files hold their own name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, fields in members:
            member = tarfile.TarInfo(name)
            member.size = len(name.encode()) if fields.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else 0
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(name.encode()) if member.isreg() else None)
    return out.getvalue()


GOOD = zipped({f"corpus/{name}": name.encode() * 5000 for name in NAMES} | {"../README": b"out", "corpus/x.py": b"code"})


@contextmanager
def served(*answers):
    """A local server that gives these answers, (status, headers, body), in turn, the last one for ever; its address."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


WHOLE = (200, {"Content-Length": str(len(GOOD))}, GOOD)
CUT = (200, {"Content-Length": str(len(GOOD))}, GOOD[: len(GOOD) // 2])
CORRUPT = (200, {"Content-Length": str(len(GOOD))}, GOOD[:100] + b"!" + GOOD[101:])


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(pooch.core.time, "sleep", lambda seconds: None)


def get(root: Path, source: str, sha256: str = digest(GOOD)):
    return fetching.get("conll04", source, sha256, root)


def nothing_is_left(root: Path) -> bool:
    return not root.exists() or [p for p in root.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("answers", [[WHOLE], [CUT, WHOLE], [CORRUPT, CUT, WHOLE], [(503, {}, b""), WHOLE]])
def test_a_transfer_that_fails_is_repeated_until_the_checksum_is_right(tmp_path, answers):
    with served(*answers) as (address, asked):
        found = get(tmp_path, f"{address}/files/corpus.zip?download=1")
    assert len(asked) == len(answers)
    assert found == [tmp_path / "conll04" / name for name in NAMES]
    assert all(path.read_bytes() == path.name.encode() * 5000 for path in found)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == sorted(NAMES)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (CUT, "can't be loaded"),
        (CORRUPT, "another SHA-256 than"),
        ((200, {}, GOOD + b"more"), "another SHA-256 than"),
        ((404, {}, b"none"), "404"),
        ((302, {"Location": "file:///etc/passwd"}, b""), "can't be loaded"),
        ((302, {"Location": "ftp://127.0.0.1/corpus.zip"}, b""), "can't be loaded"),
        ((302, {"Location": "/again"}, b""), "can't be loaded"),  # for ever
    ],
    ids=["cut", "corrupt", "longer", "404", "to a file", "to ftp", "in circles"],
)
def test_what_stays_wrong_is_refused_and_leaves_nothing(tmp_path, answer, message):
    with served(answer) as (address, asked), pytest.raises(DataError, match=message) as refused:
        get(tmp_path, f"{address}/corpus.zip")
    assert "nothing was kept" in str(refused.value) and nothing_is_left(tmp_path) and asked


def test_a_redirect_is_followed_and_the_checksum_holds_for_what_comes_in_the_end(tmp_path):
    def redirected_to(answer):
        with served(answer) as (other, _), served((302, {"Location": f"{other}/x"}, b"")) as (address, _):
            return get(tmp_path, f"{address}/corpus.zip")

    with pytest.raises(DataError, match="another SHA-256"):
        redirected_to(CORRUPT)
    assert len(redirected_to(WHOLE)) == 3


@pytest.mark.parametrize("path", ["a%00.zip", "download?id=3", "CORPUS.ZIP", "unpacked", "%2e%2e", "x" * 300, ""])
def test_an_archive_is_known_by_its_content_whatever_its_address(tmp_path, path):
    with served(WHOLE) as (address, asked):
        assert len(get(tmp_path, f"{address}/{path}")) == 3
    assert len(asked) == 1


def test_an_archive_at_the_end_of_another_is_not_taken_for_it(tmp_path):
    inner = zipped({NAMES[0]: b"inner"})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in ((NAMES[1], b"outer"), ("x.zip", inner)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    (tmp_path / "a").write_bytes(out.getvalue())
    assert zipfile.is_zipfile(tmp_path / "a")
    assert get(tmp_path / "data", str(tmp_path / "a"), digest(out.getvalue())) == [tmp_path / "data" / "conll04" / NAMES[1]]


def test_an_address_that_is_none_is_no_matter_of_checksums(tmp_path):
    with served((302, {"Location": "http://[x"}, b"")) as (address, _):
        for source in (f"{address}/corpus.zip", "http://[x"):
            with pytest.raises(DataError, match="Invalid IPv6") as refused:
                get(tmp_path, source)
            assert "SHA-256" not in str(refused.value) and nothing_is_left(tmp_path)


def test_one_file_of_the_data_set_and_what_is_still_missing(tmp_path):
    (tmp_path / NAMES[0]).write_bytes(b"[]")
    arguments = ["data", "get", "conll04", "--from", str(tmp_path / NAMES[0]), "--data-dir", str(tmp_path / "data")]
    assert CliRunner().invoke(app, arguments).exit_code == 2, "without a checksum"
    result = CliRunner().invoke(app, [*arguments, "--sha256", digest(b"[]")])
    assert result.exit_code == 0 and "still lacks conll04_dev.json, conll04_test.json" in result.stdout
    assert CliRunner().invoke(app, [*arguments, "--sha256", digest(b"[]")]).exit_code == 0, "nothing is left to be done"
    other = CliRunner().invoke(app, [*arguments, "--sha256", digest(b"[ ]")])
    assert isinstance(other.exception, UserError) and "nothing was taken" in str(other.exception)
    (tmp_path / NAMES[0]).write_bytes(b"[ ]")
    other = CliRunner().invoke(app, [*arguments, "--sha256", digest(b"[ ]")])
    assert isinstance(other.exception, UserError) and "there already, and kept" in str(other.exception)
    assert (tmp_path / "data" / "conll04" / NAMES[0]).read_bytes() == b"[]"


def test_a_set_of_which_some_files_were_put_before_a_kill_is_completed(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(GOOD)
    synced, replace, fsync = set(), os.replace, os.fsync

    def killed(path, target):
        assert path.stat().st_ino in synced and len(synced) == 3, "all lie on the disk before the first is put"
        if target.name == NAMES[1]:
            raise KeyboardInterrupt
        replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: (synced.add(os.fstat(handle).st_ino), fsync(handle)))
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path / "data", str(tmp_path / "a.zip"))
    folder = tmp_path / "data" / "conll04"
    assert [path.name for path in folder.iterdir()] == NAMES[:1]
    before = (folder / NAMES[0]).stat().st_mtime_ns
    assert get(tmp_path / "data", str(tmp_path / "a.zip")) == [folder / name for name in NAMES]
    assert all((folder / name).read_bytes() == name.encode() * 5000 for name in NAMES)
    assert (folder / NAMES[0]).stat().st_mtime_ns == before


OWN = """[mine]
title = "Mine"
format = "spert"
folder = "sets/mine"
files = { train = "train/data.json", test = "test/data.json", dev = "data.json" }
entity_types = ["A"]
max_span_words = 8
samples = { train = 1, test = 1, dev = 1 }
licence = "mine"
source = "here"
"""


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ITER_BENCH_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "catalogue.toml").write_text(OWN)
    names = ["train/data.json", "test/data.json", "data.json"]
    content = zipped({f"mine/{name}": name.encode() for name in names} | {"../test/data.txt": b""})
    (tmp_path / "a.zip").write_bytes(content)
    found = fetching.get("mine", str(tmp_path / "a.zip"), digest(content))
    assert {path.relative_to(tmp_path / "data" / "sets" / "mine").as_posix(): path.read_text() for path in found} == {
        name: name for name in names
    }
    found[0].unlink()
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "data.json").write_text("train/data.json")
    assert fetching.get("mine", str(tmp_path / "train" / "data.json"), digest(b"train/data.json")) == [found[0]]
    (tmp_path / "data" / "catalogue.toml").write_text(OWN.replace("test/data.json", "../test/data.json"))
    with pytest.raises(SettingsError, match=r"\.\./test/data\.json leads out of the folder sets/mine"):
        fetching.get("mine", str(tmp_path / "a.zip"), digest(content))


def test_what_is_asked_wrongly_is_said(tmp_path):
    for source, sha256, error, message in (
        ("x.zip", "12", SettingsError, "64 hex digits"),
        ("ftp://127.0.0.1/x.zip", "0" * 64, DataError, "only http and https"),
        (str(tmp_path / "none.zip"), "0" * 64, DataError, "can't be read"),
    ):
        with pytest.raises(error, match=message):
            get(tmp_path / "data", source, sha256)
    with pytest.raises(SettingsError, match=r"no data set.*catalogue\.toml in the folder that .* ITER_BENCH_DATA names"):
        fetching.get("synthetic", "x.zip", "0" * 64, tmp_path)


NAME = NAMES[0]
OUTSIDE = Path(tempfile.gettempdir()) / f"outside-{os.getpid()}"
HARMFUL = {
    "above": (tarred((f"../../{NAME}", {}), ("../../outside", {})), None),
    "absolute": (tarred((f"{OUTSIDE.parent}/{NAME}", {}), (str(OUTSIDE), {})), None),
    "symbolic link": (tarred((NAME, {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})), "no regular file"),
    "hard link": (tarred((NAME, {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"})), "no regular file"),
    "device": (tarred((NAME, {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5})), "no regular file"),
    "pipe": (tarred((NAME, {"type": tarfile.FIFOTYPE})), "no regular file"),
    "link before": (
        tarred(("conll04", {"type": tarfile.SYMTYPE, "linkname": str(OUTSIDE.parent)}), (f"conll04/{NAME}", {})),
        None,
    ),
    "twice": (tarred((f"a/{NAME}", {}), (f"b/{NAME}", {})), "twice"),
    "other files": (tarred(("x.json", {})), "holds none of the files"),
    "cut": (tarred((NAME, {}))[:-20], "can't be read"),
    "no archive": (b"text", "is neither an archive"),
}


@pytest.mark.parametrize("case", HARMFUL)
def test_an_archive_reaches_nothing_outside_its_folder(tmp_path, case):
    content, message = HARMFUL[case]
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(content)
    before = {p for p in tmp_path.rglob("*")}
    if message is None:
        (path,) = get(tmp_path / "data", str(archive), digest(content))
        assert path == tmp_path / "data" / "conll04" / NAME and path.read_text().endswith(NAME) and not path.is_symlink()
        assert not OUTSIDE.exists()
    else:
        with pytest.raises(DataError, match=message):
            get(tmp_path / "data", str(archive), digest(content))
        assert nothing_is_left(tmp_path / "data")
    new = {p for p in tmp_path.rglob("*") if p.is_file()} - before
    assert all(p.is_relative_to(tmp_path / "data" / "conll04") for p in new)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "LARGEST", 1000)
    (tmp_path / "bomb.zip").write_bytes(bomb := zipped({NAME: b"0" * 10**6}))
    with pytest.raises(DataError, match="too large: 1000000 bytes"):
        get(tmp_path / "data", str(tmp_path / "bomb.zip"), digest(bomb))
    assert nothing_is_left(tmp_path / "data")
