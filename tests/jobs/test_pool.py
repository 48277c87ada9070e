import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from ntk_explorer.errors import InvalidInput, NTKExplorerError, UnknownName
from ntk_explorer.jobs import Inline, Task, WorkerPool, backend

HERE = "job_targets:"


def task(target, key=None, **arguments):
    return Task(key or f"{target}{arguments}", HERE + target, arguments, f"the task {target}")


def outcomes(engine, *tasks):
    return {outcome.task.key: outcome for outcome in engine.run(tasks) if outcome is not None}


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(2, warm_up=HERE + "ready") as pool:
        yield pool


@pytest.fixture(params=["inline", "pool"])
def engine(request):
    return Inline() if request.param == "inline" else request.getfixturevalue("pool")


def pids(pool):
    """Of the workers, once all are ready."""
    end = time.monotonic() + 20
    while any(member.hello is None for member in pool._members):
        assert time.monotonic() < end
        time.sleep(0.01)
    return [member.hello["pid"] for member in pool._members]


def gone(*processes, timeout=10):
    _, alive = psutil.wait_procs(processes, timeout=timeout)
    return not alive


def test_every_task_has_its_outcome_and_a_failure_stops_no_other(engine):
    tasks = [task("double", x=i) for i in range(6)]
    tasks[3:3] = [task("unknown", name="tow"), task("defect"), Task("missing", HERE + "no_such_function")]
    found = outcomes(engine, *tasks)
    assert [found[t.key].token for t in tasks] == [0, 2, 4, None, None, None, 6, 8, 10]
    refusal = found[tasks[3].key].error
    assert isinstance(refusal, UnknownName)
    assert "Did you mean 'two'?" in refusal.remedy
    assert "RuntimeError: a defect" in found[tasks[4].key].error.problem
    assert "no_such_function" in found["missing"].error.problem


def test_a_defect_leaves_its_traceback_in_the_log(engine, caplog):
    outcomes(engine, task("defect"))
    assert "second line" in caplog.text
    assert "the task defect" in caplog.text


def test_equal_keys_are_one_task(engine, tmp_path):
    twice = [task("mark", key="same", folder=str(tmp_path)), task("mark", key="same", folder=str(tmp_path))]
    assert len([outcome for outcome in engine.run(twice) if outcome]) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_eigenvalues_have_the_same_bits_inline_and_in_a_pool(pool):
    job = task("eigenvalues", n=300)
    assert outcomes(Inline(), job)[job.key].token == outcomes(pool, job)[job.key].token


def test_an_interrupt_passes_through_inline():
    with pytest.raises(KeyboardInterrupt):
        outcomes(Inline(), task("interrupted"))


def test_both_workers_work_and_signs_of_life_come_meanwhile(pool):
    found = list(pool.run([task("whereabouts", key=str(i), pause=0.5) for i in range(2)]))
    assert found.count(None) >= 1
    assert len({outcome.token for outcome in found if outcome}) == 2
    assert pool.workers == 2


def test_what_cannot_be_sent_back_fails_alone(pool):
    found = outcomes(pool, task("local"), task("double", x=1))
    assert "local object" in found[task("local").key].error.problem
    assert found[task("double", x=1).key].token == 2


def test_work_of_a_killed_worker_is_done_by_another(pool, tmp_path):
    tasks = [task("die_at_first", marker=str(tmp_path / "died")), *(task("double", x=i) for i in range(4))]
    found = outcomes(pool, *tasks)
    assert [found[t.key].token for t in tasks] == ["second time", 0, 2, 4, 6]


def test_a_task_that_ends_its_worker_each_time_is_named_and_given_up(pool, tmp_path):
    tasks = [task("always_die", record=str(tmp_path / "tries")), *(task("double", x=i, pause=0.05) for i in range(8))]
    found = outcomes(pool, *tasks)
    error = found[tasks[0].key].error
    assert "given up after 4 tries: the task always_die" in error.problem
    assert "memory" in error.remedy
    assert (tmp_path / "tries").read_text() == "x" * 4
    assert [found[t.key].token for t in tasks[1:]] == [2 * i for i in range(8)]


def test_closing_a_run_returns_at_once_and_the_pool_takes_new_work(pool, tmp_path):
    before = pids(pool)
    run = pool.run([task("stay", key=str(i), folder=str(tmp_path)) for i in range(4)])
    while len(list(tmp_path.iterdir())) < 2:
        assert next(run) is None
    begun = time.monotonic()
    run.close()
    assert time.monotonic() - begun < 5
    assert outcomes(pool, *(task("double", x=i) for i in range(4)))[task("double", x=3).key].token == 6
    assert len(list(tmp_path.iterdir())) == 2  # what had not begun never did
    assert not set(before) & set(pids(pool))


def test_a_frozen_worker_is_replaced_and_its_task_done_again(tmp_path):
    marker = tmp_path / "frozen"
    with WorkerPool(1, warm_up=HERE + "ready", ttl=1.0) as pool:
        job = task("freeze_at_first", marker=str(marker))
        assert outcomes(pool, job)[job.key].token == "second time"
    assert not psutil.pid_exists(int(marker.read_text()))


def test_a_worker_deep_in_one_long_call_is_not_taken_for_frozen():
    with WorkerPool(1, warm_up=HERE + "ready", ttl=0.3) as pool:
        job = task("hold_the_interpreter", seconds=1.2)
        found = outcomes(pool, job)[job.key]
    assert found.error is None
    assert found.seconds >= 1.2


def test_workers_that_do_not_start_are_the_error_of_the_run():
    with (
        WorkerPool(1, warm_up=HERE + "unable") as pool,
        pytest.raises(NTKExplorerError, match="ended unexpectedly"),
    ):
        outcomes(pool, *(task("double", x=i) for i in range(100)))


def test_a_pool_closed_from_elsewhere_ends_its_run_and_its_processes(tmp_path):
    pool = WorkerPool(2, warm_up=HERE + "ready")
    processes = [psutil.Process(pid) for pid in pids(pool)]
    run = pool.run([task("stay", key=str(i), folder=str(tmp_path)) for i in range(4)])
    assert next(run) is None
    threading.Timer(0.1, pool.close).start()
    with pytest.raises(NTKExplorerError, match="closed"):
        list(run)
    pool.close()
    assert gone(*processes)


def test_a_pool_of_no_workers_is_refused():
    with pytest.raises(InvalidInput, match="0 workers"):
        WorkerPool(0)
    with pytest.raises(InvalidInput, match="-1 workers"):
        backend(-1)
    assert isinstance(backend(), Inline)


NESTED = """
import sys, time
sys.path.insert(0, {here!r})
from ntk_explorer.jobs.worker import WarmWorker
worker = WarmWorker(trusted=("job_targets:",))
worker.submit("job_targets:coordinate", {{"folder": {folder!r}}}, "k", print)
time.sleep(600)
"""


@pytest.fixture
def nested(tmp_path):
    """A program with a warm worker that has a pool of two of its own, both at work; and all its processes."""
    script, folder = tmp_path / "script.py", tmp_path / "begun"
    folder.mkdir()
    script.write_text(textwrap.dedent(NESTED.format(here=str(Path(__file__).parent), folder=str(folder))))
    program = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.DEVNULL)
    while len(list(folder.iterdir())) < 2:
        assert program.poll() is None
        time.sleep(0.05)
    yield psutil.Process(program.pid), psutil.Process(program.pid).children(recursive=True)
    program.kill()
    program.wait()


def test_nothing_is_left_when_the_top_process_is_killed(nested):
    top, below = nested
    assert len(below) == 3
    assert not [listening for process in (top, *below) for listening in process.net_connections()]
    top.send_signal(signal.SIGKILL)
    assert gone(*below)


def test_cancelling_in_a_warm_worker_stops_the_workers_of_its_pool(tmp_path):
    from ntk_explorer.jobs.worker import WarmWorker

    heard = threading.Event()
    with WarmWorker(trusted=(HERE,), warm_up=HERE + "ready") as worker:
        job = worker.submit(HERE + "coordinate", {"folder": str(tmp_path)}, "k", lambda _: heard.set())
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        working = [psutil.Process(int(path.name)) for path in tmp_path.iterdir()]
        coordinator = worker.call(HERE + "whoami", {}).result(20)["pid"]
        job.cancel()
        assert gone(*working)
        assert worker.call(HERE + "whoami", {}).result(20)["pid"] == coordinator


@pytest.mark.slow
def test_five_killed_workers_cost_time_and_nothing_else(pool):
    tasks = [task("double", x=i, pause=0.3) for i in range(40)]
    killed, found = 0, {}
    for outcome in pool.run(tasks):
        if outcome is not None:
            found[outcome.task.key] = outcome.token
        if killed < 5 and len(found) >= 6 * (killed + 1):
            os.kill(pids(pool)[killed % 2], signal.SIGKILL)
            killed += 1
    assert killed == 5
    assert [found[t.key] for t in tasks] == [2 * i for i in range(40)]
