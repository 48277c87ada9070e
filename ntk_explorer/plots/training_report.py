"""A trajectory as one HTML file: figures, a slider through the kernel epochs and the record; without a network."""

from __future__ import annotations

import holoviews as hv
import xarray as xr

from ntk_explorer.errors import InvalidInput
from ntk_explorer.plots import captions, epochs
from ntk_explorer.plots.along import eigenvalues_along, kernel_changes
from ntk_explorer.plots.errors import errors_along
from ntk_explorer.plots.functions import prediction_curves
from ntk_explorer.plots.regression import accuracies, regression_differences
from ntk_explorer.plots.report import MOST_EXAMPLES, model, page, scrubbed
from ntk_explorer.plots.scatter import output_scatter
from ntk_explorer.plots.surfaces import decision_surface
from ntk_explorer.plots.trained import trained_kernel, trained_spectra
from ntk_explorer.plots.training import learning_curves, learning_rates


def training_report(
    ds: xr.Dataset, *, heading: str = "Along training", width: int | None = None, code: str = ""
) -> str:
    """The figures of a trajectory, its configuration and where it came from, in one file without outside references.

    Args:
        ds: a trajectory, finished or not.
        heading: the title of the page.
        width: the width whose networks are shown; None for the first.
        code: Python lines to print, for instance those that compute the trajectory again.

    Returns:
        The text of the HTML file, about 2 MB, most of it the Bokeh library.
    """
    width = epochs.first(ds, width)
    known = ds["at"].values[ds["at"].values <= epochs.kernel_epoch(ds, None, width)]
    moments = [int(epoch) for epoch in known]
    parts = [model(figure) for figure in _curves(ds, width)]
    parts.insert(2, scrubbed("epoch", moments, [_at(ds, width, epoch) for epoch in moments]))
    return page(ds, parts, heading=heading, setup=f"{captions.regression(ds)}, width {width}", code=code)


def _curves(ds: xr.Dataset, width: int) -> list[hv.Overlay]:
    """Those along the epochs, as far as this trajectory has them."""
    classes = ds.attrs.get("task") != "regression"
    draw = [
        lambda: learning_curves(ds, "accuracy" if classes else "loss", width),
        lambda: learning_curves(ds, "loss", width) if classes else learning_rates(ds, width),
        lambda: accuracies(ds, None, width),
        lambda: kernel_changes(ds, "drift", width),
        lambda: kernel_changes(ds, "alignment", width),
        lambda: eigenvalues_along(ds, None, width),
    ]
    if ds.sizes["compared"] and "relative_frobenius" in ds:
        draw += [lambda: errors_along(ds), lambda: regression_differences(ds, width)]
    return [figure() for figure in draw]


def _at(ds: xr.Dataset, width: int, epoch: int) -> list[hv.Overlay]:
    """Spectra, and of the first seed the kernel and what was learnt, at one epoch."""
    kernel = str(ds["kernel"].values[0])
    figures = [trained_spectra(ds, width, 0, epoch)]
    if ds.sizes["x1"] <= MOST_EXAMPLES:
        figures.append(trained_kernel(ds, kernel, width, 0, epoch))
    try:
        if ds.sizes.get("feature") == 1:
            return [prediction_curves(ds, width, 0, epoch), *figures]
        return [*figures, *(decision_surface(ds, who, width, 0, epoch) for who in ("network", kernel))]
    except InvalidInput:  # more features than can be drawn
        return [*figures, output_scatter(ds, kernel, width, 0, epoch)]
