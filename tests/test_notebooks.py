"""The notebooks run, and are stored without what running them leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = {path.stem: path for path in sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))}
SHORT = {
    "degradation": "ITERATIONS, DEPTHS = 2, [8, 14]",
    "constructed-solution": "ITERATIONS, SHALLOW, DEEP = 2, 8, 14",
    "gradients": "ITERATIONS, NETWORKS = 2, ['plain8', 'plain14', 'resnet8']",
    "your-own-images": "IMAGES, EPOCHS = 6, 1",
}
"""For each notebook a line that replaces the numbers of its cell of parameters."""


@pytest.fixture(scope="module")
def client() -> Iterator[NotebookClient]:
    """One kernel for all, since it takes seconds to import torch; it is reached by files, and uses no port."""
    client = NotebookClient(nbformat.v4.new_notebook(), kernel_name="python3", timeout=300)
    client.shutdown_kernel = "immediate"  # it takes seconds to end by itself
    client.create_kernel_manager().transport = "ipc"
    with client.setup_kernel():
        yield client


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name: str, client: NotebookClient, tmp_path: Path) -> None:
    """From its first cell to its last, in small, without names or files of another one."""
    client.nb = nbformat.read(NOTEBOOKS[name], as_version=4)
    parameters = next(cell for cell in client.nb.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source += f"\n{SHORT[name]}"
    fresh = (
        f"%reset -f\nimport os\nos.chdir({str(tmp_path)!r})\nos.environ['CXX'] = 'none'"  # no time for torch.compile
    )
    client.nb.cells.insert(0, nbformat.v4.new_code_cell(fresh))
    for index, cell in enumerate(client.nb.cells):
        client.execute_cell(cell, index)
    outputs = [output for cell in client.nb.cells for output in cell.get("outputs", [])]
    assert any(output.output_type == "stream" for output in outputs)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_without_outputs(name: str) -> None:
    """It is valid, listed, has exercises and their solutions, and differs between two commits by its text alone."""
    assert f"({name}.ipynb)" in NOTEBOOKS[name].with_name("README.md").read_text()
    notebook: Any = nbformat.read(NOTEBOOKS[name], as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    exercises, _, solutions = text.partition("<summary>Solutions</summary>")
    count = len(re.findall(r"^\d\. ", exercises, re.MULTILINE))
    assert count >= 3
    assert len(re.findall(r"^\d\. ", solutions, re.MULTILINE)) == count
