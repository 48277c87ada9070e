"""``ntk-explorer data``: where published data sets are looked for, and their download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ntk_explorer.datasets._published import Publication


def data(
    name: Annotated[str | None, typer.Argument(help="Data set to download; without a name all are listed.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where to, and where to look [the user's data folder].")] = None,
) -> None:
    """List the published data sets and where their files belong, or download one of them.

    Files are checked against the published checksums. What is there is not fetched again.
    """
    from ntk_explorer.datasets._published import data_folder
    from ntk_explorer.datasets.download import download, publications
    from ntk_explorer.jobs.progress import bar

    if name is None:
        place = data_folder() if folder is None else folder
        typer.echo(f"Files are looked for where --path says, else in {place}, one folder per data set:\n")
        for publication in publications().values():
            typer.echo(f"{publication.name:14}  {state(publication, folder)}")
        typer.echo(f"{'folder':14}  images of your own, in one folder per class, belong in {place / 'folder'}")
        return
    with bar(f"MB of {name}") as show:
        place = download(name, folder=folder, progress=lambda done, total: show(done // 10**6, total // 10**6, None))
    typer.echo(f"{name} is in {place}")


def state(publication: Publication, folder: Path | None = None) -> str:
    """Whether the files of a data set are there, and where they are or would be."""
    from ntk_explorer.amounts import human_bytes

    place = publication.folder if folder is None else folder.expanduser().absolute()
    lacking = publication.lacks(place)
    if not lacking:
        return f"in {place}"
    files = ", ".join(form.name for form in lacking)
    size = human_bytes(sum(form.bytes for form in lacking))
    return f"not in {place}: `ntk-explorer data {publication.name}` downloads {size} ({files}) from {publication.page}"
