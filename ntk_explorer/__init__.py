"""NTK Explorer: compute, see and understand neural tangent kernels.

The public names are listed in ``__init__.pyi``; each is imported when it is first used, so that
``import ntk_explorer`` costs next to nothing and the command line starts at once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
