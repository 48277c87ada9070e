"""Finding the places where a parameter meets the data in a product.

A *site* is a matrix product or a convolution of a value that depends on the example with a value that is
one parameter, rearranged or scaled by a constant. There the gradient of an output is a short sum of outer
products, so that it never needs to be formed. Every other use of a parameter (a bias, a normalisation's
scale, tied weights, grouped convolutions, a scan) makes it a *general* parameter, whose per-example
gradient is taken as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax.extend.core as jex
import numpy as np

_REARRANGEMENTS = {"reshape", "transpose", "squeeze", "expand_dims", "rev", "copy", "neg", "broadcast_in_dim"}


class Scaled(NamedTuple):
    """A parameter leaf times constant factors (numerators and denominators are atoms of the program)."""

    leaf: int
    numerators: tuple = ()
    denominators: tuple = ()

    def times(self, atom, *, inverse: bool) -> Scaled:
        """One more constant factor, or divisor."""
        if inverse:
            return self._replace(denominators=(*self.denominators, atom))
        return self._replace(numerators=(*self.numerators, atom))

    def factor(self, read):
        """The constant, from the values of its atoms."""
        scale = 1.0
        for atom in self.numerators:
            scale = scale * read(atom)
        for atom in self.denominators:
            scale = scale / read(atom)
        return scale


@dataclass(frozen=True)
class Site:
    """One equation in which parameter ``value.leaf`` meets data: which operand is which."""

    index: int
    value: Scaled
    data_operand: int


@dataclass(frozen=True)
class _Facts:
    """What is known of a variable: does it depend on parameters, on the example, is it one leaf scaled?"""

    params: bool = False
    data: bool = False
    scaled: Scaled | None = None
    uniform: object = None  # the scalar atom of which this constant is a broadcast copy


def find_sites(jaxpr, n_leaves: int) -> tuple[dict[int, Site], set[int]]:
    """Sites by equation index, and the leaves that are used but have no site.

    The first ``n_leaves`` inputs of ``jaxpr`` are the parameters, the last is the example. A leaf keeps its
    site only when that is its single use: gradients of several uses add up before the product, not after.
    """
    facts = {var: _Facts() for var in jaxpr.constvars}
    facts |= {var: _Facts(params=True, scaled=Scaled(leaf)) for leaf, var in enumerate(jaxpr.invars[:n_leaves])}
    facts |= {var: _Facts(data=True) for var in jaxpr.invars[n_leaves:]}
    candidates, uses = {}, np.zeros(n_leaves, int)

    def known(atom) -> _Facts:
        if isinstance(atom, jex.Literal):
            return _Facts(uniform=atom if np.ndim(atom.val) == 0 else None)
        found = facts[atom]
        scalar = not (found.params or found.data) and atom.aval.shape == ()
        return _Facts(uniform=atom) if scalar else found

    for index, eqn in enumerate(jaxpr.eqns):
        inputs = [known(atom) for atom in eqn.invars]
        passed_on = _carried(eqn, inputs)
        if passed_on is None or passed_on.scaled is None:
            for fact in inputs:
                if fact.scaled:
                    uses[fact.scaled.leaf] += 1
        site = _site(index, eqn, inputs)
        if site:
            candidates[index] = site
        merged = passed_on or _Facts(any(f.params for f in inputs), any(f.data for f in inputs))
        facts |= dict.fromkeys(eqn.outvars, merged)
    for atom in jaxpr.outvars:
        fact = known(atom)
        if fact.scaled:
            uses[fact.scaled.leaf] += 1
    sites = {index: site for index, site in candidates.items() if uses[site.value.leaf] == 1}
    factored = {site.value.leaf for site in sites.values()}
    return sites, {leaf for leaf in range(n_leaves) if uses[leaf]} - factored


def _carried(eqn, inputs) -> _Facts | None:
    """Facts of an output that is still one scaled leaf, or still a uniform constant; else None."""
    name, size = eqn.primitive.name, eqn.outvars[0].aval.size if eqn.outvars else 0
    operands = [(fact, atom) for fact, atom in zip(inputs, eqn.invars, strict=True) if atom.aval.size == size]
    if name == "broadcast_in_dim" and inputs[0].uniform is not None:
        return _Facts(uniform=inputs[0].uniform)
    if name in _REARRANGEMENTS:
        return inputs[0] if inputs[0].scaled and operands else None
    if name in ("mul", "div"):
        for fact, atom in operands:
            other = inputs[1 - inputs.index(fact)]
            if fact.scaled and other.uniform is not None and (name == "mul" or atom is eqn.invars[0]):
                return _Facts(params=True, scaled=fact.scaled.times(other.uniform, inverse=name == "div"))
    return None


def _site(index, eqn, inputs) -> Site | None:
    if eqn.primitive.name == "dot_general":
        _, batch = eqn.params["dimension_numbers"]
        if any(batch):
            return None
        for parameter, data in ((0, 1), (1, 0)):
            if inputs[parameter].scaled and inputs[data].data:
                return Site(index, inputs[parameter].scaled, data)
    if eqn.primitive.name == "conv_general_dilated":
        grouped = eqn.params["feature_group_count"] != 1 or eqn.params["batch_group_count"] != 1
        if not grouped and inputs[1].scaled and inputs[0].data:
            return Site(index, inputs[1].scaled, 0)
    return None
