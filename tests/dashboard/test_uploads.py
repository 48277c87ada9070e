import io
from pathlib import Path

import numpy as np

from ntk_explorer.dashboard.uploads import LARGEST_BYTES, Upload
from ntk_explorer.datasets import load_dataset


def npz(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    np.savez(buffer, x=rng.normal(size=(20, 3)), y=np.arange(20) % 2)
    return buffer.getvalue()


def test_a_file_is_stored_under_the_name_of_its_content():
    upload = Upload()
    hostile = "../../<img src=x onerror=alert(1)>.npz"
    upload.keep(hostile, npz(0))
    path = Path(upload.path)
    assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0
    assert "img" not in str(path)
    assert "<img" not in upload._message.object
    assert load_dataset("npz", n=10, path=str(path)).x.shape == (10, 3)
    first = upload.path
    upload.keep("again.npz", npz(1))
    assert upload.path != first
    upload.close()
    assert not path.parent.exists()


def test_a_file_beyond_the_limit_is_refused():
    upload = Upload()
    upload.keep("large.npz", bytes(LARGEST_BYTES + 1))
    assert upload.path is None
    assert "large.npz" in upload._message.object
