"""A trajectory as what computes it again: Python lines."""

from __future__ import annotations

from ntk_explorer.sweeps.code import plan_lines, store_argument
from ntk_explorer.trajectories.plan import TrajectoryPlan


def trajectory_lines(plan: TrajectoryPlan, figure: str = "", *, store: str | None = None, **choices) -> str:
    """Python code that trains, or finds the training in the store, and, if one is named, draws a figure of it.

    Args:
        plan: the trajectory.
        figure: a name in ``ntk_explorer.plots.FIGURES``.
        store: address of the store to name; None for the user's own.
        **choices: arguments of the figure, for instance ``epoch=10``.

    Returns:
        Lines that run as they stand; they name every option, so that they mean the same in later versions.
    """
    lines = ["from ntk_explorer import plan_trajectory, run_trajectory"]
    lines += ["from ntk_explorer.plots import FIGURES"] * bool(figure)
    lines += ["", f"plan = plan_trajectory(\n{plan_lines(plan)})"]
    lines.append(f"trajectory = run_trajectory(plan{store_argument(store)})")
    if figure:
        arguments = "".join(f", {name}={value!r}" for name, value in choices.items())
        lines.append(f"figure = FIGURES[{figure!r}](trajectory{arguments})")
    return "\n".join(lines) + "\n"
