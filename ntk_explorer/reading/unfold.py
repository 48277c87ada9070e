"""One site of one example as factors: positions × fan-in of the data, positions × fan-out of the sensitivities."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from ntk_explorer.reading.contract import Factors
from ntk_explorer.reading.convolution import windows


def factors_of(eqn, data_operand: int, data: jax.Array, sensitivities: jax.Array) -> Factors:
    """Bring one equation's data operand and its output's sensitivities [k, ...] to the shapes of :class:`Factors`."""
    if eqn.primitive.name == "dot_general":
        return _dot_factors(eqn, data_operand, data, sensitivities)
    return _convolution_factors(eqn, data, sensitivities)


def fan_out(eqn, data_operand: int) -> int:
    """Output features that one position of the site's output has."""
    if eqn.primitive.name == "conv_general_dilated":
        return eqn.invars[1].aval.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
    parameter = 1 - data_operand
    contracted = eqn.params["dimension_numbers"][0][parameter]
    shape = eqn.invars[parameter].aval.shape
    return math.prod(size for axis, size in enumerate(shape) if axis not in contracted)


def _dot_factors(eqn, data_operand, data, sensitivities):
    contracted = eqn.params["dimension_numbers"][0][data_operand]
    free = [axis for axis in range(data.ndim) if axis not in contracted]
    fan_in = jnp.transpose(data, (*free, *contracted))
    size = math.prod(data.shape[axis] for axis in free)
    # Outputs carry the left operand's free axes first; data may stand on either side.
    k, out = sensitivities.shape[0], sensitivities.shape[1:]
    if data_operand == 0:
        at_outputs = sensitivities.reshape(k, size, -1)
    else:
        at_outputs = sensitivities.reshape(k, math.prod(out) // size, size).swapaxes(1, 2)
    return Factors((fan_in.reshape(size, -1),), at_outputs)


def _convolution_factors(eqn, data, sensitivities):
    numbers, k = eqn.params["dimension_numbers"], sensitivities.shape[0]
    features, spatial = numbers.out_spec[1], numbers.out_spec[2:]
    positions = [numbers.out_spec[0], *spatial]
    at_outputs = jnp.transpose(sensitivities, (0, *(axis + 1 for axis in (*positions, features))))
    inputs = tuple(window.reshape(-1, window.shape[-1]) for window in windows(eqn, data))
    return Factors(inputs, at_outputs.reshape(k, inputs[0].shape[0], -1))
