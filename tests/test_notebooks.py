"""The lessons run from top to bottom, with the numbers they assert and nothing on stderr."""

import os
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def execute(notebook):
    """Run in a kernel of this very interpreter, whatever kernels the machine has installed."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernel(AsyncKernelManager):
        def __init__(self, **options):
            # without folders to search, "python3" is the kernel of the running interpreter
            specs = KernelSpecManager(kernel_dirs=[])
            assert specs.get_kernel_spec("python3").argv[0] == sys.executable
            super().__init__(kernel_spec_manager=specs, **options)

    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", kernel_manager_class=OwnKernel, timeout=120
    )
    search_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return client.execute(env=os.environ | {"PYTHONPATH": search_path, "MPLBACKEND": "Agg"})


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_first_lesson_is_there():
    assert NOTEBOOKS[0].name == "01_what_does_a_two_layer_network_learn.ipynb"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# the client's own dependencies, not the lesson: what the lesson warns of goes to its stderr
@pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning")
def test_lesson_runs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert sum("assert" in cell.source for cell in code_cells(notebook)) >= 3
    execute(notebook)
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_lesson_is_stored_without_outputs(path):
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning")
def test_a_wrong_number_in_a_lesson_fails():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 + 1 == 3")])
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="AssertionError"):
        execute(notebook)
