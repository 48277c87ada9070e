"""The list of what is stored, the selection in it, and what can be done with what is selected."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import param

from ntk_explorer.amounts import human_bytes
from ntk_explorer.dashboard.errands import errand
from ntk_explorer.dashboard.holdings import Contents, Item, Loss, delete, pack, read_contents, read_loss, title
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.sweeps import files, kept
from ntk_explorer.sweeps.kept import StoredSweep
from ntk_explorer.trajectories.assembly import is_whole
from ntk_explorer.trajectories.kept import StoredTrajectory, open_trajectory

if TYPE_CHECKING:
    import xarray as xr

Send = Callable[[str, bytes], Any]
# An archive travels to the browser as one message.
LARGEST_DOWNLOAD = 100_000_000
# Of a sweep that is compared, only what is drawn stays in memory.
HEAVY = ("gram", "block_error", "eigenvalues")


class Shelf(param.Parameterized):
    """What one session sees of the store; all reading and writing happens beside the page."""

    # Annotated with what reading them gives: param's own types make every value optional.
    contents: Contents | None = param.Parameter(default=None, doc="None before the first reading")  # pyright: ignore[reportAssignmentType]
    chosen: list[str] = param.List(default=[], item_type=str, doc="keys of the selected items")  # pyright: ignore[reportAssignmentType]
    doomed: Loss | None = param.Parameter(default=None, doc="what waits for a yes before it is deleted")  # pyright: ignore[reportAssignmentType]
    compared: list[tuple[StoredSweep, xr.Dataset]] = param.List(default=[], doc="sweeps to draw in one figure")  # pyright: ignore[reportAssignmentType]
    doing = param.String(default="", doc="what is under way, in words")
    note = param.String(default="", doc="what was done, in words")
    problem = param.String(default="", doc="what went wrong, in words")

    def __init__(self, model: ExplorerModel, **params):
        """Nothing is read before :meth:`reload`."""
        super().__init__(**params)
        self._model, self._store, self._turn = model, model.store, 0

    @property
    def address(self) -> str:
        """Where the store is."""
        return self._store.address

    @property
    def items(self) -> tuple[Item, ...]:
        """All that is listed."""
        return self.contents.items if self.contents else ()

    @property
    def selected(self) -> list[Item]:
        """What is selected, in the order of the list."""
        return [item for item in self.items if item.key in self.chosen]

    @property
    def sweeps(self) -> list[StoredSweep]:
        """The sweeps among it."""
        return [item for item in self.selected if isinstance(item, StoredSweep)]

    @property
    def opened(self) -> StoredSweep | StoredTrajectory | None:
        """What a tab can show of the selection: a sweep or a training that is alone in it."""
        alone = self.selected[0] if len(self.selected) == 1 else None
        return alone if isinstance(alone, (StoredSweep, StoredTrajectory)) else None

    def choose(self, keys: list[str]) -> None:
        """Select other items; what was said about the last ones is over."""
        if keys != self.chosen:
            self.param.update(chosen=keys, problem="", note="")

    def refresh(self) -> None:
        """Forget what was said and read the list again."""
        self.param.update(problem="", note="")
        self.reload()

    def reload(self) -> None:
        """Read the list again; of several readings at a time the last one counts."""
        self._turn += 1
        turn = self._turn

        def use(contents: Contents) -> None:
            if turn == self._turn:
                there = {item.key for item in contents.items}
                self.param.update(contents=contents, chosen=[key for key in self.chosen if key in there])

        self._errand("" if self.contents else "Reading the store …", lambda: read_contents(self._store), use)

    def open(self) -> None:
        """Show the selected sweep in Width and error, a training in Training; what is missing of it is computed."""
        item = self.opened
        show = self._show_training if isinstance(item, StoredTrajectory) else self._show
        if item is None:
            return
        if item.done == 0:
            show(item, None)
        else:
            self._do("Opening …", self._reader(item), lambda result: show(item, result))

    def _reader(self, item: StoredSweep | StoredTrajectory) -> Callable[[], xr.Dataset]:
        read = kept.open_sweep if isinstance(item, StoredSweep) else open_trajectory
        return lambda: read(self._store, item.key)

    def _show_training(self, item: Any, result: xr.Dataset | None) -> None:
        training, whole = self._model.training, result is not None and is_whole(result)
        if result is not None:
            training.show(item.plan, result, whole=whole)
        if not whole:
            training.run(item.plan)
            if item.done == item.total:
                training.message = "Parts of it had been damaged on disk: set aside, and computed again."
        self._model.look(tab="training")

    def _show(self, sweep: Any, result: xr.Dataset | None) -> None:
        model = self._model
        if result is not None:
            model.show(sweep.plan, result)
        if result is None or model.status != "done":
            damaged = 0 if result is None else sweep.done - model.step
            model.run(sweep.plan)
            if damaged > 0:
                model.message = f"{damaged} of them had been damaged on disk: set aside, and computed again."
        model.look(tab="width")

    def compare(self) -> None:
        """Read the selected sweeps that hold anything, for one figure."""
        sweeps = [sweep for sweep in self.sweeps if sweep.done]

        def read() -> list[tuple[StoredSweep, xr.Dataset]]:
            return [(sweep, kept.open_sweep(self._store, sweep.key).drop_vars(HEAVY)) for sweep in sweeps]

        self._do("Reading …", read, lambda compared: self.param.update(compared=compared))

    def pin(self) -> None:
        """Pin what is selected; if all of it is pinned, unpin it."""
        keys, release = [item.key for item in self.selected], all(item.pinned for item in self.selected)
        act = self._store.unpin if release else self._store.pin
        note = "Unpinned." if release else "Pinned: stays when old results make room for new ones."
        self._change("", lambda: [act(key) for key in keys], note)

    def ask_delete(self) -> None:
        """Find out what a deletion would take away, and wait for :meth:`delete`; pinned items stay."""
        items = self.selected
        if pinned := [item for item in items if item.pinned]:
            self.problem = f"{title(pinned[0])} is pinned, and pinned results are kept. Unpin it first."
        else:
            self._do("", lambda: read_loss(self._store, items), lambda loss: self.param.update(doomed=loss))

    def delete(self) -> None:
        """Delete what was asked about."""
        loss, self.doomed = self.doomed, None
        if loss is not None:
            self._change("Deleting …", lambda: delete(self._store, loss.items), "Deleted.")

    def archive(self, send: Send) -> None:
        """Pack what is selected, all cells included, as a file that `ntk-explorer store import` takes."""
        keys, size = [item.key for item in self.selected], sum(item.bytes for item in self.selected)
        if size > LARGEST_DOWNLOAD:
            command = f"ntk-explorer store export results.tar {' '.join(key[:12] for key in keys)}"
            self.problem = (
                f"This is {human_bytes(size)}, more than the {human_bytes(LARGEST_DOWNLOAD)} that a browser is sent. "
                f"Use: {command} --store {shlex.quote(self._store.address)}"
            )
        else:
            self._do("Packing …", lambda: pack(self._store, keys), lambda content: send("results.tar", content))

    def netcdf(self, send: Send) -> None:
        """Write the selected sweep or training as NetCDF."""
        item = self.opened
        if item is not None:
            read, name = self._reader(item), "sweep.nc" if isinstance(item, StoredSweep) else "training.nc"
            self._do("Packing …", lambda: files.to_netcdf(read()), lambda content: send(name, content))

    def _change(self, doing: str, work: Callable[[], Any], note: str) -> None:
        def use(_: Any) -> None:
            self.note = note
            self.reload()

        self._do(doing, work, use)

    def _do(self, doing: str, work: Callable[[], Any], use: Callable[[Any], Any]) -> None:
        self.param.update(problem="", note="")
        self._errand(doing, work, use)

    def _errand(self, doing: str, work: Callable[[], Any], use: Callable[[Any], Any]) -> None:
        """An errand whose beginning and end are on the page."""

        def deliver(result: Any) -> None:
            self.doing = ""
            use(result)

        self.doing = doing
        errand(work, deliver, lambda problem: self.param.update(problem=problem, doing=""), later=self._model.later)
