"""Gram matrices as pictures, sorted by class: kernels, their errors, their differences."""

from __future__ import annotations

from dataclasses import dataclass

import holoviews as hv
import numpy as np
import xarray as xr

from ntk_explorer.plots import FIGURES, captions, theme
from ntk_explorer.plots.hover import name_the_cell

# 512 × 512 float32 is 1 MB: what one update of a picture may cost.
MOST_CELLS = 512
SIDE = 380
COLUMN, ROW = hv.Dimension("column"), hv.Dimension("row")


@dataclass(frozen=True)
class Grid:
    """Where the examples are in a matrix picture: sorted by label, ``step`` of them to a cell.

    ``order`` [n] is the example at each sorted position, ``labels`` [n] its label.
    """

    order: np.ndarray
    labels: np.ndarray
    step: int

    @property
    def cells(self) -> int:
        """Cells along one side of the picture."""
        return -(-self.order.size // self.step)

    def arrange(self, matrix: np.ndarray) -> np.ndarray:
        """The matrix [n, n] sorted, averaged over step × step entries, as float32 [cells, cells]."""
        matrix = np.asarray(matrix, dtype=float)[np.ix_(self.order, self.order)]
        if self.step > 1:
            starts = np.arange(0, self.order.size, self.step)
            sizes = np.diff(np.append(starts, self.order.size))
            sums = np.add.reduceat(np.add.reduceat(matrix, starts, axis=0), starts, axis=1)
            matrix = sums / np.outer(sizes, sizes)
        return matrix.astype(np.float32)

    def example(self, position: float) -> int | None:
        """The example drawn at a coordinate of the picture, None beside it."""
        index = int(np.floor(position + 0.5)) * self.step
        return int(self.order[index]) if 0 <= index < self.order.size else None

    def position(self, example: int) -> float:
        """The coordinate at which an example is drawn."""
        return float(np.flatnonzero(self.order == example)[0] // self.step)


def grid(ds: xr.Dataset) -> Grid:
    """The sorted and, beyond 512 examples, averaged arrangement of a sweep's examples."""
    labels = ds["label"].values
    order = np.argsort(labels, kind="stable")
    return Grid(order, labels[order], -(-labels.size // MOST_CELLS))


def cell_at(ds: xr.Dataset, x: float, y: float) -> tuple[int, int] | None:
    """The pair of examples (i, j) under a click at (x, y) on any of these heatmaps; None beside the matrix."""
    where = grid(ds)
    i, j = where.example(y), where.example(x)
    return None if i is None or j is None else (i, j)


@FIGURES.register("kernel_heatmap", label="Gram matrix")
def kernel_heatmap(
    ds: xr.Dataset, kernel: str, width: int, seed: int = 0, *, selected: tuple[int, int] | None = None
) -> hv.Overlay:
    """A Gram matrix sorted by class; all kernels of a sweep share the colours of their width and seed.

    The eNTK's c×c blocks are shown as ‖Θ_ij‖_F / √c, which for a multiple of the identity is that multiple.

    Args:
        ds: a sweep, finished or not.
        kernel: a kernel of the sweep, ``entk`` among them.
        width: a width of the sweep.
        seed: a seed whose matrices the sweep has kept.
        selected: a pair of examples (i, j) to mark.

    Returns:
        An overlay of image, class separators and mark; hovering names the two examples and their classes.
    """
    matrices = at(ds["gram"], width, seed)
    label = theme.kernel_style(kernel).label
    what = "eNTK ‖Θ_ij‖ / √c" if kernel == "entk" else f"{label} K_ij"
    colours = limits(matrices.values)
    palette = theme.SEQUENTIAL if colours[0] >= 0 else theme.DIVERGING
    return heatmap(ds, matrices.sel(kernel=kernel).values, what, width, seed, selected, clim=colours, cmap=palette)


@FIGURES.register("error_heatmap", label="Error, entry by entry")
def error_heatmap(
    ds: xr.Dataset, kernel: str, width: int, seed: int = 0, *, selected: tuple[int, int] | None = None
) -> hv.Overlay:
    """Where a kernel misses the eNTK: ‖Θ_ij − K_ij I‖_F / √c, colours shared by the compared kernels.

    Arguments and result as for :func:`kernel_heatmap`.
    """
    errors = at(ds["block_error"], width, seed)
    what = f"{theme.kernel_style(kernel).label} error ‖Θ_ij − K_ij I‖ / √c"
    colours = limits(errors.values)
    shown = errors.sel(compared=kernel).values
    return heatmap(ds, shown, what, width, seed, selected, clim=colours, cmap=theme.ERROR)


@FIGURES.register("difference_heatmap", label="Difference of two kernels")
def difference_heatmap(
    ds: xr.Dataset, kernel: str, other: str, width: int, seed: int = 0, *, selected: tuple[int, int] | None = None
) -> hv.Overlay:
    """Signed difference of two n×n kernels, on colours that are symmetric about zero.

    Arguments and result as for :func:`kernel_heatmap`.
    """
    matrices = at(ds["gram"], width, seed)
    shown = matrices.sel(kernel=kernel).values - matrices.sel(kernel=other).values
    what = f"{theme.kernel_style(kernel).label} − {theme.kernel_style(other).label}"
    most = max(abs(bound) for bound in limits(shown))
    return heatmap(ds, shown, what, width, seed, selected, clim=(-most, most), cmap=theme.DIVERGING)


def at(matrices: xr.DataArray, width: int, seed: int) -> xr.DataArray:
    """The matrices of one run [kernel, x1, x2]; NaN for a seed whose matrices were not kept."""
    dim = "matrix_seed" if "matrix_seed" in matrices.dims else "seed"
    return matrices.sel(width=width).reindex({dim: [seed]}).isel({dim: 0})


def limits(values: np.ndarray) -> tuple[float, float]:
    """A colour range: from 0 to the largest value, or symmetric about 0 when some are negative."""
    finite = values[np.isfinite(values)]
    most = float(np.abs(finite).max(initial=0.0)) or 1.0
    return (-most, most) if finite.size and finite.min() < 0 else (0.0, most)


def heatmap(ds, matrix, what, width, seed, selected=None, *, clim, cmap, when: str = "") -> hv.Overlay:
    """A matrix [n, n] as a picture of the examples of ``ds``; ``what`` it shows and ``when`` go into the title."""
    where, names = grid(ds), captions.class_names(ds)
    cells, edge = np.arange(where.cells), (-0.5, where.cells - 0.5)
    image = hv.Image((cells, cells, where.arrange(matrix)), [COLUMN, ROW], hv.Dimension("value", label=what))
    colours = {"cmap": cmap, "clim": clim, "colorbar": True, "clabel": "", "tools": ["tap"]}
    ticks, sorted_by = class_ticks(where, names), "class" if names else "target"
    return theme.figure(
        [(image, colours | {"normalize": False}), _separators(where), _mark(where, selected)],
        title=_title(matrix, what, width, seed, when, where.step),
        frame_width=SIDE,
        frame_height=SIDE,
        xlim=edge,
        ylim=edge,
        invert_yaxis=True,
        xticks=ticks,
        yticks=ticks,
        xlabel=f"example j, by {sorted_by}",
        ylabel=f"example i, by {sorted_by}",
        show_legend=False,
        hooks=[name_the_cell(where.order, where.labels, names, where.step)],
    )


def heatmap_columns(ds, matrix, what, width, seed, selected=None, *, when: str = "") -> tuple[list[dict], str]:
    """What the sources of :func:`heatmap`'s figure hold, in drawing order, and its title."""
    where = grid(ds)
    edge = {"x": [-0.5], "y": [-0.5], "dw": [where.cells], "dh": [where.cells]}
    others = (_separators(where)[0], _mark(where, selected)[0])
    columns = [{str(d): element.dimension_values(d) for d in element.dimensions()} for element in others]
    title = _title(matrix, what, width, seed, when, where.step)
    return [edge | {"image": [where.arrange(matrix)]}, *columns], title


def _title(matrix, what: str, width: int, seed: int, when: str, step: int) -> str:
    note = f" · a cell = mean of {step}×{step} entries" if step > 1 else ""
    note += " · no matrix kept for this run" if np.isnan(matrix).all() else ""
    return f"{what}\nwidth {width}, seed {seed}{when}{note}"


def boundaries(where: Grid) -> np.ndarray:
    """Positions between two cells at which the class changes; none for regression targets."""
    if not np.issubdtype(where.labels.dtype, np.integer):
        return np.empty(0)
    return np.flatnonzero(np.diff(where.labels)) // where.step + 0.5


def class_ticks(where: Grid, names: list[str], most: int = 20) -> list[tuple[float, str]]:
    """A class's name at the middle of its rows, every k-th where they would not fit; else a few of the labels."""
    if not names:
        shown = np.unique(np.linspace(0, where.cells - 1, 5).round().astype(int))
        return [(float(cell), f"{where.labels[cell * where.step]:.2g}") for cell in shown]
    present = np.unique(where.labels)[:: -(-np.unique(where.labels).size // most)]
    middles = [np.flatnonzero(where.labels == label).mean() // where.step for label in present]
    return [(float(middle), names[int(label)]) for middle, label in zip(middles, present, strict=True)]


def _separators(where: Grid) -> tuple:
    lines, last = boundaries(where), where.cells - 0.5
    start, end = np.full(lines.size, -0.5), np.full(lines.size, last)
    ends = tuple(np.concatenate(pair) for pair in ((start, lines), (lines, start), (end, lines), (lines, end)))
    segments = hv.Segments(ends, [COLUMN, ROW, "column_end", "row_end"])
    return segments, {"color": "white", "line_width": 1, "alpha": 0.8}


def _mark(where: Grid, selected: tuple[int, int] | None) -> tuple:
    pairs = [] if selected is None else [(where.position(selected[1]), where.position(selected[0]))]
    look = {"marker": "s", "size": 14, "fill_alpha": 0, "line_color": theme.CHOSEN, "line_width": 3}
    return hv.Points(pairs, [COLUMN, ROW]), look
