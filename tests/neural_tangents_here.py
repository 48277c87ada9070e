"""The mark of tests that need neural-tangents; `make test` installs it."""

import pytest

from ntk_explorer.infinite.installed import REMEDY, installed_version

needs_neural_tangents = pytest.mark.skipif(installed_version() is None, reason=f"no neural-tangents. {REMEDY}")
