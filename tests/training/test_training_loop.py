"""Trainings against the same steps written out one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_samples import N, assert_same_bits, classes_of, ensemble_of, epochs_of, member, network_of

from ntk_explorer.architectures import build
from ntk_explorer.datasets import load_dataset
from ntk_explorer.kernels.empirical import entk
from ntk_explorer.training import OPTIMIZERS, SCHEDULES, _loop
from ntk_explorer.training.config import configure_training
from ntk_explorer.training.epochs import train_epochs
from ntk_explorer.training.linear import linearised
from ntk_explorer.training.train import train


@jax.jit
def cross_entropy(params, x, y):
    chosen = jnp.take_along_axis(jax.nn.log_softmax(network_of().apply(params, x)), y[:, None], axis=1)
    return -chosen.mean()


slope = jax.jit(jax.grad(cross_entropy))


def batches_by_hand(index, epoch, size):
    """The documented order, the last batch as small as it is."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(1), index), epoch)
    order = np.asarray(jax.random.permutation(key, N))
    return [order[start : start + size] for start in range(0, N, size)]


@pytest.mark.parametrize("size", [8, 11])
def test_epochs_are_the_steps_written_out(size):
    x, y = classes_of()
    found = epochs_of(optimizer="sgd", learning_rate=0.1, batch_size=size, epochs=2)[-1]
    for index in range(2):
        params = member(ensemble_of(network_of()), index)
        for rows in batches_by_hand(index, 1, size) + batches_by_hand(index, 2, size):
            gradient = slope(params, x[rows], y[rows])
            params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11), member(found.params, index), params)


def rule(name, g, p, memory, t, rate=0.05, decay=0.3):
    """One step of each optimiser as its paper has it."""
    m, v = memory
    if name in ("sgd", "momentum", "adam"):
        g = g + decay * p
    if name in ("sgd", "momentum"):
        m = g + (0.9 * m if name == "momentum" else 0)
        return p - rate * m, (m, v)
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    step = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p - rate * (step + (decay * p if name == "adamw" else 0)), (m, v)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_optimisers_are_those_of_their_papers(name):
    assert name in OPTIMIZERS
    x, y = classes_of()
    options = {"learning_rate": 0.05, "weight_decay": 0.3, "batch_size": None, "loss": "squared"}
    found = epochs_of(1, optimizer=name, epochs=3, **options)[-1]
    params, tree = jax.tree.flatten(member(ensemble_of(network_of()), 0))

    @jax.jit
    @jax.grad
    def slopes(leaves):
        return jnp.mean(jnp.sum((network_of().apply(tree.unflatten(leaves), x) - jnp.eye(3)[y]) ** 2, axis=1)) / 2

    memory = [(0.0, 0.0)] * len(params)
    for t in (1, 2, 3):
        steps = [rule(name, g, p, m, t) for g, p, m in zip(slopes(params), params, memory, strict=True)]
        params, memory = [p for p, _ in steps], [m for _, m in steps]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12),
        jax.tree.leaves(member(found.params, 0)),
        params,
    )


def test_history_says_what_the_parameters_of_each_epoch_do():
    (x, y), tests = classes_of(), classes_of(9, seed=5)
    epochs = epochs_of(tests=tests)
    assert [epoch.number for epoch in epochs] == [0, 1, 2, 3]
    history = epochs[-1].history
    assert dict(history.sizes) == {"seed": 2, "epoch": 4}
    for epoch in epochs:
        assert epoch.history.identical(history.isel(epoch=slice(epoch.number + 1)))
        for index in range(2):
            params, here = member(epoch.params, index), history.isel(seed=index, epoch=epoch.number)
            for what, (inputs, labels) in {"train": (x, y), "test": tests}.items():
                right = (network_of().apply(params, inputs).argmax(-1) == labels).mean()
                np.testing.assert_allclose(here[f"{what}_loss"], cross_entropy(params, inputs, labels), rtol=1e-12)
                np.testing.assert_allclose(here[f"{what}_accuracy"], right, rtol=1e-12)


def test_a_member_does_not_depend_on_the_others():
    two, three = epochs_of(2)[-1], epochs_of(3)[-1]
    first_two = jax.tree.map(lambda leaf: leaf[:2], three.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), two.params, first_two)


def test_going_on_from_an_epoch_changes_no_bit():
    whole = epochs_of(epochs=4, schedule="warmup_cosine")
    later = epochs_of(epochs=4, schedule="warmup_cosine", start=whole[2])
    assert [epoch.number for epoch in later] == [3, 4]
    assert_same_bits((later[-1].params, later[-1].optimizer_state), (whole[-1].params, whole[-1].optimizer_state))
    assert later[-1].history.identical(whole[-1].history)


def test_a_large_batch_in_parts_is_the_same_step(monkeypatch):
    """Two batches, of 15 and of 7, of which the second is filled up, in parts of 4, of which each last one is."""
    whole = epochs_of(batch_size=15, epochs=2)[-1]
    monkeypatch.setattr(_loop, "PART", 4)
    parts = epochs_of(batch_size=15, epochs=2)[-1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12), parts.params, whole.params)
    np.testing.assert_allclose(parts.history["train_loss"], whole.history["train_loss"], rtol=1e-8)


def test_images_train_one_by_one_as_they_do_together(monkeypatch):
    network = build("cnn", inputs=(4, 4, 1), outputs=3, width=2, depth=2)
    data = np.random.default_rng(0).normal(size=(8, 4, 4, 1)), np.arange(8) % 3
    apart = epochs_of(network=network, data=data, epochs=1, batch_size=4)[-1]
    monkeypatch.setattr("ntk_explorer.training._problem.on_host", lambda: False)
    together = epochs_of(network=network, data=data, epochs=1, batch_size=4)[-1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), apart.params, together.params)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("cosine", [1, *(0.5 * (1 + np.cos(np.pi * t / 8)) for t in (1, 3, 5, 7))]),
        ("warmup_cosine", [0, 1, *(0.5 * (1 + np.cos(np.pi * (t - 1) / 7)) for t in (3, 5, 7))]),
        ("steps", [1, 1, 1, 0.1, 0.01]),
    ],
)
def test_schedules_are_what_their_equations_say(name, expected):
    factor = SCHEDULES[name](8)
    np.testing.assert_allclose([factor(step) for step in (0, 1, 3, 5, 7)], expected, rtol=1e-6)


def test_a_schedule_scales_the_steps_and_is_written_down():
    """The first step of a warm-up has no length; the history names the rate of each epoch's last step."""
    options = {"batch_size": None, "epochs": 2, "optimizer": "sgd", "learning_rate": 0.1}
    epochs = epochs_of(1, schedule="warmup_cosine", **options)
    assert_same_bits(epochs[1].params, epochs[0].params)
    assert not np.array_equal(epochs[2].params["readout"]["weight"], epochs[0].params["readout"]["weight"])
    np.testing.assert_allclose(epochs[2].history["learning_rate"][0], [0, 0, 0.1], rtol=1e-12)


def test_the_linearised_network_is_the_tangent():
    network, (x, _) = network_of(activation="tanh"), classes_of()
    origin, other = (member(ensemble_of(network), index) for index in (0, 1))
    f = linearised(network.apply, origin)
    np.testing.assert_allclose(f(origin, x), network.apply(origin, x), rtol=1e-12)
    small = jax.tree.map(lambda a, b: a + 1e-6 * (b - a), origin, other)
    np.testing.assert_allclose(f(small, x), network.apply(small, x), rtol=1e-9)
    np.testing.assert_allclose(entk(f, other, x), entk(network.apply, origin, x), rtol=1e-9, atol=1e-11)


def test_an_ensemble_trains_linearised_as_each_member_does_alone():
    network, (x, y) = network_of(), classes_of()
    together = epochs_of(linearised=True, batch_size=None, optimizer="sgd", learning_rate=0.1, loss="squared")[-1]
    for index in range(2):
        origin = member(ensemble_of(network), index)
        theta = entk(network.apply, origin, x).transpose(0, 2, 1, 3).reshape(N * 3, N * 3)
        gone = (network.apply(origin, x) - jnp.eye(3)[y]).reshape(-1)
        for _ in range(3):  # gradient descent in function space: f ← f − η Θ/n (f − y)
            gone = gone - 0.1 / N * theta @ gone
        expected = (gone**2).sum() / 2 / N
        np.testing.assert_allclose(together.history["train_loss"][index, -1], expected, rtol=1e-10)


def test_train_is_the_training_of_one():
    (x, y), network = classes_of(), network_of()
    params = member(ensemble_of(network), 0)
    options: dict = {"epochs": 3, "batch_size": 8, "epochs_kept": (0, 2)}
    trained = train(network.apply, params, x, y, key=jax.random.key(1), **options)
    expected = epochs_of(1)
    assert_same_bits(trained.params, member(expected[-1].params, 0))
    assert sorted(trained.checkpoints) == [0, 2]
    assert_same_bits(trained.checkpoints[2], member(expected[2].params, 0))
    assert trained.history.identical(expected[-1].history.isel(seed=0, drop=True))


def test_training_keeps_to_the_dtype_of_the_parameters():
    """In single precision although double is on, with the bits that it has where it is off."""
    network, (x, y) = network_of(), classes_of()
    params, config = ensemble_of(network, dtype="float32"), configure_training(epochs=2, batch_size=8)
    *_, here = train_epochs(network.apply, params, x, y, config=config, key=jax.random.key(1))
    with jax.enable_x64(False):
        *_, there = train_epochs(network.apply, params, x, y, config=config, key=jax.random.key(1))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(here.params)} == {"float32"}
    assert_same_bits((here.params, here.optimizer_state), (there.params, there.optimizer_state))


def test_a_regression_learns_and_has_no_accuracy():
    data = load_dataset("sine", n=40)
    network = build("mlp", inputs=data.inputs, outputs=data.outputs, width=32, depth=2)
    params = network.init(jax.random.key(0))
    options: dict = {"batch_size": 20, "learning_rate": 0.02, "epochs": 40}
    done = train(network.apply, params, data.x, data.y, key=jax.random.key(1), **options)
    loss = done.history["train_loss"].values
    outputs = network.apply(done.params, jnp.asarray(data.x))
    np.testing.assert_allclose(loss[-1], ((outputs - data.targets) ** 2).mean() / 2, rtol=1e-10)
    assert loss[-1] < 0.1 * loss[0]
    assert np.isnan(done.history["train_accuracy"]).all()


@pytest.mark.slow
def test_digits_are_learnt():
    data = load_dataset("digits", n=1797)
    network = build("mlp", inputs=data.inputs, outputs=10, width=128)
    params = jax.tree.map(lambda leaf: leaf.astype("float32"), network.init(jax.random.key(0)))
    train_set, test_set = (data.x[:1437], data.y[:1437]), (data.x[1437:], data.y[1437:])
    options: dict = dict(zip(("x_test", "y_test"), test_set, strict=True))
    done = train(network.apply, params, *train_set, key=jax.random.key(1), epochs=6, **options)
    assert done.history["test_accuracy"][-1] >= 0.97
