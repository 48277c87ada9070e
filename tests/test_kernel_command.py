"""``ntk-explorer kernel`` as a person uses it: the right numbers in the file, and one message for whatever is wrong."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
from test_cli import INTERRUPTIBLE, refused, run

from ntk_explorer.amounts import read_bytes
from ntk_explorer.datasets import load
from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels import KERNELS
from ntk_explorer.sweeps.cells import initialise, network_at
from ntk_explorer.sweeps.plan import plan_sweep

SMALL = ["--dataset", "sphere", "--arch", "mlp", "--width", 8, "--dtype", "float64"]


def expected(kernel, n, n2=0):
    """The kernel of the same network and examples, from the library."""
    plan = plan_sweep({"name": "sphere", "n": n + n2}, "mlp", widths=[8], seeds=1)
    data = load(plan.data)
    network = network_at(plan, data, 8)
    columns = data.x[n:] if n2 else None
    return np.asarray(KERNELS[kernel](network.apply, initialise(plan, network, 0), data.x[:n], columns)), data.y


def read(path):
    if path.suffix == ".zarr":
        return xr.open_zarr(path, chunks=None, consolidated=False)["kernel"].load()
    if path.suffix == ".nc":
        with xr.open_dataarray(path) as matrix:
            return matrix.load()
    with np.load(path) as arrays:
        return xr.DataArray(arrays["kernel"], coords={"label1": ("dim_0", arrays["label1"])})


@pytest.mark.parametrize("name", ["k.zarr", "k.nc", "k.npz"])
def test_file_holds_the_kernel_and_the_labels(name, tmp_path):
    out = tmp_path / name
    result = run("kernel", *SMALL, "--kernel", "pntk", "--n", 12, "--batch-size", 5, "--out", out)
    assert result.exit_code == 0, result.output
    values, labels = expected("pntk", 12)
    matrix = read(out)
    np.testing.assert_allclose(matrix, values, rtol=1e-10)
    np.testing.assert_array_equal(matrix.label1, labels)


def test_summary_says_what_the_matrix_is(tmp_path):
    result = run("kernel", *SMALL, "--n", 12, "--out", tmp_path / "k.npz")
    values, _ = expected("pntk", 12)
    said = {line[:17].strip(): line[17:] for line in result.stdout.splitlines()}
    assert "pNTK: 12 × 12, float64" in result.stdout
    assert float(said["trace"]) == pytest.approx(np.trace(values), rel=1e-5)
    assert float(said["Frobenius norm"]) == pytest.approx(np.linalg.norm(values), rel=1e-5)
    assert float(said["λ1"]) == pytest.approx(np.linalg.eigvalsh(values)[-1], rel=1e-5)
    assert 0 < float(said["noise floor"]) < 1e-10 * float(said["λ1"])
    assert f"written to {tmp_path / 'k.npz'}" in result.stdout
    assert "The pNTK of 12 × 12 examples, 400 parameters, float64, in tiles of 12: about" in result.stderr


def test_blocks_against_further_examples(tmp_path):
    out = tmp_path / "k.zarr"
    result = run("kernel", *SMALL, "--kernel", "entk", "--n", 11, "--n2", 6, "--batch-size", 4, "--out", out)
    assert result.exit_code == 0, result.output
    values, labels = expected("entk", 11, 6)
    matrix = read(out)
    assert matrix.dims == ("x1", "x2", "c", "d")
    np.testing.assert_allclose(matrix, values, rtol=1e-10)
    np.testing.assert_array_equal(matrix.label2, labels[11:])
    assert "λ1" not in result.stdout


def test_sphere_takes_the_shape_of_an_image_network():
    result = run(
        "kernel", "--arch", "resnet18", "--width", 2, "--dataset", "sphere", "--n", 10, "--option", "blocks=[1]"
    )
    assert result.exit_code == 0, result.output
    assert "pNTK: 10 × 10, float32" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kernel", "pntkk"], "Did you mean 'pntk'?"),
        (["--arch", "resnet19"], "Did you mean 'resnet18'?"),
        (["--dataset", "spere"], "Did you mean 'sphere'?"),
        (["--n", 1], "greater than or equal to 2"),
        (["--n", -5, "--n2", 10], "--n"),
        (["--n2", -1], "--n2"),
        (["--width", 0], "Width 0 is not a whole number between 1 and 65536"),
        (["--option", "width=3"], "--width"),
        (["--dtype", "float16"], "float64"),
        (["--by", "neuron"], "neuron"),
        (["--kernel", "entk", "--centred"], "not one number for each pair"),
        (["--precision", "sloppy"], "The precision 'sloppy' is not known"),
        (["--memory", "much"], "'much' is no amount of memory"),
        (["--memory", "2kB"], "2.0 kB"),
        (["--batch-size", 0], "--batch-size"),
        (["--out", "k.txt"], "End it in .zarr or .nc or .npz"),
        (["--out", "nowhere/k.zarr"], "Cannot write to 'nowhere/k.zarr'"),
        (["--out", "nowhere/k.nc"], "Cannot write to 'nowhere/k.nc'"),
        (["--arch", "cnn", "--dataset", "rings"], "(height, width, channels)"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_message(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused("kernel", "--n", 20, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    kept = tmp_path / "k.zarr"
    kept.mkdir()
    (kept / "mine").write_text("")
    assert "exists and is no kernel" in refused("kernel", *SMALL, "--n", 10, "--out", kept)
    assert [path.name for path in kept.iterdir()] == ["mine"]


def test_transforms_follow_one_another(tmp_path):
    out = tmp_path / "k.npz"
    assert run("kernel", *SMALL, "--n", 12, "--cosine", "--out", out).exit_code == 0
    values, _ = expected("pntk", 12)
    lengths = np.sqrt(np.diagonal(values))
    np.testing.assert_allclose(read(out), values / np.outer(lengths, lengths), rtol=1e-10)
    assert run("kernel", *SMALL, "--n", 12, "--cosine", "--centred", "--out", out).exit_code == 0
    np.testing.assert_allclose(read(out).sum(axis=0), 0, atol=1e-12)
    assert run("kernel", *SMALL, "--n", 12, "--projected", 300, "--out", out).exit_code == 0
    error = np.linalg.norm(read(out) - values) / np.linalg.norm(values)
    assert 0 < error < 0.2


def test_shares_of_layers_add_up(tmp_path):
    out = tmp_path / "k.zarr"
    result = run("kernel", *SMALL, "--kernel", "trntk", "--n", 12, "--by", "layer", "--out", out)
    assert result.exit_code == 0, result.output
    values, _ = expected("trntk", 12)
    shares = read(out)
    assert list(shares["layer"].values) == ["dense_0", "dense_1", "readout"]
    np.testing.assert_allclose(shares.sum("layer"), values, rtol=1e-10)
    traces = [float(np.trace(share)) for share in shares.values]
    said = [line.split() for line in result.stdout.splitlines()]
    assert [float(words[1]) for words in said if words[0] in shares["layer"]] == pytest.approx(traces, rel=1e-5)


def test_ctrl_c_keeps_the_finished_tiles(tmp_path):
    out = tmp_path / "k.zarr"
    command = [sys.executable, "-c", INTERRUPTIBLE, "kernel", "--n", "1500", "--batch-size", "10", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while len(list((out / "kernel").glob("c/*/*"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert stderr.rstrip().endswith(f"Stopped; tiles are kept in {out}, where the same command continues.")
    assert "Traceback" not in stderr
    matrix = read(out)
    assert matrix.isnull().any()
    np.testing.assert_array_equal(matrix[:10, :10], matrix[:10, :10].T)
    assert matrix[:10, :10].notnull().all()


@pytest.mark.parametrize(
    ("text", "count"), [("8GB", 8 * 10**9), ("1.5 GiB", 3 * 2**29), ("500mb", 5 * 10**8), ("64", 64), ("2k", 2000)]
)
def test_amounts_of_memory(text, count):
    assert read_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "8 gigs", "1e9"])
def test_other_words_are_no_amount(text):
    with pytest.raises(InvalidInput, match="no amount of memory"):
        read_bytes(text)
