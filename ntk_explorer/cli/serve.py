"""``ntk-explorer serve``: the dashboard, on this machine unless told otherwise."""

from __future__ import annotations

import errno
import ipaddress
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ntk_explorer.cli import _engine
from ntk_explorer.errors import InvalidInput


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 5006,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    preset: Annotated[str | None, typer.Option(help="Start with one of the cards of the Start tab.")] = None,
    config: Annotated[Path | None, typer.Option(help="Start with a sweep from a YAML file.")] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="Name under which browsers reach the page; repeatable."),
    ] = None,
    store: _engine.StoreOption = None,
    workers: _engine.WorkersOption = 0,
    scheduler: _engine.SchedulerOption = None,
    allow_plain_tcp: _engine.PlainOption = False,
) -> None:
    """Open the dashboard in the browser."""
    from ntk_explorer.store import Store

    _check_host(host, allow_origin or [])
    if find_spec("panel") is None:
        raise InvalidInput("The dashboard's packages are not installed", "Run: pip install 'ntk-explorer[dashboard]'")
    port = _available(host, port)
    Store(store).require_writable()

    from ntk_explorer.dashboard import app

    query = app.start_query(preset=preset, config=config)
    engine = {"workers": workers, "scheduler": scheduler, "allow_plain": allow_plain_tcp}
    app.serve(
        host=host,
        port=port,
        open_browser=open_browser,
        origins=allow_origin or [],
        query=query,
        store=store,
        **(engine if workers or scheduler else {}),
    )


def _check_host(host: str, origins: list[str]) -> None:
    if any("*" in origin for origin in origins):
        raise InvalidInput("Origins are names, not patterns", "Give each as HOST:PORT, for instance lab:5006.")
    if not _is_loopback(host) and not origins:
        raise InvalidInput(
            f"Host {host!r} lets the whole network use this machine",
            "If that is meant (see SECURITY.md), name what browsers will ask for: --allow-origin HOST:PORT.",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _available(host: str, port: int) -> int:
    """The port itself, or a free one for 0; an answer now rather than a traceback from inside the server."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
        try:
            probe.bind((host, port))
        except OSError as error:
            raise _explained(error, host, port) from None
        return probe.getsockname()[1]


def _explained(error: OSError, host: str, port: int) -> InvalidInput:
    if error.errno == errno.EADDRINUSE:
        return InvalidInput(f"Port {port} is in use", "Stop the other program, or choose: --port 0 takes a free one.")
    if error.errno == errno.EACCES:
        return InvalidInput(f"Port {port} is not open to users", "Choose one above 1023, for instance --port 5006.")
    return InvalidInput(f"Cannot listen on {host!r} ({error})", "Use an address of this machine, such as 127.0.0.1.")
