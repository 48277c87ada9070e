"""What all tests share: double precision, strict shapes, a store of their own and the browser."""

from __future__ import annotations

import gc
import os

# Before numpy and jax are imported: under pytest-xdist each process keeps to one thread of linear algebra, or
# two processes would fight over two cores. Programs that a test starts inherit this as well.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_pool, "1")
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
# No test may depend on a display (matplotlib) or reach for a model hub or index.
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis
import jax
import pytest
from browsers import ARGUMENTS, MISSING, find_chromium, required

# In this process only: the programs that tests start meet the settings that a user meets.
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Most of the time here goes into compiling what runs once. Programs that tests start compile as a user's do.
jax.config.update("jax_disable_most_optimizations", True)

# `make test` must give the same answer twice; HYPOTHESIS_PROFILE=search looks for new counterexamples.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.register_profile("search", deadline=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


@pytest.fixture(scope="session", autouse=True)
def _store_of_the_session(tmp_path_factory):
    """Nothing that tests compute reaches the store of the person who runs them, and no data of theirs are read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NTK_EXPLORER_STORE", str(tmp_path_factory.mktemp("store")))
        patch.setenv("NTK_EXPLORER_INDEX", str(tmp_path_factory.mktemp("index")))
        patch.setenv("NTK_EXPLORER_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(autouse=True)
def store_directory(tmp_path, monkeypatch):
    """An empty store for each test."""
    monkeypatch.setenv("NTK_EXPLORER_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture(scope="module", autouse=True)
def _programs_of_the_module():
    """Compiled programs go with the module that needed them: thousands in one process exhaust its memory maps."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """A Chromium that starts; without one the test is skipped, or fails where NTK_EXPLORER_REQUIRE_BROWSER is set."""
    path = find_chromium()
    if path is None:
        (pytest.fail if required() else pytest.skip)(MISSING)
    return path


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args, chromium_path):
    """pytest-playwright's own fixture, made to use the browser of this machine."""
    return {**browser_type_launch_args, "executable_path": chromium_path, "args": ARGUMENTS}
