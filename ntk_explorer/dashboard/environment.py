"""The facts behind the numbers: versions, device, precision, and the sweep's own record."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version

from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.safe_text import safe_text

SCREEN = ("panel", "bokeh", "holoviews", "panel-material-ui")


def facts(model: ExplorerModel) -> str:
    """HTML table of what computed the result on the screen."""
    record = model.result.attrs
    rows = {key: record[key] for key in ("device", "dtype", "created")}
    rows["seed"] = json.loads(record["plan"])["seed"]
    rows["Python"] = platform.python_version()
    rows |= json.loads(record["versions"]) | {name: version(name) for name in SCREEN}
    body = "".join(f"<tr><th>{safe_text(key)}</th><td>{safe_text(value)}</td></tr>" for key, value in rows.items())
    return f'<table class="summary"><caption>What computed the sweep on the screen</caption>{body}</table>'
