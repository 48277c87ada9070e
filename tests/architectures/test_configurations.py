"""Configurations are checked before anything is built, hash by value, and need no jax."""

import subprocess
import sys

import pytest

from ntk_explorer.architectures import ARCHITECTURES, ArchitectureConfig, build, configure
from ntk_explorer.errors import InvalidInput, UnknownName


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_defaults_build_and_equal_configurations_share_a_network(name):
    assert build(name, width=4) is build(configure(name, width=4)) is build(configure(name), width=4)
    assert build(name, width=4) == build(name, width=4) != build(name, width=5)
    assert hash(configure(name)) == hash(configure(name))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_configuration_survives_json(name):
    config = configure(name, width=3, bias=True, bias_variance=0.5, activation="erf")
    assert type(config).model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_card_and_option_is_described(name):
    entry = ARCHITECTURES[name]
    assert entry.equation
    assert entry.reference
    assert entry.cost
    assert entry.summary.endswith(".")
    assert issubclass(entry.config, ArchitectureConfig)
    widths = entry.config.default_widths
    assert list(widths) == sorted(set(widths))
    for field, info in entry.config.model_fields.items():
        assert info.description or field == "architecture", field


def test_the_default_mlp_is_the_set_up_of_the_measured_slopes():
    config = configure("mlp")
    assert (config.depth, config.activation, config.bias, config.parameterization) == (3, "relu", False, "standard")
    assert (config.weight_variance, config.readout_variance) == (2, 1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mlp", {"width": 0}, "width: .*greater than or equal to 1, got 0"),
        ("mlp", {"width": "wide"}, "width: .*got 'wide'"),
        ("mlp", {"width": 1.5}, "width: .*got 1.5"),
        ("mlp", {"depth": 1}, "depth: .*greater than or equal to 2, got 1"),
        ("mlp", {"activation": "rely"}, "activation: .*'relu'.*got 'rely'"),
        ("mlp", {"inputs": (0,)}, "inputs.0: .*got 0"),
        ("mlp", {"outputs": -1}, "outputs: .*got -1"),
        ("mlp", {"weight_variance": 0}, "weight_variance: .*greater than 0, got 0"),
        ("mlp", {"weight_variance": float("nan")}, "weight_variance: .*got nan"),
        ("mlp", {"blocks": (1,)}, "Unknown option of mlp 'blocks'"),
        ("mlp", {"bias": True, "parameterization": "ntk"}, "bias_variance = 0 .* Set bias_variance"),
        ("cnn", {"inputs": (64,)}, r"needs examples of shape \(height, width, channels\), got \(64,\).*or an MLP"),
        ("cnn", {"kernel_size": 0}, "kernel_size: .*got 0"),
        ("cnn", {"pooling": "max"}, "pooling: .*'gap' or 'flatten', got 'max'"),
        ("resnet", {"inputs": (8, 8)}, r"got \(8, 8\)"),
        ("resnet", {"blocks": ()}, "blocks: .*at least 1"),
        ("resnet", {"blocks": (2, 0)}, "blocks.1: .*got 0"),
        ("resnet", {"normalization": "batch"}, "normalization: .*got 'batch'"),
    ],
)
def test_bad_options_are_named_with_value_and_bound(name, options, message):
    with pytest.raises(InvalidInput, match=message):
        build(name, **options)


def test_an_unknown_option_offers_the_nearest():
    with pytest.raises(UnknownName, match=r"Unknown option of mlp 'depht'. Did you mean 'depth'\?"):
        configure("mlp", depht=3)


def test_an_unknown_architecture_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match=r"Unknown architecture 'resnets'. Did you mean 'resnet'\?"):
        build("resnets")


def test_changing_a_configuration_checks_it_again():
    with pytest.raises(InvalidInput, match="width"):
        configure("cnn").replace(width=-3)
    with pytest.raises(InvalidInput, match="height, width, channels"):
        build(configure("cnn"), inputs=(64,))


def test_configuring_and_loading_data_imports_neither_jax_nor_scikit_learn():
    program = (
        "import sys; from ntk_explorer.architectures import ARCHITECTURES, configure;"
        "from ntk_explorer.datasets import DATASETS, load_dataset;"
        "[configure(name) for name in ARCHITECTURES]; list(DATASETS); load_dataset('rings');"
        "print([name for name in ('jax', 'sklearn', 'flax', 'equinox') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
