"""Every card says what its thing is called, defined by and taken from; every wrong name gets help."""

import inspect

import pytest

from ntk_explorer.architectures import ARCHITECTURES
from ntk_explorer.comparison import MEASURES
from ntk_explorer.datasets import DATASETS
from ntk_explorer.errors import UnknownName
from ntk_explorer.infinite import LIMITS
from ntk_explorer.kernels import KERNELS, TRANSFORMS
from ntk_explorer.marglik import ESTIMATORS, INVARIANCES, LIKELIHOODS, PARTITIONS
from ntk_explorer.registry import Registry
from ntk_explorer.regression import PREDICTION_MEASURES
from ntk_explorer.spectra import SUMMARIES
from ntk_explorer.training import OPTIMIZERS, SCHEDULES

COMPUTED = (KERNELS, TRANSFORMS, LIMITS, ARCHITECTURES, DATASETS, MEASURES, SUMMARIES, PREDICTION_MEASURES)
EVIDENCE = (ESTIMATORS, INVARIANCES, LIKELIHOODS, PARTITIONS)
REGISTRIES = {r.kind: r for r in (*COMPUTED, OPTIMIZERS, SCHEDULES, *EVIDENCE)}
CARDS = [pytest.param(entry, id=f"{kind}-{name}") for kind, r in REGISTRIES.items() for name, entry in r.items()]
DEFINED = (KERNELS, TRANSFORMS, LIMITS, MEASURES, SUMMARIES, PREDICTION_MEASURES, OPTIMIZERS, SCHEDULES, *EVIDENCE)
WITH_EQUATION = [pytest.param(e, id=name) for r in DEFINED for name, e in r.items()]


def test_what_the_first_issue_names_is_there():
    assert {"entk", "pntk", "trntk", "single_logit"} <= set(KERNELS)
    assert {"loss_gradient", "margin", "ck", "em"} <= set(KERNELS)
    assert {"cosine", "centred", "projected", "over_checkpoints"} == set(TRANSFORMS)
    assert {"mlp", "cnn", "resnet"} <= set(ARCHITECTURES)
    assert {"digits", "rings", "sphere", "npz"} <= set(DATASETS)
    assert {"relative_frobenius", "largest_eigenvalue_error"} <= set(MEASURES)
    assert {"sgd", "momentum", "adam", "adamw"} <= set(OPTIMIZERS)
    assert {"constant", "cosine", "warmup_cosine"} <= set(SCHEDULES)
    assert {"condition_number", "effective_rank", "trace", "decay_exponent"} <= set(SUMMARIES)


@pytest.mark.parametrize("entry", CARDS)
def test_card_is_complete(entry):
    assert entry.label
    assert inspect.getdoc(entry.function)
    assert len(entry.summary) > 10
    assert entry.function.__module__.startswith("ntk_explorer.")


@pytest.mark.parametrize("entry", WITH_EQUATION)
def test_card_has_an_equation_whose_brackets_close(entry):
    assert entry.equation
    assert entry.equation.count("{") == entry.equation.count("}")
    assert entry.equation.count(r"\left") == entry.equation.count(r"\right")


@pytest.mark.parametrize("entry", [*KERNELS.values(), *TRANSFORMS.values()], ids=lambda entry: entry.name)
def test_kernel_names_its_source_and_cost(entry):
    assert any(character.isdigit() for character in entry.reference)
    assert "product" in entry.cost


@pytest.mark.parametrize("entry", [*ARCHITECTURES.values()], ids=lambda entry: entry.name)
def test_every_option_of_an_architecture_is_described(entry):
    for name, field in entry.config.model_fields.items():
        assert field.description or name == "architecture", name


@pytest.mark.parametrize("kind", REGISTRIES)
def test_labels_are_unique(kind):
    labels = [entry.label for entry in REGISTRIES[kind].values()]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("kind", REGISTRIES)
def test_unknown_name_offers_the_nearest_and_the_list(kind):
    registry = REGISTRIES[kind]
    for name in registry:
        with pytest.raises(UnknownName) as caught:
            registry[name + "x"]
        assert f"Did you mean {name!r}?" in str(caught.value)
        assert all(known in str(caught.value) for known in registry)


def test_a_sibling_that_cannot_be_imported_is_an_error_each_time(tmp_path, monkeypatch):
    (tmp_path / "broken_toys").mkdir()
    (tmp_path / "broken_toys" / "__init__.py").write_text("")
    (tmp_path / "broken_toys" / "sibling.py").write_text("raise ImportError('no such library')")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry("toy", "broken_toys")
    for _ in range(2):
        with pytest.raises(ImportError, match="no such library"):
            list(registry)


def test_two_things_of_one_name_are_refused():
    registry = Registry("toy", "ntk_explorer.spectra")

    @registry.register("same", label="first")
    def first():
        """One."""

    with pytest.raises(TypeError, match="two toys are called 'same'"):

        @registry.register("same", label="second")
        def second():
            """Two."""

    assert registry["same"].function is first
