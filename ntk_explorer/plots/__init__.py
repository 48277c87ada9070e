"""Pictures of results: pure functions from a sweep to HoloViews elements; each module beside this one registers some.

A card's ``needs`` names the variables of the sweep that the figure reads.
"""

from __future__ import annotations

from ntk_explorer.registry import Registry

FIGURES = Registry("figure", __name__)

__all__ = ["FIGURES"]
