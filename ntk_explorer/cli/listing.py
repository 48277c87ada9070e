"""``ntk-explorer list``: the cards of everything that can be chosen by name."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from ntk_explorer.cli.data import state

if TYPE_CHECKING:
    from ntk_explorer.registry import Entry, Registry

KINDS = (
    "kernels",
    "transforms",
    "limits",
    "architectures",
    "datasets",
    "measures",
    "summaries",
    "prediction-measures",
    "optimizers",
    "schedules",
)


def list_cards(
    kind: Annotated[str | None, typer.Argument(help=f"One of {', '.join(KINDS)}; all when left out.")] = None,
) -> None:
    """Say what can be chosen by name, with sources and costs."""
    known = registries()
    if kind is not None and kind not in known:
        from ntk_explorer.errors import UnknownName

        raise UnknownName("kind of thing", kind, known)
    for name in [kind] if kind else known:
        typer.echo(f"{name}\n")
        for entry in known[name].values():
            typer.echo("\n".join(_card(entry)) + "\n")


def registries() -> dict[str, Registry]:
    """The registry behind each word of ``KINDS``."""
    from ntk_explorer.architectures import ARCHITECTURES
    from ntk_explorer.comparison import MEASURES
    from ntk_explorer.datasets import DATASETS
    from ntk_explorer.infinite import LIMITS
    from ntk_explorer.kernels import KERNELS, TRANSFORMS
    from ntk_explorer.regression import PREDICTION_MEASURES
    from ntk_explorer.spectra import SUMMARIES
    from ntk_explorer.training import OPTIMIZERS, SCHEDULES

    measures = (MEASURES, SUMMARIES, PREDICTION_MEASURES)
    maths = (KERNELS, TRANSFORMS, LIMITS, ARCHITECTURES, DATASETS, *measures, OPTIMIZERS, SCHEDULES)
    return dict(zip(KINDS, maths, strict=True))


def _card(entry: Entry) -> Iterable[str]:
    yield f"  {entry.name:24}  {entry.label}"
    facts = {"": entry.summary, "equation": entry.equation, "source": entry.reference, "cost": entry.cost}
    if publication := entry.extras.get("publication"):
        facts["files"] = state(publication)
    facts["options"] = ", ".join(_options(entry))
    for name, text in facts.items():
        if text:
            indent = " " * 6 + (f"{name}: " if name else "")
            yield _wrapped(text, indent)


def _wrapped(text: str, indent: str) -> str:
    """Lines of 110 characters; paths and names stay whole, so that they can be copied."""
    wrapper = textwrap.TextWrapper(110, initial_indent=indent, subsequent_indent=" " * 8)
    wrapper.break_long_words = wrapper.break_on_hyphens = False
    return wrapper.fill(text)


def _options(entry: Entry) -> Iterable[str]:
    """What ``sweep --option`` takes for an architecture, with the defaults."""
    if entry.config is None:
        return
    from ntk_explorer.sweeps.plan import DERIVED

    for name, field in entry.config.model_fields.items():
        if name not in ("architecture", *DERIVED):
            yield f"{name}={field.default}"
