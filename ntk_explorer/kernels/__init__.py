"""Kernels of a network, and functions from kernels to kernels: each module beside this one registers some.

These modules import jax only inside the functions that compute, so that menus, links and the command
line can read the cards without it.
"""

from __future__ import annotations

from typing import Any

from ntk_explorer.errors import InvalidInput
from ntk_explorer.registry import Entry, Registry

KERNELS = Registry("kernel", __name__)
TRANSFORMS = Registry("transform", __name__)

__all__ = ["KERNELS", "TRANSFORMS", "card_of", "incomparable", "shares_limit"]

FACTS = ("tiled", "costs", "roads")
_INCOMPARABLE = {
    "per-output": "is the kernel that the others are compared with",
    "uses-labels": "uses labels, so it does not stand in for the eNTK",
    "features": "is made of features without gradients, so it does not stand in for the eNTK",
}


def card_of(kernel: Any) -> Entry:
    """The card of a kernel: of a name, of one of the kernel functions, or of what the transforms return.

    Raises:
        UnknownName: no kernel is called so.
        InvalidInput: it is neither registered nor made by a transform, or its card does not say how it is computed.
    """
    card = _found(kernel)
    if missing := [fact for fact in FACTS if fact not in card.extras]:
        raise InvalidInput(
            f"The card of {card.name} lacks {', '.join(missing)}", "Register it with **facts(...) of kernels/_ways.py."
        )
    return card


def _found(kernel: Any) -> Entry:
    if isinstance(kernel, str):
        return KERNELS[kernel]
    if isinstance(kernel, Entry):
        return kernel
    card = getattr(kernel, "card", None)
    if isinstance(card, Entry):
        return card
    for entry in KERNELS.values():
        if entry.function is kernel:
            return entry
    raise InvalidInput(
        f"{kernel!r} is no kernel", f"Give one of {', '.join(KERNELS)}, or what one of {', '.join(TRANSFORMS)} returns."
    )


def incomparable(entry: Entry) -> str:
    """Why a kernel has no place among those that stand in for the eNTK: the end of a sentence, empty if it has one."""
    return next((reason for tag, reason in _INCOMPARABLE.items() if tag in entry.tags), "")


def shares_limit(name: str) -> bool:
    """Whether a kernel tends to the infinite-width NTK as the eNTK does: itself, or a contraction of its blocks."""
    card = KERNELS[name]
    return "per-output" in card.tags or "from_blocks" in card.extras
