"""Small artefacts, and the places where they are tried."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import xarray as xr

from ntk_explorer.store import Identity, Store

ARRAYS = 8


def a_dataset(shift=0.0):
    return xr.Dataset(
        {
            "gram": (("x1", "x2"), np.arange(12, dtype=np.float32).reshape(3, 4) + np.float32(shift)),
            "eigenvalues": (("rank",), np.linspace(1, 0, 5) + shift, {"units": "1"}),
            "trace": ((), 3.5),
            "empty": (("none",), np.zeros(0)),
            "same": (("rank",), np.zeros(5, np.int64)),
        },
        coords={"x1": ["a", "bc", "λ"], "label": ("x2", np.arange(4)), "ids": ("x2", ["p", "q", "r", "s"])},
        attrs={"plan": "{}", "n": 3},
    )


def an_identity(number=0, **fields):
    return Identity(producer="test", revision=1, config={"number": number}, **fields)


def fill_shared(store, values, chunk=2, number=0):
    attempt = store.shared(an_identity(number))
    attempt.create("kernel", values.shape, values.dtype, ("x1", "x2"), chunks=(chunk, chunk))[...] = values
    return attempt


def age(path, days):
    """Make a file, or all files of a folder, look as if they had been written long ago."""
    for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
        then = time.time() - days * 86_400
        os.utime(each, (then, then))


def write_for_ever(address):
    """What a process does that is killed in the middle of it."""
    store = Store(address)
    large = xr.Dataset({f"a{number}": (("x1", "x2"), np.ones((600, 600))) for number in range(ARRAYS)})
    for number in range(10_000):
        store.put(an_identity(number), large)


class Emulator:
    """A bucket of S3 on loopback."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not self._made():
            assert self.process.poll() is None, "the emulator ended"
            assert time.monotonic() < end, "the emulator does not answer"
            time.sleep(0.05)

    def _made(self):
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{self.url}/bucket", method="PUT")):
                return True
        except OSError:
            return False

    @property
    def variables(self):
        return {
            "AWS_ACCESS_KEY_ID": "anyone",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)
