"""Published data sets: where their files are expected, and whether they are what was published."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ntk_explorer.amounts import human_bytes
from ntk_explorer.errors import InvalidInput

VARIABLE = "NTK_EXPLORER_DATA"
BLOCK = 1 << 20


def data_folder() -> Path:
    """Where data sets lie, one folder each: ``$NTK_EXPLORER_DATA``, else in the data folder of this system."""
    import platformdirs

    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().absolute() if named else platformdirs.user_data_path("ntk-explorer") / "data"


@dataclass(frozen=True)
class Form:
    """A file or folder by the name it was published under; an unpacked one has no size and no checksum."""

    name: str
    bytes: int = 0
    md5: str = ""


@dataclass(frozen=True)
class Publication:
    """A data set as its authors published it.

    ``needs`` are the parts that are read, each with the forms that will do, the first that is there being used; the
    one with a checksum that comes first is downloaded. ``addresses`` are folders of the web, each with all files.
    """

    name: str
    page: str
    addresses: tuple[str, ...]
    needs: tuple[tuple[Form, ...], ...]

    @property
    def downloads(self) -> tuple[Form, ...]:
        """The files that make it complete where nothing is there."""
        return tuple(next(form for form in forms if form.md5) for forms in self.needs)

    @property
    def bytes(self) -> int:
        """Size of all that is downloaded."""
        return sum(form.bytes for form in self.downloads)

    @property
    def folder(self) -> Path:
        """Where it is looked for when no path is given."""
        return data_folder() / self.name

    def lacks(self, folder: Path) -> list[Form]:
        """What of ``downloads`` is needed, since no form of it is in the folder."""
        parts = zip(self.needs, self.downloads, strict=True)
        return [download for forms, download in parts if _first(forms, folder) is None]

    def find(self, part: int, path: str | None) -> Path:
        """The file or folder of one of the ``needs``, in the folder ``path`` or the usual one.

        Raises:
            InvalidInput: it is not there, or is not what was published.
        """
        folder = self.folder if path is None else Path(os.path.expanduser(path))
        if path is not None and not os.path.isdir(folder):
            problem = f"No folder at {path}, in which {self.name!r} was to be found"
            raise InvalidInput(problem, f"Name the folder that holds {_names(self.downloads)}.")
        found = _first(self.needs[part], folder)
        if found is None:
            raise self.missing(part, folder)
        form, place = found
        # A file of another size is somebody's own in the same format, or incomplete; its reader will tell.
        if form.md5 and place.stat().st_size == form.bytes and checksum(place) != form.md5:
            raise self.damaged(place, "its contents are not those that were published")
        return place

    def missing(self, part: int, folder: Path) -> InvalidInput:
        """That a part is not there: which files, where they belong, and where they are published."""
        forms = " or ".join(form.name for form in self.needs[part])
        problem = f"The data set {self.name!r} needs {forms} in {folder}, which is not there"
        remedy = (
            f"Download {human_bytes(self.bytes)} with `ntk-explorer data {self.name}`, or put {_names(self.downloads)} "
            f"there; they are published at {self.page}."
        )
        return InvalidInput(problem, remedy)

    def damaged(self, path: Path, reason: str) -> InvalidInput:
        """That a file is there but cannot be used, with the expected checksum and the one found."""
        sums = ""
        for form in (form for forms in self.needs for form in forms if form.md5 and form.name == path.name):
            size = path.stat().st_size
            sums = f" (published: {form.bytes} bytes, MD5 {form.md5}; found: {size} bytes, MD5 {checksum(path)})"
        remedy = f"Delete it and run `ntk-explorer data {self.name}`, or fetch it again from {self.page}."
        return InvalidInput(f"{path} is damaged: {reason}{sums}", remedy)


def _first(forms: tuple[Form, ...], folder: Path) -> tuple[Form, Path] | None:
    for form in forms:
        # Whoever names the unpacked folder itself means it.
        places = (folder / form.name, folder) if folder.name == form.name else (folder / form.name,)
        for place in places:
            if os.path.exists(place):
                return form, place
    return None


def _names(forms: tuple[Form, ...]) -> str:
    return ", ".join(form.name for form in forms)


def checksum(path: Path) -> str:
    """MD5 of a file, which is what was published; it tells damage, not malice."""
    total = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            total.update(block)
    return total.hexdigest()
