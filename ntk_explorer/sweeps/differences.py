"""Plans in words: what a network is, and what several plans differ in, as names for curves in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ntk_explorer.architectures import ARCHITECTURES, configure
from ntk_explorer.sweeps.plan import DERIVED, NetworksPlan, SweepPlan

# A figure shows these anyway; they become part of a name only where nothing else tells sweeps apart.
SHOWN_ANYWAY = ("widths", "seeds", "kernels")
NEVER_SHOWN = ("data.path", "schema_version")
MAIN = ("depth", "activation")
PLAIN = ("data.name", "data.path", "activation", "dtype")  # words that say by themselves what they mean


def fields_of(plan: NetworksPlan) -> dict[str, Any]:
    """The fields of a plan by the names that options have."""
    fields = plan.model_dump(mode="json", exclude={"network": set(DERIVED)})
    data, network = fields.pop("data"), fields.pop("network")
    return {f"data.{name}": value for name, value in data.items()} | network | fields


def differing(plans: Sequence[SweepPlan]) -> list[str]:
    """Names of the fields that are not the same in all plans."""
    fields = [fields_of(plan) for plan in plans]
    names = dict.fromkeys(name for field in fields for name in field)
    return [name for name in names if len({str(field.get(name)) for field in fields}) > 1]


def short_names(plans: Sequence[SweepPlan]) -> list[str]:
    """A name for each plan that says in what it differs from the others; equal plans are numbered.

    Example:
        >>> from ntk_explorer.sweeps.plan import plan_sweep
        >>> short_names([plan_sweep(network={"architecture": "mlp", "depth": depth}) for depth in (2, 3)])
        ['depth 2', 'depth 3']
    """
    varied = [name for name in differing(plans) if name not in NEVER_SHOWN]
    names = [_words(fields_of(plan), [n for n in varied if n not in SHOWN_ANYWAY]) for plan in plans]
    if len(set(names)) < len(plans):
        names = [_words(fields_of(plan), varied) for plan in plans]
    return [name if names.count(name) == 1 else f"{name} ({i})".strip() for i, name in enumerate(names, start=1)]


def network_in_words(plan: NetworksPlan) -> str:
    """The network by its label, depth, activation, and whatever is not as usual: ``MLP, depth 3, relu, bias``."""
    fields = plan.network.model_dump(mode="json", exclude=set(DERIVED))
    usual = configure(plan.network.architecture).model_dump(mode="json")
    told = ("architecture", *MAIN)
    return _words(fields, [name for name, value in fields.items() if name in told or value != usual[name]])


def in_words(name: str, value: Any) -> str:
    """One field as a reader says it: ``depth 3``, ``tanh``, ``n = 100``, ``no bias``; empty for None."""
    word = name.removeprefix("data.").replace("_", " ")
    match name:
        case "architecture":
            return ARCHITECTURES[value].label
        case "data.n":
            return f"n = {value}"
        case "data.seed":
            return f"subset {value}"
        case "data.classes":
            return "all classes" if value is None else f"{value} classes"
        case "seeds":
            return f"{value} seed" + "s" * (value != 1)
        case "widths":
            return f"widths {span(value)}"
    match value:
        case None:
            return ""
        case bool():
            return word if value else f"no {word}"
        case list():
            return f"{word} {', '.join(map(str, value))}"
    return str(value) if name in PLAIN else f"{word} {value}"


def span(widths: Sequence[int]) -> str:
    """Widths from the smallest to the largest: ``16–1024``."""
    return str(widths[0]) if len(widths) == 1 else f"{widths[0]}–{widths[-1]}"


def _words(fields: dict[str, Any], names: Sequence[str]) -> str:
    """Some of the fields in words: data, architecture, depth, and the rest in the order of the options."""
    first = [name for name in names if name.startswith("data.") or name == "architecture"]
    main = [name for name in MAIN if name in names]
    rest = [name for name in names if name not in (*first, *main)]
    return ", ".join(filter(None, (in_words(name, fields.get(name)) for name in (*first, *main, *rest))))
