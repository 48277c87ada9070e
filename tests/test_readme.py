"""The documents' examples run as they stand, in a fresh process with JAX's own settings, and print what they say."""

import doctest
import importlib
import pkgutil
import re
import shlex
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

import ntk_explorer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def _blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def _promised(block):
    """The comments behind the print statements: what each should print."""
    return re.findall(r"^print\(.*\)  # (.*)$", block, flags=re.MULTILINE)


def _agrees(printed, promised):
    """Equal; or, after "about", equal to within a fifth; or, before "…", equal as far as given."""
    if promised.startswith("about "):
        return float(printed) == pytest.approx(float(promised.removeprefix("about ")), rel=0.2)
    return printed.startswith(promised.removesuffix("…")) if promised.endswith("…") else printed == promised


@pytest.mark.parametrize("number", range(len(_blocks("python"))))
def test_python_example_prints_what_it_says(number):
    block = _blocks("python")[number]
    if "equinox" in block:
        pytest.importorskip("equinox")
        pytest.importorskip("flax")
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    printed, promised = done.stdout.splitlines(), _promised(block)
    assert promised
    assert len(printed) == len(promised)
    assert [pair for pair in zip(printed, promised, strict=True) if not _agrees(*pair)] == []


def test_first_example_has_six_lines():
    assert len(_blocks("python")[0].splitlines()) == 6


COMMANDS = [line for block in _blocks("sh") for line in block.splitlines()]


@pytest.mark.parametrize("command", [line for line in COMMANDS if "dask" not in line and "--scheduler" not in line])
def test_commands_are_understood(command, tmp_path):
    """Every command and option of the README exists; sweeps and trainings run in full, but small."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "make":
        assert subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True).returncode == 0
        return
    assert program == "ntk-explorer"
    done = _run(arguments, tmp_path)
    assert done.returncode == 0, done.stderr


SHORTER = {
    "sweep": ["--widths", "4", "--seeds", "1"],
    "train": ["--n", "30", "--width", "4", "--points", "9", "--epochs", "1", "--kernel-at", "1", "--no-linearised"],
    "serve": ["--help"],
}


def _run(arguments, folder):
    arguments = [*arguments, *SHORTER.get(arguments[0], [])]
    (folder / "examples").symlink_to(ROOT / "examples")
    script = Path(sys.executable).with_name("ntk-explorer")
    return subprocess.run([script, *arguments], cwd=folder, capture_output=True, text=True, timeout=300)


def test_cluster_of_the_readme_gives_the_numbers_of_this_process(tmp_path):
    """The commands run as they stand, but for the port."""
    pytest.importorskip("distributed")
    scheduler, workers, sweep = [shlex.split(line) for line in COMMANDS if "dask" in line or "--scheduler" in line]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    here = Path(sys.executable).parent
    with ExitStack() as stack:
        for program, *arguments in (scheduler, workers):
            command = [here / program, *(argument.replace("8786", port) for argument in arguments)]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
            process = stack.enter_context(subprocess.Popen([*command, "--no-dashboard"], **quiet))
            stack.callback(process.terminate)
            _wait_for(int(port))
        there = _run([argument.replace("8786", port) for argument in sweep[1:]], tmp_path)
    assert there.returncode == 0, there.stderr
    assert "2 cells, 0 of them in the store" in there.stderr
    (tmp_path / "here").mkdir()
    alone = _run(
        shlex.split(next(line for line in COMMANDS if "sweep.yaml" in line), comments=True)[1:], tmp_path / "here"
    )
    assert there.stdout == alone.stdout


def _wait_for(port):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    pytest.fail(f"nobody listens on {port}")


MODULES = [m.name for m in pkgutil.walk_packages(ntk_explorer.__path__, "ntk_explorer.") if "__main__" not in m.name]
WITH_EXAMPLES = [
    name for name in MODULES if ">>> " in Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted
    assert not results.failed


def test_some_docstrings_hold_examples():
    assert len(WITH_EXAMPLES) >= 4
