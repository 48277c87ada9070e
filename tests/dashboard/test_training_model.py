"""Training as a page sees it, with the real worker, and the parts of the page that need no browser."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from trajectories_by_hand import trajectory

from ntk_explorer.dashboard import training_readings as readings
from ntk_explorer.dashboard.controls import Controls
from ntk_explorer.dashboard.exports import DOWNLOADS
from ntk_explorer.dashboard.gallery import Gallery
from ntk_explorer.dashboard.links import ExplorerState
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.dashboard.reproduce import ways
from ntk_explorer.dashboard.shelf import Shelf
from ntk_explorer.dashboard.table import contents
from ntk_explorer.dashboard.training_controls import TrainingControls
from ntk_explorer.dashboard.training_selectors import epoch_player
from ntk_explorer.jobs.worker import WarmWorker
from ntk_explorer.store import Store
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.trajectories.assembly import is_whole
from ntk_explorer.trajectories.files import to_csv
from ntk_explorer.trajectories.kept import StoredTrajectory, stored_trajectories
from ntk_explorer.trajectories.plan import TrajectoryPlan, plan_trajectory

BIAS = {"architecture": "mlp", "depth": 2, "bias": True, "bias_variance": 0.1}
LONG = 100_000  # epochs


@pytest.fixture(scope="module")
def worker():
    with WarmWorker() as worker:
        yield worker


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def session(worker, store):
    session = ExplorerModel(worker, store=store, state=ExplorerState(plan=plan_sweep("rings")).look(tab="training"))
    yield session
    session.close()
    session.training.close()
    wait(lambda: not worker.jobs())


def plan(epochs=3, **options):
    training = {"epochs": epochs, "batch_size": None} | options.pop("training", {})
    at = options.pop("kernel_at", (0, epochs))
    sizes = {"test": 10, "points": 10, "widths": (4,), "kernels": ("entk", "pntk")}
    sizes |= {"linearised": False, "ridge": 1e-3}  # so narrow a network has a singular kernel
    return plan_trajectory({"name": "rings", "n": 12}, BIAS, training=training, kernel_at=at, **(sizes | options))


def wait(condition, seconds=90):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.02)


def run(training, chosen):
    training.run(chosen)
    wait(lambda: not training.active)
    assert (training.status, training.message) == ("done", "")


def test_curves_come_live_then_kernels_and_the_second_time_all_at_once(session):
    training, seen = session.training, []
    training.param.watch(lambda e: seen.append(int(e.new["train_loss"].notnull().sum())), "history")
    run(training, plan(epochs=4))
    assert seen == sorted(seen)
    assert seen[-1] == 5
    assert training.epochs == [0, 4]
    assert (training.epoch, training.kernel, training.width) == (4, "pntk", 4)
    assert np.isfinite(training.result["regression_accuracy"]).all()
    assert session.state.trajectory == training.drawn == training.plan
    assert session.state.plan.data.n == 100  # the sweep's own
    assert (training.step, training.total) == (6, 6)
    first = training.result
    run(training, plan(epochs=4))
    xr.testing.assert_equal(training.result, first)


def test_looking_at_another_epoch_computes_nothing(session):
    training = session.training
    run(training, plan())
    player = epoch_player(training)
    assert (player.options, player.value) == ([0, 3], 3)
    player.value = 0
    assert (training.epoch, session.state.moment.epoch, training.status) == (0, 0, "done")
    training.look(epoch=3)
    assert player.value == 3


def test_stop_keeps_the_curves_and_another_training_follows(session):
    training = session.training
    training.run(plan(LONG, kernel_at=(0,)))
    wait(lambda: training.history is not None and training.step > 0)
    training.stop()
    assert training.status == "cancelled"
    assert float(training.history["train_loss"].notnull().sum()) >= 2
    run(training, plan())
    assert not training.stale


def test_another_network_on_the_left_makes_the_training_stale_and_a_training_the_sweep(session):
    training = session.training
    run(training, plan())
    session.state = session.state.sweep(plan_sweep("rings", widths=[4], seeds=1))
    assert training.stale  # without the bias
    assert training.drawn == plan()
    session.run(plan_sweep("rings", widths=[4], seeds=1))
    wait(lambda: session.status == "done")
    run(training, plan())
    assert (session.status, session.stale, training.stale) == ("idle", True, False)


def test_what_goes_wrong_is_a_sentence(session):
    training = session.training
    training.run(plan(training={"optimizer": "sgd", "learning_rate": 1e6, "loss": "squared"}))
    wait(lambda: not training.active)
    assert training.status == "failed"
    assert "learning rate" in training.message.lower()
    assert "Traceback" not in training.message


def test_an_estimate_before_and_a_refusal_of_long_work_that_nobody_asked_for(session):
    training = session.training
    training.ask_estimate(plan(epochs=7))
    wait(lambda: training.estimate is not None)
    assert training.estimate["seconds"] > 0
    training.run(plan(LONG), longest=0.01)
    wait(lambda: not training.active)
    assert training.status == "failed"
    assert "Retry" in training.message


def test_controls_make_the_plan_of_the_data_on_the_left():
    controls = Controls(plan_sweep("rings"))
    own = TrainingControls(controls, ExplorerState().training)
    assert own.plan == plan_trajectory("rings")
    own.take(plan())
    assert own.plan == plan_trajectory(
        {"name": "rings", "n": 12}, test=10, points=10, widths=(4,), kernels=("entk", "pntk"), linearised=False,
        ridge=1e-3,
        training={"epochs": 3, "batch_size": None}, kernel_at=(0, 3),
    )  # fmt: skip
    own._rest.widgets["points"].value = "500"
    assert own.plan is None
    assert "500 points" in own.problem
    own._rest.widgets["points"].value = "automatic"
    controls._data.widgets["name"].value = "sine"
    assert own.plan.data.name == "sine"


def test_the_shelf_lists_opens_and_deletes_trainings(session):
    training = session.training
    run(training, plan(epochs=5))
    run(training, plan())
    shelf = Shelf(session)
    shelf.reload()
    wait(lambda: shelf.contents is not None)
    (item,) = (i for i in shelf.items if isinstance(i, StoredTrajectory) and i.plan.training.epochs == 5)
    assert contents(item) == "training, 5 epochs"
    assert "run_trajectory(plan)" in ways(item, None)["Python"]
    shelf.choose([item.key])
    shelf.open()
    wait(lambda: training.drawn == item.plan)
    assert (training.status, training.epochs, session.state.view.tab) == ("done", [0, 5], "training")
    sent = {}
    shelf.netcdf(lambda name, content: sent.update({name: content}))
    wait(lambda: sent)
    assert list(sent) == ["training.nc"]
    shelf.ask_delete()
    wait(lambda: shelf.doomed is not None)
    assert "parts" in shelf.doomed.text
    shelf.delete()
    wait(lambda: shelf.note == "Deleted.")
    assert item.key not in {found.key for found in stored_trajectories(session.store)}


def test_a_training_that_is_damaged_on_disk_is_computed_again_when_it_is_opened(session):
    training, chosen = session.training, plan(epochs=2)
    run(training, chosen)
    (item,) = (i for i in stored_trajectories(session.store) if i.plan == chosen)
    moment = session.store.manifest(session.store.manifest(item.key).inputs[item.total - 1])
    largest = max(moment.files, key=lambda file: file.bytes)
    (Path(session.store.address) / moment.folder / largest.path).write_bytes(bytes(largest.bytes))
    shelf = Shelf(session)
    shelf.reload()
    wait(lambda: shelf.contents is not None)
    shelf.choose([item.key])
    shelf.open()
    wait(lambda: "damaged on disk" in training.message)
    wait(lambda: not training.active)
    assert is_whole(training.result)


@pytest.mark.parametrize(
    "options",
    [{"features": 64}, {"features": 2}, {"task": "regression", "features": 1}, {"features": 64, "linearised": False}],
)
def test_every_figure_has_the_columns_that_move_it(session, options):
    """A figure is moved to another epoch through its sources, so these have to be as many and of the same names."""
    training = session.training
    training._drawn, ds = _plan_of(trajectory(**options)), trajectory(**options)
    training.param.update(result=ds, history=ds)
    gallery = Gallery(training, tab="training")
    assert len(gallery.pictures) >= 7
    for picture in gallery.pictures:
        figure = picture.element()
        columns, title = picture._columns(training)
        assert len(figure) == len(columns)
        assert title
    assert "<table" in readings.moment_table(training)
    assert len(readings.numbers(training)) == 3


def test_every_download_is_of_the_training_that_is_shown(session):
    run(session.training, plan())
    PAGES["training"](session)
    made = {name: content(session) for _, name, content in DOWNLOADS}
    assert made.keys() == {"figure.png", "figure.svg", "{}.csv", "{}.nc", "{}.html", "{}.yaml", "{}.py"}
    report = made["{}.html"].decode()
    assert "width 4" in report
    assert "plan_trajectory" in report
    assert b"FIGURES['learning_curves'](trajectory, width=4, epoch=3)" in made["{}.py"]
    assert made["{}.csv"].startswith(b"quantity,kernel,start")
    assert b"kernel_at" in made["{}.yaml"]


def _plan_of(ds):
    return TrajectoryPlan.model_validate(json.loads(ds.attrs["plan"]))


def test_a_table_of_a_trajectory_has_a_row_per_number():
    lines = to_csv(trajectory()).decode().splitlines()
    assert lines[0] == "quantity,kernel,start,width,seed,epoch,value"
    assert sum(line.startswith("train_loss,,,16,0,") for line in lines) == 11
    assert sum(line.startswith("regression_accuracy,pntk,zero,64,1,") for line in lines) == 4
