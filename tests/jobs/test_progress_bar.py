import io
import os
import pty
import subprocess
import sys
import termios
import textwrap
import time

import pytest

from ntk_explorer.jobs.progress import bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_with_our_own_estimate_that_is_gone_at_the_end(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with bar("cells") as show:
        show(3, 60, None)
        assert "left" not in sys.stderr.getvalue()
        time.sleep(0.11)
        show(30, 60, 125.0)
        drawn = sys.stderr.getvalue()
    assert "cells:  50%|" in drawn
    assert "30/60" in drawn
    assert "02:05 left" in drawn
    assert sys.stderr.getvalue().endswith("\r")


def interrupted(show):
    show(1, 2, 1.0)
    raise KeyboardInterrupt


def test_no_half_line_is_left_when_the_run_is_interrupted(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(KeyboardInterrupt), bar("cells") as show:
        interrupted(show)
    assert sys.stderr.getvalue().endswith("\r")
    assert not sys.stderr.getvalue().split("\r")[-2].strip()


def test_a_file_gets_a_line_now_and_then(capsys):
    with bar("cells", every=0.1) as show:
        show(1, 60, None)
        assert capsys.readouterr().err == ""
        time.sleep(0.11)
        show(2, 60, 3725.0)
        show(3, 60, 9.0)
        assert capsys.readouterr().err == "cells: 2 of 60, 1:02:05 left\n"
        time.sleep(0.11)
        show(4, 60, None)
    assert capsys.readouterr().err == "cells: 4 of 60\n"


def test_a_real_terminal_is_drawn_on():
    text = """
    from ntk_explorer.jobs.progress import bar
    with bar("cells") as show:
        show(1, 2, 61.0)
    """
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(text)], stderr=theirs, timeout=30)
    drawn = os.read(ours, 10_000).decode()
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0
    assert "1/2" in drawn
    assert "01:01 left" in drawn
