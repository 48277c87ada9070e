"""CIFAR-10 and CIFAR-100 from their published files: the binary or the Python version, packed or unpacked.

The checksums are those of the data sets' own page, https://www.cs.toronto.edu/~kriz/cifar.html, and of torchvision.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ntk_explorer.datasets._base import DataConfig, RawData
from ntk_explorer.datasets._pickles import read_batch
from ntk_explorer.datasets._published import Form, Publication
from ntk_explorer.datasets._subset import DATASETS

PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
SITE = ("https://www.cs.toronto.edu/~kriz/",)
SIDE, COLOURS = 32, 3
PIXELS = SIDE * SIDE * COLOURS
MAX_BYTES = 10**9  # of one file

CIFAR10 = Publication(
    "cifar10",
    PAGE,
    SITE,
    (
        (
            Form("cifar-10-batches-bin"),
            Form("cifar-10-batches-py"),
            Form("cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530"),
            Form("cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a"),
        ),
    ),
)
CIFAR100 = Publication(
    "cifar100",
    PAGE,
    SITE,
    (
        (
            Form("cifar-100-binary"),
            Form("cifar-100-python"),
            Form("cifar-100-binary.tar.gz", 168_513_733, "03b5dce01913d631647c71ecec9e9cb8"),
            Form("cifar-100-python.tar.gz", 169_001_437, "eb9058c3a382ffc7106e4002c42a8d85"),
        ),
    ),
)
NAMES10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NAMES100 = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
    """.split()  # noqa: SIM905 - a list of a hundred strings would fill a page
)


@dataclass(frozen=True)
class _Layout:
    """What is where in the files of one data set; ``head`` label bytes come before the pixels, the last one counts."""

    publication: Publication
    names: tuple[str, ...]
    train: tuple[str, ...]
    test: tuple[str, ...]
    head: int
    labels: str


LAYOUT10 = _Layout(
    CIFAR10, NAMES10, tuple(f"data_batch_{k}" for k in range(1, 6)), ("test_batch",), head=1, labels="labels"
)
LAYOUT100 = _Layout(CIFAR100, NAMES100, ("train",), ("test",), head=2, labels="fine_labels")


@DATASETS.register(
    "cifar10",
    label="CIFAR-10",
    tags={"classification", "image", "folder"},
    reference=f"Krizhevsky (2009), {PAGE}",
    cost="60 000 colour images of 32×32 pixels in 10 classes",
    split=(50_000, 10_000),
    publication=CIFAR10,
)
def cifar10(config: DataConfig) -> RawData:
    """Photographs of animals and vehicles, 32×32 pixels in colour: 50 000 to train, 10 000 to test."""
    return _read(LAYOUT10, config.path)


@DATASETS.register(
    "cifar100",
    label="CIFAR-100",
    tags={"classification", "image", "folder"},
    reference=f"Krizhevsky (2009), {PAGE}",
    cost="60 000 colour images of 32×32 pixels in 100 classes",
    split=(50_000, 10_000),
    publication=CIFAR100,
)
def cifar100(config: DataConfig) -> RawData:
    """Photographs in 100 fine classes, 32×32 pixels in colour: 50 000 to train, 10 000 to test."""
    return _read(LAYOUT100, config.path)


def _read(layout: _Layout, path: str | None) -> RawData:
    found = layout.publication.find(0, path)
    test = partial(_part, layout, found, layout.test)
    return _part(layout, found, layout.train, test=test)


def _part(layout: _Layout, found: Path, files: tuple[str, ...], test=None) -> RawData:
    """The images of some files, with channels last."""
    parts = [_batch(layout, content, place) for place, content in _contents(layout, found, files)]
    x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    images = x.reshape(-1, COLOURS, SIDE, SIDE).transpose(0, 2, 3, 1)  # a view: only drawn rows are worth a copy
    return RawData(images, y, layout.names, image=True, test=test)


def _batch(layout: _Layout, content: bytes, place: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [N, 3072] and labels [N] of one file."""
    try:
        if place.suffix == ".bin":
            x, y = _records(content, layout.head)
        else:
            x, y = read_batch(io.BytesIO(content), layout.labels)
        if x.shape != (len(y), PIXELS) or len(y) == 0:
            raise ValueError(f"it holds pixels of shape {x.shape} and {len(y)} labels")
        if not 0 <= y.min() <= y.max() < len(layout.names):
            raise ValueError(f"its labels go from {y.min()} to {y.max()}, beyond 0 to {len(layout.names) - 1}")
    except Exception as error:
        # Damaged pickles raise almost anything; all of it is about the file.
        raise layout.publication.damaged(place, str(error) or type(error).__name__) from None
    return x, y


def _records(content: bytes, head: int) -> tuple[np.ndarray, np.ndarray]:
    if len(content) % (head + PIXELS):
        raise ValueError(f"its {len(content)} bytes are no whole number of records of {head + PIXELS} bytes")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, head + PIXELS)
    return records[:, head:], records[:, head - 1].astype(np.int64)


def _contents(layout: _Layout, found: Path, files: tuple[str, ...]) -> Iterator[tuple[Path, bytes]]:
    """Where each file lies, and what is in it, in the order asked for."""
    wanted = [f"{name}.bin" if "bin" in found.name else name for name in files]
    if found.is_dir():
        for name in wanted:
            place = found / name
            if not place.is_file():
                raise layout.publication.damaged(place.parent, f"{name} is not in it")
            yield place, place.read_bytes()
        return
    unpacked = _unpacked(layout, found, wanted)
    for name in wanted:
        if name not in unpacked:
            raise layout.publication.damaged(found, f"{name} is not in it")
        yield found / name, unpacked[name]


def _unpacked(layout: _Layout, archive: Path, wanted: list[str]) -> dict[str, bytes]:
    """The wanted files of an archive, read once from front to back and never written anywhere."""
    contents = {}
    try:
        with tarfile.open(archive, "r|gz") as members:
            for member in members:
                name = member.name.rpartition("/")[2]
                if name in wanted and member.isfile() and member.size <= MAX_BYTES:
                    file = members.extractfile(member)
                    assert file is not None
                    contents[name] = file.read()
                if len(contents) == len(wanted):
                    break
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise layout.publication.damaged(archive, str(error)) from None
    return contents
