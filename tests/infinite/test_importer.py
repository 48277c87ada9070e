"""neural-tangents works under this JAX, gives dense results, and leaves jax as it was."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from neural_tangents_here import needs_neural_tangents

from ntk_explorer.errors import InvalidInput

pytestmark = needs_neural_tangents

LAST_LAYER = 3


@pytest.fixture(scope="module")
def nt():
    from ntk_explorer.infinite._neural_tangents import neural_tangents

    with jax.numpy_rank_promotion("allow"):
        yield neural_tangents()


def networks(stax):
    convolution = stax.Conv(5, (3, 3), padding="SAME")
    branch = stax.serial(stax.Relu(), stax.Dense(16))
    residual = stax.serial(stax.FanOut(2), stax.parallel(stax.Identity(), branch), stax.FanInSum())
    flat = {
        "relu": [stax.Dense(16), stax.Relu()],
        "erf": [stax.Dense(16), stax.Erf()],
        "gelu": [stax.Dense(16), stax.Gelu()],
        "layer norm": [stax.Dense(16), stax.LayerNorm(), stax.Relu()],
        "residual": [stax.Dense(16), residual],
    }
    images = {
        "flattened": [convolution, stax.Relu(), stax.Flatten()],
        "pooled": [convolution, stax.Relu(), stax.GlobalAvgPool()],
        "strides": [stax.Conv(4, (3, 3), (2, 2)), stax.Erf(), stax.AvgPool((2, 2)), stax.Flatten()],
    }
    table = {name: ((5,), layers) for name, layers in flat.items()}
    table |= {name: ((5, 5, 2), layers) for name, layers in images.items()}
    return {name: (shape, stax.serial(*layers, stax.Dense(LAST_LAYER))) for name, (shape, layers) in table.items()}


NAMES = ("relu", "erf", "gelu", "layer norm", "residual", "flattened", "pooled", "strides")


def case(nt, name):
    shape, (init, apply, kernel) = networks(nt.stax)[name]
    x = jax.random.normal(jax.random.key(3), (3, *shape))
    return apply, kernel, init(jax.random.key(1), x.shape)[1], x


def dense(apply, params, x):
    jacobian = jax.tree.leaves(jax.jacrev(apply)(params, x))
    rows = jnp.concatenate([leaf.reshape(*leaf.shape[:2], -1) for leaf in jacobian], axis=2)
    return jnp.einsum("nap,mbp->nmab", rows, rows)


@pytest.mark.filterwarnings("ignore:`FanIn` layers:UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_each_way_to_the_empirical_kernel_gives_the_dense_one(nt, name, capsys):
    apply, _, params, x = case(nt, name)
    blocks = dense(apply, params, x)
    for way in nt.NtkImplementation:
        full = nt.empirical_ntk_fn(apply, trace_axes=(), implementation=way)(x, None, params)
        np.testing.assert_allclose(full, blocks, rtol=1e-9, atol=1e-9 * float(abs(blocks).max()))
        trace = nt.empirical_ntk_fn(apply, implementation=way)(x, None, params)
        expected = jnp.trace(blocks, axis1=2, axis2=3) / LAST_LAYER
        np.testing.assert_allclose(trace, expected, rtol=1e-9, atol=1e-9 * float(abs(blocks).max()))
    capsys.readouterr()  # it prints the operations of each


@pytest.mark.filterwarnings("ignore:`FanIn` layers:UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_the_infinite_kernel_in_batches_is_the_one_at_once(nt, name):
    _, kernel, _, x = case(nt, name)
    whole = kernel(x, x, ("nngp", "ntk"))
    parts = nt.batch(kernel, batch_size=1, device_count=0, store_on_device=False)(x, x, ("nngp", "ntk"))
    assert np.isfinite(whole.ntk).all()
    np.testing.assert_allclose(parts.ntk, whole.ntk, rtol=1e-6)
    np.testing.assert_allclose(parts.nngp, whole.nngp, rtol=1e-6)


def test_linearize_is_the_first_order_expansion(nt):
    apply, _, params, x = case(nt, "erf")
    step = jax.tree.map(lambda leaf: 0.01 * jnp.ones_like(leaf), params)
    moved = jax.tree.map(jnp.add, params, step)
    value, change = jax.jvp(lambda p: apply(p, x), (params,), (step,))
    np.testing.assert_allclose(nt.linearize(apply, params)(moved, x), value + change, rtol=1e-12)
    again = nt.taylor_expand(apply, params, 2)(params, x)
    np.testing.assert_allclose(again, value, rtol=1e-12)


def test_prediction_in_closed_form_reaches_the_targets(nt):
    _, kernel, _, x = case(nt, "relu")
    matrix, targets = kernel(x, None, "ntk"), jnp.arange(6.0).reshape(3, 2)
    fitted = nt.predict.gradient_descent_mse(matrix, targets)(None, jnp.zeros_like(targets))
    np.testing.assert_allclose(fitted, targets, rtol=1e-6, atol=1e-6)
    largest = np.linalg.eigvalsh(matrix)[-1]
    assert nt.predict.max_learning_rate(matrix, y_train_size=6) == pytest.approx(2 * 6 / largest, rel=1e-5)


TRACE = """
import sys
import jax, jax.core, jax.extend.core, jax.example_libraries.stax
from jax.interpreters import ad
def names():
    return {m: frozenset(vars(m)) for m in (jax.core, ad, jax.extend.core)} | {"util": "jax.util" in sys.modules}
before = names()
from ntk_explorer.infinite._neural_tangents import neural_tangents
package = neural_tangents()
assert package.stax.Relu and names() == before, "jax is changed"
assert "neural_tangents.experimental" not in sys.modules and not hasattr(package, "experimental")
assert not {"tensorflow", "tf2jax"} & set(sys.modules)
assert neural_tangents() is package
"""


def test_importing_it_leaves_no_trace_in_jax_and_needs_no_tensorflow():
    done = subprocess.run([sys.executable, "-W", "error", "-c", TRACE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_what_this_jax_lacks_is_said_with_both_versions(monkeypatch):
    from ntk_explorer.infinite import _neural_tangents

    def broken():
        raise ImportError("no name 'novel' in jax.core")

    monkeypatch.setattr(_neural_tangents, "_imported", broken)
    with pytest.raises(InvalidInput, match=rf"neural-tangents 0.6.5 .* JAX {jax.__version__}: no name 'novel'"):
        _neural_tangents.neural_tangents()
