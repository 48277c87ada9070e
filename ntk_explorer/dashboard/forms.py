"""Widgets made from a configuration's fields: bounds, choices, help and defaults all come from there.

Whoever adds an architecture, or an option to one, changes nothing here.
"""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import panel as pn
import panel_material_ui as pmui
import param
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ntk_explorer.dashboard.safe_text import safe_text
from ntk_explorer.errors import explain_validation

COMPACT = {"size": "small", "sizing_mode": "stretch_width", "margin": (5, 4)}
WORDS = {
    "name": "data set",
    "parameterization": "parameterisation",
    "n": "examples",
    "dtype": "precision",
    "seed": "seed of the subset",
    "optimizer": "optimiser",
    "test": "test examples",
    "kernel_at": "kernels at epochs",
    "points": "kernel points",
    "ridge": "ridge (outside the guarantee)",
    "linearised": "linearised network too",
    "weight_decay": "weight decay",
}
AUTOMATIC = "automatic"
# What a field that is left empty means, where that is not for the program to choose.
EMPTY = {"classes": "all", "batch_size": "all examples"}


def caption(name: str, field: FieldInfo) -> str:
    """What a field is called on the screen."""
    return field.title or WORDS.get(name, name.replace("_", " "))


def widget_for(name: str, field: FieldInfo, choices: dict[str, str] | None = None):
    """The widget for one field of a configuration.

    Args:
        name: the field's name.
        field: its pydantic metadata.
        choices: labels and values, for fields whose values are names from a registry.

    Returns:
        A panel-material-ui widget with the field's bounds, default and description.
    """
    kind, optional = _plain_type(field.annotation)
    common = {"label": caption(name, field), "description": field.description or "", **COMPACT}
    default = field.get_default(call_default_factory=True)
    if get_origin(kind) is tuple:
        if choices:
            boxes = {"size": "small", "margin": (0, 4), "sizing_mode": "stretch_width"}
            return pmui.CheckBoxGroup(label=common["label"], options=choices, value=list(default), inline=True, **boxes)
        return pmui.TextInput(value=_written(name, default), **common)
    if choices or get_origin(kind) is Literal:
        options: Any = choices or list(get_args(kind))
        if optional:
            options = {AUTOMATIC: AUTOMATIC} | {str(value).replace("_", " "): value for value in options}
        return pmui.Select(options=options, value=AUTOMATIC if default is None else default, **common)
    if kind is bool:
        return pmui.Checkbox(value=default, **(common | {"margin": (10, 4)}))
    if kind in (int, float) and not optional:
        low, high = _bounds(field)
        limits = {"start": low, "end": high, "step": _step(kind, default)}
        if kind is int:
            return pmui.IntInput(value=default, format="0", **limits, **common)
        return pmui.FloatInput(value=default, **limits, **common)
    # A number input cannot be empty, so a number that may be left out is text.
    return pmui.TextInput(value=_written(name, default), **common)


def _written(name: str, value: Any) -> str:
    """A value as the text of its field; what is left to the program is said in a word."""
    if value is None or value == ():
        return EMPTY.get(name, AUTOMATIC)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _plain_type(annotation: Any) -> tuple[Any, bool]:
    """The type without ``None``, and whether ``None`` was allowed."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [kind for kind in get_args(annotation) if kind is not type(None)]
        return inner[0], len(inner) < len(get_args(annotation))
    return annotation, False


def _bounds(field: FieldInfo) -> tuple[Any, Any]:
    low = high = None
    for rule in field.metadata:
        if isinstance(rule, (annotated_types.Ge, annotated_types.Interval)):
            low = rule.ge if rule.ge is not None else low
        if isinstance(rule, (annotated_types.Le, annotated_types.Interval)):
            high = rule.le if rule.le is not None else high
        if isinstance(rule, annotated_types.Lt) and isinstance(rule.lt, int):
            high = rule.lt - 1
    return low, high


def _step(kind: type, default: Any) -> Any:
    if kind is float:
        return 0.1
    return 10 if isinstance(default, int) and default >= 50 else 1


def _own_first(config: type[BaseModel]) -> list[str]:
    """A configuration's own fields before the ones it shares with its siblings."""
    shared = {
        name for base in config.__mro__[1:] if base is not BaseModel for name in getattr(base, "model_fields", ())
    }
    return sorted(config.model_fields, key=lambda name: name in shared)


class FieldGroup(pn.viewable.Viewer):
    """The widgets of one configuration class; ``values`` follows them, and can be set.

    ``choices`` gives labels and values for fields that name things of a registry; fields in ``leave_out``
    are decided elsewhere.
    """

    values = param.Dict(default={}, doc="field name -> value, as the widgets show it now")
    problem = param.String(default="", doc="what is wrong with the values, in words; empty when nothing is")

    def __init__(self, config: type[BaseModel], *, leave_out=(), choices=None, fixed=None, **params):
        """Make one widget per field of ``config``; ``fixed`` values complete it when it is checked."""
        super().__init__(**params)
        self.config, self._fixed, self._named = config, fixed or {}, set(choices or ())
        names = [name for name in _own_first(config) if name not in leave_out and name not in self._fixed]
        self.widgets = {name: widget_for(name, config.model_fields[name], (choices or {}).get(name)) for name in names}
        for widget in self.widgets.values():
            # A widget's value is the committed one (Enter, or focus lost), not each key typed.
            widget.param.watch(lambda _: self._read(), "value")
        self._message = pn.pane.HTML("", visible=False, sizing_mode="stretch_width", styles={"color": "#c62828"})
        self._setting = False
        self._read()

    def _read(self) -> None:
        if self._setting:
            return
        values = {name: self._value(name, widget.value) for name, widget in self.widgets.items()}
        try:
            self.config(**self._fixed, **values)
            problem = ""
        except ValidationError as error:
            problem = str(explain_validation(error))
        self._message.object, self._message.visible = safe_text(problem), bool(problem)
        self.param.update(values=values, problem=problem)

    def _value(self, name: str, shown: Any) -> Any:
        """What a widget shows as the field's type; what cannot be read stays text and fails validation."""
        field = self.config.model_fields[name]
        kind, optional = _plain_type(field.annotation)
        if isinstance(shown, str) and shown.strip() in ("", AUTOMATIC, EMPTY.get(name)):
            return None if optional else field.get_default(call_default_factory=True)
        if get_origin(kind) is tuple:
            items = (
                shown if isinstance(shown, list) else [item.strip() for item in str(shown).split(",") if item.strip()]
            )
            return tuple(int(i) if isinstance(i, str) and i.isascii() and i.isdigit() else i for i in items)
        if shown is None and not optional:
            return field.get_default(call_default_factory=True)
        return shown  # pydantic reads a number from its text

    def _kind(self, name: str) -> Any:
        return _plain_type(self.config.model_fields[name].annotation)[0]

    def show(self, values: dict[str, Any]) -> None:
        """Set the widgets, as one change."""
        self._setting = True
        try:
            for name, widget in self.widgets.items():
                if name not in values:
                    continue
                value = values[name]
                if isinstance(widget, pmui.TextInput):
                    value = _written(name, value)
                elif isinstance(widget, pmui.Select) and value is None:
                    value = AUTOMATIC
                widget.value = list(value) if isinstance(value, tuple) else value
        finally:
            self._setting = False
        self._read()

    def __panel__(self):
        """What is chosen by name on top, small fields two abreast, lists below."""
        wide = [w for name, w in self.widgets.items() if get_origin(self._kind(name)) is tuple]
        top = [w for name, w in self.widgets.items() if name in self._named and w not in wide]
        narrow = [w for w in self.widgets.values() if w not in wide and w not in top]
        rows = [pn.Row(*row, sizing_mode="stretch_width") for some in (top, narrow) for row in _pairs(some)]
        return pn.Column(*rows, *wide, self._message, sizing_mode="stretch_width")


def _pairs(items: list) -> list[list]:
    return [items[k : k + 2] for k in range(0, len(items), 2)]
