"""What commands that build a network have in common: its options as they are typed."""

from __future__ import annotations

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
