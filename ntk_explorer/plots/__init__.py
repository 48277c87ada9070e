"""Pictures of results: pure functions from a sweep to HoloViews elements; each module here registers some."""

from __future__ import annotations

from ntk_explorer.registry import Registry

FIGURES = Registry("figure", __name__)

__all__ = ["FIGURES"]
