"""`make bench`: measure the project's own figures and print one table.

``python benchmarks/run.py import_time sweep`` measures some of them. Figures that are kept, with date and
hardware, are in RESULTS.md.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version

MODULES = ("import_time", "sweep", "dashboard")


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


def heading() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("jax", "numpy", "panel", "bokeh"))
    return (
        f"{date.today().isoformat()} · {processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} · "
        f"Python {platform.python_version()}, {packages}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure figures and print one table.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"some of {', '.join(MODULES)} (default: all)")
    chosen = parser.parse_args().modules or MODULES
    unknown = [name for name in chosen if name not in MODULES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(MODULES)}")
    print(heading(), "", "| figure | measured | at most | reached |", "|---|---|---|---|", sep="\n", flush=True)
    for name in chosen:
        for figure in importlib.import_module(name).measure():
            print(figure.row(), flush=True)


if __name__ == "__main__":
    sys.modules.setdefault("run", sys.modules["__main__"])  # so that the figures' modules import this very file
    main()
