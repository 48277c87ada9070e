"""Bad input to the evidence is explained before work starts; cards and plans need no jax."""

import jax
import numpy as np
import pytest
from evidence_cases import classes, regression

from ntk_explorer.errors import InvalidInput, TooLarge, UnknownName
from ntk_explorer.marglik import ESTIMATORS, LIKELIHOODS, PARTITIONS
from ntk_explorer.marglik.cost import Sizes, estimate_evidence, proposals, sizes_of
from ntk_explorer.marglik.evidence import evidence, evidence_of
from ntk_explorer.marglik.features import estimate_features, whitened_features
from ntk_explorer.marglik.hyperparameters import evidence_sweep
from ntk_explorer.marglik.stationarity import conjugate_evidence


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior_precision": 0.0}, "not positive"),
        ({"prior_precision": -1.0}, "not positive"),
        ({"prior_precision": float("nan")}, "not positive"),
        ({"prior_precision": float("inf")}, "over- or underflows"),
        ({"prior_precision": 1e-300}, "over- or underflows"),
        ({"prior_precision": 1e-15}, "loses the identity"),
        ({"prior_precision": np.ones(5)}, r"shape \(5,\) for"),
        ({"prior_precision": {"dense_0": 1.0}}, "no prefix"),
        ({"prior_precision": {"dense_0": np.ones(2), "readout": 1.0}}, "one number per layer"),
        ({"prior_precision": {}}, "no prior precision"),
        ({"sigma": None}, "needs its noise"),
        ({"sigma": 0.0}, "sigma is 0.0"),
        ({"sigma": 1e-200}, "under- nor overflows"),
        ({"sigma": 1e-9}, "loses the identity"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"estimator": "ful"}, "Did you mean 'full'"),
        ({"estimator": "block", "size": 3}, "no option 'size'"),
        ({"estimator": "subset", "colour": 3}, "no option 'colour'"),
        ({"estimator": "full", "form": "dual"}, "Unknown form"),
        ({"estimator": "subset", "size": 7}, "subset size is 7, and there are 6"),
        ({"estimator": "subset", "size": 3}, "needs a key"),
        ({"estimator": "subset", "size": 3, "grouping": "colour"}, "Unknown partition"),
        ({"estimator": "subset", "size": 3, "outputs": "raw"}, "variant of outputs"),
        ({"estimator": "subset", "blocks": [[0, 1, 2], [2, 3, 4, 5]]}, "two parts"),
        ({"estimator": "subset", "blocks": [[0, 1, 2], []]}, "empty"),
        ({"estimator": "kfac", "prior_precision": np.ones(26)}, "no precision of single parameters"),
    ],
)
def test_wrong_hyperparameters_and_options(changes, message):
    case = regression()
    options = case.options(0.5) | changes
    with pytest.raises(InvalidInput, match=message):
        evidence_of(case.features, **options)


def read(case, **changes):
    parts = {"f": case.f, "params": case.params, "x": case.x, "y": case.y, "likelihood": case.likelihood} | changes
    likelihood = parts.pop("likelihood")
    return whitened_features(*parts.values(), likelihood=likelihood)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.zeros(3, int)}, r"y has shape \(3,\) for 7"),
        ({"y": np.full(7, 3)}, "class 3, and the network has 3"),
        ({"y": np.full(7, -1)}, "class -1"),
        ({"y": np.zeros(7)}, "whole numbers"),
        ({"x": np.full((7, 3), np.nan)}, "x holds NaN"),
        ({"x": np.zeros((7, 5))}, "do not fit a network"),
        ({"likelihood": "poisson"}, "Unknown likelihood"),
        ({"f": lambda p, x: x[:, :1] @ p["dense_0"]["weight"][:1, :1]}, "one class only"),
        ({"f": lambda p, x: x @ p["dense_0"]["weight"].T}, "cannot be evaluated with these parameters"),
        ({"f": lambda p, x: jax.numpy.sqrt(-abs(x)) @ p["dense_0"]["weight"]}, "NaN or infinite"),
    ],
)
def test_wrong_data_and_networks(changes, message):
    with pytest.raises(InvalidInput, match=message):
        read(classes(), **changes)


def test_weights_of_another_architecture_and_of_a_diverged_training():
    case = classes()
    fewer = {"dense_0": case.params["dense_0"]}
    with pytest.raises(InvalidInput, match="same architecture"):
        read(case, params=fewer)
    with pytest.raises(InvalidInput, match="'dense_0/bias' holds NaN"):
        read(case, params=jax.tree.map(lambda leaf: leaf * np.nan, case.params))


def test_targets_of_a_regression():
    case = regression()
    with pytest.raises(InvalidInput, match="1 targets per example for 2 outputs"):
        read(case, y=np.zeros(6))
    with pytest.raises(InvalidInput, match="y holds NaN"):
        read(case, y=np.full((6, 2), np.nan))


def test_single_outputs_that_there_are_not():
    case = classes()
    with pytest.raises(InvalidInput, match="outputs is 3"):
        whitened_features(case.f, case.params, case.x, case.y, likelihood="categorical", outputs=3)


def test_a_classifier_has_no_noise_and_no_conjugate_evidence():
    with pytest.raises(InvalidInput, match="no noise"):
        evidence_of(classes().features, prior_precision=1.0, sigma=0.1)
    with pytest.raises(InvalidInput, match="no noise"):
        conjugate_evidence(classes().features, prior_precision=1.0, sigma=0.3)


def test_classes_to_group_by_are_asked_for():
    with pytest.raises(InvalidInput, match="needs a key"):
        evidence_of(classes().features, prior_precision=1.0, estimator="subset", size=2, grouping="class")


def test_a_sweep_refuses_what_a_point_refuses():
    with pytest.raises(InvalidInput, match="not positive"):
        evidence_sweep(classes().features, [1.0, 0.0])
    with pytest.raises(InvalidInput, match="loses the identity"):
        evidence_sweep(classes().features, [1.0, 1e-16])


def test_memory_is_estimated_from_shapes_alone():
    case = classes()
    x = jax.ShapeDtypeStruct((20_000, 3), "float64")
    estimate = estimate_features(case.f, case.params, x)
    assert estimate.bytes > 4 * 60_000**2 * 8
    with pytest.raises(TooLarge, match="20000 × 3 rows"):
        estimate.require(10**9, "Use subsets.")
    assert estimate_features(case.f, case.params, case.x).bytes < 10**6


def test_extreme_logits_are_no_obstacle():
    """A class of probability 1e-300 and one of 1: the fit and the curvature are finite."""
    logits = np.array([[700.0, 0.0, 0.0], [0.0, 0.0, -650.0]])
    found = evidence(
        lambda p, x: x * p["scale"][None, :],
        {"scale": np.ones(3)},
        logits,
        np.array([1, 0]),
        likelihood="categorical",
        prior_precision=1e5,
    )
    assert np.isfinite([found.fit, found.complexity]).all()
    np.testing.assert_allclose(found.fit, -700 - np.log(2), rtol=1e-12)


def test_unknown_names_offer_the_nearest():
    for registry in (ESTIMATORS, LIKELIHOODS, PARTITIONS):
        for name in registry:
            with pytest.raises(UnknownName, match=f"Did you mean {name!r}"):
                registry[name + "x"]


def test_memory_of_every_estimator():
    sizes = sizes_of(
        _readout, {"w": np.zeros((50, 10)), "b": np.zeros(10)}, jax.ShapeDtypeStruct((1000, 50), "float32")
    )
    assert (sizes.rows, sizes.parameters, sizes.tensors) == (10_000, 510, (10, 500))
    needed = {name: estimate_evidence(sizes, name, size=100 if "subset" in name else None).bytes for name in ESTIMATORS}
    assert needed["full"] < needed["diag"] + needed["ntk"] / 100  # 510 parameters stand against 10 000 rows
    assert needed["ntk"] > 3 * 10_000**2 * 8
    assert needed["subset_output"] < needed["subset"] < needed["ntk"]
    assert needed["output"] < needed["ntk"]
    with pytest.raises(InvalidInput, match="subset size is None"):
        estimate_evidence(sizes, "subset")


def test_bounds_that_fit_are_proposed():
    wide = Sizes(1000, 10, (500_000, 1000))
    assert proposals(wide, 10**15)[0] == "full"
    fitting = proposals(wide, 10**9)
    assert "full" not in fitting
    assert fitting[:2] == ["output", "subset"]
    assert all(ESTIMATORS[name].extras["is_bound"] for name in fitting)
    with pytest.raises(InvalidInput, match="No estimator of 10000 rows"):
        proposals(wide, 10**6)


def _readout(params, x):
    return x @ params["w"] + params["b"][None]
