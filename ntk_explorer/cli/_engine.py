"""What commands that start long work have in common: where it is kept, what computes it, and whether it may start."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ntk_explorer.jobs import Backend
    from ntk_explorer.store import Store

StoreOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Where results are kept and found: a folder, or s3://, gs://, az:// [NTK_EXPLORER_STORE, else your own].",
    ),
]
WorkersOption = Annotated[int, typer.Option(min=0, help="Worker processes on this machine; 0: this process alone.")]
SchedulerOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler, tcp://… on this machine, tls://… elsewhere.")
]
PlainOption = Annotated[
    bool, typer.Option("--allow-plain-tcp", help="Let --scheduler name another machine without TLS.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Start large work without asking.")]


@contextmanager
def opened(store: Store, workers: int, scheduler: str | None, *, allow_plain_tcp: bool = False) -> Iterator[Backend]:
    """What computes the tasks, closed at the end; Ctrl-C reaches us wherever it falls."""
    from ntk_explorer.jobs.interrupts import interruptible
    from ntk_explorer.sweeps.engines import open_engine

    options = {"workers": workers, "scheduler": scheduler, "allow_plain": allow_plain_tcp}
    with interruptible(), closing(open_engine(store, **options)) as engine:
        yield engine


def confirm(seconds: float, *, sure: bool) -> None:
    """Ask before large work starts; where nobody can answer, who wrote the command has decided.

    Raises:
        typer.Abort: the answer is no.
    """
    from ntk_explorer.sweeps.estimate import LARGE

    if seconds > LARGE and not sure and sys.stdin.isatty():
        typer.confirm("Start?", abort=True, err=True)
