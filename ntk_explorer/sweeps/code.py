"""A plan as the Python lines that compute it again."""

from __future__ import annotations

from pprint import pformat

from ntk_explorer.sweeps.plan import DERIVED, SweepPlan


def python_lines(plan: SweepPlan, figure: str = "", **choices) -> str:
    """Python code that computes a sweep and, if one is named, draws a figure of it.

    Args:
        plan: the sweep.
        figure: a name in ``ntk_explorer.plots.FIGURES``.
        **choices: arguments of the figure, for instance ``width=64``.

    Returns:
        Lines that run as they stand; they name every option, so that they mean the same in later versions.
    """
    fields = plan.model_dump(mode="json", exclude={"schema_version": True, "network": set(DERIVED)})
    options = "".join(f"    {name}={_literal(value)},\n" for name, value in fields.items())
    lines = ["from ntk_explorer import plan_sweep, run_sweep"]
    lines += ["from ntk_explorer.plots import FIGURES"] * bool(figure)
    lines += ["", f"plan = plan_sweep(\n{options})", "sweep = run_sweep(plan)"]
    if figure:
        arguments = "".join(f", {name}={value!r}" for name, value in choices.items())
        lines.append(f"figure = FIGURES[{figure!r}](sweep{arguments})")
    return "\n".join(lines) + "\n"


def _literal(value: object) -> str:
    return pformat(value, width=100, sort_dicts=False, compact=True).replace("\n", "\n    ")
