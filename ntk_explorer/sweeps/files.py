"""A plan as a YAML file, and back: what the command line, the dashboard and notebooks hand to one another."""

from __future__ import annotations

from pathlib import Path

import yaml

from ntk_explorer.errors import InvalidInput
from ntk_explorer.sweeps.plan import DERIVED, SweepPlan, plan_sweep

LARGEST = 100_000  # characters; a plan has a few hundred


def plan_to_yaml(plan: SweepPlan) -> str:
    """The whole plan, defaults included, so that the file means the same in later versions."""
    fields = plan.model_dump(mode="json", exclude={"network": set(DERIVED)})
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)


def read_options(path: str | Path) -> dict:
    """The fields of a plan that a YAML file names, not yet checked.

    Raises:
        InvalidInput: the file cannot be read, is no YAML, or holds something else than fields and values.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(LARGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InvalidInput(f"Cannot read {str(path)!r}: {reason}", "Give the path of a YAML file.") from None
    if len(text) > LARGEST:
        raise InvalidInput(f"{str(path)!r} is too long for a configuration", "Give the path of a YAML file.")
    try:
        options = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise InvalidInput(f"{str(path)!r} is not valid YAML{line}", "Write one `field: value` per line.") from None
    if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
        raise InvalidInput(f"{str(path)!r} holds no fields of a sweep", "Write one `field: value` per line.")
    return options


def read_plan(path: str | Path) -> SweepPlan:
    """The plan in a YAML file, checked; see :func:`read_options` and :func:`plan_sweep` for what can be wrong."""
    return plan_sweep(**read_options(path))
