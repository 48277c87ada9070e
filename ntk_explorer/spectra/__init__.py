"""Eigenvalues of a kernel and the numbers that sum them up; each module beside this one may register some."""

from __future__ import annotations

from ntk_explorer.registry import Registry

SUMMARIES = Registry("spectral summary", __name__)

__all__ = ["SUMMARIES"]
