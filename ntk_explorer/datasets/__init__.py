"""Data to look at: each module beside this one registers loaders; :func:`load_dataset` draws a subset."""

from __future__ import annotations

from ntk_explorer.datasets._base import DataConfig, LabelledData, RawData
from ntk_explorer.datasets._subset import DATASETS, load, load_dataset, load_split

__all__ = ["DATASETS", "DataConfig", "LabelledData", "RawData", "load", "load_dataset", "load_split"]
