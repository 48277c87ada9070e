"""The figures of a training: which there are depends on its data and its kernels, and is known with the first epoch."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import panel as pn

from ntk_explorer.dashboard.disagreements import disagreements
from ntk_explorer.dashboard.layout import side_by_side, table, tall
from ntk_explorer.dashboard.pictures import SQUARE, Picture
from ntk_explorer.dashboard.training_model import TrainingModel
from ntk_explorer.plots import along, errors, functions, predictors, regression, scatter, surfaces, trained
from ntk_explorer.plots import training as curves

WAITING = "Curves appear here while the network learns: it begins when you press Train on the left."
SURFACE, CLOUD = (320, 372), (420, 430)
LEAST, LEGEND = 420, 520  # pixels of a figure that shares a row, and of one with two lines of predictors below it

Choices = Callable[[TrainingModel], dict[str, Any]]


def run(training: TrainingModel) -> dict[str, Any]:
    """Width and epoch that are looked at."""
    return {"width": training.width, "epoch": training.epoch}


def network(training: TrainingModel) -> dict[str, Any]:
    """The one network at the epoch that is looked at."""
    return run(training) | {"seed": training.view.draw}


def predicting(training: TrainingModel) -> dict[str, Any]:
    """The same, with what regression starts from."""
    return network(training) | {"start": training.view.start}


class Gallery(pn.viewable.Viewer):
    """All figures, linked to the epoch of the player and updated in place."""

    def __init__(self, training: TrainingModel, *, tab: str, **params):
        """Show where to begin until there is something to draw."""
        super().__init__(**params)
        self._training, self._tab = training, tab
        self._kind: tuple = ()
        self.pictures: list[Picture] = []
        waiting = f'<div style="text-align:center;padding:120px 20px;font-size:16px;opacity:.7">{WAITING}</div>'
        self._place = tall(pn.pane.HTML(waiting, sizing_mode="stretch_width"))
        training.param.watch(self._follow, "result")
        self._follow()

    def _follow(self, *_) -> None:
        result = self._training.result
        if result is None:
            return
        kind = (*predictors.names(result), *result.sizes.items(), result.attrs["task"], "grid_input" in result.coords)
        if kind != self._kind:
            self._kind, self.pictures = kind, []
            self._place[:] = self._figures()

    def _figures(self) -> list:
        """What is learnt comes first where it can be drawn as a function of the inputs."""
        result = self._training.result
        drawn = result.sizes["feature"] if "grid_input" in result.coords else 0
        if drawn:
            learnt = self._functions() if drawn == 1 else self._surfaces()
            return [*self._learning(), *learnt, *self._kernels(), *self._along()]
        return [*self._learning(), *self._kernels(), *self._along(), *self._clouds()]

    def _learning(self) -> list:
        """Loss and, of classes, accuracy as they come."""
        classes = self._training.result.attrs["task"] == "classification"
        quantities = ("loss", "accuracy")[: 1 + classes]
        return [side_by_side(*(self._curve(quantity) for quantity in quantities), least=LEAST)]

    def _curve(self, quantity: str) -> Picture:
        return self._picture(curves, "learning_curves", lambda m: {"quantity": quantity, **run(m)}, live=True)

    def _kernels(self) -> list:
        """How the kernel looks and how far it has moved."""
        matrix = self._picture(
            trained, "trained_kernel", lambda m: {"kernel": m.kernel, **network(m)}, frame=_kernel, size=SQUARE
        )
        spectra = self._picture(trained, "trained_spectra", network, height=SQUARE[1])
        drift, alignment = (
            self._picture(along, "kernel_changes", lambda m, name=name: {"quantity": name, **run(m)})
            for name in ("drift", "alignment")
        )
        return [
            side_by_side(matrix, spectra, least=340, fixed=1),
            side_by_side(drift, alignment, least=LEAST),
        ]

    def _along(self) -> list:
        """How good regression is beside the network, the learning rate, and the errors of the kernels."""
        result = self._training.result
        good = self._picture(
            regression, "accuracies", lambda m: run(m) | {"start": m.view.start}, frame=lambda m: m.view.start
        )
        rates = self._picture(curves, "learning_rates", run)
        errors = [self._errors()] if result.sizes.get("compared") and result.sizes["output"] > 1 else []
        return [side_by_side(good, rates, *errors, least=LEGEND)]

    def _errors(self) -> Picture:
        return self._picture(
            errors, "errors_along", lambda m: {"kernel": m.compared, "epoch": m.epoch}, frame=lambda m: m.compared
        )

    def _functions(self) -> list:
        return [self._picture(functions, "prediction_curves", predicting, height=470)]

    def _surfaces(self) -> list:
        names = predictors.names(self._training.result)
        return [side_by_side(*(self._of_predictor(surfaces, "decision_surface", who, SURFACE) for who in names))]

    def _clouds(self) -> list:
        kernel = self._picture(
            scatter, "output_scatter", lambda m: {"predictor": m.kernel, **predicting(m)}, frame=_kernel, size=CLOUD
        )
        pictures, known = [kernel], predictors.names(self._training.result)
        if "linearised" in known:
            pictures.append(self._of_predictor(scatter, "output_scatter", "linearised", CLOUD))
        if "entk" in known and self._training.result.sizes.get("compared"):
            pictures.append(self._against_entk())
        return [side_by_side(*pictures), table(self._training, disagreements, tab=self._tab)]

    def _against_entk(self) -> Picture:
        """Regression with the kernel that stands in for the eNTK, against that with the eNTK."""
        return self._picture(
            scatter,
            "output_scatter",
            lambda m: {"predictor": m.compared, "against": "entk", **predicting(m)},
            frame=lambda m: m.compared,
            size=CLOUD,
        )

    def _of_predictor(self, module: ModuleType, name: str, who: str, size: tuple[int, int]) -> Picture:
        return self._picture(module, name, lambda m: {"predictor": who, **predicting(m)}, size=size)

    def _picture(
        self, module: ModuleType, name: str, choices: Choices, *, live: bool = False, frame: Callable = lambda _: None,
        **options,
    ) -> Picture:  # fmt: skip
        """A figure of plots; what can be scrubbed goes straight to its sources, ``frame`` and the network do not."""
        source = "history" if live else "result"

        def chosen(draw: Callable) -> Callable:
            return lambda m: draw(getattr(m, source), **choices(m))

        picture = Picture(
            self._training,
            chosen(getattr(module, name)),
            columns=chosen(getattr(module, f"{name}_columns")),
            tab=self._tab,
            needs=(source,),
            key=lambda m: tuple(choices(m).values()),
            frame=lambda m: (m.width, m.view.draw, m.view.start, frame(m)),
            **options,
        )
        self.pictures.append(picture)
        return picture

    def __panel__(self):
        """The figures, or where to begin."""
        return self._place


def _kernel(training: TrainingModel) -> str:
    return training.kernel
