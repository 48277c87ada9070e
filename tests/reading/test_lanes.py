"""Parts of a tile read at the same time give what the whole tile gives."""

import jax
import numpy as np
import pytest
from cases import registered

from ntk_explorer import KERNELS, pntk
from ntk_explorer.kernels.transform import cosine, projected
from ntk_explorer.reading.lanes import in_lanes
from ntk_explorer.reading.tiles import evaluate


@pytest.mark.parametrize("kernel", ["entk", "trntk", "em", cosine("pntk")], ids=str)
@pytest.mark.parametrize("options", [{}, {"by": "layer"}], ids=str)
def test_parts_change_nothing(kernel, options):
    case = registered("cnn")
    x = jax.random.normal(jax.random.key(0), (11, *case.x1.shape[1:]))
    tiled = (KERNELS[kernel].extras["tiled"]) if isinstance(kernel, str) else kernel.tiled
    for x2 in (None, case.x1):
        whole = evaluate(tiled(case.f, case.params, x, x2, **options))
        parts = evaluate(in_lanes(tiled(case.f, case.params, x, x2, **options), count=3))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), parts, whole)


def test_threads_meet_the_settings_of_their_caller():
    """Double precision is a setting of the thread: a part read without it would come back in single."""
    case = registered("cnn")
    with jax.enable_x64(False):
        params, x = jax.tree.map(lambda a: a.astype("float32"), (case.params, case.x1))
        assert evaluate(in_lanes(KERNELS["pntk"].extras["tiled"](case.f, params, x), count=2)).dtype == "float32"
    assert evaluate(in_lanes(KERNELS["pntk"].extras["tiled"](case.f, case.params, case.x1), count=2)).dtype == "float64"


def test_traced_kernels_of_images_stay_in_one_thread():
    case = registered("cnn")
    expected = pntk(case.f, case.params, case.x1)
    compiled = jax.jit(lambda params: pntk(case.f, params, case.x1))(case.params)
    np.testing.assert_allclose(compiled, expected, rtol=1e-12)
    slope = jax.grad(lambda params: pntk(case.f, params, case.x1).sum())(case.params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def test_projections_of_images_can_be_mapped_over_keys():
    case, keys = registered("cnn"), jax.random.split(jax.random.key(0), 2)
    mapped = jax.vmap(lambda key: projected("pntk", 4, key)(case.f, case.params, case.x1))(keys)
    np.testing.assert_allclose(mapped[1], projected("pntk", 4, keys[1])(case.f, case.params, case.x1), rtol=1e-10)
