"""How well one kernel stands in for another, and how that scales; each module beside this one may register measures."""

from __future__ import annotations

from ntk_explorer.registry import Registry

MEASURES = Registry("measure", __name__)

__all__ = ["MEASURES"]
