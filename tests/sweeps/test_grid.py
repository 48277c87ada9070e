import pytest

from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.sweeps.grid import plan_grid
from ntk_explorer.sweeps.plan import plan_sweep


def test_without_lists_there_is_one_sweep():
    assert plan_grid() == (plan_sweep(),)
    assert plan_grid("sphere", "cnn", widths=[4, 8]) == (plan_sweep("sphere", "cnn", widths=[4, 8]),)


def test_every_combination_of_listed_values_is_a_sweep_the_last_changing_fastest():
    network = {"architecture": "mlp", "depth": [2, 3], "activation": ["relu", "tanh"]}
    plans = plan_grid({"name": "digits", "n": [20, 30]}, network, seeds=1)
    assert [(plan.data.n, plan.network.depth, plan.network.activation) for plan in plans] == [
        (n, depth, activation) for n in (20, 30) for depth in (2, 3) for activation in ("relu", "tanh")
    ]
    assert {plan.seeds for plan in plans} == {1}


def test_architectures_take_their_own_widths():
    mlp, cnn = plan_grid("digits", ["mlp", "cnn"])
    assert mlp == plan_sweep("digits", "mlp")
    assert cnn == plan_sweep("digits", "cnn")
    assert mlp.widths != cnn.widths


def test_fields_that_hold_several_values_are_listed_as_lists_of_lists():
    (one,) = plan_grid("digits", {"architecture": "resnet", "blocks": [1, 2]})
    assert one.network.blocks == (1, 2)
    several = plan_grid("digits", {"architecture": "resnet", "blocks": [[1], [1, 2]]})
    assert [plan.network.blocks for plan in several] == [(1,), (1, 2)]
    shapes = plan_grid({"name": "sphere", "shape": [[4, 4, 1], [8, 8, 1]]}, "cnn")
    assert [plan.data.shape for plan in shapes] == [(4, 4, 1), (8, 8, 1)]


def test_equal_combinations_are_one_sweep():
    assert len(plan_grid(network={"architecture": "mlp", "depth": [3, 3]})) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"network": {"architecture": "mlp", "depth": []}}, InvalidInput, "depth is an empty list"),
        ({"network": ["mlp", "mpl"]}, UnknownName, "'mpl'"),
        ({"network": {"architecture": ["mlp", "resnet"], "depth": [2]}}, InvalidInput, "depth"),
        ({"data": {"name": "digits", "seed": list(range(1001))}}, InvalidInput, "1001 sweeps"),
        ({"seed": [0, -1]}, InvalidInput, "seed"),
    ],
)
def test_grids_that_cannot_be_planned(options, error, message):
    with pytest.raises(error, match=message):
        plan_grid(**options)
