"""The tabs: each module beside this one registers a page, and is all that has to be added for it.

A page is a function from the session's model to something that can be shown. Its card carries the
``order`` of the tab and the ``lesson`` of the Explain card; a page arranges, it computes nothing.
"""

from ntk_explorer.registry import Registry

PAGES = Registry("tab", __name__)

__all__ = ["PAGES"]
