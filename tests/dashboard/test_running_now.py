"""Jobs of all sessions on the page, and the question before a long one."""

import time

import pytest
from stored_by_hand import plan

from ntk_explorer.dashboard.controls import Controls
from ntk_explorer.dashboard.links import ExplorerState
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.runbar import RunBar
from ntk_explorer.dashboard.running import RunningNow
from ntk_explorer.jobs.worker import WarmWorker
from ntk_explorer.store import Store
from ntk_explorer.sweeps.plan import plan_sweep

LONG = plan_sweep({"name": "digits", "n": 60}, widths=[64, 65, 66, 67], seeds=40)
RUNS = ExplorerState().look(tab="runs")


@pytest.fixture(scope="module")
def worker():
    with WarmWorker() as worker:
        yield worker


@pytest.fixture
def sessions(worker, tmp_path):
    """Two sessions of one server, both on the Runs page."""
    store = Store(tmp_path / "store")
    models = [ExplorerModel(worker, store=store, state=RUNS) for _ in range(2)]
    yield models
    for model in models:
        model.close()
    wait(lambda: not worker.jobs())


def wait(condition, seconds=90):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.02)


def shown(page: RunningNow) -> dict[str, bool]:
    """What each line says, and whether it has a Stop."""
    page.refresh()
    return {line._label.object: line._stop.visible for line in page._lines.values()}


def test_everybody_sees_a_job_and_who_started_it_can_stop_it(sessions):
    mine, other = sessions
    told = []
    pages = [RunningNow(model, tab="runs", changed=lambda: told.append(1)) for model in sessions]
    assert shown(pages[0]) == {}
    mine.run(LONG)
    wait(lambda: mine.step >= 2)
    ((text, stop),) = shown(pages[0]).items()
    assert stop
    assert "digits, n = 60 · MLP, depth 3, relu" in text
    assert "(yours)" in text
    assert f"of {len(LONG.cells)}" in text
    assert told
    ((text, stop),) = shown(pages[1]).items()
    assert not stop
    assert "(yours)" not in text

    other.run(plan())
    (_, (text, stop)) = shown(pages[1]).items()
    assert stop
    assert "waits, 1 before it" in text

    before = len(told)
    mine.stop()
    wait(lambda: len(shown(pages[1])) < 2)
    assert len(told) > before


def test_a_job_that_two_wait_for_goes_on_when_one_stops(sessions):
    mine, other = sessions
    page = RunningNow(other, tab="runs", changed=lambda: None)
    mine.run(LONG)
    other.run(LONG)
    assert "2 pages wait for it" in next(iter(shown(page)))
    mine.stop()
    ((text, stop),) = shown(page).items()
    assert "pages wait" not in text
    assert stop


def test_nothing_is_looked_at_while_another_tab_is_open(sessions):
    mine, other = sessions
    other.look(tab="width")
    page = RunningNow(other, tab="runs", changed=lambda: pytest.fail("told"))
    mine.run(LONG)
    wait(lambda: mine.step >= 1)
    other.look(width=32)
    assert page._lines == {}
    page._changed = lambda: None
    other.look(tab="runs")
    assert len(page._lines) == 1


def test_long_work_is_started_after_a_question(sessions):
    model = sessions[0]
    controls = Controls(plan())
    bar = RunBar(model, controls)
    wait(lambda: model.estimate is not None)
    model.estimate = {"seconds": 9000.0, "text": "about 2.5 h, 3 GB", "bytes": 3e9}
    bar._button.clicks += 1
    assert bar._question.visible
    assert "about 2.5 h, 3 GB" in bar._cost.object
    assert not model.active
    no, yes = bar._question[1][1], bar._question[1][0]
    no.clicks += 1
    assert not bar._question.visible
    assert not model.active
    bar._button.clicks += 1
    yes.clicks += 1
    assert model.active
    assert not bar._question.visible


def test_short_work_is_started_at_once_and_an_estimate_belongs_to_its_sweep(sessions):
    model = sessions[0]
    controls = Controls(plan())
    bar = RunBar(model, controls)
    wait(lambda: model.estimate is not None)
    assert model.estimate["seconds"] < 600
    model.estimate = {"seconds": 9000.0, "text": "about 2.5 h, 3 GB", "bytes": 3e9}
    bar._button.clicks += 1
    controls.show(plan(depth=2))
    assert not bar._question.visible
    wait(lambda: model.estimate is not None)
    bar._button.clicks += 1
    assert model.active
