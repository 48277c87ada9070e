"""Large symmetric linear maps that are known by their products only: extreme eigenvalues, traces, norms, quadrature.

A map is a symmetric array, or anything with ``shape``, ``dtype``, ``held`` (a pytree of arrays) and
``product(held, v[N, r]) -> [N, r]``, a hashable function that JAX can trace.
"""
