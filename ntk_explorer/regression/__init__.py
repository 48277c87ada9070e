"""Predicting with kernels: kernel regression, and training of the linearised network in closed form.

Each module beside this one may register measures of predictions.
"""

from __future__ import annotations

from ntk_explorer.registry import Registry

PREDICTION_MEASURES = Registry("prediction measure", __name__)

__all__ = ["PREDICTION_MEASURES"]
