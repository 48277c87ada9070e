"""Kernels of what a network computes, without any gradient: of its last hidden features, of all its modules."""

from __future__ import annotations

from ntk_explorer.kernels import KERNELS
from ntk_explorer.kernels._ways import Features, facts, matrix

_ENGEL = "Engel et al. (2024), Faithful and Efficient Explanations for Neural Networks via NTK Surrogates"


@KERNELS.register(
    "ck",
    label="CK",
    equation=r"K(x, x') = h(x) \cdot h(x')",
    reference="Fan & Wang (2020), Spectra of the Conjugate Kernel and Neural Tangent Kernel; " + _ENGEL,
    cost="1 forward pass per example, then one matrix product; N² numbers",
    tags=("psd", "features"),
    **facts(Features("last")),
)
def ck(f, params, x1, x2=None, *, batch_size=None, precision="highest", by=None):
    """The conjugate kernel h(x)·h(x') of the last hidden features, which enter the readout.

    The readout is the last matrix product or convolution of data with parameters in the program of ``f``. For a
    dense readout its share of the eNTK is (CK + 1) I with bias and CK · I without.

    Args:
        f: any ``f(params, x[n, ...]) -> [n, c]`` that treats examples independently; hashable.
        params: pytree of real floating-point arrays.
        x1: examples [n, ...].
        x2: examples [m, ...]; ``x1`` again when None.
        batch_size: examples in a tile.
        precision: precision of all matrix products.
        by: "layer" or "parameter" gives the kernel as a single share, of the readout.

    Returns:
        Array [n, m], or its shares by name.

    Raises:
        InvalidInput: as for any kernel; or no matrix product joins parameters and data.
    """
    return matrix("ck", f, params, x1, x2, batch_size=batch_size, precision=precision, by=by)


@KERNELS.register(
    "em",
    label="Em",
    equation=r"K(x, x') = \sum_m a_m(x) \cdot a_m(x')",
    reference=_ENGEL,
    cost="1 forward pass per example, then one matrix product; N² numbers",
    tags=("psd", "features"),
    **facts(Features("all")),
)
def em(f, params, x1, x2=None, *, batch_size=None, precision="highest", by=None):
    """The embedding kernel Σ_m a_m(x)·a_m(x') over the outputs a_m of all modules.

    A module is a product of data with parameters (dense, convolution, embedding, attention's projections) and all
    shifts and scales that directly follow it: its output is what enters a nonlinearity or a sum of branches. The
    readout is one of them; nonlinearities are not. ``reading/activations.py`` has the exact rule.

    Arguments as for :func:`ck`; the shares are those of the modules, by the parameter that makes each.

    Returns:
        Array [n, m], or its shares by name.
    """
    return matrix("em", f, params, x1, x2, batch_size=batch_size, precision=precision, by=by)
