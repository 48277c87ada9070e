"""The handwritten digits that scikit-learn ships: 1797 images of 8×8 pixels, no download."""

from __future__ import annotations

import numpy as np

from ntk_explorer.datasets._base import DataConfig, RawData
from ntk_explorer.datasets._subset import DATASETS


@DATASETS.register(
    "digits",
    label="Handwritten digits",
    tags={"classification", "image"},
    reference="Alpaydin and Kaynak (1998), UCI Optical Recognition of Handwritten Digits",
    cost="1797 examples in 10 classes",
    split=(1437, 360),
)
def digits(config: DataConfig) -> RawData:  # noqa: ARG001 - every loader takes the configuration
    """Images of 8×8 pixels with values 0 to 16, in ten classes of about 180 examples."""
    # scikit-learn takes about a second to import: only who wants the digits pays for it.
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    x = np.asarray(pixels, dtype=np.float64).reshape(-1, 8, 8, 1)
    return RawData(x, np.asarray(labels), tuple(str(digit) for digit in range(10)), image=True)
