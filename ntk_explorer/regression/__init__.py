"""Predicting with kernels: kernel regression, and training of the linearised network in closed form."""
