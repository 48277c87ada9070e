"""A trajectory as what computes it again: Python lines, or a line for the shell."""

from __future__ import annotations

from ntk_explorer.sweeps.code import OPTIONS as OF_SWEEPS
from ntk_explorer.sweeps.code import plan_lines, shell_line, store_argument
from ntk_explorer.sweeps.differences import fields_of
from ntk_explorer.trajectories.plan import TrajectoryPlan, plan_trajectory

# Fields of a plan and the options of `ntk-explorer train`; those of the architecture are given as pairs.
OWN = ("test", "kernel_at", "points", "ridge")
OPTIONS = OF_SWEEPS | {"widths": "width"} | {name: name.replace("_", "-") for name in OWN}


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


def trajectory_command(plan: TrajectoryPlan, config: str = "training.yaml", *, store: str | None = None) -> str:
    """The line that computes a trajectory in a shell; it names every option.

    Args:
        plan: the trajectory.
        config: name of the file that holds the plan as YAML, for plans that options cannot describe.
        store: address of the store to name; None for the user's own.
    """
    unshaped = plan.data.model_copy(update={"shape": None})
    if plan.data.shape != plan_trajectory(unshaped, plan.network).data.shape:
        return shell_line("train", {"config": config}, store=store)
    fields, training = fields_of(plan), plan.training.model_dump(mode="json")
    options = {option: fields[name] for name, option in OPTIONS.items()}
    options |= {name.replace("_", "-"): value for name, value in training.items()}
    options["batch-size"] = "all" if plan.training.batch_size is None else plan.training.batch_size
    line = shell_line("train", options, plan, store=store)
    return line if plan.linearised else f"{line} --no-linearised"
