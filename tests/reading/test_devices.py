"""One kernel on several devices: four virtual ones, in a process of its own, whose number is fixed at its start."""

import os
import subprocess
import sys

PROGRAM = """
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from ntk_explorer import build, gram
from ntk_explorer.kernels import card_of
from ntk_explorer.kernels.transform import cosine
assert len(jax.devices()) == 4
for name, inputs in (("mlp", (5,)), ("cnn", (4, 4, 2))):
    network = build(name, width=4, inputs=inputs, outputs=3, bias=True, bias_variance=0.3)
    params = network.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (13, *inputs))
    for kernel in ("entk", cosine("pntk")):
        alone = card_of(kernel)(network.apply, params, x)
        among = gram(kernel, network, params, x, batch_size=5)
        np.testing.assert_allclose(among, alone, rtol=1e-12, atol=1e-12)
        between = gram(kernel, network, params, x[:6], x[6:], batch_size=5)
        np.testing.assert_allclose(between, alone[:6, 6:], rtol=1e-12, atol=1e-12)
print("equal")
"""


def test_rows_divided_among_four_devices():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.stdout == "equal\n", answer.stderr[-2000:]
