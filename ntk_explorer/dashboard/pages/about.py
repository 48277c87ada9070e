"""About: what computed these numbers, what they can and cannot say, and where the definitions come from."""

from __future__ import annotations

import panel as pn

from ntk_explorer.dashboard.environment import facts
from ntk_explorer.dashboard.layout import side_by_side, table
from ntk_explorer.dashboard.lesson import Lesson
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.pages import PAGES

LIMITS = """
### What to keep in mind
- All kernels here are taken **at initialisation**; nothing is said about a trained network.
- The largest eigenvalue and the Frobenius error come with theorems for wide networks; the **smallest eigenvalue and the
  condition number do not**: their agreement is an observation.
- In float32, eigenvalues below about 10⁻⁷ of the largest are rounding. Choose float64 for condition numbers.
- The interval of a slope is a 95 % t-interval over independent initialisations of one data subset; it says
  nothing about other data.

### Where the definitions come from
- Jacot, Gabriel, Hongler (2018). *Neural tangent kernel: convergence and generalization in neural networks.*
- Mohamadi, Bae, Sutherland (2023). *A fast, well-founded approximation to the empirical neural tangent kernel.* ICML.
- Roy, Vetterli (2007). *The effective rank: a measure of effective dimensionality.* EUSIPCO.
"""

LESSON = Lesson(
    text="A number is worth what is known about its making. "
    "The table lists the software, the device and the precision behind the sweep on the screen. "
    "The same facts travel in every exported file.",
    formula=r"\kappa_{\text{visible}} \lesssim 1/\varepsilon, \qquad \varepsilon_{64} = 2.2 \times 10^{-16}",
    try_this="Set precision to float32 and compare the condition numbers with those in float64.",
    notice="Seeds are explicit: the same link gives the same numbers on the same kind of device.",
    numbers=lambda _model: [],
)


@PAGES.register("about", label="About", order=9, lesson=LESSON)
def page(model: ExplorerModel) -> pn.viewable.Viewable:
    """Facts about the machine and the sweep beside the limits and references."""
    return side_by_side(
        table(model, facts, tab="about"), pn.pane.Markdown(LIMITS, sizing_mode="stretch_width"), least=400
    )
