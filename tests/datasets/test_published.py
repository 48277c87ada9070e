"""Published formats: every image and label is read as it was written, and what is wrong is named with its file."""

import gzip
import os
import pickle

import numpy as np
import published_by_hand as by_hand
import pytest

from ntk_explorer.datasets import DATASETS, DataConfig, load, load_dataset, load_split
from ntk_explorer.datasets._published import checksum, data_folder
from ntk_explorer.datasets.cifar import CIFAR10, NAMES100
from ntk_explorer.datasets.mnist import FASHION, MNIST
from ntk_explorer.errors import InvalidInput


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """An empty data folder."""
    monkeypatch.setenv("NTK_EXPLORER_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def agree(read, part):
    """Whether examples read are those of a part, in the order of their ids."""
    x, y = part
    np.testing.assert_array_equal(read.images, x[read.ids])
    np.testing.assert_array_equal(read.y, y[read.ids])
    assert (read.images.dtype, read.x.dtype) == (np.uint8, np.float64)


@pytest.mark.parametrize("name", by_hand.SOURCES)
def test_images_and_labels_are_read_as_they_were_written(data, name):
    n = 120 if name == "cifar100" else 60
    train, test = by_hand.write(data / name, name, train=n, test=30)
    read, held = load_split(DataConfig(name=name, n=n), 30)
    agree(read, train)
    agree(held, test)
    assert sorted(read.ids) == list(range(n))
    channels = tuple(range(read.x.ndim - 1))
    np.testing.assert_allclose(read.x.mean(axis=channels), 0, atol=1e-12)
    np.testing.assert_allclose(read.x.std(axis=channels), 1)
    agree(load(DataConfig(name=name, n=n)), train)


@pytest.mark.parametrize("name", by_hand.SOURCES)
def test_a_path_names_the_folder(tmp_path, name):
    train, _ = by_hand.write(tmp_path / "elsewhere", name, train=100)
    agree(load_dataset(name, n=100, path=str(tmp_path / "elsewhere")), train)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_files_packed_and_unpacked(data, name, packed):
    part = by_hand.images(20, (28, 28)), by_hand.labels(20, 10)
    by_hand.write_mnist(data / name, part, part, packed=packed)
    agree(load_dataset(name, n=20), (part[0][..., None], part[1]))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("version", ["binary", "python2", "python3"])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_of_each_version_packed_and_unpacked(data, name, version, packed):
    train, test = ((by_hand.images(n, (32, 32, 3), n), by_hand.labels(n, 10, n)) for n in (100, 20))
    by_hand.write_cifar(data / name, name, train, test, version=version, packed=packed)
    read, held = load_split(DataConfig(name=name, n=100), 15)
    agree(read, train)
    agree(held, test)


def test_the_unpacked_folder_itself_may_be_named(tmp_path):
    part = by_hand.images(20, (32, 32, 3)), by_hand.labels(20, 10)
    by_hand.write_cifar(tmp_path, "cifar10", part, part, packed=False)
    agree(load_dataset("cifar10", n=20, path=str(tmp_path / "cifar-10-batches-bin")), part)


def test_names_of_classes(data):
    by_hand.write(data / "svhn", "svhn")
    read = load_dataset("svhn", n=18, classes=3)
    assert read.class_names == ("0", "1", "2")
    assert set(read.y) == {0, 1, 2}
    assert len(set(NAMES100)) == 100
    assert tuple(sorted(NAMES100)) == NAMES100


@pytest.mark.parametrize("name", by_hand.SOURCES)
def test_missing_files_are_named_with_their_place_and_source(data, name):
    publication = DATASETS[name].extras["publication"]
    with pytest.raises(InvalidInput) as caught:
        load_dataset(name)
    for word in (str(data / name), publication.page, f"ntk-explorer data {name}", publication.downloads[0].name):
        assert word in str(caught.value)


def test_a_missing_test_set_is_missed_by_those_who_need_it(data):
    by_hand.write(data / "svhn", "svhn")
    (data / "svhn" / "test_32x32.mat").unlink()
    load_dataset("svhn", n=20)
    with pytest.raises(InvalidInput, match=r"needs test_32x32.mat in .* which is not there"):
        load_split(DataConfig(name="svhn", n=20), 10)


def test_a_path_that_is_no_folder_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    for path in ("nowhere", str(tmp_path / "file"), "~nobody/x", "a\0b", "x" * 5000):
        with pytest.raises(InvalidInput, match=r"No folder at .*Name the folder that holds train_32x32.mat"):
            load_dataset("svhn", path=path)


def test_a_file_of_the_published_size_with_other_contents_is_damaged(data):
    by_hand.write(data / "mnist", "mnist")
    form = MNIST.downloads[1]
    file = data / "mnist" / form.name
    file.write_bytes(bytes(form.bytes))
    with pytest.raises(InvalidInput) as caught:
        load_dataset("mnist")
    message = str(caught.value)
    assert f"{file} is damaged" in message
    assert f"published: {form.bytes} bytes, MD5 {form.md5}" in message
    assert f"found: {form.bytes} bytes, MD5 {checksum(file)}" in message


@pytest.mark.parametrize("name", by_hand.SOURCES)
def test_a_file_that_was_cut_off_is_damaged_and_both_checksums_are_said(data, name):
    by_hand.write(data / name, name, train=100)
    form = DATASETS[name].extras["publication"].downloads[0]
    file = data / name / form.name
    os.truncate(file, file.stat().st_size // 3)
    with pytest.raises(InvalidInput) as caught:
        load_dataset(name)
    assert f"{file} is damaged" in str(caught.value)
    assert form.md5 in str(caught.value)
    assert checksum(file) in str(caught.value)


@pytest.mark.parametrize("name", by_hand.SOURCES)
@pytest.mark.parametrize("seed", range(6))
def test_damaged_bytes_give_data_or_a_clear_refusal(data, name, seed):
    by_hand.write(data / name, name, train=100)
    rng = np.random.default_rng(seed)
    for form in DATASETS[name].extras["publication"].downloads:
        file = data / name / form.name
        content = bytearray(file.read_bytes())
        for place in rng.integers(0, min(len(content), 400 * 2**seed), size=2):
            content[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(content)
    try:
        read = load_dataset(name, n=100)
    except InvalidInput as error:
        assert str(data / name) in str(error) or "examples of" in str(error)  # noqa: PT017 - a refusal is one of two
    else:
        assert np.isfinite(read.x).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", by_hand.idx(np.zeros((3, 4))), "does not begin as an idx file of bytes in 3 dim"),
        ("train-images-idx3-ubyte", bytes([0, 0, 8, 3, 0, 0]), "requires a buffer of 12 bytes"),
        ("train-images-idx3-ubyte", bytes([0, 0, 8, 3]) + 12 * b"\xff", "its header says shape"),
        ("train-images-idx3-ubyte", by_hand.idx(np.zeros((20, 28, 28)))[:-1], "needs 15680 bytes, and there are 15679"),
        (
            "train-images-idx3-ubyte",
            by_hand.idx(np.zeros((20, 28, 28))) + b"x",
            "needs 15680 bytes, and there are more",
        ),
        ("train-images-idx3-ubyte", by_hand.idx(np.zeros((0, 28, 28))), "its header says shape"),
        ("train-labels-idx1-ubyte", by_hand.idx(np.zeros(19)), "19 labels for 20 images"),
        ("train-labels-idx1-ubyte", by_hand.idx(np.full(20, 10)), "label 10 of example 0 is beyond 9"),
    ],
)
def test_idx_files_that_say_something_else(data, name, content, message):
    part = by_hand.images(20, (28, 28)), by_hand.labels(20, 10)
    by_hand.write_mnist(data / "mnist", part, part, packed=False)
    (data / "mnist" / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=f"{name} is damaged: .*{message}"):
        load_dataset("mnist")


def test_what_unpacks_to_more_than_it_says_is_not_unpacked(data):
    part = by_hand.images(20, (28, 28)), by_hand.labels(20, 10)
    by_hand.write_mnist(data / "mnist", part, part)
    bomb = gzip.compress(by_hand.idx(part[1]) + bytes(10**7))
    (data / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(bomb)
    with pytest.raises(InvalidInput, match="needs 20 bytes, and there are more"):
        load_dataset("mnist")


class Code:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"data": Code(), "labels": [1]}, protocol=2), "it names posix.mkdir, which data have no use for"),
        (pickle.dumps([1, 2]), "it holds no dictionary"),
        (pickle.dumps({"data": 1}), "has no 'data' or no 'labels'"),
        (pickle.dumps({"data": np.zeros((1, 3072)), "labels": [0]}, protocol=2), "have the type 'f8' instead of bytes"),
        (by_hand.python3_pickle(by_hand.images(2, (32, 32, 3)), np.array([0, 10]), "labels"), "labels go from 0 to 10"),
        (by_hand.python3_pickle(by_hand.images(2, (32, 32, 3)), np.array([0]), "labels"), r"\(2, 3072\) and 1 labels"),
        (b"", "damaged"),
    ],
)
def test_pickles_run_nothing_and_hold_what_they_should(data, tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    part = by_hand.images(20, (32, 32, 3)), by_hand.labels(20, 10)
    by_hand.write_cifar(data / "cifar10", "cifar10", part, part, version="python3", packed=False)
    (data / "cifar10" / "cifar-10-batches-py" / "data_batch_2").write_bytes(content)
    with pytest.raises(InvalidInput, match=f"data_batch_2 is damaged: .*{message}|data_batch_2 is {message}"):
        load_dataset("cifar10")
    assert not (tmp_path / "ran").exists()


def test_binary_records_that_do_not_fit(data):
    part = by_hand.images(20, (32, 32, 3)), by_hand.labels(20, 10)
    by_hand.write_cifar(data / "cifar10", "cifar10", part, part, packed=False)
    file = data / "cifar10" / "cifar-10-batches-bin" / "data_batch_3.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InvalidInput, match=r"data_batch_3.bin is damaged: .* no whole number of records of 3073 bytes"):
        load_dataset("cifar10")
    file.unlink()
    with pytest.raises(InvalidInput, match=r"cifar-10-batches-bin is damaged: data_batch_3.bin is not in it"):
        load_dataset("cifar10")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.zeros((32, 32, 3, 4)), "y": np.ones((4, 1))}, "X has the type float64"),
        ({"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.ones((3, 1))}, "y has 3 entries .* for 4 images"),
        ({"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.zeros((4, 1))}, "labels go from 0.0 to 0.0"),
        ({"X": np.zeros((32, 32, 3, 4), np.uint8)}, "cannot be read as a MATLAB file with X and y"),
    ],
)
def test_matlab_files_that_say_something_else(data, arrays, message):
    from scipy.io import savemat

    (data / "svhn").mkdir(parents=True)
    savemat(data / "svhn" / "train_32x32.mat", arrays)
    with pytest.raises(InvalidInput, match=f"train_32x32.mat is damaged: .*{message}"):
        load_dataset("svhn")


def test_the_data_folder_is_that_of_the_system_or_the_one_named(data, monkeypatch):
    assert data_folder() == data
    monkeypatch.delenv("NTK_EXPLORER_DATA")
    assert data_folder().is_absolute()
    assert "ntk-explorer" in str(data_folder())


def test_checksums_are_checksums():
    for name in by_hand.SOURCES:
        publication = DATASETS[name].extras["publication"]
        forms = [form for forms in publication.needs for form in forms if form.md5]
        assert len({form.md5 for form in forms}) == len(forms)
        assert all(len(form.md5) == 32 and int(form.md5, 16) and form.bytes for form in forms)
    assert CIFAR10.bytes == 170_052_171
    assert MNIST.bytes < FASHION.bytes < 31_000_000
