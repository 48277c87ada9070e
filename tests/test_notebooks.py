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


# What a reader has time for and a test has not.
SMALLER = {"spectrum_without_the_matrix": ("n = 1500\n", "n = 100\n")}
# What a notebook finds out.
ANSWERS = {
    "width_and_error": lambda names: -1 < names["slope"].slope < -0.2,
    "spectrum_without_the_matrix": lambda names: 0.5 < names["share"] < 0.8 and names["found"].attrs["size"] == 1000,
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path):
    """Plain Python without magics, in the float32 and broadcasting that a reader's session has."""
    names = {"__name__": "__main__"}
    large, small = SMALLER.get(path.stem, ("", ""))
    assert any(large in "".join(cell["source"]) for cell in cells(path))
    with jax.enable_x64(False), jax.numpy_rank_promotion("allow"):
        for cell in cells(path):
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]).replace(large, small), names)
    assert ANSWERS[path.stem](names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_holds_no_outputs(path):
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells(path) if "outputs" in cell)
