"""The facts behind the numbers: versions, device, precision, and the sweep's own record."""

from __future__ import annotations

import json
import platform
from importlib import metadata

from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.safe_text import safe_text

PACKAGES = ("ntk-explorer", "jax", "numpy", "scipy", "xarray", "panel", "bokeh", "holoviews", "panel-material-ui")


def facts(model: ExplorerModel) -> str:
    """HTML table of what computed the result on the screen."""
    record = dict(model.result.attrs)
    versions = _mapping(record.pop("versions", "{}"))
    plan = _mapping(record.pop("plan", "{}"))
    rows = {str(key): record[key] for key in ("device", "dtype", "created") if key in record}
    rows["seed"] = plan.get("seed", "")
    rows["Python"] = platform.python_version()
    rows |= {name: versions.get(name) or _installed(name) for name in PACKAGES}
    body = "".join(f"<tr><th>{safe_text(key)}</th><td>{safe_text(value)}</td></tr>" for key, value in rows.items())
    return f'<table class="summary"><caption>What computed the sweep on the screen</caption>{body}</table>'


def _mapping(text: object) -> dict:
    try:
        found = json.loads(str(text))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
