"""`make bench`: measure the project's own figures and print one table.

``python benchmarks/run.py import_time sweep`` measures some of them, ``python benchmarks/run.py kernels`` our kernels
beside the peers' (``--quick`` for two minutes of it). Figures that are kept, with date and hardware, are in RESULTS.md.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version

FIGURES = ("import_time", "sweep", "training", "store", "jobs", "dashboard")
PACKAGES = ("jax", "numpy", "panel", "bokeh", "neural-tangents", "torch")
MODULES = (*FIGURES, "kernels")


@dataclass(frozen=True)
class Figure:
    """One measured number and the number it should stay below."""

    name: str
    value: float
    target: float
    unit: str = "s"

    def row(self) -> str:
        """One line of the table."""
        verdict = "yes" if self.value <= self.target else "NO"
        return f"| {self.name} | {self.value:.3g} {self.unit} | {self.target:g} {self.unit} | {verdict} |"


def processor() -> str:
    """The processor's own name where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def heading() -> str:
    packages = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _installed(name)))
    return (
        f"{date.today().isoformat()} · {processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} · "
        f"Python {platform.python_version()}, {packages}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure figures and print one table.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"some of {', '.join(MODULES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer kernels, in a hurry")
    options = parser.parse_args()
    chosen = options.modules or MODULES
    unknown = [name for name in chosen if name not in MODULES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(MODULES)}")
    print(heading(), "", sep="\n", flush=True)
    for line in _lines(chosen, quick=options.quick):
        print(line, flush=True)


def _lines(chosen: Sequence[str], *, quick: bool) -> Iterator[str]:
    figures = [name for name in FIGURES if name in chosen]
    if figures:
        yield from ("| figure | measured | at most | reached |", "|---|---|---|---|")
    for name in figures:
        for figure in importlib.import_module(name).measure():
            yield figure.row()
    if "kernels" in chosen:
        yield from ([""] if figures else [])
        yield from importlib.import_module("kernels").report(quick=quick)


if __name__ == "__main__":
    sys.modules.setdefault("run", sys.modules["__main__"])  # so that the figures' modules import this very file
    main()
