"""Small files in the formats in which data sets are published, made by the tests themselves."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np

SOURCES = ["mnist", "fashion_mnist", "cifar10", "cifar100", "svhn"]


def images(count: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(count, *shape)).astype(np.uint8)


def labels(count: int, classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + 1).permutation(np.arange(count) % classes)


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", size) for size in array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, train, test, *, packed: bool = True) -> None:
    """Images [N, 28, 28] and labels [N] of both parts."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (x, y) in {"train": train, "t10k": test}.items():
        for kind, content in {"images-idx3-ubyte": idx(x), "labels-idx1-ubyte": idx(y)}.items():
            if packed:
                (folder / f"{name}-{kind}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / f"{name}-{kind}").write_bytes(content)


def planes(x: np.ndarray) -> np.ndarray:
    """Images [N, 32, 32, 3] as CIFAR has them: all red, then all green, then all blue [N, 3072]."""
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1)


def cifar_records(x: np.ndarray, y: np.ndarray, coarse: bool) -> bytes:
    heads = [np.full((len(y), 1), 99), y[:, None]] if coarse else [y[:, None]]
    return np.concatenate([*heads, planes(x)], axis=1).astype(np.uint8).tobytes()


def python2_pickle(x: np.ndarray, y: np.ndarray, key: str) -> bytes:
    """What Python 2's cPickle wrote: strings without an encoding, the array by numpy.core.multiarray._reconstruct."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    data = np.ascontiguousarray(planes(x))
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + text(b"b") + b"\x87R"
    array += b"(" + number(1) + number(data.shape[0]) + number(data.shape[1]) + b"\x86"
    array += dtype + b"\x89" + text(data.tobytes()) + b"tb"
    numbers = b"](" + b"".join(number(int(label)) for label in y) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(key.encode()) + numbers + b"u."


def python3_pickle(x: np.ndarray, y: np.ndarray, key: str) -> bytes:
    return pickle.dumps({b"data": planes(x), key.encode(): y.tolist()}, protocol=2)


def cifar_files(name: str, train, test, write) -> dict[str, bytes]:
    """Contents by the published names; CIFAR-10 has five files to train on."""
    if name == "cifar100":
        return {"train": write(*train), "test": write(*test)}
    cuts = np.array_split(np.arange(len(train[1])), 5)
    files = {f"data_batch_{k}": write(train[0][rows], train[1][rows]) for k, rows in enumerate(cuts, 1)}
    return files | {"test_batch": write(*test)}


def write_cifar(folder: Path, name: str, train, test, *, version: str = "binary", packed: bool = True) -> None:
    """``version``: binary, python2 or python3."""
    key = "fine_labels" if name == "cifar100" else "labels"
    writers = {
        "binary": lambda x, y: cifar_records(x, y, coarse=name == "cifar100"),
        "python2": lambda x, y: python2_pickle(x, y, key),
        "python3": lambda x, y: python3_pickle(x, y, key),
    }
    files = cifar_files(name, train, test, writers[version])
    if version == "binary":
        files = {f"{file}.bin": content for file, content in files.items()}
    kind, number = ("binary" if version == "binary" else "python"), name.removeprefix("cifar")
    inside = f"cifar-{number}-{kind}"
    if number == "10":
        inside = "cifar-10-batches-bin" if kind == "binary" else "cifar-10-batches-py"
    folder.mkdir(parents=True, exist_ok=True)
    if not packed:
        (folder / inside).mkdir()
        for file, content in files.items():
            (folder / inside / file).write_bytes(content)
        return
    with tarfile.open(folder / f"cifar-{number}-{kind}.tar.gz", "w:gz") as archive:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{inside}/{file}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_svhn(folder: Path, train, test) -> None:
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    for name, (x, y) in {"train": train, "test": test}.items():
        content = {"X": np.moveaxis(x, 0, 3), "y": np.where(y == 0, 10, y)[:, None].astype(np.uint8)}
        savemat(folder / f"{name}_32x32.mat", content, do_compression=True)


def write(folder: Path, name: str, *, train: int = 60, test: int = 30):
    """A small data set of any name in the form that is downloaded; returns both parts as they should be read."""
    classes = 100 if name == "cifar100" else 10
    shape = (28, 28) if "mnist" in name else (32, 32, 3)
    parts = [(images(n, shape, seed), labels(n, classes, seed)) for seed, n in enumerate((train, test))]
    if "mnist" in name:
        write_mnist(folder, *parts)
        return [(x[..., None], y) for x, y in parts]
    if name == "svhn":
        write_svhn(folder, *parts)
    else:
        write_cifar(folder, name, *parts)
    return parts
