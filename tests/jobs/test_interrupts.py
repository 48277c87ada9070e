import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager

from ntk_explorer.jobs.interrupts import interruptible


@contextmanager
def program(body):
    """A program under ``interruptible`` that answers READY when it may be interrupted."""
    text = "import gc, signal, sys, time\nfrom ntk_explorer.jobs.interrupts import interruptible\n" + textwrap.dedent(
        body
    )
    # Shells start programs in the background with interrupts ignored; these must hear theirs.
    text = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + text
    running = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with running:
        assert running.stdout.readline() == "READY\n"
        yield running
        running.kill()


LOST = """
def callback(phase, info):
    # As jax's callback at collections, but longer, so that the interrupt falls into it.
    if phase == "start" and not done:
        done.append(True)
        print("READY", flush=True)
        time.sleep(30)

done = []
try:
    with interruptible():
        gc.callbacks.append(callback)
        gc.collect()
        print("went on", flush=True)
        time.sleep(30)
except KeyboardInterrupt:
    print("heard", flush=True)
"""


def test_an_interrupt_that_falls_into_a_collection_is_heard():
    with program(LOST) as running:
        running.send_signal(signal.SIGINT)
        out, errors = running.communicate(timeout=20)
    # On a busy machine the interrupt comes while the line is printed.
    assert out.replace("\n", "") == "went onheard"
    assert errors == ""
    assert running.returncode == 0


def test_without_it_that_interrupt_is_lost():
    unprotected = LOST.replace("interruptible()", "open('/dev/null')").replace("(30)\nexcept", "(0)\nexcept")
    with program(unprotected) as running:
        running.send_signal(signal.SIGINT)
        out, errors = running.communicate(timeout=20)
    assert out.splitlines() == ["went on"]
    assert "ignored" in errors


SLOW_TO_END = """
with interruptible():
    try:
        print("READY", flush=True)
        time.sleep(30)
    finally:
        print("CLEANING", flush=True)
        time.sleep(30)
"""


def test_a_second_interrupt_ends_the_program_at_once():
    with program(SLOW_TO_END) as running:
        running.send_signal(signal.SIGINT)
        assert running.stdout.readline() == "CLEANING\n"
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=20)
    assert running.returncode == -signal.SIGINT


def test_handlers_are_put_back():
    whose = signal.signal(signal.SIGINT, signal.default_int_handler)  # who was started in the background ignores it
    try:
        before = signal.getsignal(signal.SIGINT), sys.unraisablehook
        with interruptible():
            assert signal.getsignal(signal.SIGINT) is not before[0]
            assert sys.unraisablehook is not before[1]
        assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before
    finally:
        signal.signal(signal.SIGINT, whose)


def test_other_lost_errors_are_reported_as_ever():
    text = """
    from ntk_explorer.jobs.interrupts import interruptible
    class Broken:
        def __del__(self):
            raise ValueError("broken")
    with interruptible():
        Broken()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(text)], capture_output=True, text=True, timeout=20)
    assert "ValueError: broken" in done.stderr
