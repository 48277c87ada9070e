"""``ntk-explorer spectrum``: what can be known of a kernel's eigenvalues without forming its matrix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ntk_explorer.cli._options import given, network_options

if TYPE_CHECKING:
    import xarray as xr

    from ntk_explorer.kernels.operator import KernelOperator, ProductPlan
    from ntk_explorer.linalg.estimates import Moments
    from ntk_explorer.linalg.top import TopEigenvalues
    from ntk_explorer.sweeps.plan import SweepPlan

PICTURES, TABLES = (".png", ".svg"), (".csv", ".nc")


def spectrum(
    dataset: Annotated[str | None, typer.Option(help="Data set (see: list datasets) [digits].")] = None,
    path: Annotated[str | None, typer.Option(help="File or folder of the data set (see: data).")] = None,
    n: Annotated[int | None, typer.Option(help="Number of examples [100].")] = None,
    classes: Annotated[int | None, typer.Option(help="Use only the first classes [all].")] = None,
    data_seed: Annotated[int | None, typer.Option(help="Seed of the subset of the data [0].")] = None,
    arch: Annotated[str, typer.Option(help="Architecture (see: list architectures).")] = "mlp",
    width: Annotated[int, typer.Option(help="Hidden width.")] = 128,
    depth: Annotated[int | None, typer.Option(help="Depth of the network [the architecture's].")] = None,
    activation: Annotated[str | None, typer.Option(help="Nonlinearity [relu].")] = None,
    parameterization: Annotated[str | None, typer.Option(help="standard or ntk [standard].")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any other option of the architecture; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the initialisation and of the random vectors.")] = 0,
    kernel: Annotated[str, typer.Option(help="Kernel (see: list kernels).")] = "entk",
    top: Annotated[int, typer.Option(help="Number of largest eigenvalues.")] = 10,
    samples: Annotated[int, typer.Option(help="Random vectors for trace and Frobenius norm.")] = 20,
    degree: Annotated[int | None, typer.Option(help="Lanczos steps per random vector of the density [60].")] = None,
    method: Annotated[str, typer.Option(help="auto, jvp-vjp or factored.")] = "auto",
    batch_size: Annotated[int | None, typer.Option(help="Examples at a time [what fits].")] = None,
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    density: Annotated[Path | None, typer.Option(help="Write the density: .csv, .nc, .png or .svg.")] = None,
) -> None:
    """Show the spectrum of a kernel that is never formed."""
    from ntk_explorer.sweeps.files import check_output
    from ntk_explorer.sweeps.plan import plan_sweep

    if density is not None:
        check_output(density, (*TABLES, *PICTURES))
    plan = plan_sweep(
        given(name=dataset, path=path, n=n, classes=classes, seed=data_seed),
        network_options(arch, option or [], depth=depth, activation=activation, parameterization=parameterization),
        widths=[width],
        seeds=1,
        seed=seed,
        dtype=dtype,
    )
    count = Counts(top, samples, degree if density is not None else 0)
    results = _compute(plan, kernel, count, {"method": method, "batch_size": batch_size})
    typer.echo("\n".join(_report(plan, results)))
    if density is not None:
        _write(plan, results, density)
        typer.echo(f"\nWritten to {density}", err=True)


class Counts(NamedTuple):
    """How much is asked for; ``degree`` is 0 without a density and None for the usual number of steps."""

    top: int
    samples: int
    degree: int | None

    def products(self, size: int) -> int:
        """Products that this will take, about: Lanczos restarts a few times."""
        from ntk_explorer.spectra.density import DEGREE, SAMPLES

        steps = min(DEGREE, size) if self.degree is None else self.degree
        return min(size, 3 * max(20, 2 * self.top + 1)) + 3 * self.samples + SAMPLES * steps


class Results(NamedTuple):
    """What was found out about one kernel."""

    operator: KernelOperator
    top: TopEigenvalues
    moments: Moments
    trace: float
    density: xr.Dataset | None


def _compute(plan: SweepPlan, kernel: str, count: Counts, options: dict) -> Results:
    import jax

    from ntk_explorer.datasets import load
    from ntk_explorer.kernels import KERNELS
    from ntk_explorer.kernels.operator import kernel_operator, plan_products
    from ntk_explorer.linalg.estimates import moments
    from ntk_explorer.linalg.top import top_eigenvalues
    from ntk_explorer.spectra.density import spectral_density
    from ntk_explorer.sweeps.cells import initialise, network_at

    data = load(plan.data)
    options = options | {"y": data.y if "uses-labels" in KERNELS[kernel].tags else None}
    with jax.enable_x64(plan.dtype == "float64"):
        network = network_at(plan, data, plan.widths[0])
        made = kernel, network.apply, initialise(plan, network, 0), jax.numpy.asarray(data.x, plan.dtype)
        _announce(plan_products(*made, **options), count, plan.dtype)
        operator = kernel_operator(*made, **options)
        vectors, probes = jax.random.split(jax.random.fold_in(jax.random.key(plan.seed), 1))
        return Results(
            operator,
            top_eigenvalues(operator, count.top),
            moments(operator, key=vectors, samples=count.samples),
            operator.trace(),
            None if count.degree == 0 else spectral_density(operator, key=probes, degree=count.degree),
        )


def _announce(products: ProductPlan, count: Counts, dtype: str) -> None:
    """Refuse what the size does not allow, and say what the rest will cost."""
    from ntk_explorer.amounts import human_bytes
    from ntk_explorer.linalg.estimates import check_count
    from ntk_explorer.reading.machine import matmul_rate
    from ntk_explorer.sweeps.estimate import human_seconds

    size, cost = products.size, products.cost
    check_count("--top", count.top, 1, size - 1)
    check_count("--samples", count.samples, 2, size)
    if count.degree:
        check_count("--degree", count.degree, 1, size)
    wanted = count.products(size)
    flops = wanted * cost.flops + products.reading_flops
    typer.echo(
        f"{size} × {size}, never formed ({human_bytes(size**2 * products.dtype.itemsize)} otherwise): about {wanted} "
        f"products by {products.method}, {human_seconds(flops / matmul_rate(dtype))}, {human_bytes(cost.bytes)}",
        err=True,
    )


def _report(plan: SweepPlan, results: Results) -> Iterator[str]:
    """A caption, the two moments, the noise floor, and a table of the largest eigenvalues."""
    from ntk_explorer.spectra.eigen import noise_floor

    operator, top, found = results.operator, results.top, results.moments
    size = operator.shape[0]
    yield f"{_caption(plan)} · {operator.kernel}, {size} eigenvalues, {plan.dtype}\n"
    yield f"trace            {results.trace:.6g}    by Hutch++: {found.trace}"
    yield f"Frobenius norm   {found.frobenius_norm}"
    yield f"noise floor      {noise_floor(top.values[0], size, operator.dtype, operator.precision):.2g}"
    yield f"\n{'k':>4}  {'eigenvalue':>12}  {'residual':>9}  share of trace so far"
    shares = top.values.cumsum() / results.trace
    for rank, (value, residual, share) in enumerate(zip(top.values, top.residuals, shares, strict=True), 1):
        yield f"{rank:4}  {value:12.6g}  {residual:9.1e}  {share:.4f}"


def _caption(plan: SweepPlan) -> str:
    network = plan.network.model_dump()
    options = [f"width {plan.widths[0]}", *(f"{k} {network[k]}" for k in ("depth", "activation") if k in network)]
    return f"{plan.data.name}, n = {plan.data.n} · {plan.network.architecture} ({', '.join(options)})"


def _write(plan: SweepPlan, results: Results, path: Path) -> None:
    assert results.density is not None
    if path.suffix in PICTURES:
        from ntk_explorer.plots.density import density
        from ntk_explorer.plots.export import figure_png, figure_svg

        figure = density(results.density, top=results.top.values, caption=_caption(plan))
        path.write_bytes(figure_png(figure) if path.suffix == ".png" else figure_svg(figure))
    elif path.suffix == ".csv":
        results.density[["density", "standard_error"]].to_dataframe().to_csv(path)
    else:
        results.density.to_netcdf(path, engine="h5netcdf")
