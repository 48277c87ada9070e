"""The block of one pair, and what the two examples look like."""

import holoviews as hv
import numpy as np
import pytest
from holoviews import Store
from sweeps_by_hand import blocks, labels_of

from ntk_explorer.datasets import load_dataset
from ntk_explorer.plots.blocks import block_entries, block_heatmap
from ntk_explorer.plots.examples import example_picture


def block(c=4, scale=1.0):
    theta = scale * blocks(np.random.default_rng(1), labels_of(8, c), c, 16)[2, 5]
    return {"block": theta, "values": {"pntk": theta.sum() / c, "trntk": np.trace(theta) / c}}


def options(element):
    return Store.lookup_options("bokeh", element, "plot").kwargs


def only(figure, kind):
    (found,) = [e for e in figure if isinstance(e, kind)]
    return found


def test_block_is_shown_row_by_row_with_its_numbers():
    chosen = block()
    figure = block_heatmap(chosen, 2, 5)
    np.testing.assert_array_equal(
        only(figure, hv.Image).dimension_values(2, flat=False), chosen["block"].astype(np.float32)
    )
    assert options(figure)["invert_yaxis"]
    texts = only(figure, hv.Labels).dframe().set_index(["row", "column"])["text"]
    for (row, column), text in texts.items():
        assert float(text.replace("−", "-")) == pytest.approx(chosen["block"][row, column], abs=0.0051)


def test_title_marks_the_pair_and_the_kernels_values():
    chosen = block()
    title = options(block_heatmap(chosen, 2, 5))["title"]
    assert "examples 2 and 5" in title
    assert f"pNTK {chosen['values']['pntk']:.4g}".replace("-", "−") in title
    assert "trNTK" in title


@pytest.mark.parametrize("scale", [1e-6, 1e7])
def test_numbers_of_any_size_stay_readable(scale):
    figure = block_heatmap(block(scale=scale), 0, 1)
    assert "× 10" in options(figure)["title"]
    assert max(len(text) for text in only(figure, hv.Labels).dimension_values("text")) <= 6


def test_large_blocks_have_no_numbers():
    texts = only(block_heatmap(block(c=13), 0, 1), hv.Labels).dimension_values("text")
    assert set(texts) == {""}
    assert any(only(block_heatmap(block(c=12), 0, 1), hv.Labels).dimension_values("text"))


def test_entries_are_parted_into_diagonal_and_rest_with_a_line_per_kernel():
    chosen = block()
    figure = block_entries(chosen)
    entries = only(figure, hv.Scatter).dframe()
    on = entries[entries["place"] < 0.5]["entry"]
    assert sorted(on) == sorted(np.diag(chosen["block"]))
    assert len(entries) == 16
    levels = {e.label: e.dimension_values(1)[0] for e in figure if isinstance(e, hv.Curve)}
    assert levels == {"zero": 0.0, "pNTK": chosen["values"]["pntk"], "trNTK": chosen["values"]["trntk"]}


def test_one_output_has_a_block_of_one():
    figure = block_entries(block(c=1))
    assert len(only(figure, hv.Scatter)) == 1
    assert only(block_heatmap(block(c=1), 0, 0), hv.Image).dimension_values(2).shape == (1,)


def test_digits_are_shown_as_images_the_right_way_up():
    data = load_dataset("digits", n=20)
    figure = example_picture(data, 3)
    pixels = only(figure, hv.Image).dimension_values(2, flat=False)
    expected = data.images[3][:, :, 0] / data.images.max()
    np.testing.assert_allclose(pixels, expected, rtol=1e-6)
    assert options(figure)["invert_yaxis"]
    assert f"class {data.class_names[data.y[3]]}" in options(figure)["title"]


def test_points_of_the_plane_are_shown_among_the_others():
    data = load_dataset("rings", n=20)
    everyone, this = example_picture(data, 4)
    assert len(everyone) == 20
    assert (this.dimension_values(0)[0], this.dimension_values(1)[0]) == tuple(data.x[4])


def test_functions_of_one_variable_are_shown_against_their_target():
    data = load_dataset("sine", n=20)
    _, this = example_picture(data, 4)
    assert this.dimension_values(1)[0] == data.targets[4, 0]
    assert "target" in options(example_picture(data, 4))["title"]


def test_other_examples_are_curves_of_their_features():
    data = load_dataset("sphere", n=20)
    curve = only(example_picture(data, 4), hv.Curve)
    np.testing.assert_array_equal(curve.dimension_values(1), data.x[4])
