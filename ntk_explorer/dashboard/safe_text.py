"""Strings that came from a user, made inert before they are shown.

Many components render their text as HTML. File names, class names, values from a link and error messages
that quote them therefore pass through here first.
"""

from __future__ import annotations

import html
import unicodedata

LONGEST = 500


def safe_text(text: object, *, longest: int = LONGEST) -> str:
    """The text with HTML escaped, control characters removed, and at most ``longest`` characters of it."""
    visible = "".join(c if c == "\n" or unicodedata.category(c)[0] != "C" else " " for c in str(text))
    if len(visible) > longest:
        visible = visible[: longest - 1] + "…"
    return html.escape(visible, quote=True)
