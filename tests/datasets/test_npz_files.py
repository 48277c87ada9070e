"""A user's file: read when it is sound, refused with one clear message when it is not."""

import io
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_explorer.datasets import load_dataset
from ntk_explorer.errors import InvalidInput

RNG = np.random.default_rng(0)
LABELS = np.arange(12) % 3
TABLE = RNG.normal(size=(12, 5))
HOLED = TABLE.copy()
HOLED[3, 2], HOLED[7, 1] = np.nan, np.inf


@pytest.fixture
def saved(tmp_path):
    """A file with the given arrays; returns its path."""

    def save(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return str(tmp_path / "data.npz")

    return save


@pytest.mark.parametrize(
    ("shape", "inputs", "picture"), [((5,), (5,), False), ((4, 6), (4, 6, 1), True), ((4, 6, 3), (4, 6, 3), True)]
)
@pytest.mark.parametrize("dtype", ["float32", "uint8", ">f8", "float16"])
def test_tables_and_images_of_any_real_dtype(saved, shape, inputs, picture, dtype):
    x = RNG.integers(0, 255, size=(12, *shape)).astype(dtype)
    data = load_dataset("npz", path=saved(x=x, y=LABELS))
    assert data.inputs == inputs
    assert len(data.x) == 12
    assert (data.images is not None) == picture
    assert data.x.dtype == np.float64
    axis = (0, 1, 2) if picture else 0
    np.testing.assert_allclose(data.x.mean(axis=axis), 0, atol=1e-12)
    np.testing.assert_allclose(data.x.std(axis=axis), 1)
    if picture:
        np.testing.assert_array_equal(data.images, x.reshape(12, *inputs)[data.ids])


def test_labels_of_any_values_become_classes(saved):
    y = np.array([-7, 3, 2**40])[LABELS]
    data = load_dataset("npz", n=6, path=saved(x=TABLE, y=y))
    assert data.class_names == ("-7", "3", str(2**40))
    np.testing.assert_array_equal([int(data.class_names[k]) for k in data.y], y[data.ids])
    np.testing.assert_array_equal(np.bincount(data.y), [2, 2, 2])


@pytest.mark.parametrize("shape", [(12,), (12, 1), (12, 2)])
def test_real_y_is_a_regression(saved, shape):
    y = RNG.normal(size=shape)
    data = load_dataset("npz", n=7, path=saved(x=TABLE, y=y))
    assert data.task == "regression"
    np.testing.assert_array_equal(data.targets, y.reshape(12, -1)[data.ids])


def test_repeated_examples_are_counted(saved):
    data = load_dataset("npz", path=saved(x=np.repeat(TABLE[:6], 2, axis=0), y=LABELS))
    assert data.duplicates == 6


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": TABLE}, r"holds no array 'y' \(it holds: x\)"),
        ({"a": TABLE, "b": LABELS}, r"holds no array 'x' \(it holds: a, b\)"),
        ({"x": TABLE, "y": LABELS[:7]}, "x in .* has 12 examples but y has 7"),
        ({"x": TABLE[0], "y": LABELS[:5]}, r"x in .* has shape \(5,\)"),
        ({"x": TABLE[..., None, None, None], "y": LABELS}, r"x in .* has shape \(12, 5, 1, 1, 1\)"),
        ({"x": TABLE[:0], "y": LABELS[:0]}, r"x in .* has shape \(0, 5\)"),
        ({"x": TABLE[:, :0], "y": LABELS}, r"x in .* has shape \(12, 0\)"),
        ({"x": np.zeros((12, 3, 8, 8)), "y": LABELS}, "channels before height and width.*transpose"),
        ({"x": TABLE, "y": LABELS[:, None, None]}, r"y in .* has shape \(12, 1, 1\)"),
        ({"x": TABLE, "y": np.eye(12, dtype=int)}, r"y in .* has shape \(12, 12\).*integer labels \[n\]"),
        ({"x": TABLE, "y": 0 * LABELS + 4}, r"y in .* has 1 class \(first label: 4\)"),
        ({"x": TABLE.repeat(100, axis=0), "y": np.arange(1200)}, "y in .* has 1200 classes"),
        ({"x": HOLED, "y": LABELS}, r"x in .* has 2 values that are not finite, the first at \(3, 2\): nan"),
        ({"x": TABLE, "y": np.r_[np.inf, TABLE[1:, 0]]}, r"y in .* has 1 values .* \(0,\): inf"),
        ({"x": TABLE.astype(complex), "y": LABELS}, "'x' in .* has dtype complex128"),
        ({"x": TABLE.astype(str), "y": LABELS}, "'x' in .* has dtype <U.*Convert"),
        ({"x": TABLE, "y": np.array(["a", "b"] * 6)}, "'y' in .* has dtype <U1"),
        ({"x": TABLE.astype(object), "y": LABELS}, "'x' in .* holds pickled objects, which could run code"),
        ({"x": np.zeros(12, dtype="i4,f8"), "y": LABELS}, "'x' in .* not real numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(saved, arrays, message):
    with pytest.raises(InvalidInput, match=message) as refusal:
        load_dataset("npz", n=10, path=saved(**arrays))
    assert refusal.value.remedy


def test_a_subset_beyond_the_file_is_refused_but_no_number_means_all(saved):
    path = saved(x=TABLE, y=LABELS)
    with pytest.raises(InvalidInput, match=r"n = 13 is beyond the 12 examples of 'npz'. Lower n to 12."):
        load_dataset("npz", n=13, path=path)
    assert len(load_dataset("npz", path=path).x) == 12


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"PK\x03\x04 not a zip", b"PK\x05\x06" + 18 * b"\0"],
    ids=["empty", "text", "cut", "no members"],
)
def test_files_that_are_no_npz_are_refused(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"cannot be read as an .npz file|holds no array"):
        load_dataset("npz", path=str(tmp_path / "bad.npz"))


@pytest.mark.parametrize("path", [None, "nowhere.npz", ".", "x" * 5000, "~nobody/x.npz", "a\0b"])
def test_a_missing_path_is_said(path):
    with pytest.raises(InvalidInput, match="Pass path='data.npz'" if path is None else "No file at"):
        load_dataset("npz", path=path)


def npy(header: bytes, version=b"\x01\x00", length=None) -> bytes:
    length = len(header) if length is None else length
    return b"\x93NUMPY" + version + length.to_bytes(2 if version[0] == 1 else 4, "little") + header


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (50000, 32000), }\n"), "1.6e.09 numbers"),
        (
            npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000000000000), }\n"),
            "1e.24 numbers",
        ),
        (npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-4, -5), }\n"), "shape"),
        (npy(b"", b"\x02\x00", 4_000_000_000), "structured types"),
        (npy(b"__import__('os').abort()\n"), "cannot be read"),
        (npy(b"{'descr': '<f8', (\n"), "cannot be read"),
        (npy(b"{[]: '<f8'}\n"), "cannot be read"),
    ],
    ids=["bomb", "overflow", "negative", "long header", "code", "unbalanced", "unhashable"],
)
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, header, message):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header + bytes(60_000_000))
        labels = io.BytesIO()
        np.save(labels, LABELS)
        archive.writestr("y.npy", labels.getvalue())
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match=message):
            load_dataset("npz", path=str(path))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@given(place=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_file_gives_data_or_a_clear_refusal(tmp_path_factory, place, byte, cut):
    held = io.BytesIO()
    np.savez_compressed(held, x=TABLE, y=LABELS)
    content = bytearray(held.getvalue())
    place %= len(content)
    content[place] = byte
    path = tmp_path_factory.mktemp("damaged") / "damaged.npz"
    path.write_bytes(content[:place] if cut else content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = load_dataset("npz", path=str(path))
        except InvalidInput:
            return
    assert data.x.shape == (12, 5)
