"""Kernels against the eNTK over widths and seeds: planned, computed cell by cell, assembled, written."""
