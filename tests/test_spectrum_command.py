"""``ntk-explorer spectrum`` as a person uses it."""

from __future__ import annotations

import csv
import subprocess
import sys

import jax
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from ntk_explorer import KERNELS, build, load_dataset
from ntk_explorer.cli import app
from ntk_explorer.spectra.eigen import eigenvalues

SMALL = ["--dataset", "sphere", "--n", "20", "--width", "16", "--top", "5", "--samples", "8"]


def run(*arguments):
    return CliRunner().invoke(app, ["spectrum", *map(str, arguments)])


def refused(*arguments):
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.count("Error: ") == 1
    return result.stderr


@pytest.fixture(scope="module", params=["entk", "trntk"])
def printed(request):
    """A run of the command and the eigenvalues of the matrix that it does not form."""
    data = load_dataset("sphere", n=20)
    network = build("mlp", width=16, inputs=data.inputs, outputs=data.outputs)
    params = network.init(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 16), 0))
    values = eigenvalues(KERNELS[request.param](network.apply, params, data.x))
    result = run(*SMALL, "--kernel", request.param)
    assert result.exit_code == 0, result.output
    return result, np.asarray(values)


def test_prints_the_largest_eigenvalues_and_their_share(printed):
    result, values = printed
    table = [line.split() for line in result.stdout.splitlines() if line.split() and line.split()[0].isdecimal()]
    assert [int(row[0]) for row in table] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose([float(row[1]) for row in table], values[:5], rtol=1e-5)
    assert all(float(row[2]) < 1e-9 * values[0] for row in table)
    np.testing.assert_allclose([float(row[3]) for row in table], values[:5].cumsum() / values.sum(), atol=1e-4)


def test_prints_trace_and_norm_with_standard_errors(printed):
    result, values = printed
    lines = {line.split("  ")[0]: line for line in result.stdout.splitlines()}
    trace = lines["trace"].split()
    assert float(trace[1]) == pytest.approx(values.sum(), rel=1e-5)
    assert abs(float(trace[4]) - values.sum()) < 5 * float(trace[6])
    norm = lines["Frobenius norm"].split()
    assert abs(float(norm[2]) - np.linalg.norm(values)) < 5 * float(norm[4])
    floor = float(lines["noise floor"].split()[2])
    assert floor == pytest.approx(len(values) * 2**-52 * values[0], rel=0.05)


def test_says_the_cost_beforehand(printed):
    result, values = printed
    assert f"{len(values)} × {len(values)}, never formed" in result.stderr
    assert "products by factored" in result.stderr


def test_density_as_a_table_a_dataset_and_pictures(tmp_path):
    files = {suffix: tmp_path / f"density{suffix}" for suffix in (".csv", ".nc", ".png", ".svg")}
    for path in files.values():
        result = run(*SMALL, "--kernel", "pntk", "--density", path, "--degree", 10)
        assert result.exit_code == 0, result.output
        assert f"Written to {path}" in result.stderr
    with files[".csv"].open() as file:
        rows = list(csv.DictReader(file))
    with xr.open_dataset(files[".nc"]) as saved:
        assert saved.attrs["kernel"] == "pntk"
        assert saved.attrs["degree"] == 10
        np.testing.assert_allclose([float(row["density"]) for row in rows], saved["density"], rtol=1e-9)
        np.testing.assert_allclose([float(row["eigenvalue"]) for row in rows], saved["eigenvalue"], rtol=1e-9)
    assert files[".png"].read_bytes().startswith(b"\x89PNG")
    assert b"pNTK" in files[".svg"].read_bytes()


def test_kernels_that_use_labels_take_those_of_the_data():
    result = run("--dataset", "digits", "--n", 20, "--width", 8, "--top", 3, "--samples", 4, "--kernel", "margin")
    assert result.exit_code == 0, result.output
    assert "margin, 20 eigenvalues" in result.stdout


def test_options_of_the_network_and_float32(tmp_path):
    result = run(*SMALL, "--kernel", "pntk", "--depth", 2, "--option", "bias=true", "--dtype", "float32",
                 "--method", "jvp-vjp", "--batch-size", 7)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "depth 2" in result.stdout
    assert "float32" in result.stdout
    assert "by jvp-vjp" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--kernel", "entkk"], "Did you mean 'entk'?"),
        (["--kernel", "ck"], "made of features"),
        (["--arch", "mlpp"], "Did you mean 'mlp'?"),
        (["--method", "fast"], "Unknown method 'fast'"),
        (["--top", "0"], "--top is 0"),
        (["--n", "10", "--kernel", "pntk", "--top", "10"], "between 1 and 9"),
        (["--samples", "1"], "--samples is 1"),
        (["--n", "10", "--kernel", "pntk", "--samples", "11", "--top", "3"], "--samples is 11"),
        (["--batch-size", "0"], "batch_size is 0"),
        (["--dtype", "float16"], "dtype: "),
        (["--width", "0"], "Width 0"),
        (["--option", "width=8"], "--width"),
        (["--density", "density.txt"], "Cannot tell the format"),
        (["--density", "/nowhere/density.csv"], "Cannot write to"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_message(arguments, expected):
    assert expected in refused(*arguments)


def test_steps_beyond_the_size_are_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "density.csv"
    assert "--degree is 500" in refused("--n", 10, "--kernel", "pntk", "--top", 3, "--samples", 5, "--density", path,
                                        "--degree", 500)  # fmt: skip
    assert not path.exists()


def test_help_needs_neither_jax_nor_scipy():
    code = "import sys; sys.argv = ['ntk-explorer', 'spectrum', '--help']; from ntk_explorer.cli import main\n"
    code += "try: main()\nexcept SystemExit: print(sorted({'jax', 'scipy', 'numpy', 'holoviews'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "--density" in done.stdout
    assert done.stdout.endswith("[]\n"), done.stdout
