"""How finely an arithmetic resolves: the relative error of one product."""

from __future__ import annotations

import numpy as np

# Of one matrix product whose inputs are rounded to 10 and 7 bits; sums of such products are kept in float32.
TF32, BF16 = 5e-4, 4e-3
_REDUCED = {
    "high": TF32,
    "tensorfloat32": TF32,
    "TF32_TF32_F32": TF32,
    "default": TF32,  # what an accelerator makes of it; a CPU does better
    "fastest": BF16,
    "bfloat16": BF16,
    "BF16_BF16_F32": BF16,
    "BF16_BF16_BF16": BF16,
}


def unit_rounding(dtype, precision: str | None = "highest") -> float:
    """Relative rounding ε of products in ``dtype`` at a precision that ``jax.default_matmul_precision`` takes.

    float64 2.2e-16, float32 1.2e-7, and with float32 numbers TF32 5e-4, bfloat16 4e-3; a name that leaves the choice
    to the device (``default``, ``fastest``) counts as what accelerators do.
    """
    own = float(np.finfo(dtype).eps)
    return own if np.dtype(dtype).itemsize > 4 else max(own, _REDUCED.get(str(precision), 0.0))
