"""The lessons run from top to bottom, with the numbers they assert and nothing on stderr."""

import os
import sys
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from conftest import png_size

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

# The inline backend draws every figure, as a reader's notebook does; Agg would only collect them.
# One thread, so that a machine busy with other tests does not make the lessons a hundred times slower.
KERNEL_SETTINGS = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}

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
    return client.execute(env=os.environ | {"PYTHONPATH": search_path} | KERNEL_SETTINGS)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_lessons_are_there():
    assert [path.name for path in NOTEBOOKS] == [
        "01_what_does_a_two_layer_network_learn.ipynb",
        "02_arrangements_and_exact_planar_scores.ipynb",
        "03_denoising_and_annealed_langevin.ipynb",
        "04_ddpm_three_sources_of_error.ipynb",
        "05_why_convex_the_same_network_trained_two_ways.ipynb",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# the client's own dependencies, not the lesson: what the lesson warns of goes to its stderr
@pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning")
def test_lesson_runs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert sum("assert" in cell.source for cell in code_cells(notebook)) >= 3
    execute(notebook)
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    for output in outputs:
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
    pictures = [
        output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})
    ]
    shown = sum(cell.source.count("plt.show()") for cell in code_cells(notebook))
    sizes = [png_size(b64decode(picture)) for picture in pictures]
    assert len(sizes) == shown >= 5
    # an artist far outside its axes makes a figure of thousands of pixels
    assert np.max(sizes) < 2000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_lesson_is_stored_without_outputs(path):
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.slow
@pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning")
def test_a_wrong_number_in_a_lesson_fails():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 + 1 == 3")])
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="AssertionError"):
        execute(notebook)
