"""A plan as what computes it again: Python lines, or a line for the shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pprint import pformat

from ntk_explorer.sweeps.differences import fields_of
from ntk_explorer.sweeps.gram_plan import GramPlan
from ntk_explorer.sweeps.plan import DERIVED, NetworksPlan, SweepPlan, plan_sweep

# Fields of a plan and the options of `ntk-explorer sweep`; those of the architecture are given as pairs.
OPTIONS = {
    "data.name": "dataset",
    "data.path": "path",
    "data.n": "n",
    "data.classes": "classes",
    "data.seed": "data-seed",
    "architecture": "arch",
    "widths": "widths",
    "seeds": "seeds",
    "seed": "seed",
    "kernels": "kernels",
    "dtype": "dtype",
}


def python_lines(plan: SweepPlan, figure: str = "", *, store: str | None = None, **choices) -> str:
    """Python code that computes a sweep and, if one is named, draws a figure of it.

    Args:
        plan: the sweep.
        figure: a name in ``ntk_explorer.plots.FIGURES``.
        store: address of the store to name; None for the user's own.
        **choices: arguments of the figure, for instance ``width=64``.

    Returns:
        Lines that run as they stand; they name every option, so that they mean the same in later versions.
    """
    lines = ["from ntk_explorer import plan_sweep, run_sweep"]
    lines += ["from ntk_explorer.plots import FIGURES"] * bool(figure)
    lines += ["", f"plan = plan_sweep(\n{plan_lines(plan)})", f"sweep = run_sweep(plan{store_argument(store)})"]
    if figure:
        arguments = "".join(f", {name}={value!r}" for name, value in choices.items())
        lines.append(f"figure = FIGURES[{figure!r}](sweep{arguments})")
    return "\n".join(lines) + "\n"


def plan_lines(plan: NetworksPlan) -> str:
    """The arguments of a plan, one per line."""
    fields = plan.model_dump(mode="json", exclude={"schema_version": True, "network": set(DERIVED)})
    return "".join(f"    {name}={_literal(value)},\n" for name, value in fields.items())


def _literal(value: object) -> str:
    return pformat(value, width=100, sort_dicts=False, compact=True).replace("\n", "\n    ")


def store_argument(store: str | None) -> str:
    """The argument that names a store; nothing for the user's own."""
    return "" if store is None else f", store={store!r}"


def gram_lines(plan: GramPlan, *, store: str | None = None) -> str:
    """Python code that computes a Gram matrix into the store, or finds it there; it runs as it stands."""
    own = plan.model_dump(mode="json", exclude={"sweep"})
    arguments = "".join(f", {name}={value!r}" for name, value in own.items())
    lines = [
        "from ntk_explorer import plan_sweep",
        "from ntk_explorer.sweeps.matrices import GramPlan, compute_gram",
        "",
        f"plan = plan_sweep(\n{plan_lines(plan.sweep)})",
        f"matrix = compute_gram(GramPlan(sweep=plan{arguments}){store_argument(store)})",
    ]
    return "\n".join(lines) + "\n"


def command_line(plan: SweepPlan, config: str = "sweep.yaml", *, store: str | None = None) -> str:
    """The line that computes a sweep in a shell; it names every option.

    Args:
        plan: the sweep.
        config: name of the file that holds the plan as YAML, for plans that options cannot describe.
        store: address of the store to name; None for the user's own.
    """
    fields, unshaped = fields_of(plan), plan.data.model_copy(update={"shape": None})
    if plan.data.shape != plan_sweep(unshaped, plan.network).data.shape:
        return shell_line("sweep", {"config": config}, store=store)
    return shell_line("sweep", {option: fields[name] for name, option in OPTIONS.items()}, plan, store=store)


def shell_line(
    command: str, options: Mapping[str, object], plan: NetworksPlan | None = None, *, store: str | None = None
) -> str:
    """A command with those of its options that are not None, the network's own as pairs."""
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", _listed(value))]
    network = plan.network.model_dump(mode="json", exclude={"architecture", *DERIVED}) if plan else {}
    for name, value in network.items():
        words += ["--option", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    kept = () if store is None else ("--store", store)
    return " ".join(map(shlex.quote, ("ntk-explorer", command, *words, *kept)))


def _listed(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
