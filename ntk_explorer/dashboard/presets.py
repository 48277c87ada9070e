"""Ready-made questions: each is a link like any other."""

from __future__ import annotations

from dataclasses import dataclass

import panel as pn

from ntk_explorer.dashboard.links import ExplorerState, View, to_query
from ntk_explorer.dashboard.safe_text import safe_text
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.trajectories.plan import plan_trajectory

CARD_CSS = """
:host > div, .bk-clearfix { height: 100%; }
a { display: flex; flex-direction: column; gap: 6px; padding: 14px 16px; border: 1px solid #8885; border-radius: 10px;
    color: inherit; text-decoration: none; height: 100%; box-sizing: border-box; font-size: 14px; line-height: 1.4; }
a:hover, a:focus { border-color: #0072b2; box-shadow: 0 2px 10px #0072b233; }
b { font-size: 16px; }
svg { height: 48px; width: 120px; fill: none; stroke-width: 2.5; stroke-linecap: round; }
span { opacity: .8; }
"""
BLUE, ORANGE, BLACK = "#0072b2", "#d55e00", "currentColor"
# Sketches of what a card shows, not measurements.
SKETCHES = {
    "falling": f'<path stroke="{BLUE}" d="M6 8 L114 34"/><path stroke="{ORANGE}" d="M6 14 L114 40"/>',
    "steep": f'<path stroke="{BLUE}" d="M6 6 L76 44"/><path stroke="{BLACK}" stroke-dasharray="4 5" d="M6 6 L114 26"/>',
    "levels": f'<path stroke="{BLUE}" d="M6 42 L114 6"/><path stroke="{ORANGE}" d="M6 26 L114 26"/>',
    "spectrum": f'<path stroke="{BLACK}" d="M6 6 C60 10 90 20 114 44"/>'
    f'<path stroke="{BLUE}" d="M6 10 H40 V16 H72 V24 H96 V34 H114"/>',
    "block": "".join(
        f'<rect x="{8 + 11 * a}" y="{2 + 11 * b}" width="9" height="9" stroke="none" fill="{BLUE}" '
        f'fill-opacity="{0.95 if a == b else 0.12}"/>'
        for a in range(4)
        for b in range(4)
    ),
    "learning": f'<path stroke="{BLUE}" d="M6 42 C30 10 70 8 114 7"/>'
    f'<path stroke="{ORANGE}" d="M6 6 C30 34 70 40 114 41"/>',
    "wave": f'<path stroke="{BLUE}" d="M6 24 C24 -8 42 -8 60 24 S96 56 114 24"/>'
    f'<path stroke="{ORANGE}" stroke-dasharray="4 5" d="M6 28 C24 4 42 4 60 24 S96 44 114 20"/>',
    "rings": f'<circle cx="60" cy="24" r="9" stroke="{BLUE}"/><circle cx="60" cy="24" r="21" stroke="{ORANGE}"/>',
    "layers": "".join(
        f'<path stroke="{BLUE}" stroke-opacity="{1 - 0.14 * k}" d="M6 {6 + 7 * k} H114"/>' for k in range(6)
    ),
}


@dataclass(frozen=True)
class Preset:
    """A question, a sentence about it, and the state that shows it; ``name`` is for the command line."""

    name: str
    title: str
    text: str
    icon: str
    state: ExplorerState

    @property
    def link(self) -> str:
        """The query that opens it."""
        return to_query(self.state)


def _preset(name: str, title: str, text: str, icon: str, *, tab: str = "width", training=None, **plan) -> Preset:
    state = ExplorerState(plan=plan_sweep(**plan), view=View.model_validate({"tab": tab}))
    if training is not None:
        training = dict(training)
        sizes = {"n": training.pop("n")} if "n" in training else {}
        data = state.plan.data.model_dump(exclude={"n"}) | sizes
        state = state.train(plan_trajectory(data, state.plan.network, seed=state.plan.seed, **training))
    return Preset(name, title, text, icon, state)


def presets() -> list[Preset]:
    """The cards of the Start tab, in order."""
    return [
        _preset(
            "width",
            "Width makes the kernels agree",
            "Handwritten digits and a three-layer network: the pNTK approaches the eNTK as the network widens.",
            "falling",
        ),
        _preset(
            "one-hidden-layer",
            "One hidden layer is another law",
            "With two weight layers in standard parameterisation the error falls three times as fast, as width to the "
            "power −3/2. Guess why before you read on.",
            "steep",
            network={"architecture": "mlp", "depth": 2},
        ),
        _preset(
            "ntk-parameterization",
            "The same network, another scale",
            "In the NTK parameterisation the kernel no longer grows with width, and one hidden layer returns to −1/2.",
            "levels",
            network={"architecture": "mlp", "depth": 2, "parameterization": "ntk"},
        ),
        _preset(
            "spectrum",
            "What the eigenvalues show",
            "Two rings in the plane: watch the spectra of the eNTK and its surrogates approach one another.",
            "spectrum",
            tab="spectrum",
            data={"name": "rings", "n": 80},
            widths=(16, 32, 64, 128, 256, 512),
        ),
        _preset(
            "block",
            "Inside a block",
            "Five classes of digits: click a pair of images and see the eNTK block that one pNTK number stands for.",
            "block",
            tab="matrices",
            data={"name": "digits", "n": 50, "classes": 5},
            widths=(16, 64, 256, 1024),
            seeds=3,
        ),
        _preset(
            "depth",
            "Does depth matter?",
            "Six weight layers with tanh: the same law, further up. Compare the level at width 64 with the first card.",
            "layers",
            network={"architecture": "mlp", "depth": 6, "activation": "tanh"},
            widths=(16, 32, 64, 128, 256, 512),
            seeds=3,
        ),
        _preset(
            "lazy",
            "Lazy or not? Digits",
            "A network learns to read digits while its kernel turns towards the labels. Would regression with the "
            "kernel have told what it says?",
            "learning",
            tab="training",
            training={"training": {"epochs": 30}, "kernel_at": (0, 1, 2, 3, 5, 8, 12, 18, 30)},
        ),
        _preset(
            "sine",
            "A sine, fitted",
            "One input, one output: see the network, its linearisation and kernel regression as functions, epoch by "
            "epoch.",
            "wave",
            tab="training",
            data={"name": "sine", "n": 40, "seed": 68},  # points far enough apart for kernels that can be inverted
            training={"n": 20, "training": {"epochs": 300, "batch_size": None}},
        ),
        _preset(
            "rings-learnt",
            "Rings: decision surface",
            "Two rings in the plane: who draws the boundary first, the network or its kernel?",
            "rings",
            tab="training",
            data={"name": "rings", "n": 80},
            network={"architecture": "mlp", "depth": 3, "bias": True, "bias_variance": 0.1},
            training={"training": {"epochs": 100}},
        ),
    ]


def card_html(preset: Preset) -> pn.pane.HTML:
    """A preset as a card that is a plain link, drawn with a small curve of its own kind."""
    return pn.pane.HTML(
        f'<a href="{safe_text(preset.link, longest=2000)}"><svg viewBox="0 0 120 48" aria-hidden="true">'
        f"{SKETCHES[preset.icon]}</svg><b>{safe_text(preset.title)}</b><span>{safe_text(preset.text)}</span></a>",
        stylesheets=[CARD_CSS],
        styles={"flex": "1 1 30%", "min-width": "270px"},
        margin=0,
    )
