import importlib.util

import pytest
from store_samples import Emulator

from ntk_explorer.store import Store


@pytest.fixture(scope="session")
def emulator():
    """An S3 emulator that runs for the session."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto is not installed")
    running = Emulator()
    yield running
    running.close()


@pytest.fixture
def bucket(emulator, monkeypatch):
    """Reach the emulator as a user reaches a bucket."""
    for name, value in emulator.variables.items():
        monkeypatch.setenv(name, value)
    return "s3://bucket"


@pytest.fixture
def store(tmp_path):
    """In a folder, which is not made yet."""
    return Store(tmp_path / "artefacts")


@pytest.fixture(params=["folder", "memory", "bucket"])
def any_store(request, tmp_path):
    """In every kind of place."""
    if request.param == "folder":
        return Store(tmp_path / "artefacts")
    place = "memory:/" if request.param == "memory" else request.getfixturevalue("bucket")
    return Store(f"{place}{tmp_path}")
