"""The documents' examples run as they stand, in a fresh process with JAX's own settings, and print what they say."""

import doctest
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
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


@pytest.mark.parametrize("command", [line for block in _blocks("sh") for line in block.splitlines()])
def test_commands_are_understood(command, tmp_path):
    """Every command and option of the README exists; the sweeps run in full, on one width and seed."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "make":
        assert subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True).returncode == 0
        return
    assert program == "ntk-explorer"
    if arguments[0] in ("sweep", "serve"):
        arguments += ["--widths", "4", "--seeds", "1"] if arguments[0] == "sweep" else ["--help"]
    script = Path(sys.executable).with_name(program)
    done = subprocess.run([script, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


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
