"""What may import what, found out in fresh processes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = (
    "jax",
    "neural_tangents",
    "panel",
    "holoviews",
    "bokeh",
    "matplotlib",
    "xarray",
    "pandas",
    "scipy",
    "sklearn",
    "pydantic",
    "flax",
)
SCREEN = ("panel", "holoviews", "bokeh", "matplotlib")


def _loaded(statement: str) -> set[str]:
    """Names of all modules that a fresh process holds after a statement."""
    code = f"{statement}\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_imports_run_downwards_only():
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_importing_the_library_imports_nothing_heavy():
    assert _loaded("import ntk_explorer").isdisjoint(HEAVY)


def test_every_public_name_exists_and_is_explained():
    import ntk_explorer

    assert len(ntk_explorer.__all__) > 15
    for name in ntk_explorer.__all__:
        assert getattr(ntk_explorer, name).__doc__, name


def test_names_that_the_issue_promises_are_public():
    import ntk_explorer

    promised = "load_dataset build entk pntk trntk single_logit gram spectrum relative_frobenius plan_sweep run_sweep"
    assert set(promised.split()) <= set(ntk_explorer.__all__)


@pytest.mark.parametrize(
    "statement",
    [
        "from ntk_explorer.kernels import KERNELS; list(KERNELS)",
        "from ntk_explorer.architectures import ARCHITECTURES; list(ARCHITECTURES)",
        "from ntk_explorer.infinite import LIMITS; list(LIMITS)",
        "from ntk_explorer import configure, infinite_ntk; infinite_ntk(configure('mlp', inputs=(2,)), [[1.0, 2.0]])",
        "from ntk_explorer.datasets import load_dataset; load_dataset('digits', n=20)",
        "from ntk_explorer.comparison import MEASURES; list(MEASURES)",
        "from ntk_explorer.spectra import SUMMARIES; list(SUMMARIES)",
        "from ntk_explorer.marglik import *; [*ESTIMATORS, *LIKELIHOODS, *PARTITIONS, *INVARIANCES]",
        "from ntk_explorer import plan_sweep; plan_sweep()",
        "import ntk_explorer.sweeps.run, ntk_explorer.jobs.worker, ntk_explorer.store",
    ],
)
def test_choosing_and_planning_needs_no_jax_and_no_screen(statement):
    assert _loaded(statement).isdisjoint(("jax", *SCREEN))


def test_server_process_never_imports_jax():
    """Only the worker owns the device."""
    loaded = _loaded("import ntk_explorer.dashboard.app, ntk_explorer.dashboard.pages as p; list(p.PAGES)")
    assert "panel" in loaded
    assert loaded.isdisjoint(("jax", "flax", "equinox", "neural_tangents"))


def test_computing_needs_no_screen():
    statement = "import jax, ntk_explorer as n; net = n.build('mlp', width=4); x = n.load_dataset('digits', n=10).x\n"
    statement += "n.pntk(net.apply, net.init(jax.random.key(0)), x)"
    assert _loaded(statement).isdisjoint(SCREEN)


@pytest.mark.parametrize("argument", ["--help", "sweep --help", "serve --help", "--version"])
def test_help_imports_neither_jax_nor_panel(argument):
    loaded = _loaded(
        f"import sys\nsys.argv = ['ntk-explorer', *{argument.split()}]\nfrom ntk_explorer.cli import main\n"
        "from contextlib import redirect_stdout, suppress\nfrom io import StringIO\n"
        "with suppress(SystemExit), redirect_stdout(StringIO()): main()"
    )
    assert "ntk_explorer.cli" in loaded
    assert loaded.isdisjoint({*HEAVY, "numpy"} - {"pydantic"})  # typer itself looks for pydantic's types
