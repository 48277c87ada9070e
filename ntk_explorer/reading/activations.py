"""What a network computes on its way: the outputs of its modules and its last hidden features.

Functions have no modules, so these are read from the program. A *meeting* is an equation in which something
that depends on parameters alone meets something that depends on the example. A matrix product, a convolution,
a look-up in a table or a call with a body of its own (a scan, say) that is a meeting makes a module. Sums and
products entry by entry with what does not depend on the example (a bias, a constant factor, a frozen
normalisation) still belong to the module they follow, and so do rearrangements, provided nobody else reads the
value in between. So the output of a dense or convolutional layer is what enters its nonlinearity.
Nonlinearities, sums of branches, pooling and normalisations by an example's own statistics are no modules.
A layer that is used twice has two outputs. The last hidden features are the data that the last matrix product
or convolution with parameters meets: what enters the readout.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, NamedTuple

import jax.extend.core as jex

from ntk_explorer.errors import InvalidInput
from ntk_explorer.reading.taps import Reading

Which = Literal["last", "all"]

_AFFINE = {"add", "add_any", "sub", "mul", "div", "neg"}
_SAME_NUMBERS = {"reshape", "transpose", "squeeze", "rev", "copy", "broadcast_in_dim", "convert_element_type"}
_PRODUCTS = {"dot_general", "conv_general_dilated"}
_LOOK_UPS = {"gather", "dynamic_slice"}


class Activation(NamedTuple):
    """A variable of the program and the parameter leaf that made it, or, of the last features, that reads it."""

    variable: Any
    leaf: int


class Activations(NamedTuple):
    """Outputs of all modules, and the data that the last matrix product meets."""

    modules: tuple[Activation, ...]
    last: tuple[Activation, ...]


class _Origin(NamedTuple):
    """What a value depends on: the example, and the first parameter leaf, if on any."""

    data: bool = False
    leaf: int | None = None


def wanted_activations(reading: Reading, which: Which) -> tuple[Activation, ...]:
    """Variables of the reading's program whose values are the features.

    Raises:
        InvalidInput: no parameter meets the data in a product.
    """
    found = find_activations(reading.program.jaxpr)
    wanted = found.modules if which == "all" else found.last
    if wanted:
        return wanted
    raise InvalidInput(
        "In this function no matrix product joins parameters and data, so it has no hidden features",
        "Use a tangent kernel, such as pntk.",
    )


def find_activations(jaxpr) -> Activations:
    """Module outputs in the program's order, and the last hidden features."""
    origins, readers = _origins(jaxpr), _readers(jaxpr)
    modules: list[Activation] = []
    number: dict[Any, int] = {}  # the module that a variable is the output of, as far as the program was read
    last: tuple[Activation, ...] = ()
    for eqn in jaxpr.eqns:
        outputs = [var for var in eqn.outvars if readers[var]]
        inputs = [_Origin() if isinstance(atom, jex.Literal) else origins[atom] for atom in eqn.invars]
        data = next((atom for atom, origin in zip(eqn.invars, inputs, strict=True) if origin.data), None)
        if not outputs or data is None:
            continue
        leaf = next((origin.leaf for origin in inputs if origin.leaf is not None and not origin.data), None)
        if leaf is not None and _makes_module(eqn):
            number |= {var: len(modules) + i for i, var in enumerate(outputs)}
            modules += [Activation(var, leaf) for var in outputs]
            last = (Activation(data, leaf),) if eqn.primitive.name in _PRODUCTS else last
        elif data in number and readers[data] == 1 and _belongs(eqn, data, inputs):
            number[outputs[0]] = number[data]
            modules[number[data]] = Activation(outputs[0], modules[number[data]].leaf)
    return Activations(tuple(modules), last)


def _makes_module(eqn) -> bool:
    bodies = (jex.Jaxpr, jex.ClosedJaxpr)
    return eqn.primitive.name in _PRODUCTS | _LOOK_UPS or any(isinstance(v, bodies) for v in eqn.params.values())


def _belongs(eqn, data, inputs: list[_Origin]) -> bool:
    """Whether an equation only shifts, scales or rearranges the output of the module it follows."""
    name = eqn.primitive.name
    affine = name in _AFFINE and not (name == "div" and not inputs[0].data)
    alone = sum(origin.data for origin in inputs) == 1
    return (affine or name in _SAME_NUMBERS) and alone and eqn.outvars[0].aval.size == data.aval.size


def _origins(jaxpr) -> dict[Any, _Origin]:
    """Where the value of each variable comes from."""
    origins = dict.fromkeys(jaxpr.constvars, _Origin())
    origins |= {var: _Origin(leaf=leaf) for leaf, var in enumerate(jaxpr.invars[:-1])}
    origins[jaxpr.invars[-1]] = _Origin(data=True)
    for eqn in jaxpr.eqns:
        inputs = [origins[atom] for atom in eqn.invars if not isinstance(atom, jex.Literal)]
        leaf = next((origin.leaf for origin in inputs if origin.leaf is not None), None)
        origins |= dict.fromkeys(eqn.outvars, _Origin(any(origin.data for origin in inputs), leaf))
    return origins


def _readers(jaxpr) -> Counter:
    """How often each variable is read on the way to the outputs; nothing else is alive."""
    readers = Counter(jaxpr.outvars)
    for eqn in reversed(jaxpr.eqns):
        if any(readers[var] for var in eqn.outvars):
            readers.update(atom for atom in eqn.invars if not isinstance(atom, jex.Literal))
    return readers
