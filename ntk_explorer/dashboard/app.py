"""The served application: one page per session, one worker and one store per server."""

from __future__ import annotations

import functools
import logging
import signal
import sys
import warnings
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import panel as pn
from bokeh.document import Document
from bokeh.util.warnings import BokehUserWarning
from tornado.websocket import WebSocketClosedError

from ntk_explorer.dashboard.links import ExplorerState, from_query, to_query
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.presets import presets
from ntk_explorer.dashboard.shell import Shell
from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.jobs.worker import WarmWorker
from ntk_explorer.store import Store

TITLE = "NTK Explorer"
WARM_UP = "ntk_explorer.sweeps.warm_up:warm_up"


@dataclass(frozen=True)
class Service:
    """What all sessions of a server share.

    ``engine`` are arguments of :func:`ntk_explorer.jobs.backend` for the worker, which then has others compute; empty
    when it computes itself.
    """

    worker: WarmWorker
    store: Store
    engine: dict[str, Any]


@functools.cache
def service(store: str | None = None, **engine) -> Service:
    """The server's worker, started when it is first asked for and ended with the server's process, and its store."""
    return Service(WarmWorker(warm_up=WARM_UP), Store(store), engine)


def page(shared: Service | None = None):
    """A page for the present session, in the state that its link describes, already computing."""
    shared = shared or service()
    pn.extension("katex", "filedropper", "tabulator", notifications=False, reconnect=True)
    arguments = {key: values[-1].decode("utf-8", "replace") for key, values in pn.state.session_args.items()}
    state, notices = from_query(arguments)
    model = ExplorerModel(
        shared.worker, store=shared.store, engine=shared.engine, state=state, later=_document_thread()
    )
    shell = Shell(model, notices, title=TITLE)
    pn.state.onload(shell.begin)
    pn.state.on_session_destroyed(lambda _context: shell.close())
    return shell.page


def _document_thread() -> Callable[[Callable[[], None], float], None]:
    """A schedule that runs actions on the thread of this session's document, the only one that may touch it."""
    document = pn.state.curdoc

    def wait(document: Document, action: Callable[[], None], seconds: float) -> None:
        document.add_timeout_callback(action, int(1000 * seconds))

    def later(action: Callable[[], None], seconds: float) -> None:
        if document is None:
            action()
            return
        # The session may have gone between the event and its turn.
        with suppress(AttributeError, RuntimeError):
            document.add_next_tick_callback(action if seconds <= 0 else partial(wait, document, action, seconds))

    return later


def start_query(*, preset: str | None = None, config: Path | None = None) -> str:
    """The link's query for a preset, given by number or title, or for a sweep in a YAML file."""
    if config is not None:
        from ntk_explorer.sweeps.files import read_plan

        plan = read_plan(config)
        if plan.data.path is not None:
            remedy = "Leave data.path out, and upload the file or put the folder where `ntk-explorer data` says."
            raise InvalidInput(f"{config} names files, which links do not carry", remedy)
        return to_query(ExplorerState(plan=plan))
    if preset is None:
        return ""
    known = {card.name: card for card in presets()}
    if preset not in known:
        raise UnknownName("preset", preset, known)
    return known[preset].link


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 5006,
    open_browser: bool = True,
    origins: Sequence[str] = (),
    query: str = "",
    store: str | None = None,
    **engine,
) -> None:
    """Serve the dashboard until Ctrl-C; then the worker ends as well.

    Args:
        host: address to listen on; only this machine by default.
        port: port to listen on.
        open_browser: open the page in the browser.
        origins: further HOST:PORT names under which browsers may reach the page.
        query: state to open the browser in, as from :func:`start_query`.
        store: address of the store; None for the user's own.
        **engine: arguments of :func:`ntk_explorer.jobs.backend`: what the worker has others compute.
    """
    # Nothing for a terminal: at each change of theme, panel-material-ui sends a table's own style sheets back.
    warnings.filterwarnings("ignore", "reference already known", BokehUserWarning)
    shared = service(store, **engine)
    logging.getLogger("asyncio").addFilter(_no_goodbye)
    address = f"[{host}]" if ":" in host else host
    url = f"http://{'localhost' if host in ('127.0.0.1', '::1') else address}:{port}/{query}"
    server: Any = pn.serve(  # a Bokeh server; Panel's annotation names what threaded=True returns
        {"/": lambda: page(shared)},
        title=TITLE,
        address=host,
        port=port,
        websocket_origin=sorted({f"localhost:{port}", f"{address}:{port}", *origins}),
        show=False,
        start=False,
        verbose=False,
    )
    print(url, flush=True)
    if open_browser:
        server.io_loop.call_later(0.1, webbrowser.open, url)
    _run(server, shared.worker)


def _no_goodbye(record: logging.LogRecord) -> bool:
    """Leave out the traceback of a page that was closed while something was being sent to it."""
    return not (record.exc_info and record.exc_info[0] and issubclass(record.exc_info[0], WebSocketClosedError))


def _run(server: Any, worker: WarmWorker) -> None:
    """Serve until Ctrl-C or SIGTERM. Bokeh's own way prints as it stops, and never stops if nobody reads that."""
    if sys.platform != "win32":
        server.io_loop.asyncio_loop.add_signal_handler(signal.SIGTERM, server.io_loop.stop)
    server.start()
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
        worker.shutdown()
