"""The command line as a person uses it: real sweeps, and one message for whatever is wrong."""

import io
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import typer
import xarray as xr
import yaml
from typer.testing import CliRunner

from ntk_explorer.cli import app
from ntk_explorer.cli._engine import confirm
from ntk_explorer.cli.doctor import version_problems
from ntk_explorer.errors import InvalidInput
from ntk_explorer.infinite.installed import installed_version
from ntk_explorer.store import Store

SCRIPT = str(Path(sys.executable).with_name("ntk-explorer"))
TINY = ["--dataset", "sphere", "--n", "10", "--widths", "4,8", "--seeds", "2"]


# pytest-xdist's processes ignore Ctrl-C, and their children would inherit that.
INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
INTERRUPTIBLE += "from ntk_explorer.cli import main; main()"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments):
    """The message of a command that must end with exit code 2 and nothing but one message."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.count("Error: ") == 1
    return result.stderr


def test_sweep_as_a_program_prints_the_slope_and_writes_the_file(tmp_path):
    out = tmp_path / "out.nc"
    done = subprocess.run([SCRIPT, "sweep", *TINY, "--out", out], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "relative Frobenius error    pntk" in done.stdout
    assert "−" in done.stdout.split("Slope in width")[1]
    assert "4 cells, 0 of them in the store" in done.stderr
    with xr.open_dataset(out) as results:
        assert dict(results.sizes) | {"width": 2, "seed": 2, "compared": 3, "kernel": 4} == dict(results.sizes)
        assert np.isfinite(results.relative_frobenius).all()
        assert results.attrs["dtype"] == "float64"


def test_second_run_finds_every_cell_and_prints_the_same_table(tmp_path):
    first, second = (run("sweep", *TINY, "--store", tmp_path / "kept") for _ in range(2))
    assert first.exit_code == second.exit_code == 0, first.output
    assert first.stdout == second.stdout
    assert "4 cells, 4 of them in the store: already computed" in second.stderr
    assert len(Store(tmp_path / "kept").manifests("sweep-cell")) == 4


def test_table_holds_the_numbers_of_the_file(tmp_path):
    result = run("sweep", *TINY, "--kernels", "trntk", "--out", tmp_path / "out.nc")
    assert result.exit_code == 0, result.output
    row = next(line.split() for line in result.stdout.splitlines() if line.split()[:2] == ["8", "trntk"])
    with xr.open_dataset(tmp_path / "out.nc") as results:
        errors = results.relative_frobenius.sel(width=8, compared="trntk").values
    assert float(row[2]) == pytest.approx(errors.mean(), abs=1e-4)
    assert float(row[4]) == pytest.approx(errors.std(ddof=1), abs=1e-4)


def test_csv_has_one_row_per_kernel_width_and_seed(tmp_path):
    out = tmp_path / "curves.csv"
    assert run("sweep", *TINY, "--kernels", "pntk", "--out", out).exit_code == 0
    header, *rows = [line.split(",") for line in out.read_text().splitlines()]
    assert header[:3] == ["kernel", "width", "seed"]
    assert len(rows) == 2 * 2 * 2
    table = [dict(zip(header, row, strict=True)) for row in rows]
    assert all((row["relative_frobenius"] == "") == (row["kernel"] == "entk") for row in table)
    assert all(float(row["condition_number"]) >= 1 for row in table)


def test_options_of_the_command_line_win_over_the_file(tmp_path):
    config = tmp_path / "sweep.yaml"
    filed = {"data": {"name": "sphere", "n": 20}, "widths": [4], "seeds": 2, "network": "mlp"}
    config.write_text(yaml.safe_dump(filed))
    result = run("sweep", "--config", config, "--seeds", 1, "--depth", 2, "--option", "bias=true", "--n", 12)
    assert result.exit_code == 0, result.output
    assert "sphere, n = 12 · mlp (depth 2" in result.stdout
    assert "one seed" in result.stdout
    assert "One width has no slope" in result.stdout


def test_interrupted_sweep_keeps_its_cells_and_goes_on_from_there(tmp_path):
    store = tmp_path / "kept"
    options = ["--dataset", "sphere", "--n", "10", "--widths", "4,8,16,32,64,128,256,512,1024"]
    command = [sys.executable, "-c", INTERRUPTIBLE, "sweep", *options, "--store", store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not Store(store).manifests("sweep-cell") and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.rstrip().endswith("Stopped; what was finished is kept.")
    assert "Traceback" not in stderr
    assert stdout == ""
    kept = len(Store(store).manifests("sweep-cell"))
    assert 0 < kept < 45
    again = run("sweep", "--dataset", "sphere", "--n", "10", "--widths", "4,8", "--seeds", 1, "--store", store)
    assert f"2 cells, {min(kept, 2)} of them in the store" in again.stderr


def test_lists_of_values_make_a_grid_and_one_table(tmp_path):
    out = tmp_path / "grid.csv"
    grid = ["--dataset", "sphere", "--n", "10,12", "--depth", "2,3", "--widths", 4, "--seeds", 1, "--kernels", "pntk"]
    result = run("sweep", *grid, "--store", tmp_path / "kept", "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("4 sweeps, 4 cells, 0 of them in the store")
    assert result.stdout.count("sphere, n = ") == 4
    header, *rows = [line.split(",") for line in out.read_text().splitlines()]
    assert header[:5] == ["data.n", "depth", "kernel", "width", "seed"]
    assert [row[:3] for row in rows] == [[n, d, k] for n in ("10", "12") for d in "23" for k in ("entk", "pntk")]
    again = run("sweep", *grid, "--store", tmp_path / "kept")
    assert again.stderr.startswith("4 sweeps, 4 cells, 4 of them in the store: already computed")
    assert again.stdout == result.stdout
    assert "holds one sweep, and these are 4" in refused("sweep", *grid, "--out", tmp_path / "grid.nc")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--dataset", "digit"], "Did you mean 'digits'?"),
        (["--arch", "mlpp"], "Did you mean 'mlp'?"),
        (["--kernels", "pntk,trnkt"], "Did you mean 'trntk'?"),
        (["--kernels", "entk"], "the kernel that the others are compared with"),
        (["--activation", "rleu"], "'relu'"),
        (["--widths", "32,0"], "Width 0 is not a whole number"),
        (["--widths", "32,-4"], "Width -4 is not a whole number"),
        (["--widths", "32,wide"], "Width 'wide' is not a whole number"),
        (["--widths", "3.5"], "Width '3.5' is not a whole number"),
        (["--seeds", "0"], "seeds: "),
        (["--n", "5000"], "beyond the 1797 examples"),
        (["--n", "4"], "below the 10 classes"),
        (["--classes", "1"], "classes: "),
        (["--dtype", "float16"], "dtype: "),
        (["--option", "bias"], "not of the form key=value"),
        (["--option", "colour=red"], "colour"),
        (["--option", "width=64"], "Use --widths"),
        (["--depth", "0"], "depth: "),
        (["--dataset", "npz", "--path", "nowhere.npz"], "nowhere.npz"),
        (["--dataset", "digits", "--path", "x.npz"], "not read from a file"),
        (["--config", "nowhere.yaml"], "Cannot read 'nowhere.yaml'"),
        (["--n", "many"], "data.n: Input should be a valid integer"),
        (["--out", "out.txt"], "Cannot tell the format"),
        (["--out", "/nowhere/out.nc"], "Cannot write to '/nowhere/out.nc'"),
        (["--dataset", "rings", "--arch", "cnn", "--n", "20"], "(height, width, channels)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_to_a_sweep_gets_one_message(arguments, expected):
    assert expected in refused("sweep", *arguments)


def test_a_sweep_that_is_too_large_is_refused_with_the_figures_and_a_remedy():
    message = refused("sweep", "--dataset", "sphere", "--n", 100_000, "--widths", 8)
    assert " TB" in message
    assert "1000000 are too many. Lower the number of examples" in message


def test_unwritable_output_is_refused_before_anything_is_computed(tmp_path):
    refused("sweep", *TINY, "--store", tmp_path / "kept", "--out", tmp_path / "missing" / "out.nc")
    assert not (tmp_path / "kept").exists()


def test_checking_an_output_leaves_no_file_behind(tmp_path):
    refused("sweep", "--widths", "0", "--out", tmp_path / "out.nc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["a: [1, 2", "- just\n- a list", "!!python/object/apply:os.getcwd []", "x" * 200_000])
def test_damaged_configuration_gets_one_message(tmp_path, text):
    config = tmp_path / "sweep.yaml"
    config.write_text(text)
    assert str(config) in refused("sweep", "--config", config)


def test_pickled_npz_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.array([{"a": 1}] * 4, dtype=object), y=np.array([0, 1, 0, 1]))
    refused("sweep", "--dataset", "npz", "--path", path, "--n", 4)


@pytest.mark.parametrize(
    "kind", [[], ["kernels"], ["transforms"], ["limits"], ["architectures"], ["datasets"], ["measures"], ["summaries"]]
)
def test_list_prints_every_card(kind):
    from ntk_explorer.cli.listing import registries

    result = run("list", *kind)
    assert result.exit_code == 0, result.output
    for name, registry in registries().items():
        if not kind or name in kind:
            for entry in registry.values():
                assert entry.name in result.stdout
                assert entry.label in result.stdout


def test_list_of_an_unknown_kind_offers_the_nearest():
    assert "Did you mean 'kernels'?" in refused("list", "kernel")


def test_doctor_finds_a_healthy_installation_and_checks_a_kernel(store_directory):
    result = run("doctor")
    assert result.exit_code == 0, result.output
    for line in ("Python", "jax ", "devices", "memory at hand", f"{store_directory} (writable)", "No problem found."):
        assert line in result.stdout
    difference = float(result.stdout.split("relative difference ")[1].split()[0])
    assert 0 <= difference < 1e-12


def test_doctor_says_whether_neural_tangents_is_there_and_works(monkeypatch):
    if installed_version():
        result = run("doctor")
        assert f"closed form against neural-tangents {installed_version()}" in result.stdout

        def broken():
            raise InvalidInput("neural-tangents cannot be imported under this JAX", "Use another.")

        monkeypatch.setattr("ntk_explorer.infinite._neural_tangents.neural_tangents", broken)
        result = run("doctor")
        assert result.exit_code == 1
        assert "problem: infinite width: InvalidInput: neural-tangents cannot be imported" in result.stderr
    monkeypatch.setattr("ntk_explorer.infinite.installed.installed_version", lambda: None)
    result = run("doctor")
    assert result.exit_code == 0, result.output
    assert "is not installed. Run: pip install --no-deps neural-tangents" in result.stdout


def test_doctor_reports_a_store_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NTK_EXPLORER_STORE", str(tmp_path / "file" / "store"))
    result = run("doctor")
    assert result.exit_code == 1
    assert "problem: store: InvalidInput: Cannot use the store" in result.stderr


def test_doctor_names_packages_that_do_not_fit(tmp_path, monkeypatch):
    """An older panel found first on the path, as after a careless installation."""
    info = tmp_path / "panel-1.8.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: panel\nVersion: 1.8.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    problems = list(version_problems())
    assert any("needs panel" in problem and "1.8.0 is installed" in problem for problem in problems)


def test_version_is_the_installed_one():
    from importlib.metadata import version

    assert run("--version").stdout == f"ntk-explorer {version('ntk-explorer')}\n"


def test_port_in_use_is_named_with_the_remedy():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = refused("serve", "--no-open", "--port", port)
    assert f"Port {port} is in use" in message
    assert "--port 0" in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--host", "0.0.0.0"], "lets the whole network use this machine"),
        (["--host", "0.0.0.0", "--allow-origin", "*"], "Origins are names"),
        (["--host", "203.0.113.7", "--allow-origin", "lab:5006"], "Cannot listen on '203.0.113.7'"),
        (["--port", "70000"], "--port"),
        (["--port", "0", "--preset", "no-such-card"], "no-such-card"),
        (["--port", "0", "--config", "nowhere.yaml"], "Cannot read 'nowhere.yaml'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_to_serve_gets_one_message(arguments, expected):
    assert expected in refused("serve", "--no-open", *arguments)


def test_served_page_answers_and_ends_with_its_worker(tmp_path):
    command = [SCRIPT, "serve", "--no-open", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        assert url.startswith("http://localhost:")
        import urllib.request

        with urllib.request.urlopen(url, timeout=60) as answer:
            assert answer.status == 200
            assert "NTK Explorer" in answer.read().decode()
        children = _children(process.pid)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stderr
    deadline = time.monotonic() + 20
    while any(map(_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_alive, children))


def _children(pid):
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def _alive(pid):
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("answer", "starts"), [("y", True), ("n", False)])
def test_large_work_asks_where_there_is_somebody_to_ask(answer, starts, monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    with nullcontext() if starts else pytest.raises(typer.Abort):
        confirm(3600, sure=False)
    assert bool(sys.stdin.read()) is False  # the answer has been read


def test_work_that_is_small_agreed_to_or_nobodys_asks_nothing(monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    confirm(60, sure=False)
    confirm(3600, sure=True)
    assert sys.stdin.read() == "n\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    confirm(3600, sure=False)
    assert sys.stdin.read() == "n\n"
