"""The command line: ``ntk-explorer serve | sweep | train | kernel | spectrum | list | data | doctor | store``.

Commands import what they need when they run, so that ``--help`` and a mistyped option answer at once.
Everything that :mod:`ntk_explorer.errors` calls a user's error ends here, as one message and exit code 2.
"""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Annotated

import typer
from typer.core import TyperGroup

from ntk_explorer.cli import data, doctor, kernel, listing, serve, spectrum, store, sweep, train
from ntk_explorer.errors import NTKExplorerError

BAD_INPUT = 2
INTERRUPTED = 130  # what shells report for a program ended by Ctrl-C


class _Commands(TyperGroup):
    """The one place where errors of a user become messages."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except NTKExplorerError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            typer.echo("\nStopped; what was finished is kept.", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain text: twice as fast, and the same in a file as on a terminal
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("sweep")(sweep.sweep)
app.command("train")(train.train)
app.command("kernel")(kernel.kernel)
app.command("spectrum")(spectrum.spectrum)
app.command("list")(listing.list_cards)
app.command("data")(data.data)
app.command("doctor")(doctor.doctor)
app.add_typer(store.app, name="store")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ntk-explorer {installed_version('ntk-explorer')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Compute, see and understand neural tangent kernels."""


def main() -> None:
    """Entry point of the ``ntk-explorer`` script."""
    app()
