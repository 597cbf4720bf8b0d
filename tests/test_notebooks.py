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


def shown(notebook) -> list[list[dict]]:
    """What each cell of code shows, but the pixels of its pictures."""
    return [
        [
            {kind: value for kind, value in output.get("data", {"text": output.get("text")}).items() if kind != "image/png"}
            for output in cell.outputs
        ]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_a_clean_kernel_and_shows_what_is_stored(path):
    """Where it doesn't, records or code changed since: ``make notebooks``."""
    executed = runpy.run_path(str(FOLDER / "execute.py"))["executed"]
    assert shown(executed(path)) == shown(nbformat.read(path, 4))
