"""What is released: a wheel and a source archive without anything of others, which do the main job where nothing else is."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from datetime import date
from email import message_from_bytes
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

from iter_bench import data
from iter_bench.data import catalogue

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools.build_meta import *; out = sys.argv[1]; build_sdist(out); build_wheel(out)"
UNPACKED = {"tests", "results", "notebooks", ".ci", ".gitignore"}  # of the repository, not in the source archive
KINDS = {".py", ".csv", ".html", ".toml", ".mplstyle", ".md", ".txt", ".cfg", ".cff", ".in", ".lock", ".sbatch", ""}
PROFILE = """description = "Hardly trained."
[[group]]
encoder = "{encoder}"
seeds = [1]
data = {{ dataset = "synthetic-w1", train = "dev", dev = "none" }}
training = {{ epochs = 1, batch_size = 16 }}
"""


def tracked() -> list[str]:
    return subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).rstrip("\0").split("\0")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """``wheel`` and ``source``: name of a packed file → its content; and the wheel's path as ``path``."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    (source / ".env").write_text("TOKEN=secret")
    (source / "docs" / "__pycache__").mkdir()
    (source / "docs" / "__pycache__" / "x.pyc").write_text("TOKEN=secret")
    (source / "runs").mkdir()
    (source / "runs" / "corpus.json").write_text("[]")
    subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=source, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        packed = {name: file.read(name) for name in file.namelist()}
    with tarfile.open(next(out.glob("*.tar.gz"))) as file:
        members = [member for member in file.getmembers() if member.isfile()]
        archived = {member.name.split("/", 1)[1]: file.extractfile(member).read() for member in members}
    return {"wheel": packed, "source": archived, "path": wheel}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "source"])
def test_only_code_and_its_data_files_are_packed(built, kind):
    names = [PurePosixPath(name) for name in built[kind]]
    assert {name.suffix for name in names if not any(p.endswith((".dist-info", ".egg-info")) for p in name.parts)} <= KINDS
    assert not [name for name in names if ".env" in name.parts or name.parts[0] in ("runs", "results", "dist")]
    assert kind == "source" or not [name for name in built["wheel"] if name.endswith(".md")]
    assert not [name for name, content in built[kind].items() if b"TOKEN=secret" in content]
    wanted = {
        p.relative_to(ROOT).as_posix() for p in (ROOT / "iter_bench").rglob("*") if p.suffix in (".toml", ".mplstyle", ".csv")
    }
    assert wanted <= set(built[kind]) and len(wanted) > 5


@pytest.mark.slow
def test_the_source_archive_is_whole(built):
    made = {name for name in built["source"] if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert set(built["source"]) - made == {name for name in tracked() if name.split("/")[0] not in UNPACKED}


def plain(text: str) -> str:
    """Words with a space between them, be they a sentence, or tokens in JSON or Python."""
    return re.sub(r"""[\s"',\[\]]+""", " ", text).strip()


def test_a_sentence_is_found_as_text_and_as_tokens():
    words = ["Dr.", "Ann", "'s", "[", "friend", ",", "``", "Bob"]
    for text in (" ".join(words), *(json.dumps([{"tokens": words}], indent=n) for n in (None, 1)), repr(words)):
        assert plain(" ".join(words)) in plain(f"before {text} after")
    assert plain(" ".join(words)) not in plain(json.dumps(words[::-1]))


def phrases(text: str) -> set[tuple[str, ...]]:
    """All that seven words in a row of it say."""
    words = plain(text).split()
    return set(zip(*(words[first:] for first in range(7)), strict=False))


@pytest.fixture(scope="module")
def of_others(data_dir) -> set[tuple[str, ...]]:
    """The phrases of every split of a real corpus that is at hand."""
    found = set()
    for corpus in ("conll04", "scierc", "ade", "genia"):
        entry = catalogue.entry(corpus)
        missing = entry.missing(data_dir)
        for split in (split for split, file in entry.files.items() if file not in missing):
            for document in data.load(corpus, split, data_dir=data_dir).documents:
                found |= phrases(" ".join(document.words))
    if not found:
        pytest.skip(f"{data_dir} holds none of CoNLL04, SciERC, ADE and GENIA")
    assert len(found) > 10_000
    return found


def test_a_phrase_is_found_wherever_it_stands():
    (one,) = phrases("Ann , who met Bob 's other friend")
    for text in (
        "So Ann, who met Bob 's other friend, left.",
        json.dumps(["Ann", "who", "met", "Bob", "'s", "other", "friend"]),
    ):
        assert one in phrases(text)
    assert one not in phrases("Ann , who met Bob 's friend")


@pytest.mark.slow
def test_nothing_of_a_corpus_is_tracked(of_others):
    for name in tracked():
        content = (ROOT / name).read_bytes()
        assert b"\0" in content or not phrases(content.decode(errors="replace")) & of_others, name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "source"])
def test_nothing_of_a_corpus_is_packed(built, kind, of_others):
    for name, content in built[kind].items():
        assert not phrases(content.decode(errors="replace")) & of_others, name


def link_dependencies(wheel: dict[str, bytes], site: Path) -> None:
    """Links into an environment what the wheel declares and what that needs, from this one, and nothing else of it."""
    (described,) = [content for name, content in wheel.items() if name.endswith(".dist-info/METADATA")]
    waiting = [(line, {""}) for line in message_from_bytes(described).get_all("Requires-Dist")]
    seen = set()
    while waiting:
        line, extras = waiting.pop()
        requirement = Requirement(line)
        needed = not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)
        if not needed or (requirement.name, *requirement.extras) in seen:
            continue
        seen.add((requirement.name, *requirement.extras))
        distribution = metadata.distribution(requirement.name)
        waiting += [(line, {"", *requirement.extras}) for line in distribution.requires or []]
        for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(distribution.locate_file(top))


@pytest.mark.slow
def test_the_wheel_does_the_main_job_in_an_empty_environment(built, tiny_encoder, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", built["path"]]
    subprocess.run(list(map(str, install)), check=True)
    link_dependencies(built["wheel"], next(tmp_path.glob("venv/lib/*/site-packages")))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    where = subprocess.check_output(
        [python, "-c", "import iter_bench; print(iter_bench.__file__)"], cwd=tmp_path, env=environment
    )
    assert where.decode().startswith(str(tmp_path / "venv"))
    (tmp_path / "tiny.toml").write_text(PROFILE.format(encoder=tiny_encoder))
    command = [tmp_path / "venv" / "bin" / "iter-bench", "reproduce", "--profile", "tiny.toml"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "tables" / "tiny.md").is_file() and len(list(tmp_path.glob("results/runs/*.json"))) == 1


def test_a_release_has_one_date_and_what_is_none_has_none():
    said = re.findall(r"^date-released: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    heading = re.search(r"^## \S+ \((.*)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert said == ([] if heading[1] == "unreleased" else [date.fromisoformat(heading[1]).isoformat()])
