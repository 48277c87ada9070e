import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from reference import dense_ntk

from ntk_explorer.architectures import build
from ntk_explorer.comparison.measures import relative_frobenius
from ntk_explorer.datasets import load_dataset
from ntk_explorer.errors import Cancelled, InvalidInput, NTKExplorerError, TooLarge
from ntk_explorer.kernels import KERNELS
from ntk_explorer.spectra import SUMMARIES
from ntk_explorer.spectra.eigen import flatten
from ntk_explorer.spectra.summaries import spectrum
from ntk_explorer.store import Store
from ntk_explorer.sweeps import tasks
from ntk_explorer.sweeps.assembly import assemble, matrix_bytes, matrix_seeds
from ntk_explorer.sweeps.cells import cell_identities, compute_cell
from ntk_explorer.sweeps.files import load_sweep, write_sweep
from ntk_explorer.sweeps.plan import SweepPlan, plan_sweep
from ntk_explorer.sweeps.run import block, iterate_cells, run_sweep, sweep_events

SMALL = {"name": "digits", "n": 12, "classes": 4}


def small_plan(**options):
    # tanh, since narrow ReLU networks have dead units and with them kernels without full rank.
    network = {"architecture": "mlp", "activation": "tanh"}
    return plan_sweep(**({"data": SMALL, "network": network, "widths": [4, 8], "seeds": 2} | options))


@pytest.fixture(scope="module")
def plan():
    return small_plan()


@pytest.fixture(scope="module")
def sweep(plan, tmp_path_factory):
    return run_sweep(plan, store=tmp_path_factory.mktemp("store"))


@pytest.fixture
def computed(monkeypatch):
    """Which cells are computed, in order."""
    seen = []

    def counting(plan, data, width, index, limit):
        seen.append((width, index))
        return compute_cell(plan, data, width, index, limit)

    monkeypatch.setattr(tasks, "compute_cell", counting)
    return seen


def cell_keys(plan, data):
    return {place: identity.key for place, identity in cell_identities(plan, data).items()}


def reference(plan, width, index):
    """The eNTK of one cell by the dense Jacobian, from the documented keys."""
    data = load_dataset(plan.data.name, n=plan.data.n, classes=plan.data.classes, seed=plan.data.seed)
    network = build(plan.network, width=width, inputs=data.inputs, outputs=data.outputs)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(plan.seed), width), index)
    return np.asarray(dense_ntk(network.apply, network.init(key), jnp.asarray(data.x)))


def test_data_of_any_shape_take_that_of_an_image_network():
    assert plan_sweep("sphere", "cnn").data.shape == (8, 8, 1)
    assert plan_sweep("sphere", "resnet18").data.shape == (32, 32, 3)
    assert plan_sweep({"name": "sphere", "shape": (4, 4, 2)}, "cnn").data.shape == (4, 4, 2)
    assert plan_sweep("sphere", "mlp").data.shape is plan_sweep("digits", "cnn").data.shape is None


def test_schema(plan, sweep):
    assert dict(sweep.sizes) == {
        "kernel": 4, "compared": 3, "width": 2, "seed": 2, "matrix_seed": 2, "rank": 48, "x1": 12, "x2": 12,
    }  # fmt: skip
    assert sweep["kernel"].values.tolist() == ["entk", *plan.kernels]
    assert sweep["eigenvalues"].dims == ("kernel", "width", "seed", "rank")
    assert sweep["gram"].dims == ("kernel", "width", "matrix_seed", "x1", "x2")
    assert sweep["gram"].dtype == np.float32
    for name in SUMMARIES:
        assert sweep[name].dims == ("kernel", "width", "seed")
        assert np.isfinite(sweep[name]).all()
    for name in ("relative_frobenius", "largest_eigenvalue_error"):
        assert sweep[name].dims == ("compared", "width", "seed")
    assert (sweep["seconds"] > 0).all()
    assert SweepPlan.model_validate_json(sweep.attrs["plan"]) == plan
    assert "outputs" not in sweep.attrs["plan"]
    assert set(sweep.attrs) == {"plan", "versions", "class_names", "device", "dtype", "created", "no_limit"}
    assert sweep["distance_to_limit"].isnull().all()
    assert "tanh has no closed form" in sweep.attrs["no_limit"]


def test_every_number_is_that_of_the_dense_jacobian(plan, sweep):
    for width, index in plan.cells:
        entk = reference(plan, width, index)
        here = sweep.sel(width=width, seed=index, matrix_seed=index)
        expected = np.linalg.eigvalsh(flatten(entk))[::-1]
        np.testing.assert_allclose(
            here["eigenvalues"].sel(kernel="entk"), expected, rtol=1e-8, atol=1e-10 * expected[0]
        )
        norms = np.linalg.norm(entk, axis=(2, 3)) / 2
        np.testing.assert_allclose(here["gram"].sel(kernel="entk"), norms, rtol=1e-6)
        for name in plan.kernels:
            kernel = KERNELS[name].extras["from_blocks"](entk)
            numbers = spectrum(kernel)
            found = here["eigenvalues"].sel(kernel=name)
            np.testing.assert_allclose(found[:12], numbers["eigenvalues"], rtol=1e-8)
            assert np.isnan(found[12:]).all()
            assert here["condition_number"].sel(kernel=name) == pytest.approx(
                numbers["condition_number"].item(), rel=1e-6
            )
            frobenius = here["relative_frobenius"].sel(compared=name).item()
            assert frobenius == pytest.approx(relative_frobenius(kernel, entk), rel=1e-9)
            np.testing.assert_allclose(here["gram"].sel(kernel=name), kernel, rtol=1e-6, atol=1e-6)
            errors = here["block_error"].sel(compared=name).values.astype(float)
            total = 2 * np.linalg.norm(errors) / np.linalg.norm(entk)
            assert total == pytest.approx(frobenius, rel=1e-5)


def test_kernels_from_blocks_are_the_kernels_own_functions(plan, sweep):
    data = load_dataset(**SMALL)
    network = build(plan.network, width=8, inputs=data.inputs, outputs=data.outputs)
    params = network.init(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 8), 1))
    for name in plan.kernels:
        own = KERNELS[name](network.apply, params, jnp.asarray(data.x))
        np.testing.assert_allclose(sweep["gram"].sel(kernel=name, width=8, matrix_seed=1), own, rtol=1e-6, atol=1e-6)


def test_interlacing(sweep):
    """E2, with ascending eigenvalues: λ_k(Θ) ≤ λ_k(K) ≤ λ_{k + nc − n}(Θ)."""
    for kernel in sweep["compared"].values:
        small = sweep["eigenvalues"].sel(kernel=kernel).values[..., :12][..., ::-1]
        large = sweep["eigenvalues"].sel(kernel="entk").values[..., ::-1]
        slack = 1e-9 * large[..., -1:]
        # The trace kernel is an average of compressions: only its two ends are bounded.
        kept = [0, -1] if kernel == "trntk" else slice(None)
        assert (large[..., :12][..., kept] <= small[..., kept] + slack).all()
        assert (small[..., kept] <= large[..., -12:][..., kept] + slack).all()
        cond = sweep["condition_number"]
        assert (cond.sel(kernel=kernel) <= cond.sel(kernel="entk") * (1 + 1e-6)).all()


def test_the_trace_kernel_is_never_worse(sweep):
    errors = sweep["relative_frobenius"]
    assert (errors.sel(compared="trntk") <= errors.drop_sel(compared="trntk").min("compared") + 1e-12).all()


def test_float32_stays_float32():
    plan = small_plan(dtype="float32", seeds=1)
    with jax.enable_x64(True):
        cell = next(iterate_cells(plan))
    assert cell.arrays["eigenvalues.entk"].dtype == np.float32
    double = next(iterate_cells(small_plan(seeds=1)))
    assert double.arrays["eigenvalues.entk"].dtype == np.float64


def test_double_precision_does_not_depend_on_the_callers_setting(plan, sweep, tmp_path):
    with jax.enable_x64(False):
        found = run_sweep(plan, store=tmp_path)
    np.testing.assert_array_equal(found["eigenvalues"], sweep["eigenvalues"])


def test_finished_cells_are_found_again(plan, computed, sweep, tmp_path):
    run_sweep(plan, store=tmp_path)
    assert computed == plan.cells
    again = run_sweep(plan, store=tmp_path)
    assert len(computed) == 4
    xr.testing.assert_identical(again.drop_attrs().drop_vars("seconds"), sweep.drop_attrs().drop_vars("seconds"))


def test_one_more_seed_or_width_computes_only_what_is_new(computed, tmp_path):
    run_sweep(small_plan(), store=tmp_path)
    computed.clear()
    run_sweep(small_plan(seeds=3), store=tmp_path)
    assert computed == [(4, 2), (8, 2)]
    computed.clear()
    run_sweep(small_plan(widths=[4, 6, 8]), store=tmp_path)
    assert computed == [(6, 0), (6, 1)]


def test_a_cell_depends_on_nothing_but_its_own_place(sweep, tmp_path):
    alone = run_sweep(small_plan(widths=[8], seeds=1), store=tmp_path)
    np.testing.assert_array_equal(alone["eigenvalues"].sel(width=8, seed=0), sweep["eigenvalues"].sel(width=8, seed=0))
    drawn = sweep["trace"].sel(kernel="entk").values
    assert np.unique(drawn).size == drawn.size


def test_a_damaged_cell_is_computed_again(plan, computed, sweep, tmp_path):
    run_sweep(plan, store=tmp_path)
    computed.clear()
    manifest = Store(tmp_path).manifest(cell_keys(plan, load_dataset(**SMALL))[8, 0])
    victim = next(tmp_path / manifest.folder / file.path for file in manifest.files if "eigenvalues/c" in file.path)
    victim.write_bytes(victim.read_bytes()[:-5])
    again = run_sweep(plan, store=tmp_path)
    assert computed == [(8, 0)]
    assert len(Store(tmp_path).quarantined) == 1
    np.testing.assert_array_equal(again["eigenvalues"], sweep["eigenvalues"])


def test_keys_know_all_that_the_numbers_depend_on():
    def keys(**options):
        plan = small_plan(**options)
        data = load_dataset(plan.data.name, n=plan.data.n, classes=plan.data.classes, seed=plan.data.seed)
        return set(cell_keys(plan, data).values())

    plain = keys()
    assert len(plain) == 4
    assert keys(seeds=1) < plain
    assert keys(widths=[4]) < plain
    others = [
        {"seed": 1},
        {"dtype": "float32"},
        {"kernels": ["pntk"]},
        {"network": {"architecture": "mlp", "depth": 4}},
        {"data": SMALL | {"seed": 1}},
        {"data": SMALL | {"n": 13}},
    ]
    for options in others:
        assert not keys(**options) & plain, options


def test_the_key_of_a_file_changes_with_its_content(tmp_path):
    def keys(values):
        np.savez(tmp_path / "mine.npz", x=values, y=np.arange(12) % 3)
        plan = plan_sweep({"name": "npz", "path": str(tmp_path / "mine.npz"), "n": 12}, widths=[4], seeds=1)
        return cell_keys(plan, load_dataset("npz", path=str(tmp_path / "mine.npz"), n=12))

    values = np.random.default_rng(0).normal(size=(12, 5))
    assert keys(values) == keys(values)
    assert keys(values) != keys(values + np.eye(12, 5))


def test_the_key_of_a_file_does_not_change_with_its_name(tmp_path):
    """An upload lies in another folder each time, and is not computed again for that."""

    def keys(name):
        np.savez(tmp_path / name, x=np.eye(12, 5) + np.arange(12)[:, None], y=np.arange(12) % 3)
        plan = plan_sweep({"name": "npz", "path": str(tmp_path / name), "n": 12}, widths=[4], seeds=1)
        return cell_keys(plan, load_dataset("npz", path=str(tmp_path / name), n=12))

    assert keys("one.npz") == keys("another.npz")


def test_cancel_keeps_what_is_finished(plan, computed, tmp_path):
    with pytest.raises(Cancelled, match="after 3 of 4 cells"):
        run_sweep(plan, store=tmp_path, cancel=lambda: len(computed) == 3)
    assert len(computed) == 3
    run_sweep(plan, store=tmp_path)
    assert computed == plan.cells


def test_a_cell_that_fails_is_named_and_the_others_go_on(plan, computed, tmp_path, monkeypatch):
    def failing(plan, data, width, index, limit):
        if (width, index) == (8, 0):
            raise RuntimeError("power cut")
        computed.append((width, index))
        return compute_cell(plan, data, width, index, limit)

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "compute_cell", failing)
        with pytest.raises(NTKExplorerError, match=r"1 of 4 cells .* mlp of width 8, seed 0: .*power cut"):
            run_sweep(plan, store=tmp_path)
    assert computed == [(4, 0), (4, 1), (8, 1)]
    run_sweep(plan, store=tmp_path)
    assert set(computed) == set(plan.cells)


def test_an_interrupt_loses_the_running_cell_only(plan, computed, tmp_path, monkeypatch):
    def interrupted(plan, data, width, index, limit):
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append((width, index))
        return compute_cell(plan, data, width, index, limit)

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "compute_cell", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(plan, store=tmp_path)
    run_sweep(plan, store=tmp_path)
    assert computed == plan.cells


def test_progress_counts_up_and_time_left_ends_at_zero(plan, tmp_path):
    steps = []
    run_sweep(plan, store=tmp_path, progress=steps.append)
    assert [(step.step, step.total) for step in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [step.cell.found for step in steps] == [False] * 4
    assert all(step.seconds_left > 0 for step in steps[:-1])
    assert steps[-1].seconds_left == 0
    assert steps[0].seconds < steps[-1].seconds
    steps.clear()
    run_sweep(plan, store=tmp_path, progress=steps.append)
    assert [step.cell.found for step in steps] == [True] * 4


def test_a_sweep_assembles_from_any_cells_in_any_order(plan, sweep, tmp_path):
    cells = list(iterate_cells(plan, store=tmp_path))
    whole = assemble(plan, reversed(cells))
    np.testing.assert_array_equal(whole["eigenvalues"], sweep["eigenvalues"])
    part = assemble(plan, [cells[1]])
    assert part["eigenvalues"].shape == sweep["eigenvalues"].shape
    assert np.isfinite(part["trace"].sel(width=8, seed=0)).all()
    assert np.isnan(part["trace"].sel(width=4)).all()
    assert np.isnan(part["relative_frobenius"].sel(seed=1)).all()
    with pytest.raises(InvalidInput, match="No cell"):
        assemble(plan, [])


def test_events_carry_the_cells(plan, sweep):
    events = list(sweep_events(plan.model_dump_json()))
    told = [event for event in events if event is not None]
    assert [event["kind"] for event in told] == ["cells"] * 4
    assert [event["step"] for event in told] == [1, 2, 3, 4]
    found = assemble(plan, [cell for event in told for cell in event["cells"]])
    np.testing.assert_array_equal(found["relative_frobenius"], sweep["relative_frobenius"])
    again = [event for event in sweep_events(plan.model_dump_json()) if event is not None]
    assert [len(event["cells"]) for event in again] == [4]  # what is stored is one picture


def test_matrices_of_many_examples_are_kept_for_the_first_seeds(monkeypatch, tmp_path):
    plan = small_plan(seeds=3)
    assert matrix_seeds(plan, 12) == 3
    assert matrix_bytes(plan, 12) == 7 * 12 * 12 * 4
    monkeypatch.setattr("ntk_explorer.sweeps.assembly.MATRIX_BUDGET", 2 * 2 * matrix_bytes(plan, 12))
    monkeypatch.setattr("ntk_explorer.sweeps.cells.MATRIX_LIMIT", 0)
    found = run_sweep(plan, store=tmp_path)
    assert found["matrix_seed"].values.tolist() == [0, 1]
    assert np.isfinite(found["gram"].sel(matrix_seed=0)).all()
    assert np.isnan(found["gram"].sel(matrix_seed=1)).all()
    assert np.isfinite(found["trace"]).all()


def test_a_regression_is_labelled_by_its_targets(tmp_path):
    plan = plan_sweep({"name": "sine", "n": 10}, widths=[8], seeds=1)
    found = run_sweep(plan, store=tmp_path)
    data = load_dataset("sine", n=10)
    np.testing.assert_array_equal(found["label"], data.targets[:, 0])
    # E1: with one output all kernels are the eNTK.
    assert (found["relative_frobenius"] < 1e-12).all()


def test_block_of_a_pair(plan, sweep):
    entk = reference(plan, 8, 1)
    found = block(plan.model_dump_json(), 8, 1, 3, 7)
    np.testing.assert_allclose(found["block"], entk[3, 7], rtol=1e-9, atol=1e-9)
    for name in plan.kernels:
        expected = sweep["gram"].sel(kernel=name, width=8, matrix_seed=1).values[3, 7]
        assert found["values"][name] == pytest.approx(expected, rel=1e-5)
    data = load_dataset(**SMALL)
    assert found["labels"] == data.y[[3, 7]].tolist()
    np.testing.assert_array_equal(found["images"], data.images[[3, 7]])


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ((5, 0, 0, 0), "no width 5"),
        ((8, 2, 0, 0), "seed 2"),
        ((8, 0, 12, 0), "example 12"),
        ((8, 0, 0, -1), "example -1"),
    ],
)
def test_block_of_what_is_not_there(plan, place, message):
    with pytest.raises(InvalidInput, match=message):
        block(plan.model_dump_json(), *place)


def test_what_does_not_fit_in_memory_is_refused_before_any_work(computed, monkeypatch, tmp_path):
    monkeypatch.setattr("ntk_explorer.reading.machine.available_bytes", lambda: 20_000)
    with pytest.raises(TooLarge, match=r"width 8 \(eNTK of 48 × 48\).* 20 kB are free\. Lower the number of examples"):
        run_sweep(small_plan(), store=tmp_path)
    assert not computed


def test_too_many_eigenvalues_are_refused_before_any_work(computed, monkeypatch, tmp_path):
    monkeypatch.setattr("ntk_explorer.spectra.eigen.DENSE_LIMIT", 47)
    with pytest.raises(
        TooLarge, match=r"all eigenvalues of the eNTK, and 48 are too many\. Lower the number of examples"
    ):
        run_sweep(small_plan(), store=tmp_path)
    assert not computed


def test_what_is_in_the_store_needs_no_memory(plan, computed, monkeypatch, tmp_path):
    run_sweep(plan, store=tmp_path)
    computed.clear()
    monkeypatch.setattr("ntk_explorer.reading.machine.available_bytes", lambda: 0)
    run_sweep(plan, store=tmp_path)
    assert not computed


def test_too_many_examples_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="beyond the 1797 examples"):
        run_sweep(plan_sweep({"name": "digits", "n": 5000}), store=tmp_path)


def test_a_sweep_survives_its_file(sweep, tmp_path):
    write_sweep(sweep, tmp_path / "sweep.nc")
    found = load_sweep(tmp_path / "sweep.nc")
    xr.testing.assert_identical(found.drop_attrs(), sweep.drop_attrs())
    assert found.attrs == sweep.attrs


def test_files_that_hold_no_sweep(sweep, tmp_path):
    path = tmp_path / "sweep.nc"
    with pytest.raises(InvalidInput, match="no file"):
        load_sweep(path)
    write_sweep(sweep, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InvalidInput, match="as NetCDF"):
        load_sweep(path)
    path.write_text("width,error")
    with pytest.raises(InvalidInput, match="as NetCDF"):
        load_sweep(path)
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InvalidInput, match="holds no sweep"):
        load_sweep(path)
