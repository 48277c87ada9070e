"""Ready-made questions: each is a link like any other."""

from __future__ import annotations

from dataclasses import dataclass

from ntk_explorer.dashboard.links import ExplorerState, View, to_query
from ntk_explorer.sweeps.plan import plan_sweep


@dataclass(frozen=True)
class Preset:
    """A question, a sentence about it, and the state that shows it."""

    title: str
    text: str
    icon: str
    state: ExplorerState

    @property
    def link(self) -> str:
        """The query that opens it."""
        return to_query(self.state)


def _preset(title: str, text: str, icon: str, *, tab: str = "width", **plan) -> Preset:
    return Preset(title, text, icon, ExplorerState(plan=plan_sweep(**plan), view=View(tab=tab)))


def presets() -> list[Preset]:
    """The cards of the Start tab, in order."""
    return [
        _preset(
            "Width makes the kernels agree",
            "Handwritten digits and a three-layer network: the pNTK approaches the eNTK as the network widens.",
            "show_chart",
        ),
        _preset(
            "One hidden layer is another law",
            "With two weight layers in standard parameterisation the error falls three times as fast, as width to the "
            "power −3/2. Guess why before you read on.",
            "trending_down",
            network={"architecture": "mlp", "depth": 2},
        ),
        _preset(
            "The same network, another scale",
            "In the NTK parameterisation the kernel no longer grows with width, and one hidden layer returns to −1/2.",
            "straighten",
            network={"architecture": "mlp", "depth": 2, "parameterization": "ntk"},
        ),
        _preset(
            "What the eigenvalues show",
            "Two rings in the plane: watch the spectra of the eNTK and its surrogates approach one another.",
            "stacked_line_chart",
            tab="spectrum",
            data={"name": "rings", "n": 80},
            widths=(16, 32, 64, 128, 256, 512),
        ),
        _preset(
            "Inside a block",
            "Five classes of digits: click a pair of images and see the eNTK block that one pNTK number stands for.",
            "grid_on",
            tab="matrices",
            data={"name": "digits", "n": 50, "classes": 5},
            widths=(16, 64, 256, 1024),
            seeds=3,
        ),
        _preset(
            "Does depth matter?",
            "Six weight layers with tanh: the same law, further up. Compare the level at width 64 with the first card.",
            "layers",
            network={"architecture": "mlp", "depth": 6, "activation": "tanh"},
            widths=(16, 32, 64, 128, 256, 512),
            seeds=3,
        ),
    ]
