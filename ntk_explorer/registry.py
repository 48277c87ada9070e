"""One table per kind of thing (kernels, architectures, data sets …), filled by decorators.

A thing is added by one new module, or one new function in a module, beside its siblings: the registry
imports the public modules of its package when it is first read, and the modules that installed
distributions name in the entry-point group ``ntk_explorer.plugins``. Menus, command-line choices, tables
in the documentation and the contract tests are all made from these cards.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, TypeVar

from ntk_explorer.errors import UnknownName

PLUGINS = "ntk_explorer.plugins"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """The card of one thing: what it is called, defined by, taken from and what it costs.

    ``config`` is the pydantic model of its options where it has any; ``extras`` are facts that one kind
    of thing needs and others lack.
    """

    name: str
    label: str
    function: Callable[..., Any]
    equation: str = ""
    reference: str = ""
    cost: str = ""
    tags: frozenset[str] = frozenset()
    config: Any = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first sentence of the function's docstring."""
        return (inspect.getdoc(self.function) or "").split("\n\n")[0].replace("\n", " ")

    def __call__(self, *args, **kwargs):
        """Call the thing itself."""
        return self.function(*args, **kwargs)


class Registry(Mapping[str, Entry]):
    """Cards by name, in the order they were registered; reading it discovers the siblings first."""

    def __init__(self, kind: str, package: str):
        """``kind`` is the word used in messages; ``package`` is where the siblings live."""
        self.kind = kind
        self._package = package
        self._entries: dict[str, Entry] = {}
        self._discovered = False

    def register(self, name: str, *, label: str, tags=(), config=None, equation="", reference="", cost="", **extras):
        """Decorate the function that does the thing; returns it unchanged."""

        def decorate(function: F) -> F:
            known = self._entries.get(name)
            if known and (known.function.__module__, known.function.__qualname__) != (
                function.__module__,
                function.__qualname__,
            ):
                msg = f"two {self.kind}s are called {name!r}: {known.function.__module__} and {function.__module__}"
                raise TypeError(msg)
            self._entries[name] = Entry(
                name, label, function, equation, reference, cost, frozenset(tags), config, extras
            )
            return function

        return decorate

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True  # before the imports: a sibling may read the registry while it is imported
        try:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                if not module.name.startswith("_"):
                    importlib.import_module(f"{self._package}.{module.name}")
            for plugin in entry_points(group=PLUGINS):
                plugin.load()
        except BaseException:
            self._discovered = False  # else the next reader would find a part and take it for the whole
            raise

    def __getitem__(self, name: str) -> Entry:
        """The card called ``name``; UnknownName, with the nearest match, when there is none."""
        self._discover()
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName(self.kind, name, self._entries) from None

    def __contains__(self, name: object) -> bool:
        """Whether a card has this name (Mapping's own test would need KeyError from ``__getitem__``)."""
        self._discover()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        """Names in order of registration."""
        self._discover()
        return iter(self._entries)

    def __len__(self) -> int:
        """Number of cards."""
        self._discover()
        return len(self._entries)
