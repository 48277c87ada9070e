"""What commands that build a network have in common: its options as they are typed."""

from __future__ import annotations

from typing import Any

from ntk_explorer.errors import InvalidInput


def given(**options) -> dict:
    """Options that were given at all; the others keep their defaults."""
    return {name: value for name, value in options.items() if value is not None}


def network_options(arch: str | list[str] | None, pairs: list[str], **common) -> dict:
    """Fields of a network's configuration: architecture, common options, and KEY=VALUE pairs read as YAML."""
    import yaml

    from ntk_explorer.sweeps.plan import DERIVED

    options = given(architecture=arch, **common)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidInput(f"--option {pair!r} is not of the form key=value", "For instance --option bias=true.")
        if key in DERIVED:
            raise InvalidInput(
                f"--option {key} has a place of its own", "Use --widths or --width; shapes come from the data."
            )
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            options[key] = value
    return options


def items(text: str | None) -> list[str] | None:
    """What stands between commas."""
    return None if text is None else [item.strip() for item in text.split(",") if item.strip()]


def numbers(text: str | None) -> list | None:
    """Whole numbers where they are; the plan explains what is wrong with the others."""
    found = items(text)
    return found and [int(item) if item.lstrip("-").isdecimal() else item for item in found]


def one_or_list(text: str | None) -> Any:
    """One value, or a list of several, which makes a grid."""
    values = numbers(text)
    return values[0] if values and len(values) == 1 else values


def merged(filed: dict | str, given: dict, key: str) -> dict:
    """Options of another data set or architecture than the file's do not carry over."""
    filed = {key: filed} if not isinstance(filed, dict) else filed
    if key in given and given[key] != filed.get(key, given[key]):
        return given
    return filed | given
