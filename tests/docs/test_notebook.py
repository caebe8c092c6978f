"""docs/autoencoders.ipynb runs from its first cell to its last, with a model soon trained."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOK = DOCS / "autoencoders.ipynb"
STEPS, ROWS = 30, 900


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.+)$", text, re.MULTILINE)


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """A home of its own, and a kernel that is this Python."""
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    monkeypatch.setenv("PYTHONWARNINGS", "error::FutureWarning,error::RuntimeWarning")
    monkeypatch.setenv("VIGIE_NOTEBOOK_STEPS", str(STEPS))
    monkeypatch.setenv("VIGIE_NOTEBOOK_ROWS", str(ROWS))
    spec = tmp_path / "jupyter_data_dir" / "kernels" / "python3"
    spec.mkdir(parents=True)
    start = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    told = {"argv": start, "display_name": "Python 3", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(told))
    return tmp_path


def test_the_notebook_is_stored_without_outputs_and_follows_the_page():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")

    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert headings(words) == headings((DOCS / "autoencoders.md").read_text(encoding="utf-8"))


def test_the_notebook_runs_to_its_end(kernels):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": kernels}}
    )

    client.execute()

    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())
    )
    assert f"({ROWS}, 4, 8) rows" in printed
    assert len(re.findall(r"dB less noise", printed)) == 8
    assert "20 made" in printed
