"""Notebooks run from top to bottom, and hold no outputs in git."""

import json
from pathlib import Path

import jax
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path):
    """Plain Python without magics, in the float32 and broadcasting that a reader's session has."""
    names = {"__name__": "__main__"}
    with jax.enable_x64(False), jax.numpy_rank_promotion("allow"):
        for cell in cells(path):
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
    assert -1 < names["slope"].slope < -0.2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_holds_no_outputs(path):
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells(path) if "outputs" in cell)
