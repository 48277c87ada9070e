"""``ntk-explorer doctor``: what is installed, what it runs on, and whether a small kernel comes out right."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata

import typer

PACKAGE = "ntk-explorer"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "firefox")
TOLERANCE = 1e-10  # relative difference of a float64 kernel from the dense Jacobian's
SAME_LIMIT = 1e-6  # that of two kernels at infinite width; neural-tangents rounds at equal inputs


def doctor() -> None:
    """Print versions, devices, precision, memory; check a kernel."""
    problems = list(version_problems())
    for name, value in [*_software(), *_machine()]:
        typer.echo(f"{name:20}{value}")
    for name, check in (("store", _store), ("self-check", _self_check), ("infinite width", _infinite_width)):
        try:
            typer.echo(f"{name:20}{check()}")
        except Exception as error:  # what is broken is what this command is asked for
            typer.echo(f"{name:20}failed")
            problems.append(f"{name}: {type(error).__name__}: {error}")
    for problem in problems:
        typer.echo(f"problem: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo("No problem found.")


def _software() -> Iterator[tuple[str, str]]:
    yield "Python", f"{platform.python_version()} ({sys.executable})"
    yield "system", platform.platform()
    for name in [PACKAGE, *_wanted(PACKAGE), "jaxlib", "flax", "equinox", "neural-tangents"]:
        yield name, _installed(name) or "not installed"
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    yield "browser", browser or "none on the path"


def _machine() -> Iterator[tuple[str, str]]:
    import jax
    import jax.numpy as jnp

    from ntk_explorer.amounts import human_bytes
    from ntk_explorer.reading.machine import available_bytes

    x64 = "on" if jax.config.read("jax_enable_x64") else "off; sweeps turn it on for themselves"
    yield "devices", ", ".join(f"{device.device_kind} ({device.platform})" for device in jax.devices())
    yield "default precision", f"{jnp.ones(()).dtype} (x64 {x64})"
    yield "CPU cores", str(os.cpu_count())
    yield "memory at hand", human_bytes(available_bytes())


def _store() -> str:
    from ntk_explorer.store import Store

    store = Store()
    store.require_writable()
    return f"{store.address} (writable)"


def _self_check() -> str:
    """The eNTK of a small network against J Jᵀ, both in float64."""
    import jax
    import jax.numpy as jnp

    from ntk_explorer.architectures import build
    from ntk_explorer.datasets import load_dataset
    from ntk_explorer.kernels.empirical import entk

    with jax.enable_x64(True):
        data = load_dataset("digits", n=12)
        network = build("mlp", width=16, inputs=data.inputs, outputs=data.outputs)
        params, x = network.init(jax.random.key(0)), jnp.asarray(data.x)
        jacobian = jax.jacobian(network.apply)(params, x)
        rows = [leaf.reshape(len(x), data.outputs, -1) for leaf in jax.tree.leaves(jacobian)]
        dense = sum(jnp.einsum("ncp,mdp->nmcd", row, row) for row in rows)
        difference = float(jnp.linalg.norm(entk(network.apply, params, x) - dense) / jnp.linalg.norm(dense))
    text = f"eNTK against a dense Jacobian: relative difference {difference:.1e}"
    if not difference < TOLERANCE:
        raise ArithmeticError(text)
    return text


def _infinite_width() -> str:
    """Whether neural-tangents is there, works on this JAX, and agrees with the closed form."""
    import numpy as np

    from ntk_explorer.architectures import configure
    from ntk_explorer.datasets import load_dataset
    from ntk_explorer.infinite.installed import REMEDY, installed_version
    from ntk_explorer.infinite.limits import infinite_ntk

    if installed_version() is None:
        return f"closed form; neural-tangents, which would check it, is not installed. {REMEDY}"
    data = load_dataset("digits", n=12)
    config = configure("mlp", inputs=data.inputs, outputs=data.outputs)
    closed, other = (infinite_ntk(config, data.x, method=name) for name in ("closed_form", "neural_tangents"))
    difference = float(np.linalg.norm(closed - other) / np.linalg.norm(other))
    text = f"closed form against neural-tangents {installed_version()}: relative difference {difference:.1e}"
    if not difference < SAME_LIMIT:
        raise ArithmeticError(text)
    return text


def version_problems() -> Iterator[str]:
    """Each installed package that another one of ours was not made for, with the versions that it asks for."""
    for name in [PACKAGE, *_wanted(PACKAGE)]:
        for required, bounds in _wanted(name).items():
            version = _installed(required)
            if version is None and name == PACKAGE and required in _core():
                yield f"{required} is not installed; {PACKAGE} needs {required}{bounds}"
            elif version is not None and not bounds.contains(version, prereleases=True):
                yield f"{name} {_installed(name)} needs {required}{bounds}, but {version} is installed"


def _wanted(name: str) -> dict:
    """Packages and version bounds that an installed package asks for on this Python, extras included for ours."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return {}
    extras = ("", "dashboard", "notebooks") if name == PACKAGE else ("",)
    requirements = map(Requirement, lines)
    return {
        r.name: r.specifier
        for r in requirements
        if r.name != PACKAGE and (not r.marker or any(r.marker.evaluate({"extra": extra}) for extra in extras))
    }


def _core() -> set[str]:
    from packaging.requirements import Requirement

    return {r.name for r in map(Requirement, metadata.requires(PACKAGE) or []) if not r.marker}


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
