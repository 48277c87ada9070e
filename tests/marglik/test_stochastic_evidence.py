"""Stochastic bounds: what is drawn, that their mean is the bound, and that they grow with M (V4, V18)."""

import itertools
from functools import cache

import jax
import numpy as np
import pytest
from evidence_cases import classes, regression
from numpy.testing import assert_allclose

from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.marglik.evidence import evidence_of, gradient_of
from ntk_explorer.marglik.stochastic import (
    Draw,
    draw_part,
    evidence_of_part,
    stochastic_evidence,
    stochastic_gradient,
)

DELTA = 0.8
CASES = pytest.mark.parametrize("case", [classes(), regression()], ids=["classes", "regression"])


@cache
def features_of(case):
    _ = case.features.grams  # held, so that parts are cut from it
    return case.features


def call(case, **options):
    return stochastic_evidence(
        case.f, case.params, case.x, case.y, likelihood=case.likelihood, **case.options(DELTA), **options
    )


@CASES
def test_all_examples_are_the_exact_evidence_for_every_draw(case):
    exact = evidence_of(case.features, **case.options(DELTA)).total
    for seed in range(3):
        assert_allclose(call(case, key=jax.random.key(seed), size=len(case.x)).total, exact, rtol=1e-10)


@CASES
@pytest.mark.parametrize("kind", ["whitened", "paper"])
def test_the_mean_over_a_partition_is_the_bound(case, kind):
    c = case.outputs.shape[1]
    features = features_of(case).take(range(6))
    blocks = [np.array([0, 4, 2]), np.array([1, 5, 3])]
    for outputs in (None, kind):
        draws = [Draw(b, None, 2.0) for b in blocks]
        if outputs:
            draws = [Draw(b, np.full(3, i), 2.0) for b in blocks for i in range(c)]
        found = [evidence_of_part(features, d, **case.options(DELTA), outputs=kind) for d in draws]
        bound = evidence_of(features, **case.options(DELTA), estimator="subset", blocks=blocks, outputs=outputs)
        assert_allclose(np.mean([one.total for one in found]), bound.total, rtol=1e-10)
        assert {one.is_bound for one in found} == {bound.is_bound}
        assert found[0].examples == 6


def test_parts_of_unequal_size_are_unbiased_when_drawn_by_their_size():
    case, blocks = classes(), [[0, 1, 2, 3], [4, 5], [6]]
    features = features_of(case)
    draws = [Draw(np.array(block), None, 7 / len(block)) for block in blocks]
    mean = sum(
        len(b) / 7 * evidence_of_part(features, d, prior_precision=DELTA).total
        for b, d in zip(blocks, draws, strict=True)
    )
    bound = evidence_of(features, prior_precision=DELTA, estimator="subset", blocks=blocks)
    assert_allclose(mean, bound.total, rtol=1e-10)
    drawn = [draw_part(7, 3, key=jax.random.key(seed), blocks=blocks) for seed in range(30)]
    assert {tuple(d.examples) for d in drawn} == set(map(tuple, blocks))
    assert all(d.weight == 7 / len(d.examples) for d in drawn)


@CASES
def test_the_mean_over_all_subsets_never_falls_with_their_size(case):
    features, n = features_of(case), len(case.x)
    means = []
    for size in range(1, n + 1):
        subsets = [np.array(s) for s in itertools.combinations(range(n), size)]
        draws = [evidence_of_part(features, Draw(s, None, n / size), **case.options(DELTA)).total for s in subsets]
        means.append(np.mean(draws))
    assert (np.diff(means) > 0).all()
    assert_allclose(means[-1], evidence_of(features, **case.options(DELTA)).total, rtol=1e-10)


def test_an_output_per_example_averages_to_a_bound():
    """All assignments of outputs to two examples: each is a part of a partition by a permutation per example."""
    case = classes()
    pair = features_of(case).take([0, 3])
    exact = evidence_of(pair, prior_precision=DELTA).total
    draws = [Draw(np.arange(2), np.array(c), 1.0) for c in itertools.product(range(3), repeat=2)]
    mean = np.mean([evidence_of_part(pair, d, prior_precision=DELTA).total for d in draws])
    # Parts {(0, c), (1, c + s)} for c = 0, 1, 2 make a partition for each shift s.
    assert mean <= exact
    for shift in range(3):
        parts = [Draw(np.arange(2), np.array([c, (c + shift) % 3]), 1.0) for c in range(3)]
        assert np.mean([evidence_of_part(pair, d, prior_precision=DELTA).total for d in parts]) <= exact


def test_what_is_read_alone_equals_what_is_cut_from_the_whole():
    case, key = classes(), jax.random.key(4)
    for single, kind in ((None, "whitened"), ("one", "whitened"), ("each", "whitened"), ("one", "paper")):
        part = draw_part(7, 3, key=key, size=3, single=single)
        expected = evidence_of_part(features_of(case), part, prior_precision=DELTA, outputs=kind)
        found = call(case, key=key, size=3, single=single, outputs=kind)
        assert_allclose(found.total, expected.total, rtol=1e-10)
        assert found.is_bound is (kind == "whitened")
        # all outputs count in the likelihood, and the weights' cost is not rescaled
        log_p = np.log(case.probabilities[np.arange(7), case.y])
        assert_allclose(found.fit, 7 / 3 * log_p[part.examples].sum(), rtol=1e-10)
        assert_allclose(found.weight_cost, -DELTA * case.weights @ case.weights / 2, rtol=1e-12)


@pytest.mark.parametrize("single", [None, "one"])
def test_stochastic_gradients_equal_central_differences(single):
    case, key, step = regression(), jax.random.key(2), 1e-4
    options = {"likelihood": "gaussian", "key": key, "size": 3, "single": single}
    found = stochastic_gradient(case.f, case.params, case.x, case.y, prior_precision=DELTA, sigma=0.4, **options)

    def total(log_delta, log_sigma):
        hyper = {"prior_precision": DELTA * np.exp(log_delta), "sigma": 0.4 * np.exp(log_sigma)}
        return stochastic_evidence(case.f, case.params, case.x, case.y, **hyper, **options).total

    assert_allclose(found.log_prior_precision, (total(step, 0) - total(-step, 0)) / (2 * step), rtol=1e-6)
    assert_allclose(found.log_sigma, (total(0, step) - total(0, -step)) / (2 * step), rtol=1e-6)


def test_gradients_of_draws_average_to_the_gradient_of_the_bound():
    case, blocks = classes(), [[0, 1, 2], [3, 4, 5]]
    features = features_of(case).take(range(6))
    bound = gradient_of(features, prior_precision=DELTA, estimator="subset", blocks=blocks)
    parts = [gradient_of(features.take(block), prior_precision=DELTA) for block in blocks]
    penalty = DELTA * case.weights @ case.weights
    each = [(2 * part.gamma - penalty) / 2 for part in parts]
    assert_allclose(np.mean(each), bound.log_prior_precision, rtol=1e-10)


def test_the_same_key_is_the_same_number_to_the_last_bit():
    case, key = classes(), jax.random.key(11)
    options = {"key": key, "size": 3, "single": "one", "grouping": "class"}
    first, second = call(case, **options), call(case, **options)
    assert first == second
    other = call(case, **(options | {"key": jax.random.key(12)}))
    assert other.total != first.total


def test_grouped_draws_hold_few_classes():
    case = classes()
    for seed in range(5):
        drawn = draw_part(7, 3, key=jax.random.key(seed), size=2, grouping="class", classes=np.eye(3)[case.y])
        sizes = {c: int((case.y == c).sum()) for c in set(case.y)}
        held = set(case.y[drawn.examples])
        assert len(held) == 1 or min(sizes.values()) < 2


def test_cheap_structures_of_a_part():
    case, key = classes(), jax.random.key(0)
    exact = call(case, key=key, size=3)
    for estimator, bound in {"block": True, "diag": True, "kfac": False}.items():
        found = call(case, key=key, size=3, estimator=estimator)
        assert found.is_bound is bound
        if bound:
            assert found.total <= exact.total
    with pytest.raises(UnknownName, match="estimator of a part"):
        call(case, key=key, size=3, estimator="subset")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 8}, "subset size is 8"),
        ({"size": 0}, "subset size is 0"),
        ({}, "subset size is None"),
        ({"size": 3, "single": "some"}, "draw of single outputs"),
        ({"size": 3, "outputs": "raw"}, "variant of outputs"),
        ({"size": 3, "grouping": "clustered"}, "not drawn at random"),
        ({"blocks": [[0, 1]]}, "example 2 is in no part"),
    ],
)
def test_bad_draws_are_explained(options, message):
    with pytest.raises(InvalidInput, match=message):
        call(classes(), key=jax.random.key(0), **options)
