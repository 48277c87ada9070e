"""Kernels along training: a network, its kernels and their regressions at chosen epochs."""
