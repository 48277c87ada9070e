"""A link and the state it describes are the same thing; a stranger's link is checked value by value."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_explorer.architectures import ARCHITECTURES
from ntk_explorer.dashboard.links import ExplorerState, View, from_query, to_query
from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.dashboard.presets import presets
from ntk_explorer.dashboard.queries import LONGEST
from ntk_explorer.datasets import DATASETS
from ntk_explorer.kernels import KERNELS, incomparable
from ntk_explorer.sweeps.plan import DERIVED, plan_sweep

COMPARABLE = [name for name, entry in KERNELS.items() if not incomparable(entry)]
WITHOUT_FILE = [name for name, entry in DATASETS.items() if "file" not in entry.tags]


def arguments(query: str) -> dict[str, str]:
    return dict(parse_qsl(query.lstrip("?"), keep_blank_values=True))


@st.composite
def states(draw) -> ExplorerState:
    network = {"architecture": draw(st.sampled_from(list(ARCHITECTURES)))}
    network["activation"] = draw(st.sampled_from(["relu", "tanh", "erf"]))
    network["bias"] = draw(st.booleans())
    network["weight_variance"] = draw(st.floats(0.01, 100))
    widths = tuple(sorted(draw(st.sets(st.integers(1, 65536), min_size=1, max_size=8))))
    n = draw(st.integers(2, 2000))
    plan = plan_sweep(
        {
            "name": draw(st.sampled_from(WITHOUT_FILE)),
            "n": n,
            "classes": draw(st.none() | st.integers(2, 1000)),
            "seed": draw(st.integers(0, 2**32 - 1)),
        },
        network,
        widths=widths,
        seeds=draw(st.integers(1, 64)),
        seed=draw(st.integers(0, 2**31 - 1)),
        kernels=tuple(draw(st.permutations(COMPARABLE))[: draw(st.integers(1, len(COMPARABLE)))]),
        dtype=draw(st.sampled_from(["float64", "float32"])),
    )
    cell = draw(st.none() | st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))
    return ExplorerState(plan=plan).look(
        tab=draw(st.sampled_from(list(PAGES))),
        width=draw(st.sampled_from(widths)),
        draw=draw(st.integers(0, plan.seeds - 1)),
        kernel=draw(st.sampled_from(plan.kernels)),
        i=cell and cell[0],
        j=cell and cell[1],
        explain=draw(st.booleans()),
        text=draw(st.booleans()),
        hide=draw(st.sampled_from([(), ("data",), ("network", "kernel")])),
    )


@given(states())
def test_a_link_opens_the_state_it_was_made_from(state):
    reopened, notices = from_query(arguments(to_query(state)))
    assert notices == []
    assert reopened == state


def test_the_default_state_is_a_short_link():
    assert to_query(ExplorerState()) == "?v=1"


def test_only_changes_are_written():
    plan = plan_sweep({"name": "rings", "n": 60}, {"architecture": "mlp", "depth": 2}, widths=[16, 32])
    query = to_query(ExplorerState(plan=plan).look(tab="spectrum", width=16))
    assert query == "?v=1&data=rings&n=60&depth=2&widths=16,32&tab=spectrum&width=16"


@pytest.mark.parametrize(
    ("given_", "names", "value"),
    [
        ({"n": "1"}, "n=1", lambda s: s.plan.data.n == 2),
        ({"n": "abc"}, "n=abc", lambda s: s.plan.data.n == 100),
        ({"seeds": "1000"}, "seeds=1000", lambda s: s.plan.seeds == 64),
        ({"depth": "99"}, "depth=99", lambda s: s.plan.network.depth == 64),
        ({"widths": "16,-3"}, "-3", lambda s: s.plan.widths == (32, 64, 128, 256, 512, 1024)),
        ({"data": "digts"}, "digits", lambda s: s.plan.data.name == "digits"),
        ({"arch": "resnett"}, "resnet", lambda s: s.plan.network.architecture == "mlp"),
        ({"kernels": "pntk,nonsense"}, "nonsense", lambda s: s.plan.kernels == ("pntk",)),
        ({"tab": "secrets"}, "secrets", lambda s: s.view.tab == "width"),
        ({"width": "60"}, "60", lambda s: s.width == 64),
        ({"init": "9"}, "9", lambda s: s.view.draw == 4),
        ({"explain": "perhaps"}, "explain=perhaps", lambda s: s.view.explain),
        ({"whatever": "1"}, "whatever", lambda s: s == ExplorerState()),
        ({"weight_variance": "nan"}, "weight_variance=nan", lambda s: s.plan.network.weight_variance == 2.0),
        ({"v": "7"}, "7", lambda s: s == ExplorerState()),
    ],
)
def test_a_bad_value_is_named_and_replaced(given_, names, value):
    state, notices = from_query(given_)
    assert len(notices) == 1
    assert names in notices[0]
    assert value(state)
    assert from_query(arguments(to_query(state))) == (state, [])


@given(st.dictionaries(st.sampled_from(["data", "n", "arch", "widths", "kernels", "tab", "i", "dtype"]), st.text()))
def test_any_text_opens_a_valid_state(given_):
    state, _ = from_query(given_)
    assert from_query(arguments(to_query(state)))[0] == state


def test_a_link_cannot_name_a_file_of_the_server():
    state, notices = from_query({"data": "npz", "path": "/etc/passwd"})
    assert state.plan.data.path is None
    assert any("path" in notice for notice in notices)
    assert any("upload" in notice for notice in notices)


def test_an_uploaded_path_stays_out_of_the_link():
    plan = plan_sweep({"name": "npz", "path": "/somewhere/private.npz"})
    assert "private" not in to_query(ExplorerState(plan=plan))


def test_long_values_are_cut():
    state, _ = from_query({"widths": ",".join(["8"] * LONGEST)})
    assert state.plan.widths == (8,)


def test_no_option_of_an_architecture_hides_another_key():
    for name, entry in ARCHITECTURES.items():
        config = entry.config(architecture=name)
        for option in set(entry.config.model_fields) - {"architecture", *DERIVED}:
            if isinstance(getattr(config, option), bool):
                changed = config.replace(**{option: not getattr(config, option)})
                state = ExplorerState(plan=plan_sweep(network=changed))
                assert from_query(arguments(to_query(state))) == (state, [])


def test_presets_are_links_that_open_without_a_notice():
    cards = presets()
    assert len({card.name for card in cards}) == len(cards) == 9
    for card in cards:
        assert from_query(arguments(card.link)) == (card.state, [])


def test_another_data_set_forgets_the_chosen_pair():
    state = ExplorerState().look(i=3, j=4)
    assert state.sweep(plan_sweep(seeds=2)).view.i == 3
    assert state.sweep(plan_sweep("rings")).view.i is None


def test_views_are_checked():
    with pytest.raises(ValueError, match="width"):
        View(width=0)
