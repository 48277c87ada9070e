"""Start: ready-made questions, a short tour, and how to bring data and models of one's own."""

from __future__ import annotations

import panel as pn

from ntk_explorer.dashboard.layout import bar, side_by_side
from ntk_explorer.dashboard.lesson import Lesson
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.dashboard.presets import card_html, presets
from ntk_explorer.plots.captions import counts

TOUR = """
1. **Width and error**: each dot is a network. Watch the kernels approach the eNTK as networks widen.
2. **Spectrum**: press play, and see the eigenvalues of eNTK and pNTK bend onto one another.
3. **Matrices**: click a cell, and look inside the block that one pNTK number stands for.
4. Change **depth** or **activation** on the left, predict what happens, then run.
5. **Copy link** (top right) keeps the data, the network, the seed and the view: send it to somebody.
"""
OWN = """
**Your data**: choose *Your own file (.npz)* under Data and drop arrays `x` and `y`. It stays on this machine.

**Your model**: any JAX function `f(params, x)` with one output row per example, flax and equinox models included:

```python
from ntk_explorer import entk, pntk
K = pntk(model.apply, variables, x)      # [n, n]
T = entk(model.apply, variables, x)      # [n, n, c, c]
```
"""
TEXTS = (("A short tour", TOUR), ("Bring your own", OWN))


def numbers(model: ExplorerModel) -> list[str]:
    """The size of both kernels of the present sweep."""
    examples, outputs = counts(model.result)
    return [
        rf"\Theta: {examples * outputs} \times {examples * outputs}",
        rf"K: {examples} \times {examples}",
    ]


LESSON = Lesson(
    text="The neural tangent kernel compares two examples by the gradients that a network has at them. "
    "With c outputs the empirical kernel (eNTK) is a c×c block for each pair, exact but large. "
    "The pNTK keeps one number for each pair, and wide networks make that almost enough.",
    formula=r"\Theta(x, x') = J(x)\, J(x')^{\!\top}, \qquad J = \partial f / \partial \theta",
    try_this="Open the first card, then move through the tabs from left to right.",
    notice="Everything you see is computed while you look, for the digits by a network that has not been trained.",
    numbers=numbers,
)


@PAGES.register("start", label="Start", order=0, lesson=LESSON)
def page(_model: ExplorerModel) -> pn.viewable.Viewable:
    """Preset cards as plain links, then tour and own data side by side."""
    cards = bar(*map(card_html, presets()))
    cards.styles = cards.styles | {"align-items": "stretch"}
    texts = [pn.pane.Markdown(f"### {title}\n{text}", sizing_mode="stretch_width") for title, text in TEXTS]
    return pn.Column(cards, side_by_side(*texts, least=380), sizing_mode="stretch_width", margin=12)
