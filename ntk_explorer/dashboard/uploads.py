"""A user's own .npz, kept in a private folder of the session and gone with it."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import panel as pn
import param

from ntk_explorer.dashboard.safe_text import safe_text

LARGEST = "25MB"
LARGEST_BYTES = 25_000_000


class Upload(pn.viewable.Viewer):
    """A drop area; ``path`` is the stored file, named by its content and never by its sender."""

    path = param.String(default=None, allow_None=True, doc="where the last accepted file was stored")

    def __init__(self, **params):
        """Nothing is written before a file arrives."""
        super().__init__(**params)
        self._folder: tempfile.TemporaryDirectory | None = None
        # A dropper, since a plain file input closes the connection above 20 MB. It is given no accepted types: it
        # compares them with the browser's, and browsers know none for .npz.
        self._dropper = pn.widgets.FileDropper(
            max_file_size=LARGEST,
            max_total_file_size=LARGEST,
            multiple=False,
            sizing_mode="stretch_width",
            height=104,
        )
        self._message = pn.pane.HTML(
            f"Arrays <code>x</code> [N, …] and <code>y</code> [N], no pickles, at most {LARGEST}.",
            sizing_mode="stretch_width",
        )
        self._dropper.param.watch(self._received, "value")

    def _received(self, event) -> None:
        for name, content in (event.new or {}).items():
            self.keep(name, content)

    def keep(self, name: str, content: bytes) -> None:
        """Store one file; what is inside is judged by the data set's own reader."""
        if isinstance(content, str) or len(content) > LARGEST_BYTES:
            self._message.object = safe_text(f"{name!r} is not an .npz file of at most {LARGEST}.")
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="ntk-explorer-")
        # The content names the file: another upload is another path, so no stored result is mistaken for it.
        file = Path(self._folder.name) / f"{hashlib.sha256(content).hexdigest()[:16]}.npz"
        file.write_bytes(content)
        self._message.object = f"Using <b>{safe_text(name, longest=80)}</b> ({len(content) / 1e6:.2f} MB)."
        self.path = str(file)

    def close(self) -> None:
        """Delete what was uploaded."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __panel__(self):
        """The drop area and one line about it."""
        return pn.Column(self._dropper, self._message, sizing_mode="stretch_width")
