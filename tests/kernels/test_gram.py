"""Gram matrices in tiles: the same numbers whatever the tiles, in memory and on disk, on one device and on several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from cases import registered

from ntk_explorer import build, gram
from ntk_explorer.errors import InvalidInput, TooLarge
from ntk_explorer.kernels.gram import plan_tiles
from ntk_explorer.kernels.transform import centred, cosine

N, SIZE = 23, 7


@pytest.fixture(scope="module")
def problem():
    network = build("mlp", width=8, inputs=(5,), outputs=3, bias=True)
    x = jax.random.normal(jax.random.key(1), (N, 5))
    return network, network.init(jax.random.key(0)), x


@pytest.mark.parametrize("kernel", ["entk", "trntk", "em", cosine("pntk"), centred("pntk")], ids=str)
def test_tiles_change_nothing(problem, kernel):
    network, params, x = problem
    whole = gram(kernel, network, params, x)
    np.testing.assert_allclose(gram(kernel, network, params, x, batch_size=SIZE), whole, rtol=1e-12, atol=1e-12)
    between = gram(kernel, network, params, x[:10], x, batch_size=SIZE)
    assert between.shape[:2] == (10, N)
    if not str(kernel).startswith("centred"):
        np.testing.assert_allclose(between, whole[:10], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("by", ["layer", "parameter"])
def test_shares_have_a_dimension_and_add_up(problem, by):
    network, params, x = problem
    shares = gram("entk", network, params, x, by=by, batch_size=SIZE)
    assert shares.dims == (by, "x1", "x2", "c", "d")
    assert shares.sizes[by] == (3 if by == "layer" else 6)
    np.testing.assert_allclose(shares.sum(by), gram("entk", network, params, x), rtol=1e-12, atol=1e-12)


def test_on_disk_as_in_memory(problem, tmp_path):
    network, params, x = problem
    labels = np.array(["cat", "dog"] * 11 + ["emu"])
    seen = []
    stored = gram("entk", network, params, x, labels=labels, batch_size=SIZE, path=tmp_path / "k", progress=seen.append)
    np.testing.assert_allclose(stored, gram("entk", network, params, x), rtol=1e-12, atol=1e-12)
    assert seen[0] == 0
    assert seen[-1] == 1
    assert seen == sorted(seen)
    plain = xr.open_zarr(tmp_path / "k", chunks=None).kernel  # warnings are errors here
    assert list(plain.label1.values) == list(labels)
    assert plain.attrs["kernel"] == "entk"
    assert plain.attrs["precision"] == "highest"


def test_a_stopped_run_is_continued(problem, tmp_path):
    """Whatever progress raises ends the run; the next one computes only what is missing."""
    network, params, x = problem
    calls = []

    def stop_after_three(done):
        calls.append(done)
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gram("pntk", network, params, x, batch_size=SIZE, path=tmp_path / "k", progress=stop_after_three)
    calls_again = []
    again = gram("pntk", network, params, x, batch_size=SIZE, path=tmp_path / "k", progress=calls_again.append)
    assert calls_again[0] == calls[3] > 0
    np.testing.assert_allclose(again, gram("pntk", network, params, x), rtol=1e-12)
    finished = []
    gram("pntk", network, params, x, batch_size=SIZE, path=tmp_path / "k", progress=finished.append)
    assert finished == [1.0]


def test_a_tile_whose_mirror_image_is_missing_is_computed_again(problem, tmp_path):
    network, params, x = problem
    expected = gram("pntk", network, params, x, batch_size=SIZE, path=tmp_path / "k").values
    (tmp_path / "k" / "kernel" / "c" / "2" / "0").unlink()
    np.testing.assert_array_equal(gram("pntk", network, params, x, batch_size=SIZE, path=tmp_path / "k"), expected)


@pytest.mark.parametrize("other", [5, 10, 15, 40])
def test_a_stopped_run_is_continued_in_other_tiles(problem, tmp_path, other):
    """Another memory bound or batch size: tiles follow the stored chunks, so that no part passes for the whole."""
    network, params, x = problem

    def stop(done):
        if done > 0.3:
            raise KeyboardInterrupt

    for columns in (None, x[:9]):
        path = tmp_path / str(columns is None)
        with pytest.raises(KeyboardInterrupt):
            gram("pntk", network, params, x, columns, batch_size=10, path=path, progress=stop)
        done = []
        found = gram("pntk", network, params, x, columns, batch_size=other, path=path, progress=done.append)
        assert done[0] > 0.3 or other == 40  # one tile of everything is either there or not
        np.testing.assert_allclose(found, gram("pntk", network, params, x, columns), rtol=1e-12)


def test_bad_input_is_refused_before_any_work(problem, tmp_path):
    network, params, x = problem
    work = []
    for wrong, message in (
        ({"batch_size": 0}, "batch_size is 0"),
        ({"labels": [1, 2]}, "2 for 23 examples"),
        ({"labels2": [1, 2]}, "no examples x2"),
        ({"precision": "finest"}, "'finest' is not known"),
        ({"x": jnp.zeros((0, 5))}, "at least one example"),
    ):
        options = {"x": x, "progress": work.append, "path": tmp_path / "k"} | wrong
        with pytest.raises(InvalidInput, match=message):
            gram("pntk", network, params, **options)
    assert not work
    assert not (tmp_path / "k").exists()


def test_a_flipped_bit_is_noticed(problem, tmp_path):
    network, params, x = problem
    stored = gram("pntk", network, params, x, batch_size=SIZE, path=tmp_path / "k")
    chunk = tmp_path / "k" / "kernel" / "c" / "1" / "1"
    content = bytearray(chunk.read_bytes())
    content[9] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        _ = stored.values


def test_a_folder_of_something_else_is_refused(problem, tmp_path):
    network, params, x = problem
    gram("pntk", network, params, x, path=tmp_path / "k")
    with pytest.raises(InvalidInput, match="holds another kernel"):
        gram("trntk", network, params, x, path=tmp_path / "k")
    with pytest.raises(InvalidInput, match="holds another kernel"):
        gram("pntk", network, params, x + 1, path=tmp_path / "k")
    with pytest.raises(InvalidInput, match="holds another kernel"):
        gram("pntk", network, jax.tree.map(lambda a: 2 * a, params), x, path=tmp_path / "k")
    (tmp_path / "other").mkdir()
    with pytest.raises(InvalidInput, match="no kernel in Zarr"):
        gram("pntk", network, params, x, path=tmp_path / "other")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written"):
        gram("pntk", network, params, x, path=tmp_path / "file" / "k")
    with pytest.raises(InvalidInput, match="all columns"):
        gram(centred("pntk"), network, params, x, path=tmp_path / "centred")
    assert not (tmp_path / "centred").exists()


def test_memory_bounds_the_tiles(problem):
    network, params, x = problem
    with pytest.raises(TooLarge, match="would take about"):
        gram("entk", network, params, x, memory=1000)
    with pytest.raises(InvalidInput, match="positive"):
        gram("entk", network, params, x, memory=0)
    with pytest.raises(TooLarge, match="smaller tiles"):
        gram("entk", network, params, x, memory=1000, batch_size=2)


def test_an_overflow_is_an_error_and_no_matrix(problem):
    network, params, x = problem
    with pytest.raises(InvalidInput, match=r"NaN or infinite between example 0 .* float64"):
        gram("pntk", network, jax.tree.map(lambda a: (1e10 * a).astype("float32"), params), x.astype("float32"))


def test_shares_count_in_the_memory_that_is_planned(problem):
    network, params, x = problem
    one, all_shares = (plan_tiles("entk", network.apply, params, x, by=by).cost.bytes for by in (None, "parameter"))
    assert all_shares >= one + 5 * N * N * 9 * x.dtype.itemsize


def test_a_smaller_bound_makes_more_tiles(problem, tmp_path):
    network, params, x = problem
    many, one = [], []
    gram("pntk", network, params, x, memory=40_000, path=tmp_path / "many", progress=many.append)
    gram("pntk", network, params, x, path=tmp_path / "one", progress=one.append)
    assert len(many) > len(one) == 2


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 2e-4)])
def test_an_accelerator_agrees_with_the_host(name, dtype, tolerance):
    from ntk_explorer import KERNELS

    host, accelerator = jax.devices("cpu")[0], jax.devices()[0]
    if accelerator.platform == host.platform:
        pytest.skip("JAX computes on the host here")
    case = registered(name)
    arrays = jax.tree.map(lambda a: jnp.asarray(a, dtype), (case.params, case.x1))
    for kernel in ("entk", "pntk", "trntk"):
        here, there = (
            np.asarray(KERNELS[kernel](case.f, *jax.device_put(arrays, device))) for device in (host, accelerator)
        )
        np.testing.assert_allclose(there, here, rtol=tolerance, atol=tolerance * np.abs(here).max())
