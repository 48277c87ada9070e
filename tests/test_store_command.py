"""``ntk-explorer store`` as a person uses it."""

import json

import numpy as np
import pytest
import xarray as xr
import yaml
from typer.testing import CliRunner

from ntk_explorer.amounts import human_bytes
from ntk_explorer.cli import app
from ntk_explorer.store import Identity, Store


@pytest.fixture
def kept(store_directory):
    """Three artefacts of growing size and falling cost; the second was computed from the first."""
    store, inputs, manifests = Store(), (), []
    for number in range(3):
        identity = Identity(
            "sweep-cell" if number else "gram", 1, {"number": number}, inputs=inputs if number == 1 else ()
        )
        dataset = xr.Dataset({"a": ("x", np.full(1000 * (number + 1), 1.0))})
        manifests.append(store.put(identity, dataset, title=f"work {number}", seconds=100.0 / 10**number))
        inputs = (identity.key,)
    return store, manifests


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["store", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stdout if code != 2 else result.stderr


def test_ls(kept):
    _, manifests = kept
    lines = run("ls", "--sort", "size").splitlines()
    assert [line.rsplit(maxsplit=1)[1] for line in lines[:3]] == ["2", "1", "0"]
    assert lines[0].startswith(manifests[2].key[:12])
    size = human_bytes(sum(manifest.nbytes for manifest in manifests))
    assert lines[3].startswith(f"3 artefacts, {size} of 20 GB in")
    assert [line.rsplit(maxsplit=1)[1] for line in run("ls", "--sort", "seconds").splitlines()[:3]] == ["0", "1", "2"]
    assert run("ls", "--producer", "gram").startswith(manifests[0].key[:12])
    listed = json.loads(run("ls", "--json", "--sort", "title"))
    assert [row["key"] for row in listed] == [manifest.key for manifest in manifests]
    assert [row["bytes"] for row in listed] == [manifest.nbytes for manifest in manifests]
    assert "Unknown order 'weight'" in run("ls", "--sort", "weight", code=2)


def test_ls_of_an_empty_place(tmp_path):
    (tmp_path / "empty").mkdir()
    assert run("ls", "--store", tmp_path / "empty") == f"0 artefacts, 0 B of 20 GB in {tmp_path / 'empty'}\n"
    assert "There is no store" in run("ls", "--store", tmp_path / "none", code=2)
    assert not (tmp_path / "none").exists()


def test_show(kept):
    _, manifests = kept
    known = yaml.safe_load(run("show", manifests[1].key[:20]))
    assert known["config"] == {"number": 1}
    assert known["inputs"] == [manifests[0].key]
    assert known["provenance"]["zarr"]
    exact = json.loads(run("show", manifests[1].key, "--json"))
    assert exact["files"] == [file.model_dump() for file in manifests[1].files]
    assert exact["pinned"] is False


def test_the_beginning_of_a_key_is_enough_if_it_is_the_only_one(kept):
    store, _ = kept
    assert "No artefact's key begins with 'xyz'" in run("show", "xyz", code=2)
    assert "No artefact's key begins with ''" in run("rm", "", code=2)
    number = 10
    while len({manifest.key[0] for manifest in store.manifests()}) == len(store.keys()):
        store.put(Identity("more", 1, {"number": number}))
        number += 1
    first = [manifest.key[0] for manifest in store.manifests()]
    shared = next(digit for digit in first if first.count(digit) > 1)
    assert f"2 keys begin with '{shared}'" in run("rm", shared, code=2)


def test_verify(kept):
    store, manifests = kept
    assert run("verify", "--deep") == "3 sound, 0 damaged; 0 in quarantine\n"
    path = store.objects.folder / manifests[2].folder / "data.zarr/a/c/0"
    path.write_bytes(path.read_bytes()[:-1])
    said = run("verify", code=1)
    assert f"{manifests[2].key} is damaged" in said
    assert said.endswith("2 sound, 1 damaged; 1 in quarantine\n")
    assert "1 damaged ones in quarantine" in run("ls")


def test_gc_keeps_what_is_pinned(kept):
    store, manifests = kept
    run("pin", manifests[1].key[:12])
    assert f"{manifests[1].key[:12]}*" in run("ls")
    said = run("gc", "--cap", "1kB")
    assert f"removed {manifests[2].key[:12]}" in said
    assert "What is left is pinned" in said
    assert store.keys() == {manifests[0].key, manifests[1].key}
    assert "is pinned" in run("rm", manifests[1].key, code=2)
    run("unpin", manifests[1].key)
    run("rm", manifests[1].key, manifests[0].key)
    assert store.keys() == set()
    assert "no amount of memory" in run("gc", "--cap", "lots", code=2)


def test_export_and_import(kept, tmp_path):
    _, manifests = kept
    archive, other = tmp_path / "results.tar", tmp_path / "other"
    assert run("export", archive, manifests[1].key).startswith(f"2 artefacts written to {archive}")
    assert run("import", archive, "--store", other).endswith("2 artefacts are new\n")
    assert run("import", archive, "--store", other) == "0 artefacts are new\n"
    assert run("verify", "--deep", "--store", other).startswith("2 sound, 0 damaged")
    assert "No such file" in run("import", tmp_path / "absent.tar", code=2)


@pytest.mark.parametrize("address", ["ftp://host", "s3://"])
def test_wrong_addresses_are_said_in_one_line(address):
    assert run("ls", "--store", address, code=2).startswith("Error: ")
