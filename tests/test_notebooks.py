"""The notebooks run from a clean kernel, read only records and call only the package."""

import ast
import runpy
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbclient and ipykernel")
pytest.importorskip("nbclient", reason="needs nbclient and ipykernel")
pytest.importorskip("ipykernel", reason="needs nbclient and ipykernel")

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_four():
    assert [path.stem for path in NOTEBOOKS] == ["01_reproduce", "02_throughput", "03_encoders", "04_errors"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_only_the_package_is_called_and_outputs_are_stored(path):
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    modules = set()
    for cell in cells:
        assert cell.outputs or cell.source.startswith(("from", "import")), f"no output is stored for\n{cell.source}"
        assert "/home" not in str(cell.outputs) and "Traceback" not in str(cell.outputs)
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom):
                modules.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
    assert modules <= {"pathlib", "IPython", "iter_bench"}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_a_clean_kernel(path):
    executed = runpy.run_path(str(FOLDER / "execute.py"))["executed"]
    assert all(cell.outputs or cell.source.startswith("from") for cell in executed(path).cells if cell.cell_type == "code")
