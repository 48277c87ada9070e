"""The Export menu: figure, data, page, configuration and code of what is on the screen."""

from __future__ import annotations

import io
from collections.abc import Callable

import panel as pn
import panel_material_ui as pmui

from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.sweeps import files


def export_menu(model: ExplorerModel) -> pn.Row:
    """A button that opens a list of downloads; each is made when it is asked for."""
    button = pmui.Button(label="Export", icon="download", variant="text", sx={"color": "white"}, margin=2)
    downloads = [
        ("Data as CSV", "sweep.csv", lambda: files.to_csv(model.result)),
        ("Data as NetCDF", "sweep.nc", lambda: files.to_netcdf(model.result)),
        ("Configuration (YAML)", "sweep.yaml", lambda: files.plan_to_yaml(model.shown.plan).encode()),
    ]
    popup = pmui.Popup(*(_download(*item) for item in downloads), open=False)
    button.on_click(lambda _: popup.param.update(open=True))
    return pn.Row(button, popup, margin=0)


def _download(label: str, filename: str, content: Callable[[], bytes]) -> pmui.FileDownload:
    return pmui.FileDownload(
        callback=lambda: io.BytesIO(content()), filename=filename, label=label, variant="text", width=230, margin=4
    )
