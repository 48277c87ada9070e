"""neural-tangents 0.6.5 on the JAX of today, without TensorFlow: the one place that imports it.

Its last release asks for names that JAX has moved or dropped since, and imports TensorFlow for one
experimental module. The names are lent while it is imported and taken back afterwards, so that jax itself
stays as it was; what neural-tangents needs of them later is put into its own modules.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import sys
import threading
import warnings
from collections.abc import Iterator
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

import jax
import jax.core
import jax.extend.core
from jax.interpreters import ad
from jax.interpreters.ad import UndefinedPrimal, Zero

from ntk_explorer.errors import InvalidInput
from ntk_explorer.infinite.installed import REMEDY, installed_version

NAME = "neural_tangents"
MOVED = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")  # from jax.core to jax.extend.core

_importing = threading.Lock()


def neural_tangents() -> ModuleType:
    """The package ``neural_tangents``, ready to compute.

    Raises:
        InvalidInput: it is not installed, or this JAX lacks what it needs.
    """
    if installed_version() is None:
        raise InvalidInput("neural-tangents is not installed", REMEDY)
    with _importing:
        try:
            return _imported()
        except (ImportError, AttributeError) as error:
            problem = f"neural-tangents {installed_version()} cannot be imported under JAX {jax.__version__}: {error}"
            raise InvalidInput(problem, "Use a JAX of constraints.txt, with which it is tested.") from error


@cache
def _imported() -> ModuleType:
    with _lent_names(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # docstrings of its day
        package = importlib.import_module(NAME)
    _mend_empirical(importlib.import_module(f"{NAME}._src.empirical"))
    _mend_predict(importlib.import_module(f"{NAME}._src.predict"))
    package.__dict__.pop("experimental", None)  # it was empty
    return package


class _NoShape:
    """Stands in for ``jax.core.DShapedArray``, dropped in 2025; nothing is an instance of it."""


@contextlib.contextmanager
def _lent_names() -> Iterator[None]:
    """What neural-tangents asks for by import statements, for as long as it is imported."""
    util: Any = ModuleType("jax.util")
    util.safe_map, util.safe_zip = _safe_map, _safe_zip
    modules = {"jax.util": util, f"{NAME}.experimental": ModuleType(f"{NAME}.experimental")}
    with contextlib.ExitStack() as undo:
        for name in MOVED:
            _lend(undo, jax.core.__dict__, name, getattr(jax.extend.core, name))
        _lend(undo, jax.core.__dict__, "DShapedArray", _NoShape)
        _lend(undo, ad.__dict__, "zeros_like_p", jax.extend.core.Primitive("zeros_like"))
        for name, module in modules.items():
            _lend(undo, sys.modules, name, module)
        yield


def _lend(undo: contextlib.ExitStack, names: dict[str, Any], name: str, value: Any) -> None:
    """Put a value under a name that is free, and plan to free it again."""
    if name not in names:
        names[name] = value
        undo.callback(names.pop, name, None)


def _safe_map(function, *arguments):
    return [function(*row) for row in zip(*arguments, strict=True)]


def _safe_zip(*arguments):
    return list(zip(*arguments, strict=True))


def _mend_predict(module: Any) -> None:
    """``max_learning_rate`` asks SciPy for one eigenvalue in words that SciPy 1.14 dropped."""
    scipy_linalg = module.sp.linalg

    def eigvalsh(matrix, *, eigvals):
        return scipy_linalg.eigvalsh(matrix, subset_by_index=eigvals)

    module.sp = SimpleNamespace(linalg=SimpleNamespace(eigvalsh=eigvalsh))


def _mend_empirical(module: Any) -> None:
    """Replace what reaches into parts of JAX that are gone."""
    module.core = SimpleNamespace(ShapedArray=jax.core.ShapedArray, DShapedArray=_NoShape)
    module.ad = SimpleNamespace(
        primitive_jvps=ad.primitive_jvps,
        add_tangents=ad.add_tangents,
        is_undefined_primal=ad.is_undefined_primal,
        config=SimpleNamespace(jax_enable_checks=False),
        source_info_util=SimpleNamespace(transform_name_stack=contextlib.nullcontext),
    )
    module.jnp = _Numpy()
    module._eqn_vjp_fn = _transposed_equation
    module._get_flops = _flops
    module._get_primals_out_and_pullback = _pullback_builder(module._backward_pass)


def _pullback_builder(backward_pass):
    """neural-tangents' walk over a linearised network, with the linear jaxpr made by public functions."""

    def primals_out_and_pullback(fn, mode, _j_rules, _s_rules, _fwd, *primals_in):
        # Its rules know single primitives only, so calls are inlined.
        with jax.disable_jit():
            primals_out, linear = jax.linearize(fn, *primals_in)
            closed = jax.make_jaxpr(linear)(*primals_in)
        jaxpr, tree = closed.jaxpr, jax.tree.structure(primals_in)

        def pullback(*cotangents):
            results = backward_pass(
                jaxpr,
                mode=mode,
                consts=closed.consts,
                primals_in=[UndefinedPrimal(v.aval) for v in jaxpr.invars],
                cotangents_in=tuple(jax.tree.leaves(cotangents)),
                _j_rules=_j_rules,
                _s_rules=_s_rules,
                _fwd=_fwd,
            )
            return jax.tree.unflatten(tree, results)

        return primals_out, pullback

    return primals_out_and_pullback


class _Numpy:
    """``jax.numpy``, whose ``shape``, ``size`` and ``dtype`` no longer take all that they took."""

    def __getattr__(self, name):
        return getattr(jax.numpy, name)

    def shape(self, array):
        return getattr(array, "shape", ())

    def size(self, array):
        return math.prod(self.shape(array))

    def dtype(self, array):
        return jax.numpy.result_type(array)


def _transposed_equation(eqn, cotangent, *values):
    """Cotangents of one linear equation's unknown inputs; None for the known ones."""
    if eqn is None:  # the identity
        return (cotangent,)
    unknown = [i for i, value in enumerate(values) if isinstance(value, UndefinedPrimal)]
    if isinstance(cotangent, Zero):
        return [Zero(values[i].aval) if i in unknown else None for i in range(len(values))]
    # neural-tangents leaves only the shape of inputs whose values do not matter.
    known = [_zeros(v) if isinstance(v, jax.core.ShapedArray) else v for v in values]

    def linear(*inputs):
        arguments = list(known)
        for i, value in zip(unknown, inputs, strict=True):
            arguments[i] = value
        out = eqn.primitive.bind(*arguments, **eqn.params)
        return out[0] if eqn.primitive.multiple_results else out

    shapes = [jax.ShapeDtypeStruct(values[i].aval.shape, values[i].aval.dtype) for i in unknown]
    found = dict(zip(unknown, jax.linear_transpose(linear, *shapes)(cotangent), strict=True))
    return [found.get(i) for i in range(len(values))]


def _zeros(aval):
    return jax.numpy.zeros(aval.shape, aval.dtype)


def _flops(f, optimize, *args, **kwargs) -> float:
    lowered = jax.jit(f).lower(*args, **kwargs)
    analysis: Any = (lowered.compile() if optimize else lowered).cost_analysis()
    first = analysis[0] if isinstance(analysis, list) else analysis
    return float((first or {}).get("flops", math.nan))  # not every device counts
