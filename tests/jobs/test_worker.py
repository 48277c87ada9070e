import logging
import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest
from job_targets import Foreign

from ntk_explorer.errors import InvalidInput, NTKExplorerError
from ntk_explorer.jobs.worker import WarmWorker

HERE = "job_targets:"
FINAL = {"done", "failed", "cancelled"}


class Listener:
    """Collects events and waits for them."""

    def __init__(self):
        self.events = []
        self._queue = queue.Queue()

    def __call__(self, event):
        self._queue.put(event)

    def until(self, *kinds, timeout=20):
        while True:
            event = self._queue.get(timeout=timeout)
            self.events.append(event)
            if event["kind"] in kinds:
                return event

    def over(self):
        return self.until(*FINAL)

    @property
    def steps(self):
        return [event["i"] for event in self.events if event["kind"] == "step"]

    def silent(self, seconds=0.3):
        try:
            return self._queue.get(timeout=seconds) is None
        except queue.Empty:
            return True


@pytest.fixture(scope="module")
def shared():
    with WarmWorker(trusted=("job_targets:", "ntk_explorer."), warm_up=HERE + "ready") as worker:
        yield worker


def submit(worker, target, key=None, **argument):
    listener = Listener()
    job = worker.submit(HERE + target, argument, key or f"{target}{argument}", listener)
    return job, listener


def wait_for(condition, timeout=20):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.01)


def test_events_arrive_in_order_and_end_with_done(shared):
    _, listener = submit(shared, "count", n=5)
    assert listener.over() == {"kind": "done"}
    assert listener.steps == [0, 1, 2, 3, 4]
    assert listener.events[0]["kind"] == "started"
    assert listener.silent()


def test_the_process_says_hello_and_stays_warm(shared):
    first = shared.call(HERE + "whoami", {}).result(20)
    assert shared.hello["ready"]
    assert shared.hello["pid"] == first["pid"] != os.getpid()
    assert first["x64"] == "1"
    assert shared.call(HERE + "whoami", {}).result(20)["pid"] == first["pid"]


def test_printing_does_not_disturb_the_conversation(shared):
    assert shared.call(HERE + "whoami", {}).result(20)["pid"]
    assert shared.call(HERE + "square", {"x": 3}).result(20) == 9


def test_equal_keys_share_one_run_and_late_joiners_hear_the_past(shared, tmp_path):
    trace = tmp_path / "trace"
    argument = {"n": 6, "pause": 0.05, "trace": str(trace)}
    _, first = submit(shared, "count", **argument)
    while first.until("step")["i"] < 2:
        pass
    _, second = submit(shared, "count", **argument)
    assert first.over() == second.over() == {"kind": "done"}
    assert first.steps == second.steps == list(range(6))
    assert trace.read_text() == "run\n"
    _, third = submit(shared, "count", **argument)
    third.over()
    assert trace.read_text() == "run\nrun\n"


def test_jobs_wait_in_line_and_know_their_place(shared):
    _, first = submit(shared, "count", key="a", n=4, pause=0.1)
    first.until("step")
    second_job, second = submit(shared, "count", key="b", n=1)
    _, third = submit(shared, "count", key="c", n=1)
    assert second.until("queued")["position"] == 1
    assert third.until("queued")["position"] == 2
    second_job.cancel()
    assert second.over() == {"kind": "cancelled"}
    assert third.until("queued")["position"] == 1
    assert third.over() == {"kind": "done"}
    assert first.over() == {"kind": "done"}
    assert second.silent()


def test_questions_are_answered_between_the_steps_of_a_job(shared):
    _, listener = submit(shared, "count", n=20, pause=0.05)
    submit(shared, "count", key="behind", n=1)
    listener.until("step")
    assert shared.call(HERE + "square", {"x": 5}).result(5) == 25
    assert len(listener.steps) < 20
    listener.over()


def test_cancel_between_steps_keeps_the_process(shared):
    pid = shared.call(HERE + "whoami", {}).result(20)["pid"]
    job, listener = submit(shared, "count", key="long", n=1000, pause=0.02)
    listener.until("step")
    begun = time.monotonic()
    job.cancel()
    assert listener.over() == {"kind": "cancelled"}
    assert time.monotonic() - begun < 5
    assert listener.silent()
    assert shared.call(HERE + "whoami", {}).result(20)["pid"] == pid


def test_a_job_lives_until_its_last_subscriber_has_left(shared):
    job, first = submit(shared, "count", key="two", n=20, pause=0.02)
    _, second = submit(shared, "count", key="two", n=20, pause=0.02)
    first.until("step")
    job.cancel()
    assert first.over() == {"kind": "cancelled"}
    assert second.over() == {"kind": "done"}
    assert second.steps == list(range(20))


def test_cancel_of_a_step_that_does_not_end_replaces_the_process(tmp_path):
    with WarmWorker(trusted=("job_targets:",), warm_up=HERE + "ready") as worker:
        pid = worker.call(HERE + "whoami", {}).result(20)["pid"]
        job, listener = submit(worker, "stubborn", seconds=600, begun=str(tmp_path / "begun"))
        wait_for((tmp_path / "begun").exists)
        question = worker.call(HERE + "square", {"x": 4})
        begun = time.monotonic()
        job.cancel()
        assert listener.over() == {"kind": "cancelled"}
        assert time.monotonic() - begun < 5
        # The question outlives the process it was first put to.
        assert question.result(20) == 16
        _, after = submit(worker, "count", n=2)
        assert after.over() == {"kind": "done"}
        assert worker.call(HERE + "whoami", {}).result(20)["pid"] != pid
        assert not psutil.pid_exists(pid)


def test_cancelled_work_is_not_joined(tmp_path):
    with WarmWorker(trusted=("job_targets:",), warm_up=HERE + "ready") as worker:
        argument = {"seconds": 600, "begun": str(tmp_path / "begun")}
        job, _ = submit(worker, "stubborn", key="same", **argument)
        wait_for((tmp_path / "begun").exists)
        job.cancel()
        _, listener = submit(worker, "count", key="same", n=3)
        assert listener.over() == {"kind": "done"}
        assert listener.steps == [0, 1, 2]


def test_a_killed_process_gives_a_sentence_and_a_new_process():
    with WarmWorker(trusted=("job_targets:",), warm_up=HERE + "ready") as worker:
        pid = worker.call(HERE + "whoami", {}).result(20)["pid"]
        _, running = submit(worker, "count", key="r", n=1000, pause=0.05)
        _, waiting = submit(worker, "count", key="w", n=2)
        running.until("step")
        os.kill(pid, signal.SIGKILL)
        failure = running.over()
        assert failure["kind"] == "failed"
        assert "ended unexpectedly (exit status -9)" in failure["problem"]
        assert "try again" in failure["remedy"]
        assert running.silent()
        assert waiting.over() == {"kind": "done"}
        assert worker.call(HERE + "square", {"x": 2}).result(20) == 4


def test_a_job_that_kills_its_process_fails_alone():
    with WarmWorker(trusted=("job_targets:",), warm_up=HERE + "ready") as worker:
        _, listener = submit(worker, "die")
        assert listener.over()["kind"] == "failed"
        assert submit(worker, "count", n=1)[1].over() == {"kind": "done"}


def test_a_question_lost_with_the_process_is_answered_with_the_reason():
    with WarmWorker(trusted=("job_targets:",), warm_up=HERE + "ready") as worker:
        pid = worker.call(HERE + "whoami", {}).result(20)["pid"]
        os.kill(pid, signal.SIGSTOP)
        question = worker.call(HERE + "square", {"x": 2})
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(NTKExplorerError, match="ended unexpectedly"):
            question.result(20)


def test_errors_of_the_user_keep_problem_and_remedy(shared):
    event = submit(shared, "refuse")[1].over()
    assert event == {"kind": "failed", "problem": "The number 7 is odd.", "remedy": "Use 8."}
    with pytest.raises(NTKExplorerError, match="out of memory"):
        shared.call(HERE + "starve", {}).result(20)


def test_defects_are_one_sentence_for_the_user_and_a_traceback_in_the_log(shared, caplog):
    with caplog.at_level(logging.ERROR):
        event = submit(shared, "break_down")[1].over()
    assert event["problem"] == "The computation failed unexpectedly: RuntimeError: a defect."
    assert "\n" not in event["remedy"]
    assert "Traceback" in caplog.text
    assert "second line" in caplog.text


def test_what_cannot_be_sent_fails_alone(shared):
    event = submit(shared, "unreadable")[1].over()
    assert event["kind"] == "failed"
    assert "local object" in event["problem"]  # what pickle says of a function without a name, on every Python
    assert shared.call(HERE + "square", {"x": 7}).result(20) == 49


def test_what_cannot_be_read_is_said_on_either_side(caplog):
    with WarmWorker(trusted=("job_targets:",), warm_up=HERE + "ready") as worker:
        assert "ended unexpectedly" in submit(worker, "foreign")[1].over()["problem"]
        question = worker.call(HERE + "square", {"x": Foreign()})
        with pytest.raises(NTKExplorerError, match="ended unexpectedly"):
            question.result(20)
        assert worker.call(HERE + "square", {"x": 8}).result(20) == 64
    assert "could not be read" in caplog.text


def test_only_trusted_modules_are_called(shared):
    with pytest.raises(InvalidInput, match="os:system"):
        shared.submit("os:system", {"command": "true"}, "k", print)
    with pytest.raises(InvalidInput, match="not a function of this package"):
        shared.call("os:system", {"command": "true"})


def test_a_failing_subscriber_does_not_stop_the_others(shared, caplog):
    def broken(event):
        raise ValueError("broken subscriber")

    shared.submit(HERE + "count", {"n": 3, "pause": 0.05}, "both", broken)
    _, listener = submit(shared, "count", key="both", n=3, pause=0.05)
    assert listener.over() == {"kind": "done"}
    assert "broken subscriber" in caplog.text


def test_a_callback_may_use_the_worker(shared):
    answers = queue.Queue()

    def ask(event):
        if event["kind"] == "done":
            answers.put(shared.call(HERE + "square", {"x": 6}))

    shared.submit(HERE + "count", {"n": 1}, "asks", ask)
    assert answers.get(timeout=20).result(20) == 36


def test_a_process_that_cannot_start_fails_its_jobs_and_is_tried_again(caplog):
    with WarmWorker(trusted=("job_targets:",), warm_up=HERE + "unable") as worker:
        assert "ended unexpectedly" in submit(worker, "count", n=1)[1].over()["problem"]
        worker._warm_up = HERE + "ready"
        assert submit(worker, "count", n=1)[1].over() == {"kind": "done"}


def test_shutdown_ends_the_process_and_tells_the_subscribers(tmp_path):
    worker = WarmWorker(trusted=("job_targets:",), warm_up=HERE + "ready")
    pid = worker.call(HERE + "whoami", {}).result(20)["pid"]
    _, running = submit(worker, "stubborn", seconds=600, begun=str(tmp_path / "begun"))
    _, waiting = submit(worker, "count", n=1)
    wait_for((tmp_path / "begun").exists)
    question = worker.call(HERE + "square", {"x": 2})
    worker.shutdown()
    worker.shutdown()
    assert running.over() == waiting.over() == {"kind": "cancelled"}
    assert question.cancelled()
    assert not psutil.pid_exists(pid)
    with pytest.raises(InvalidInput, match="shut down"):
        submit(worker, "count", n=1)
    assert worker._postman not in threading.enumerate()


def test_the_process_ends_when_its_parent_is_killed(tmp_path):
    program = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from ntk_explorer.jobs.worker import WarmWorker
        worker = WarmWorker(trusted=("job_targets:",))
        print(worker.call("job_targets:whoami", {{}}).result(20)["pid"], flush=True)
        worker.submit("job_targets:stubborn", {{"seconds": 600, "begun": {str(tmp_path / "begun")!r}}}, "k", print)
        assert "jax" not in sys.modules and "numpy" not in sys.modules
        time.sleep(600)
        """
    )
    # No `if __name__ == "__main__"` guard: the script must not run again in the worker.
    script = tmp_path / "script.py"
    script.write_text(program)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    wait_for((tmp_path / "begun").exists)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not psutil.pid_exists(pid), timeout=5)


def test_a_program_that_forgets_to_shut_down_ends_without_a_word(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from ntk_explorer.jobs.worker import WarmWorker
            print(WarmWorker(trusted=("job_targets:",)).call("job_targets:whoami", {{}}).result(20)["pid"])
            """
        )
    )
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr == "noise on standard output\n"
    wait_for(lambda: not psutil.pid_exists(int(done.stdout)), timeout=5)


def test_what_the_user_has_set_is_kept(monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    with WarmWorker(trusted=("job_targets:",)) as worker:
        assert worker.call(HERE + "whoami", {}).result(20)["x64"] == "0"


def test_given_variables_win_over_those_of_the_user(monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    with WarmWorker(trusted=("job_targets:",), environment={"JAX_ENABLE_X64": "1"}) as worker:
        assert worker.call(HERE + "whoami", {}).result(20)["x64"] == "1"


def test_everybody_can_see_what_runs_and_what_waits(shared):
    assert shared.jobs() == []
    listeners = [Listener() for _ in range(3)]
    jobs = [
        shared.submit(HERE + "count", {"n": 1000, "pause": 0.02, "bulk": True}, "first", listeners[0], label="One"),
        shared.submit(HERE + "count", {"n": 1000, "pause": 0.02, "bulk": True}, "first", listeners[1]),
        shared.submit(HERE + "count", {"n": 1}, "second", listeners[2]),
    ]
    while listeners[1].until("step")["i"] < 2:
        pass
    running, waiting = shared.jobs()
    assert (running.key, running.label, running.position, running.subscribers) == ("first", "One", 0, 2)
    assert running.seconds > 0.04
    assert running.last["kind"] == "step"
    assert set(running.last) == {"kind", "i"}
    assert (waiting.label, waiting.position, waiting.seconds, waiting.last) == ("second", 1, 0.0, {"kind": "queued"})
    for job in jobs:
        job.cancel()
    wait_for(lambda: not shared.jobs())


def test_moments_without_an_event_are_moments_to_stop(shared):
    _, listener = submit(shared, "pauses", n=2)
    assert listener.over() == {"kind": "done"}
    assert listener.steps == [1]
    job, listener = submit(shared, "pauses", n=10_000)
    listener.until("step")
    pid = shared.hello["pid"]
    job.cancel()
    assert shared.call(HERE + "whoami", {}).result(20)["pid"] == pid


def test_a_frozen_process_counts_as_crashed_and_is_replaced(caplog):
    with WarmWorker(trusted=("job_targets:",), warm_up=HERE + "ready", ttl=1.0) as worker:
        pid = worker.call(HERE + "whoami", {}).result(20)["pid"]
        _, running = submit(worker, "count", key="r", n=1000, pause=0.05)
        running.until("step")
        os.kill(pid, signal.SIGSTOP)
        failure = running.over()
        assert failure["kind"] == "failed"
        assert failure["crashed"]
        assert failure["ready"]
        assert "silent" in caplog.text
        assert worker.call(HERE + "whoami", {}).result(20)["pid"] != pid
    assert not psutil.pid_exists(pid)


def test_a_waiting_process_is_not_taken_for_frozen():
    with WarmWorker(trusted=("job_targets:",), warm_up=HERE + "ready", ttl=0.6) as worker:
        pid = worker.call(HERE + "whoami", {}).result(20)["pid"]
        time.sleep(1.5)
        assert worker.call(HERE + "whoami", {}).result(20)["pid"] == pid
