"""``ntk-explorer store``: what is kept, whether it is sound, and room for more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ntk_explorer.cli._engine import StoreOption

if TYPE_CHECKING:
    from ntk_explorer.store import Manifest, Store

SHOWN = 12  # digits of a key in a list: enough to tell a million artefacts apart
ORDERS = ("created", "size", "seconds", "producer", "title")
DAMAGE_FOUND = 1

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
Key = Annotated[str, typer.Argument(help="A key, or how it begins.")]
Keys = Annotated[list[str], typer.Argument(help="Keys, or how they begin.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _store() -> None:
    """Look at stored results, check them, move them, make room."""


@app.command("ls")
def ls(
    producer: Annotated[str | None, typer.Option(help="Only what this producer computed.")] = None,
    sort: Annotated[str, typer.Option(help=f"One of {', '.join(ORDERS)}.")] = "created",
    as_json: AsJson = False,
    store: StoreOption = None,
) -> None:
    """List all artefacts, with their sizes and what they cost."""
    from ntk_explorer.errors import UnknownName

    if sort not in ORDERS:
        raise UnknownName("order", sort, ORDERS)
    opened = _open(store)
    manifests, pins = opened.manifests(producer), opened.pins()
    manifests.sort(key=lambda m: _value(m, sort), reverse=sort in ("created", "size", "seconds"))
    if as_json:
        return _print_json([_row(manifest, pins) for manifest in manifests])
    for manifest in manifests:
        typer.echo(_line(manifest, pins))
    return typer.echo(_total(opened, manifests))


@app.command("show")
def show(key: Key, as_json: AsJson = False, store: StoreOption = None) -> None:
    """Print all that is known of an artefact."""
    import json

    import yaml

    opened = _open(store)
    manifest = opened.manifest(_find(opened, key))
    if manifest is None:  # found damaged, or removed, between the two
        raise _no_artefact(key)
    known = json.loads(manifest.model_dump_json()) | {"pinned": manifest.key in opened.pins()}
    if as_json:
        return _print_json(known)
    known["files"] = f"{len(manifest.files)} of {_size(manifest.nbytes)}"
    known["folder"] = f"{opened.address}/{manifest.folder}"
    return typer.echo(yaml.safe_dump(known, sort_keys=False, allow_unicode=True, width=110).rstrip())


@app.command("verify")
def verify(
    deep: Annotated[bool, typer.Option("--deep", help="Read every byte, not only the checksums' ends.")] = False,
    store: StoreOption = None,
) -> None:
    """Check all artefacts; damaged ones go to quarantine, and the exit code is 1."""
    opened = _open(store)
    report = opened.verify(deep=deep)
    for key in report.damaged:
        typer.echo(f"{key} is damaged: moved to {opened.address}/quarantine")
    typer.echo(f"{len(report.sound)} sound, {len(report.damaged)} damaged; {len(opened.quarantined)} in quarantine")
    if report.damaged:
        raise typer.Exit(DAMAGE_FOUND)


@app.command("gc")
def gc(
    cap: Annotated[str | None, typer.Option(help="Size to keep, e.g. 5GB [$NTK_EXPLORER_STORE_CAP, or 20GB].")] = None,
    store: StoreOption = None,
) -> None:
    """Remove leftovers, then what is least worth keeping until the store is within its size."""
    from ntk_explorer.amounts import read_bytes

    done = _open(store).collect(None if cap is None else read_bytes(cap))
    for manifest in done.evicted:
        typer.echo(f"removed {_line(manifest, set())}")
    typer.echo(f"{_size(done.orphan_bytes)} of leftovers and {len(done.evicted)} artefacts removed")
    typer.echo(f"{_size(done.bytes)} kept, {_size(done.cap)} allowed")
    if done.bytes > done.cap:
        typer.echo("What is left is pinned, or belongs to something pinned.")


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="The file to write, e.g. results.tar.")],
    keys: Keys,
    store: StoreOption = None,
) -> None:
    """Write artefacts, and those they were computed from, to one file."""
    opened = _open(store)
    written = opened.export([_find(opened, key) for key in keys], out)
    typer.echo(f"{len(written)} artefacts written to {out} ({_size(out.stat().st_size)})")


@app.command("import")
def import_(file: Annotated[Path, typer.Argument(help="A file that `export` has written.")], store: StoreOption = None):
    """Take over the artefacts of such a file; every byte is verified."""
    taken = _open(store, new=True).import_(file)
    for key in taken:
        typer.echo(key)
    typer.echo(f"{len(taken)} artefacts are new")


@app.command("pin")
def pin(keys: Keys, store: StoreOption = None) -> None:
    """Keep artefacts whatever the size of the store."""
    opened = _open(store)
    for key in [_find(opened, key) for key in keys]:
        opened.pin(key)


@app.command("unpin")
def unpin(keys: Keys, store: StoreOption = None) -> None:
    """Let artefacts go again when room is needed."""
    opened = _open(store)
    for key in [_find(opened, key) for key in keys]:
        opened.unpin(key)


@app.command("rm")
def rm(keys: Keys, store: StoreOption = None) -> None:
    """Remove artefacts; pinned ones are refused."""
    from ntk_explorer.errors import InvalidInput

    opened = _open(store)
    found, pins = [_find(opened, key) for key in keys], opened.pins()
    for key in found:
        if key in pins:
            raise InvalidInput(f"{key} is pinned", "Unpin it first: `ntk-explorer store unpin`.")
    for key in found:
        opened.delete(key)
        typer.echo(f"removed {key}")


def _open(address: str | None, *, new: bool = False) -> Store:
    """The store at an address; unless it may be ``new``, a folder that somebody has named has to be there."""
    from ntk_explorer.errors import InvalidInput
    from ntk_explorer.store import Store

    store = Store(address)
    if not new and address is not None and "://" not in store.address and not Path(store.address).is_dir():
        raise InvalidInput(f"There is no store {store.address!r}", "Correct the address.")
    return store


def _find(store: Store, start: str) -> str:
    """The one key that begins so."""
    from ntk_explorer.errors import InvalidInput

    known = store.keys()
    found = sorted(key for key in known if key.startswith(start.lower()))
    if not found or not start:
        raise _no_artefact(start)
    if len(found) > 1:
        named = ", ".join(key[:SHOWN] for key in found[:5])
        raise InvalidInput(f"{len(found)} keys begin with {start!r}: {named}", "Give more digits.")
    return found[0]


def _no_artefact(key: str):
    from ntk_explorer.errors import InvalidInput

    return InvalidInput(f"No artefact's key begins with {key!r}", "`ntk-explorer store ls` lists all.")


def _value(manifest: Manifest, order: str) -> Any:
    return manifest.nbytes if order == "size" else getattr(manifest, order)


def _row(manifest: Manifest, pins: set[str]) -> dict[str, Any]:
    names = ("key", "producer", "title", "seconds")
    fields = {name: getattr(manifest, name) for name in names}
    return fields | {
        "bytes": manifest.nbytes,
        "created": manifest.created.isoformat(),
        "pinned": manifest.key in pins,
    }


def _line(manifest: Manifest, pins: set[str]) -> str:
    mark = "*" if manifest.key in pins else " "
    made = manifest.created.astimezone().strftime("%Y-%m-%d %H:%M")
    cost = f"{manifest.seconds:.3g} s"
    return (
        f"{manifest.key[:SHOWN]}{mark} {made}  {_size(manifest.nbytes):>7}  {cost:>9}  "
        f"{manifest.producer:14}  {manifest.title}"
    ).rstrip()


def _total(store: Store, manifests: list[Manifest]) -> str:
    from ntk_explorer.store.collect import store_cap

    size = _size(sum(manifest.nbytes for manifest in manifests))
    aside = f"; {count} damaged ones in quarantine" if (count := len(store.quarantined)) else ""
    return f"{len(manifests)} artefacts, {size} of {_size(store_cap())} in {store.address}{aside}"


def _size(count: float) -> str:
    from ntk_explorer.amounts import human_bytes

    return human_bytes(count)


def _print_json(content: Any) -> None:
    import json

    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
