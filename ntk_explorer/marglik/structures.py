"""What is kept of the Gauss-Newton matrix of each part of the data: all, blocks by tensor, Kronecker factors, diagonal.

Each gives ld = Σ_parts log|I + P₀⁻¹H| of its own matrix and γ = −∂ld/∂log δ, the effective number of parameters.
Since H and δ enter as H/δ alone, ∂ld/∂log s of the noise scale s is Σγ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.marglik._symmetric import log_determinant, resolved, trace
from ntk_explorer.marglik.priors import Prior
from ntk_explorer.marglik.stacks import Stack


class LogDeterminant(NamedTuple):
    """ld, and γ of every tensor: a number, or one per parameter where the prior has one per parameter."""

    value: float
    gamma: list[np.ndarray] | None


Structure = Callable[..., LogDeterminant]


def full(stack: Stack, prior: Prior, scale: float, *, gradient: bool, form: str | None = None) -> LogDeterminant:
    """log|I + sK| of every part by the smaller of its two matrices, or by the named one."""
    parametric = stack.parametric if form is None else form == "parametric"
    return (_by_parameters if parametric else _by_rows)(stack, prior, scale, gradient=gradient)


def _by_rows(stack: Stack, prior: Prior, scale: float, *, gradient: bool) -> LogDeterminant:
    kernel = scale * stack.kernel(prior)
    require_resolved(trace(kernel), prior)
    value, inverse = log_determinant(kernel, inverse=gradient)
    if inverse is None:
        return LogDeterminant(value, None)
    flat = inverse.ravel()
    gamma = []
    for tensor, precision in enumerate(prior.values):
        if precision.ndim:
            jacobian = stack.jacobian(tensor)
            gamma.append(scale * np.einsum("tmp,tmp->p", inverse @ jacobian, jacobian) / precision)
        else:
            gamma.append(np.asarray(scale * (stack.grams[tensor].reshape(-1) @ flat) / precision))
    return LogDeterminant(value, gamma)


def _by_parameters(stack: Stack, prior: Prior, scale: float, *, gradient: bool) -> LogDeterminant:
    sizes = [stack.size(tensor) for tensor in range(stack.tensors)]
    roots = np.concatenate([np.broadcast_to(np.sqrt(v), (n,)) for v, n in zip(prior.values, sizes, strict=True)])
    scaled = scale * stack.ggn / roots[None, :, None] / roots[None, None, :]
    require_resolved(trace(scaled), prior)
    value, inverse = log_determinant(scaled, inverse=gradient)
    if inverse is None:
        return LogDeterminant(value, None)
    # diag(I − (I + A)⁻¹) = diag((I + A)⁻¹ A), which keeps its digits where A is small.
    each = np.split(np.einsum("tij,tji->i", inverse, scaled), np.cumsum(sizes)[:-1])
    gamma = [part if v.ndim else np.asarray(part.sum()) for v, part in zip(prior.values, each, strict=True)]
    return LogDeterminant(value, gamma)


def block(stack: Stack, prior: Prior, scale: float, *, gradient: bool) -> LogDeterminant:
    """Σ_l log|I + sH_ll/δ_l|: every tensor by itself."""
    if prior.per_parameter:
        tensors = range(stack.tensors)
        return _added([_one_tensor(stack.jacobian(i), prior.values[i], scale, gradient=gradient) for i in tensors])
    found = [stack.spectrum_of(i) for i in range(stack.tensors)]
    for spectrum, precision in zip(found, prior.values, strict=True):
        require_resolved(scale * spectrum.sum(axis=1).max() / float(precision), prior)
    return _separable(found, prior, scale)


def diagonal(stack: Stack, prior: Prior, scale: float, *, gradient: bool) -> LogDeterminant:  # noqa: ARG001
    """Σ_i log(1 + sH_ii/δ_i)."""
    return _separable([stack.diagonal_of(i) for i in range(stack.tensors)], prior, scale)


def kfac(stack: Stack, prior: Prior, scale: float, *, gradient: bool) -> LogDeterminant:  # noqa: ARG001
    """Σ_l Σ_ij log(1 + s b_i a_j/δ_l) where a tensor meets the data in a product, the exact block elsewhere."""
    if prior.per_parameter:
        raise InvalidInput(
            "Kronecker factors keep no precision of single parameters", "Give one prior precision per layer or tensor."
        )
    return _separable([_kronecker_spectrum(stack, i) for i in range(stack.tensors)], prior, scale)


def _kronecker_spectrum(stack: Stack, tensor: int) -> np.ndarray:
    factors = stack.kronecker_of(tensor)
    if factors is None:
        return stack.spectrum_of(tensor)
    a, b = factors
    return (b[:, :, None] * a[:, None, :]).reshape(len(a), -1)


def spectra(structure: Structure, stack: Stack) -> list[np.ndarray]:
    """Numbers λ with ld = Σ log(1 + sλ/δ) for every scalar δ: one decomposition serves a whole sweep."""
    tensors = range(stack.tensors)
    if structure is full:
        return [stack.spectrum]
    if structure is block:
        return [stack.spectrum_of(i) for i in tensors]
    if structure is diagonal:
        return [stack.diagonal_of(i) for i in tensors]
    return [_kronecker_spectrum(stack, i) for i in tensors]


def _separable(values: Sequence[np.ndarray], prior: Prior, scale: float) -> LogDeterminant:
    total, gamma = 0.0, []
    for spectrum, precision in zip(values, prior.values, strict=True):
        ratio = scale * spectrum / precision
        total += float(np.log1p(ratio).sum())
        share = ratio / (1 + ratio)
        gamma.append(share.sum(axis=0) if precision.ndim else np.asarray(share.sum()))
    return LogDeterminant(total, gamma)


def _one_tensor(jacobian: np.ndarray, precision: np.ndarray, scale: float, *, gradient: bool) -> LogDeterminant:
    """log|I + sH_ll/δ_l| of a tensor with one precision per parameter."""
    scaled = jacobian * np.sqrt(scale / precision)
    by_rows = scaled.shape[1] <= scaled.shape[2]
    matrix = scaled @ scaled.swapaxes(1, 2) if by_rows else scaled.swapaxes(1, 2) @ scaled
    value, inverse = log_determinant(matrix, inverse=gradient)
    if inverse is None:
        return LogDeterminant(value, None)
    sums = ("tmp,tmp->p", inverse @ scaled, scaled) if by_rows else ("tij,tji->i", inverse, matrix)
    each = np.einsum(*sums)
    return LogDeterminant(value, [each if precision.ndim else np.asarray(each.sum())])


def _added(parts: Sequence[LogDeterminant]) -> LogDeterminant:
    gamma = None if parts[0].gamma is None else [part.gamma[0] for part in parts if part.gamma]
    return LogDeterminant(sum(part.value for part in parts), gamma)


def require_resolved(trace_of_kernel: float, prior: Prior) -> None:
    """Refuse a kernel beside which double precision loses the identity, and one that overflows.

    Raises:
        InvalidInput: naming the smallest prior precision.
    """
    if not resolved(trace_of_kernel):
        smallest = min(float(value.min()) for value in prior.values)
        raise InvalidInput(
            f"The kernel is so large that double precision loses the identity beside it (smallest δ: {smallest:.3g})",
            "Raise the prior precision or sigma.",
        )
