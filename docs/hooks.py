"""Fills two pages from the code itself, so that nothing has to be written twice."""

import ntk_explorer
from ntk_explorer.cli.listing import registries

CARDS, NAMES = "<!-- cards -->", "<!-- public names -->"


def on_page_markdown(markdown: str, **_) -> str:
    """Put tables of cards, or the documented names, in the place of their marks."""
    if CARDS in markdown:
        markdown = markdown.replace(CARDS, "\n\n".join(_table(*item) for item in registries().items()))
    if NAMES in markdown:
        markdown = markdown.replace(NAMES, "\n\n".join(map(_directive, sorted(ntk_explorer.__all__))))
    return markdown


def _table(kind: str, registry) -> str:
    rows = [
        f"| `{entry.name}` | {entry.label} | {entry.summary} | {_code(entry.equation)} | {entry.reference} |"
        for entry in registry.values()
    ]
    head = ["| name | label | what it is | equation | source |", "|---|---|---|---|---|"]
    return "\n".join([f"## {kind.capitalize()}", "", *head, *rows])


def _code(text: str) -> str:
    return f"`{text}`".replace("|", r"\|") if text else ""


def _directive(name: str) -> str:
    thing = getattr(ntk_explorer, name)
    if callable(thing) and hasattr(thing, "__qualname__"):
        return f"::: {thing.__module__}.{thing.__qualname__}"
    return f"## {name}\n\nRegistry of every {thing.kind}; see [What there is](cards.md)."
