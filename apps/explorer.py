"""`panel serve apps/explorer.py`: the same page that `ntk-explorer serve` shows."""

from ntk_explorer.dashboard.app import page

page().servable()
