"""The learning rate's limit, and what is said beyond it."""

from functools import cache

import jax
import numpy as np
import pytest
from training_samples import N, classes_of, ensemble_of, epochs_of, member, network_of

from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels.empirical import entk
from ntk_explorer.training.divergence import Diverged
from ntk_explorer.training.limit import estimate_learning_rate_limit


@cache
def limits():
    """2n/λ_max(Θ) of both members, from their matrices."""
    found = []
    for index in range(2):
        theta = entk(network_of().apply, member(ensemble_of(network_of()), index), classes_of()[0])
        found.append(2 * N / np.linalg.eigvalsh(theta.transpose(0, 2, 1, 3).reshape(N * 3, N * 3))[-1])
    return np.array(found)


def test_limit_is_that_of_the_matrix():
    network, (x, _) = network_of(), classes_of()
    found = [estimate_learning_rate_limit(network.apply, member(ensemble_of(network), i), x) for i in range(2)]
    np.testing.assert_allclose(found, limits(), rtol=2e-3)


def test_limit_of_a_part_is_about_that_of_all():
    network, params = network_of(64), member(ensemble_of(network_of(64)), 0)
    x = np.random.default_rng(0).normal(size=(128, 5)) + 1
    whole, part = (estimate_learning_rate_limit(network.apply, params, x, examples=m) for m in (128, 40))
    assert part == pytest.approx(whole, rel=0.15)


def test_one_output_of_one_example_has_a_limit():
    found = estimate_learning_rate_limit(lambda w, x: x @ w, np.ones((2, 1)), np.array([[3.0, 4.0]]))
    assert found == pytest.approx(2 / 25)


def test_descent_converges_below_the_limit_and_grows_beyond():
    """On the linearised network the limit is exact."""
    options = {"optimizer": "sgd", "loss": "squared", "batch_size": None, "linearised": True, "epochs": 120}
    limit = limits()[0]
    below = epochs_of(1, learning_rate=0.98 * limit, **options)[-1].history["train_loss"][0].values
    beyond = epochs_of(1, learning_rate=1.03 * limit, **options)[-1].history["train_loss"][0].values
    assert (np.diff(below) < 0).all()
    assert beyond[-1] > 10 * beyond[0]


def test_the_own_rate_of_descent_is_half_the_limit_of_each_member():
    history = epochs_of(2, optimizer="momentum", epochs=1)[-1].history
    np.testing.assert_allclose(history["base_learning_rate"], limits() / 2, rtol=2e-3)
    np.testing.assert_array_equal(history["learning_rate"][:, -1], history["base_learning_rate"])


def test_divergence_names_rate_limit_and_remedy():
    with pytest.raises(Diverged) as caught:
        epochs_of(1, optimizer="sgd", learning_rate=1e4, loss="squared", epochs=99, linearised=True)
    limit = limits()[0]
    assert "diverged in epoch" in caught.value.problem
    assert "rate was 1e+04" in caught.value.problem
    assert f"at initialisation is {limit:.3g}" in caught.value.problem
    assert f"half of the limit, {limit / 2:.2g}" in caught.value.remedy


def test_divergence_of_adam_advises_a_smaller_rate():
    with pytest.raises(Diverged, match=r"rate of 1e\+199 or less"):
        epochs_of(1, learning_rate=1e200, epochs=3)


def test_divergence_where_no_kernel_can_be_computed_still_says_what_happened():
    """Examples that influence one another have a training, but no kernel."""

    def centred(w, x):
        return (x - x.mean(0, keepdims=True)) @ w

    class Network:
        apply = staticmethod(centred)

        @staticmethod
        def init(key):
            return jax.random.normal(key, (5, 3))

    options = {"optimizer": "sgd", "loss": "squared", "epochs": 400}
    with pytest.raises(Diverged, match="is not finite"):
        epochs_of(1, network=Network, learning_rate=1e3, **options)
    with pytest.raises(InvalidInput, match="learning_rate"):
        epochs_of(1, network=Network, **options)


def test_divergence_under_a_schedule_names_its_largest_rate():
    """At the last step of a cosine the rate is next to nothing."""
    with pytest.raises(Diverged, match=r"rate was 1e\+200"):
        epochs_of(1, optimizer="sgd", loss="squared", schedule="cosine", learning_rate=1e200, epochs=1)


@pytest.mark.parametrize("n", [1, N])
def test_a_kernel_that_is_zero_has_no_limit(n):
    x, y = classes_of(n)
    with pytest.raises(InvalidInput, match=r"sgd cannot be measured.*learning_rate"):
        epochs_of(1, data=(0 * x, y), optimizer="sgd", batch_size=None)


def test_a_network_that_starts_infinite_is_refused():
    class Network:
        apply = staticmethod(lambda w, x: x @ w)

        @staticmethod
        def init(_key):
            return np.full((5, 3), 1e308)

    with pytest.raises(InvalidInput, match="before the first step"):
        epochs_of(1, network=Network, loss="squared")
