import numpy as np
import pytest

from ntk_explorer.errors import InvalidInput
from ntk_explorer.store import Identity, fingerprint

CONFIG = {"width": 128, "rate": 0.1, "layers": [1, 2, {"bias": True, "name": None}], "activation": "relu"}


def key(**fields):
    return Identity(**{"producer": "sweep-cell", "revision": 3, "config": CONFIG} | fields).key


def test_golden_keys():
    """What these change to is lost to everybody who has stored something: raise revisions instead."""
    assert Identity("a", 1).key == "f3da5d670a057d499642ba681d936c0723b2a969ee591c9cbe5d95a9d7a93a20"
    assert key() == "d7671bf69fad2ebd2b5d609ad44bd9d14fab1f5352c6e67e5a22d2b4ea185ebc"
    fields = {"inputs": ("ab" * 32,), "fingerprint": "f", "dtype": "float32", "precision": "high"}
    assert key(**fields) == "d219afe93785378ef1616b082eac9dcedab43ec79ee9df1fc8e7723a8090be53"
    assert (
        fingerprint(np.arange(6, dtype=np.float32).reshape(2, 3), np.array(["a", "bc"]))
        == "86e4e796653d1062bd5984faaeff63a2020f0d9a37d0418acb457a4701ad324f"
    )


@pytest.mark.parametrize(
    "config",
    [
        dict(reversed(CONFIG.items())),
        CONFIG | {"width": 128.0},
        CONFIG | {"width": np.int64(128)},
        CONFIG | {"width": np.float32(128)},
        CONFIG | {"rate": np.float64(0.1)},
        CONFIG | {"layers": (1.0, 2, {"name": None, "bias": np.True_})},
        CONFIG | {"activation": np.str_("relu")},
    ],
)
def test_what_is_written_differently_but_means_the_same_has_the_same_key(config):
    assert key(config=config) == key()


@pytest.mark.parametrize(
    "fields",
    [
        {"producer": "sweep-cells"},
        {"revision": 4},
        {"config": CONFIG | {"width": 129}},
        {"config": CONFIG | {"width": "128"}},
        {"config": CONFIG | {"rate": float(np.float32(0.1))}},
        {"config": CONFIG | {"rate": np.nextafter(0.1, 1)}},
        {"config": CONFIG | {"layers": [2, 1, {"bias": True, "name": None}]}},
        {"config": CONFIG | {"layers": [1, 2, {"bias": 1, "name": None}]}},
        {"config": CONFIG | {"more": None}},
        {"inputs": ("ab" * 32,)},
        {"inputs": ("ab" * 32, "cd" * 32)},
        {"inputs": ("cd" * 32, "ab" * 32)},
        {"fingerprint": "f"},
        {"dtype": "float32"},
        {"precision": "high"},
    ],
)
def test_what_differs_has_another_key(fields):
    others = {key(), key(inputs=("cd" * 32,))}
    assert key(**fields) not in others


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (float("nan"), "config.a is nan"),
        (np.float32("inf"), "config.a is inf"),
        ([1, {"b": -np.inf}], r"config.a\[1\].b is -inf"),
        (np.ones(2), "config.a is of type ndarray"),
        (b"bytes", "config.a is of type bytes"),
        ({1: 2}, "config.a is of type dict"),
        ({1, 2}, "config.a is of type set"),
        (1j, "config.a is of type complex"),
    ],
)
def test_what_has_no_one_form_is_refused_by_name(value, where):
    with pytest.raises(InvalidInput, match=where):
        Identity("test", 1, {"a": value})


def test_whole_numbers_that_json_cannot_tell_apart_are_refused():
    assert Identity("test", 1, {"a": 2**53 - 1}).key != Identity("test", 1, {"a": 2**53 - 2}).key
    with pytest.raises(InvalidInput, match=r"2\^53"):
        _ = Identity("test", 1, {"a": 2**53}).key


@pytest.mark.parametrize("fields", [{"producer": "a b"}, {"producer": ""}, {"inputs": ("ab",)}, {"producer": "../x"}])
def test_malformed_identities_are_refused(fields):
    with pytest.raises(InvalidInput):
        key(**fields)


def test_an_identity_keeps_its_own_copy():
    config = {"list": [1]}
    identity = Identity("test", 1, config)
    config["list"].append(2)
    assert identity.config == {"list": [1]}
    assert identity == Identity("test", 1, {"list": [1.0]})
    assert len({identity, Identity("test", 1, {"list": [1]})}) == 1


def test_fingerprints_are_of_numbers_shape_and_type():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    same = [x.copy(), np.asfortranarray(x), x.astype(">f4"), x[:, ::-1][:, ::-1]]
    assert {fingerprint(each) for each in same} == {fingerprint(x)}
    flipped = x.copy()
    flipped[0, 0] = -0.0
    others = [x.T, x.reshape(3, 2), x.astype(np.float64), x.astype(np.int32), x[:1], flipped, x.reshape(1, 2, 3)]
    assert len({fingerprint(each) for each in [x, *others]}) == 1 + len(others)
    assert fingerprint(x, x) != fingerprint(x)
    assert fingerprint(np.zeros(0)) != fingerprint()
    assert fingerprint(np.float32(1)) == fingerprint(np.ones((), np.float32))


def test_python_objects_have_no_fingerprint():
    with pytest.raises(InvalidInput, match="no fingerprint"):
        fingerprint(np.array([object()]))
