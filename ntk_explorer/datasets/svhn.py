"""SVHN, house numbers seen from the street, from its published MATLAB files (format 2).

The checksums are those by which torchvision checks its downloads.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ntk_explorer.datasets._base import DataConfig, RawData
from ntk_explorer.datasets._published import Form, Publication
from ntk_explorer.datasets._subset import DATASETS

SVHN = Publication(
    "svhn",
    "http://ufldl.stanford.edu/housenumbers/",
    ("http://ufldl.stanford.edu/housenumbers/",),
    (
        (Form("train_32x32.mat", 182_040_794, "e26dedcc434d2e4c54c9b2d4a06d8373"),),
        (Form("test_32x32.mat", 64_275_384, "eb5a983be6a315427106f1b164d9cef3"),),
    ),
)
DIGITS = tuple(str(digit) for digit in range(10))


@DATASETS.register(
    "svhn",
    label="SVHN",
    tags={"classification", "image", "folder"},
    reference=f"Netzer et al. (2011), {SVHN.page}",
    cost="99 289 colour images of 32×32 pixels in 10 classes",
    split=(73_257, 26_032),
    publication=SVHN,
)
def svhn(config: DataConfig) -> RawData:
    """Digits of house numbers, cropped to 32×32 pixels in colour: 73 257 to train, 26 032 to test."""
    test = partial(_read, 1, config.path)
    return _read(0, config.path, test=test)


def _read(part: int, path: str | None, test=None) -> RawData:
    """Images X [32, 32, 3, N] and labels y [N, 1], where 10 stands for the digit 0."""
    # not above: it takes a while to import
    from scipy.io import loadmat

    file = SVHN.find(part, path)
    try:
        content = loadmat(file, variable_names=("X", "y"))
        x, y = content["X"], np.asarray(content["y"]).ravel()
    except Exception as error:
        # Damaged files make the reader raise almost anything; all of it is about the file.
        raise SVHN.damaged(file, f"it cannot be read as a MATLAB file with X and y ({error})") from None
    _check(x, y, file)
    return RawData(np.moveaxis(x, 3, 0), y.astype(np.int64) % 10, DIGITS, image=True, test=test)


def _check(x: np.ndarray, y: np.ndarray, file: Path) -> None:
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[2] != 3 or x.size == 0:
        raise SVHN.damaged(file, f"X has the type {x.dtype} and shape {x.shape} instead of bytes [32, 32, 3, N]")
    if y.dtype.kind not in "uif" or len(y) != x.shape[3]:
        raise SVHN.damaged(file, f"y has {len(y)} entries of type {y.dtype} for {x.shape[3]} images")
    if not np.isin(y, np.arange(1, 11)).all():
        raise SVHN.damaged(file, f"labels go from {y.min()} to {y.max()} instead of from 1 to 10")
