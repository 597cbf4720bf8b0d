"""The package as a user gets it: light to import, everything it imports declared and pinned, a complete wheel."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import iter_bench

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = [name for name in ("iter_bench", "baselines") if (ROOT / name).is_dir()]
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
}


def declared(*extras: str) -> list[Requirement]:
    """The project's own requirements, with those of the extras."""
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    return [Requirement(line) for line in lines]


def test_import_is_light():
    heavy = ["torch", "transformers", "numpy", "pandas", "scipy", "matplotlib", "ray"]
    code = f"import sys, iter_bench.cli, iter_bench.scoring; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "[]"


def test_version_is_the_same_everywhere():
    version = re.escape(iter_bench.__version__)
    assert re.search(rf"^version: {version}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert re.search(rf"^## {version}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def imported_packages(folder: Path) -> set[str]:
    """Top-level names of everything imported from elsewhere in the Python files of a folder, in functions too."""
    names, own = set(), {"iter_bench", "baselines", *(path.stem for path in folder.glob("*.py"))}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - own


@pytest.mark.parametrize(
    ("folders", "extras"),
    [(PACKAGES, ["search", "parquet", "accelerate", "download", "ray"]), (["tests"], ["search", "parquet", "ray", "dev"])],
    ids=["package", "tests"],
)
def test_everything_imported_is_declared(folders, extras):
    names = {canonicalize_name(requirement.name) for requirement in declared(*extras)}
    distributions = metadata.packages_distributions()
    imported = {name for folder in folders for name in imported_packages(ROOT / folder)}
    undeclared = {name for name in imported if not names & {canonicalize_name(d) for d in distributions.get(name, [name])}}
    assert undeclared == set()


def test_lock_file_pins_all_that_is_needed_within_its_range():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(PINS), "a line of requirements.lock isn't NAME==VERSION, or a name stands twice"
    installed = {canonicalize_name(distribution.name): distribution for distribution in metadata.distributions()}
    waiting, seen = declared(*PROJECT["optional-dependencies"]), set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        assert name in PINS, f"{requirement} isn't in requirements.lock"
        assert requirement.specifier.contains(PINS[name]), f"{requirement} excludes the pinned {PINS[name]}"
        # The needs at hand are those of the pinned version only where `make` made the environment.
        distribution = installed.get(name)
        if name not in seen and distribution and distribution.version.split("+")[0] == PINS[name]:
            needs = [Requirement(line) for line in distribution.requires or []]
            waiting += [need for need in needs if name != "torch" or not need.name.startswith(("nvidia", "cuda", "triton"))]
        seen.add(name)


def test_wheel_holds_the_packages_with_their_data_and_nothing_else(tmp_path):
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", wheels]
    subprocess.run([*command, source], check=True)
    with zipfile.ZipFile(next(wheels.iterdir())) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = {path.relative_to(source) for name in PACKAGES for path in (source / name).rglob("*.*")}
    assert packed == {path.as_posix() for path in files if path.suffix != ".md" and (source / path).is_file()}
