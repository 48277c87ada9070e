import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from dask_processes import scheduler, wait_for, worker

from ntk_explorer.errors import InvalidInput, NTKExplorerError, UnknownName
from ntk_explorer.jobs import Cluster, Inline, Task, backend

HERE = "job_targets:"


def task(target, key=None, **arguments):
    return Task(key or f"{target}{arguments}", HERE + target, arguments, f"the task {target}")


def outcomes(engine, *tasks):
    return {outcome.task.key: outcome for outcome in engine.run(tasks) if outcome is not None}


def begun(folder):
    return len(list(folder.iterdir()))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a scheduler with two workers of one thread each."""
    with scheduler(tmp_path_factory.mktemp("dask")) as (address, _), worker(address, workers=2):
        with Cluster(address) as cluster:
            wait_for(lambda: cluster.workers == 2)
        yield address


@pytest.fixture(scope="module")
def cluster(address):
    with backend(scheduler=address) as cluster:
        yield cluster


def test_outcomes_are_those_of_any_other_backend(cluster, caplog):
    tasks = [task("double", x=i) for i in range(6)]
    tasks[3:3] = [task("unknown", name="tow"), task("defect"), task("local")]
    found = outcomes(cluster, *tasks)
    assert [found[t.key].token for t in tasks] == [0, 2, 4, None, None, None, 6, 8, 10]
    assert isinstance(found[tasks[3].key].error, UnknownName)
    assert "Did you mean 'two'?" in found[tasks[3].key].error.remedy
    assert "RuntimeError: a defect" in found[tasks[4].key].error.problem
    assert "second line" in caplog.text
    assert "local object" in found[tasks[5].key].error.problem


def test_eigenvalues_have_the_same_bits_as_in_this_process(cluster):
    job = task("eigenvalues", n=300)
    assert outcomes(Inline(), job)[job.key].token == outcomes(cluster, job)[job.key].token


def test_both_workers_work_and_signs_of_life_come_meanwhile(cluster):
    found = list(cluster.run([task("whereabouts", key=f"w{i}", pause=0.5) for i in range(2)]))
    assert found.count(None) >= 1
    assert len({outcome.token for outcome in found if outcome}) == 2


def test_arguments_that_are_keys_of_other_tasks_stay_what_they_are(cluster):
    tasks = [task("double", key="abc", x=1), task("double", key="def", x="abc")]
    assert outcomes(cluster, *tasks)["def"].token == "abcabc"


def test_a_failed_task_is_tried_again_when_it_is_asked_for_again(cluster, tmp_path):
    job = task("fail_at_first", marker=str(tmp_path / "failed"))
    assert outcomes(cluster, job)[job.key].error is not None
    assert outcomes(cluster, job)[job.key].token == "second time"


def test_two_clients_with_equal_keys_share_the_work_and_stopping_one_leaves_the_other(cluster, address, tmp_path):
    tasks = [task("mark", key=f"shared{i}", folder=str(tmp_path), pause=0.6) for i in range(6)]
    with Cluster(address) as other:
        mine, theirs = cluster.run(tasks), other.run(tasks)
        assert next(mine) is None  # both have asked before the first is finished
        assert next(theirs) is None
        assert next(outcome for outcome in mine if outcome)
        mine.close()
        assert len([outcome for outcome in theirs if outcome and not outcome.error]) == 6
    assert begun(tmp_path) == 6


def test_closing_a_run_returns_at_once_and_takes_back_what_waits(cluster, tmp_path):
    run = cluster.run([task("stay", key=f"stay{i}", folder=str(tmp_path), seconds=1) for i in range(20)])
    while not begun(tmp_path):
        next(run)
    now = time.monotonic()
    run.close()
    assert time.monotonic() - now < 5
    job = task("double", x=21)
    assert outcomes(cluster, job)[job.key].token == 42
    assert begun(tmp_path) <= 4  # two that ran; two more that a worker may have had in its hands


def test_a_run_that_was_closed_can_be_asked_for_again_at_once(cluster):
    tasks = [task("double", key=f"again{i}", x=i, pause=0.1) for i in range(10)]
    for _ in range(3):
        run = cluster.run(tasks)
        next(outcome for outcome in run if outcome)
        run.close()
    found = outcomes(cluster, *tasks)
    assert [found[t.key].token for t in tasks] == [2 * i for i in range(10)]


def test_work_of_a_killed_worker_is_done_by_another(cluster, tmp_path):
    tasks = [task("die_at_first", marker=str(tmp_path / "died")), *(task("double", x=i) for i in range(4))]
    found = outcomes(cluster, *tasks)
    assert [found[t.key].token for t in tasks] == ["second time", 0, 2, 4, 6]


@pytest.mark.slow
def test_a_task_that_ends_its_worker_each_time_is_named_and_given_up(cluster, tmp_path):
    tasks = [task("always_die", record=str(tmp_path / "tries")), *(task("double", x=i, pause=0.05) for i in range(8))]
    found = outcomes(cluster, *tasks)
    assert "given up after 4 tries: the task always_die" in found[tasks[0].key].error.problem
    assert (tmp_path / "tries").read_text() == "x" * 4
    assert [found[t.key].token for t in tasks[1:]] == [2 * i for i in range(8)]


@pytest.mark.slow
def test_five_killed_workers_cost_time_and_nothing_else(cluster):
    tasks = [task("whereabouts", key=f"killed{i}", pause=0.3) for i in range(40)]
    killed, found = 0, set()
    for outcome in cluster.run(tasks):
        if outcome is None:
            continue
        assert outcome.error is None
        found.add(outcome.task.key)
        if killed < 5 and len(found) >= 6 * (killed + 1) and psutil.pid_exists(outcome.token):
            os.kill(outcome.token, signal.SIGKILL)
            killed += 1
    assert killed == 5
    assert found == {t.key for t in tasks}


CLIENT = """
import sys
from ntk_explorer.jobs import Cluster, Task
cluster = Cluster({address!r})
tasks = [Task(f"orphan{{i}}", "job_targets:mark", {{"folder": {folder!r}, "pause": 0.2}}) for i in range(10)]
for outcome in cluster.run(tasks):
    if outcome:
        print("READY", flush=True)
"""


def test_what_a_killed_client_has_asked_for_is_computed_and_nothing_of_it_listens(address, tmp_path):
    program = textwrap.dedent(CLIENT.format(address=address, folder=str(tmp_path)))
    client = subprocess.Popen([sys.executable, "-W", "error", "-c", program], stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline() == "READY\n"
    sockets = psutil.Process(client.pid).net_connections()
    assert sockets
    assert not [socket for socket in sockets if socket.status == psutil.CONN_LISTEN]
    client.kill()
    client.communicate()
    assert begun(tmp_path) < 10
    wait_for(lambda: begun(tmp_path) == 10)


def test_a_worker_that_cannot_see_the_store_is_refused_by_name(address, tmp_path):
    probe = task("visible", path=str(tmp_path / "store"))
    with pytest.raises(InvalidInput, match=r"worker tcp://127\.0\.0\.1:\d+ .* cannot take part: .* not visible"):
        Cluster(address, probe=probe)
    (tmp_path / "store").touch()
    with Cluster(address, probe=probe) as cluster:
        assert outcomes(cluster, task("double", x=3)).popitem()[1].token == 6


def test_workers_with_other_versions_are_refused_by_name(tmp_path, caplog):
    """A worker that finds another jax installed, as its own metadata tell."""
    other = tmp_path / "jax-0.0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: jax\nVersion: 0.0.1\n")
    with scheduler(tmp_path) as (address, _), Cluster(address) as early, worker(address, path=[str(tmp_path)]):
        assert "has no workers yet" in caplog.text
        wait_for(lambda: _has_workers(early))
        with pytest.raises(InvalidInput, match=r"worker tcp://127\.0\.0\.1:\d+ .*It has jax 0\.0\.1 \(here"):
            Cluster(address)
        # The client that was there before the worker is told by its first task.
        error = outcomes(early, task("double", x=1)).popitem()[1].error
        assert "was refused: It has jax 0.0.1 (here" in error.problem
        assert "Install the same versions" in error.remedy


def _has_workers(cluster):
    return bool(cluster._client.nthreads())


def test_a_scheduler_that_dies_is_told_and_can_come_back(tmp_path):
    with scheduler(tmp_path) as (address, process), worker(address), Cluster(address, timeout=1) as cluster:
        run = cluster.run([task("double", key=f"d{i}", x=i, pause=0.2) for i in range(100)])
        assert next(outcome for outcome in run if outcome)
        process.kill()
        with pytest.raises(NTKExplorerError, match="scheduler has gone"):
            list(run)
        with pytest.raises(InvalidInput, match="No scheduler answers"):
            cluster.run([task("double", x=1)])
        port = address.rsplit(":", 1)[1]
        (tmp_path / "again").mkdir()
        with scheduler(tmp_path / "again", port=port) as (again, _), worker(again):
            assert again == address
            assert outcomes(cluster, task("double", x=4)).popitem()[1].token == 8


def test_an_address_without_a_scheduler_is_told():
    now = time.monotonic()
    with pytest.raises(InvalidInput, match=r"No scheduler answers at tcp://127\.0\.0\.1:9"):
        Cluster("127.0.0.1:9", timeout=1)
    assert time.monotonic() - now < 15


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:8786", "192.0.2.1:8786", "tcp://example.org:8786"])
def test_plain_tcp_to_another_machine_is_refused_before_anything_is_tried(address):
    program = f"""
    import sys
    from ntk_explorer.jobs import backend
    try:
        backend(scheduler={address!r})
    except ValueError as error:
        print(error)
    assert "distributed" not in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "is on another machine" in done.stdout
    assert "--allow-plain-tcp" in done.stdout


@pytest.mark.parametrize("address", ["", "tcp://", "http://127.0.0.1:80", "tcp://127.0.0.1", "tcp://127.0.0.1:port"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InvalidInput, match="is not the address of a scheduler"):
        Cluster(address)


def test_workers_of_both_kinds_are_refused():
    with pytest.raises(InvalidInput, match="cannot both be used"):
        backend(2, "tcp://127.0.0.1:8786")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority of our own, and one certificate that both sides show."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make certificates")
    folder = tmp_path_factory.mktemp("tls")
    run = lambda *arguments: subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: E731
    fresh = ("req", "-newkey", "rsa:2048", "-nodes")
    run(*fresh, "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    run(*fresh, "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "request.pem")
    signed = (
        "x509",
        "-req",
        "-in",
        "request.pem",
        "-days",
        "2",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
    )
    run(*signed, "-out", "cert.pem")
    return folder


def test_a_scheduler_with_tls_asks_for_our_certificate(certificates, tmp_path):
    files = {"ca_file": certificates / "ca.pem", "cert": certificates / "cert.pem", "key": certificates / "key.pem"}
    options = ["--tls-ca-file", files["ca_file"], "--tls-cert", files["cert"], "--tls-key", files["key"]]
    options = [str(option) for option in options]
    with scheduler(tmp_path, "--protocol", "tls", *options) as (address, _), worker(address, *options):
        assert address.startswith("tls://")
        with backend(scheduler=address, **files) as cluster:
            assert outcomes(cluster, task("double", x=5)).popitem()[1].token == 10
        with pytest.raises(InvalidInput, match="No scheduler answers"):
            Cluster(address, timeout=1)
        with pytest.raises(InvalidInput, match="There is no file"):
            Cluster(address, ca_file=Path(tmp_path, "none.pem"))
