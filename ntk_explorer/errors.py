"""Messages that a person can act on: what is wrong, with which value, and what to do about it.

Everything a user can cause raises a subclass of :class:`NTKExplorerError`; the command line prints it and
exits with 2, the dashboard shows it as text. Anything else is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pydantic


class NTKExplorerError(Exception):
    """Base of all errors a user can cause: ``problem`` names cause and value, ``remedy`` says what to do."""

    def __init__(self, problem: str, remedy: str = ""):
        """Join the two sentences into the message; both stay readable as attributes."""
        self.problem = problem.rstrip(".") + "."
        self.remedy = remedy
        super().__init__(f"{self.problem} {remedy}".strip())

    def __reduce__(self):
        # Exceptions are pickled by the arguments of their class, which differ here (UnknownName takes three).
        return _again, (type(self), self.problem, self.remedy)


def _again(cls: type[NTKExplorerError], problem: str, remedy: str) -> NTKExplorerError:
    error = cls.__new__(cls)
    NTKExplorerError.__init__(error, problem, remedy)
    return error


class InvalidInput(NTKExplorerError, ValueError):
    """A value, shape or file that no computation can start from."""


class UnknownName(InvalidInput):
    """A name that is in no registry; offers the nearest match and the whole list."""

    def __init__(self, kind: str, name: object, known: Iterable[str]):
        """Compare ``name`` with the ``known`` names of one ``kind`` of thing."""
        known = sorted(known)
        near = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        super().__init__(f"Unknown {kind} {str(name)!r}", f"{guess}Available: {', '.join(known)}.")


class TooLarge(NTKExplorerError, MemoryError):
    """An estimate beyond the memory at hand; raised before any work starts."""


class NotConverged(NTKExplorerError, ArithmeticError):
    """An iteration that ended before its result was as accurate as it has to be."""


class Cancelled(NTKExplorerError):
    """The user stopped the work; what was finished by then is kept."""


def explain_validation(error: pydantic.ValidationError) -> InvalidInput:
    """One sentence per offending field of a configuration, in the words of its own validators."""
    return InvalidInput("; ".join(_field_sentence(item) for item in error.errors()))


def _field_sentence(item) -> str:
    cause = (item.get("ctx") or {}).get("error")
    if isinstance(cause, NTKExplorerError):
        return str(cause).rstrip(".")
    field = ".".join(str(part) for part in item["loc"]) or "configuration"
    message = item["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{field}: {message}, got {item['input']!r}"
