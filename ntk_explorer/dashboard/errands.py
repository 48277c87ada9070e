"""Slow work beside the page, such as reading the store: it keeps nobody waiting."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ntk_explorer.errors import NTKExplorerError

log = logging.getLogger(__name__)

T = TypeVar("T")
UNFORESEEN = "This did not work; the server's log says why. Try again."


def errand(
    work: Callable[[], T],
    use: Callable[[T], Any],
    complain: Callable[[str], Any],
    *,
    later: Callable[[Callable[[], Any], float], Any],
) -> None:
    """Do ``work`` in a thread of its own, and hand its result, or what went wrong in words, to the page's thread.

    Args:
        work: touches nothing of the page.
        use: takes the result.
        complain: takes a sentence.
        later: runs an action on the thread that owns the page, as of :class:`ExplorerModel`.
    """

    def go() -> None:
        try:
            answer = partial(use, work())
        except NTKExplorerError as error:
            answer = partial(complain, str(error))
        except Exception:
            log.exception("work beside the page failed")
            answer = partial(complain, UNFORESEEN)
        later(answer, 0)

    threading.Thread(target=go, name="ntk-explorer errand", daemon=True).start()
