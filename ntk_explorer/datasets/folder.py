"""A user's own images: a folder with one subfolder per class, or with train/ and test/ of that kind."""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ntk_explorer.datasets._base import DataConfig, RawData
from ntk_explorer.datasets._published import data_folder
from ntk_explorer.datasets._subset import DATASETS
from ntk_explorer.errors import InvalidInput

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
# Other formats of Pillow start programs (EPS) or read neighbouring files.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
GREY, COLOUR = {"1", "L", "LA"}, {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
MAX_BYTES = 10**9  # of all images of one part, unpacked
MAX_PIXELS = 50_000_000  # of one image
MAX_CLASSES = 1000
LAYOUT = "Put the images of each class into a folder of its own: flowers/rose/1.png, flowers/tulip/2.png, …"


@DATASETS.register(
    "folder",
    label="Your own images (folder)",
    tags={"classification", "image", "folder", "any-shape"},
    reference="one folder of images per class, as torchvision's ImageFolder reads them",
    cost=f"up to {MAX_BYTES // 10**9} GB of pixels",
    split=(100, 100),
)
def folder(config: DataConfig) -> RawData:
    """Images in one folder per class, all grey or in colour, of one size or resized to ``shape``.

    Classes are the folders in order of their names. Where there is a folder ``train``, its folders are the classes,
    and ``test`` beside it is the published test set. Transparency is ignored.
    """
    root = _root(config.path)
    if not (root / "train").is_dir():
        return _read(root, config, _classes(root))
    names = _classes(root / "train")
    test = partial(_read, root / "test", config, names) if (root / "test").is_dir() else None
    return _read(root / "train", config, names, test=test)


def _root(path: str | None) -> Path:
    root = data_folder() / "folder" if path is None else Path(os.path.expanduser(path))
    if not os.path.isdir(root):
        where = "" if path is None else " It is relative to where the program was started."
        raise InvalidInput(f"No folder of images at {root}", LAYOUT + where)
    return root


def _classes(root: Path) -> tuple[str, ...]:
    names = _folders(root)
    if not 2 <= len(names) <= MAX_CLASSES:
        found = "no folders" if not names else f"{len(names)} folder{'s' * (len(names) > 1)}"
        raise InvalidInput(f"{root} holds {found} instead of 2 to {MAX_CLASSES}", LAYOUT)
    return names


def _folders(root: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")))


def _read(root: Path, config: DataConfig, names: tuple[str, ...], test=None) -> RawData:
    """All images of the classes, in order of classes and names of files."""
    if strange := sorted(set(_folders(root)) - set(names)):
        raise InvalidInput(f"{root} has a folder {strange[0]!r}, which no class of training has", "Rename or move it.")
    files = [(file, label) for label, name in enumerate(names) for file in _images(root / name)]
    shape = _shape([file for file, _ in files], config)
    x = np.empty((len(files), *shape), dtype=np.uint8)
    for row, (file, _) in zip(x, files, strict=True):
        row[:] = _pixels(file, shape)
    return RawData(x, np.array([label for _, label in files]), names, image=True, test=test)


def _images(place: Path) -> list[Path]:
    files = sorted(file for file in place.iterdir() if file.suffix.lower() in SUFFIXES) if place.is_dir() else []
    if not files:
        raise InvalidInput(f"{place} holds no image ({', '.join(sorted(SUFFIXES))})", LAYOUT)
    return files


def _shape(files: list[Path], config: DataConfig) -> tuple[int, int, int]:
    """Height, width and channels of all images, from their headers, before any is unpacked."""
    wanted = config.shape
    if wanted is not None and (len(wanted) != 3 or wanted[2] not in (1, 3)):
        raise InvalidInput(f"Images have height, width and 1 or 3 channels, got shape={wanted}", "Say (32, 32, 3).")
    sizes, grey = {}, True
    for file in files:
        size, is_grey = _header(file)
        sizes.setdefault(size, file)
        grey = grey and is_grey
        if wanted is None and len(sizes) > 1:
            (first, example), (other, _) = sizes.items()
            problem = f"{file} has {other[1]}×{other[0]} pixels, but {example} has {first[1]}×{first[0]}"
            raise InvalidInput(
                problem, f"Give shape=({first[0]}, {first[1]}, 3) to resize them, or save them in one size."
            )
    shape = wanted or (*next(iter(sizes)), 1 if grey else 3)
    if len(files) * math.prod(shape) > MAX_BYTES:
        problem = f"{len(files)} images of shape {shape} are {len(files) * math.prod(shape) / 1e9:.1f} GB"
        raise InvalidInput(problem, f"Give a smaller shape, or fewer images: at most {MAX_BYTES / 1e9:.0f} GB.")
    return shape


def _header(file: Path) -> tuple[tuple[int, int], bool]:
    """Height and width, and whether it is grey."""
    with _opened(file) as image:
        if image.mode not in GREY | COLOUR:
            remedy = "Save it with 8 bits per channel, in grey or in colour."
            raise InvalidInput(f"{file} has pixels of the type {image.mode!r}", remedy)
        if image.width * image.height > MAX_PIXELS:
            raise InvalidInput(f"{file} has {image.width}×{image.height} pixels", f"Save at most {MAX_PIXELS:,}.")
        return (image.height, image.width), image.mode in GREY


def _pixels(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
    with _opened(file) as image:
        try:
            plain = image.convert("L" if shape[2] == 1 else "RGB")
        except Exception as error:
            # Decoders raise almost anything on damaged bytes; all of it is about the file.
            raise _damaged(file, error) from None
        if plain.size != (shape[1], shape[0]):
            plain = plain.resize((shape[1], shape[0]))
        return np.asarray(plain).reshape(shape)


def _opened(file: Path) -> Image.Image:
    try:
        # Not above: it takes a while to import, and only images need it.
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise InvalidInput("Images are read by Pillow, which is not installed", "Run: pip install pillow") from None
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise InvalidInput(
            f"{file} is no image in any of {', '.join(FORMATS)}", "Save it again, or remove it."
        ) from None
    except Exception as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> InvalidInput:
    return InvalidInput(f"{file} is damaged ({error})", "Save it again, or remove it.")
