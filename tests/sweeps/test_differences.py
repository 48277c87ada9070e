"""Names of sweeps say what differs, and nothing else."""

from ntk_explorer.sweeps.differences import differing, network_in_words, short_names
from ntk_explorer.sweeps.plan import plan_sweep


def mlp(**options):
    return plan_sweep(network={"architecture": "mlp", **options})


def test_only_what_differs_is_named():
    assert short_names([mlp(depth=2), mlp(depth=5)]) == ["depth 2", "depth 5"]
    assert short_names([mlp(depth=2, activation="tanh"), mlp(depth=5)]) == ["depth 2, tanh", "depth 5, relu"]
    assert short_names([plan_sweep({"n": 40}), plan_sweep({"n": 80}, dtype="float32")]) == [
        "n = 40, float64",
        "n = 80, float32",
    ]
    assert short_names([mlp(bias=True), mlp()]) == ["bias", "no bias"]


def test_what_the_figure_shows_anyway_is_named_only_where_nothing_else_differs():
    narrow, wide = plan_sweep(widths=[4, 8]), plan_sweep(widths=[4, 16], seeds=1)
    assert short_names([narrow, wide]) == ["widths 4–8, 5 seeds", "widths 4–16, 1 seed"]
    other = plan_sweep(widths=[4, 16], dtype="float32")
    assert short_names([narrow, other]) == ["float64", "float32"]


def test_equal_plans_are_numbered():
    """Two files of one form, for instance: where they came from is no part of a name."""
    files = [plan_sweep({"name": "npz", "path": path}) for path in ("a.npz", "b.npz")]
    assert short_names(files) == ["(1)", "(2)"]


def test_architectures_with_different_options():
    plans = [plan_sweep(network="mlp", widths=[4]), plan_sweep(network="resnet", widths=[4])]
    names = short_names(plans)
    assert [name.split(",")[0] for name in names] == ["MLP", "ResNet"]
    assert "architecture" in differing(plans)


def test_a_network_in_words_has_what_is_not_as_usual():
    assert network_in_words(mlp()) == "MLP, depth 3, relu"
    assert network_in_words(mlp(activation="erf", parameterization="ntk", readout_variance=2.0)) == (
        "MLP, depth 3, erf, parameterization ntk, readout variance 2.0"
    )
    assert network_in_words(plan_sweep(network={"architecture": "resnet", "blocks": [1, 1]})) == (
        "ResNet, relu, blocks 1, 1"
    )
