"""Matrices: the kernels entry by entry, and the eNTK block behind one entry."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn

from ntk_explorer.dashboard import readings
from ntk_explorer.dashboard.exports import Figure
from ntk_explorer.dashboard.layout import bar, hint, side_by_side
from ntk_explorer.dashboard.lesson import Lesson
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.dashboard.pictures import SMALL, SQUARE, WIDE, Picture
from ntk_explorer.dashboard.selectors import kernel_select, seed_select, width_select
from ntk_explorer.plots import blocks, examples, matrices


def numbers(model: ExplorerModel) -> list[str]:
    """The chosen pair and the kernels' values for it."""
    block, view = model.block, model.shown.view
    if block is None:
        return [r"\text{Choose a cell of the matrix.}"]
    return [rf"(i, j) = ({view.i}, {view.j})", *readings.block_lines(block)]


LESSON = Lesson(
    text="Row i and column j hold what the gradients for two examples have in common, sorted by class. "
    "Each entry of the eNTK is itself a c×c block, one number for each pair of outputs. "
    "The pNTK replaces the block by its mean direction, the trace kernel by the mean of its diagonal.",
    formula=r"K_{ij} = \tfrac1c \sum_{a,b} \Theta_{ij}^{ab}, \qquad "
    r"\operatorname{tr}_{ij} = \tfrac1c \sum_a \Theta_{ij}^{aa}",
    try_this="Click the brightest cell of the error, then look at its block. Do the same at the largest width.",
    notice="At large width the block is almost a multiple of the identity: one bright diagonal, nothing beside it. "
    "Examples of one class are alike before any training: the squares along the diagonal come from the data.",
    numbers=numbers,
)


@PAGES.register("matrices", label="Matrices", order=3, lesson=LESSON)
def page(model: ExplorerModel) -> pn.viewable.Viewable:
    """Kernel, eNTK and error side by side; under them the chosen pair and its block."""

    def heatmap(name: Callable[[ExplorerModel], str]) -> Callable:
        return lambda m: matrices.kernel_heatmap(m.result, name(m), m.shown.width, m.shown.view.draw, selected=m.cell)

    def error(m: ExplorerModel):
        return matrices.error_heatmap(m.result, m.shown.kernel, m.shown.width, m.shown.view.draw, selected=m.cell)

    def choose(x: float, y: float) -> None:
        model.choose(matrices.cell_at(model.result, x, y))

    draws = (heatmap(lambda _: "entk"), heatmap(lambda m: m.shown.kernel), error)
    pictures = [Picture(model, draw, tab="matrices", size=SQUARE, on_tap=choose) for draw in draws]
    model.figures["matrices"] = lambda m: Figure(
        "error_heatmap", {"kernel": m.shown.kernel, "width": m.shown.width, "seed": m.shown.view.draw}
    )

    def block(draw: Callable, size: tuple[int, int]) -> Picture:
        return Picture(model, draw, tab="matrices", needs=("block",), key=lambda _: None, size=size)

    def example(k: int) -> Picture:
        return Picture(
            model,
            lambda m: examples.example_picture(m.data, m.cell[k]),  # pyright: ignore[reportOptionalSubscript]
            tab="matrices",
            needs=("data", "block"),
            key=lambda _: None,
            size=SMALL,
        )

    pair = example(0), example(1)
    inside = [
        block(lambda m: blocks.block_heatmap(m.block, *m.cell), SQUARE),
        block(lambda m: blocks.block_entries(m.block), WIDE),
    ]
    return pn.Column(
        bar(width_select(model), seed_select(model), kernel_select(model)),
        hint(model, "Click a cell to see the two examples and the eNTK block behind it."),
        side_by_side(*pictures),
        side_by_side(*pair, *inside),
        sizing_mode="stretch_width",
    )
