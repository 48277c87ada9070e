"""A training that is killed goes on where it was, to the same bits."""

import subprocess
import sys

import pytest

# Trains into a store and says each epoch; then, if asked to, trains the same without interruption and compares.
TRAIN = """
import sys
import jax, numpy as np
import ntk_explorer as ntk

def epochs_in(store):
    x, y = np.random.default_rng(0).normal(size=(200, 16)), np.arange(200) % 4
    network = ntk.build("mlp", inputs=(16,), outputs=4, width=64, depth=2)
    params = jax.vmap(network.init)(jax.random.split(jax.random.key(0), 2))
    config = ntk.configure_training(epochs=12, batch_size=48, schedule="warmup_cosine")
    return ntk.train_stored(
        ntk.Store(store), network.apply, params, x, y, network={"width": 64}, config=config, every=0.0
    )

for resumed in epochs_in(sys.argv[1]):
    print(resumed.number, flush=True)
if sys.argv[2] == "compare":
    *_, whole = epochs_in("memory://whole")
    pairs = zip(*(jax.tree.leaves((e.params, e.optimizer_state)) for e in (resumed, whole)), strict=True)
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)
    assert resumed.history.identical(whole.history)
    print("same")
"""


def training(store, what):
    command = [sys.executable, "-c", TRAIN, str(store), what]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_and_resumed_is_uninterrupted_to_the_last_bit(tmp_path):
    with training(tmp_path, "kill") as process:
        assert process.stdout
        for line in process.stdout:
            if int(line) == 5:
                process.kill()
                break
    with training(tmp_path, "compare") as process:
        assert process.stdout
        *epochs, same = process.stdout.read().split()
    assert process.returncode == 0
    assert same == "same"
    assert 5 <= int(epochs[0]) < 12  # what was there was not trained again
    assert epochs == [str(number) for number in range(int(epochs[0]), 13)]
