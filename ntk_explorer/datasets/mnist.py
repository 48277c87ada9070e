"""MNIST and Fashion-MNIST from their published idx files, plain or gzipped.

The checksums are those by which torchvision checks its downloads; Fashion-MNIST's own page lists them as well.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from ntk_explorer.datasets._base import DataConfig, RawData
from ntk_explorer.datasets._published import Form, Publication
from ntk_explorer.datasets._subset import DATASETS

IMAGES, LABELS = b"\x00\x00\x08\x03", b"\x00\x00\x08\x01"  # bytes, in three dimensions or in one
MAX_BYTES = 10**9
CLASSES = 10
COST = "70 000 images of 28×28 pixels in 10 classes"


def _needs(*files: tuple[str, int, str]) -> tuple[tuple[Form, ...], ...]:
    """Training images and labels, test images and labels; unpacked ones are read faster."""
    return tuple((Form(name), Form(f"{name}.gz", size, md5)) for name, size, md5 in files)


MNIST = Publication(
    "mnist",
    "http://yann.lecun.com/exdb/mnist/",
    # The first page answers most programs with 403, so the mirrors that torchvision and TensorFlow use come first.
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    _needs(
        ("train-images-idx3-ubyte", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
)
FASHION = Publication(
    "fashion_mnist",
    "https://github.com/zalandoresearch/fashion-mnist",
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    _needs(
        ("train-images-idx3-ubyte", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte", 29_515, "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte", 4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte", 5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
)
CLOTHES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@DATASETS.register(
    "mnist",
    label="MNIST",
    tags={"classification", "image", "folder"},
    reference=f"LeCun, Cortes and Burges (1998), {MNIST.page}",
    cost=COST,
    split=(60_000, 10_000),
    publication=MNIST,
)
def mnist(config: DataConfig) -> RawData:
    """Handwritten digits of 28×28 pixels with values 0 to 255: 60 000 to train, 10 000 to test."""
    return _read(MNIST, config, tuple(str(digit) for digit in range(CLASSES)))


@DATASETS.register(
    "fashion_mnist",
    label="Fashion-MNIST",
    tags={"classification", "image", "folder"},
    reference=f"Xiao, Rasul and Vollgraf (2017), arXiv 1708.07747, {FASHION.page}",
    cost=COST,
    split=(60_000, 10_000),
    publication=FASHION,
)
def fashion_mnist(config: DataConfig) -> RawData:
    """Clothes in grey of 28×28 pixels with values 0 to 255: 60 000 to train, 10 000 to test."""
    return _read(FASHION, config, CLOTHES)


def _read(publication: Publication, config: DataConfig, names: tuple[str, ...]) -> RawData:
    test = partial(_pair, publication, 2, config.path, names)
    return _pair(publication, 0, config.path, names, test=test)


def _pair(publication: Publication, first: int, path: str | None, names: tuple[str, ...], test=None) -> RawData:
    """Images and labels, which are two files beside one another."""
    images, labels = (publication.find(part, path) for part in (first, first + 1))
    x, y = _idx(images, IMAGES, publication), _idx(labels, LABELS, publication)
    if len(x) != len(y):
        raise publication.damaged(labels, f"it has {len(y)} labels for {len(x)} images")
    if y.max() >= CLASSES:
        raise publication.damaged(labels, f"label {y.max()} of example {y.argmax()} is beyond {CLASSES - 1}")
    return RawData(x[..., None], y, names, image=True, test=test)


def _idx(path: Path, magic: bytes, publication: Publication) -> np.ndarray:
    """The bytes of an idx file: four bytes that say what it is, one big-endian size per dimension, the numbers."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            if file.read(4) != magic:
                raise ValueError(f"it does not begin as an idx file of bytes in {magic[3]} dimensions does")
            shape = struct.unpack(f">{magic[3]}I", file.read(4 * magic[3]))
            count = math.prod(shape)
            if not 0 < count <= MAX_BYTES:
                raise ValueError(f"its header says shape {shape}")
            content = file.read(count + 1)  # one more than there should be, and never all of a bomb
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise publication.damaged(path, str(error)) from None
    if len(content) != count:
        found = f"{len(content)}" if len(content) < count else "more"
        raise publication.damaged(path, f"shape {shape} needs {count} bytes, and there are {found}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
