"""Every notebook runs from top to bottom, as committed."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
FOUND = {
    # Within this length: without previous-token attention a slower, roundabout way is found.
    "2_hold_a_circuit": """
learned = curves[curves.accuracy > 0.9].groupby("held").sequences_seen.min()
assert learned["a previous-token head"] < learned["nothing"]
assert "no previous-token attention" not in learned
assert late[late.sequences_seen <= 6_400].accuracy.max() < 0.9
"""
}
"""What a notebook shows, as a cell after its last."""

NOTEBOOKS = sorted((ROOT / "analyses" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch):
    notebook = nbformat.read(path, as_version=4)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "analyses" / "notebooks"  # what it writes beside itself stays here
    folder.mkdir(parents=True)
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    if path.stem in FOUND:
        notebook.cells.append(nbformat.v4.new_code_cell(FOUND[path.stem]))
    NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    assert all("output_type" in out for cell in notebook.cells for out in cell.get("outputs", []))


def test_they_are_committed_with_their_outputs():
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert any(cell.get("outputs") for cell in cells), path
