"""Values as the texts of a link, and back: each is checked by the configuration it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ntk_explorer.errors import explain_validation

LONGEST = 2000  # characters of one value


def changed(values: dict[str, Any], default: BaseModel, keys: Mapping[str, str]) -> dict[str, str]:
    """The values that differ from their defaults, as texts, under the link's keys."""
    return {keys.get(k, k): written(v) for k, v in values.items() if v != getattr(default, k)}


def written(value: Any) -> str:
    """A value as text."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(written(item) for item in value)
    return "none" if value is None else str(value)


def checked(model, given: dict[str, str], keys: Mapping[str, str], notices: list[str], **fixed):
    """Take the model's keys out of ``given`` and build it, replacing values it refuses."""
    texts = {name: given.pop(key) for name, key in keys.items() if key in given}
    values = {name: _read(text, model.model_fields[name].annotation) for name, text in texts.items()}
    while True:
        try:
            return model(**fixed, **values)
        except ValidationError as error:
            if not values:
                raise
            bad = {str(item["loc"][0]): item for item in reversed(error.errors()) if item["loc"]}
            for name in [name for name in values if name in bad] or list(values):
                text = texts[name][:80]
                del values[name]
                nearest = _bound(bad.get(name, {}))
                default = model(**fixed) if nearest is None else None
                used = written(getattr(default, name) if nearest is None else nearest)
                if nearest is not None:
                    values[name] = nearest
                cause = explain_validation(error).problem if name not in bad else bad[name]["msg"]
                cause = cause.removeprefix("Value error, ")
                notices.append(f"The link's {keys[name]}={text} was not used ({cause.rstrip('.')}). Using {used}.")


def _read(text: str, annotation: Any) -> Any:
    """Text as what pydantic can check: commas separate the items of a tuple, 'none' is None."""
    text = text[:LONGEST]
    if text == "none":
        return None
    if "tuple" in str(annotation):
        items = [item.strip() for item in text.split(",") if item.strip()]
        return tuple(
            int(item) if "int" in str(annotation) and item.isascii() and item.isdigit() else item for item in items
        )
    return text


def _bound(item: Mapping[str, Any]) -> Any:
    """The nearest allowed value, where the error is about a bound that belongs to the range itself."""
    context = item.get("ctx") or {}
    if str(item.get("input")).strip("+- ").lower() == "nan":
        return None
    return context.get("ge", context.get("le"))
