"""What a link says of training: the same state again, values checked one by one, and plans that fit the sidebar's."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_explorer.dashboard.links import ExplorerState, from_query, to_query
from ntk_explorer.dashboard.training_state import TrainingOptions, options_of, trajectory_of
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.training.config import TrainingConfig
from ntk_explorer.trajectories.plan import plan_trajectory

KERNELS = ("entk", "pntk", "trntk", "single_logit")


def arguments(query: str) -> dict[str, str]:
    return dict(parse_qsl(query.lstrip("?"), keep_blank_values=True))


@st.composite
def states(draw) -> ExplorerState:
    epochs, n = draw(st.integers(1, 300)), draw(st.none() | st.integers(20, 500))
    at = draw(st.lists(st.integers(0, epochs), max_size=4))
    training = TrainingConfig(
        loss=draw(st.sampled_from([None, "squared"])),
        optimizer=draw(st.sampled_from(["sgd", "adam", "momentum"])),
        learning_rate=draw(st.none() | st.floats(1e-6, 10)),
        schedule=draw(st.sampled_from(["constant", "cosine"])),
        batch_size=draw(st.none() | st.integers(1, 20)),
        weight_decay=draw(st.sampled_from([0.0, 0.5])),
        epochs=epochs,
    )
    given_ = {
        "test": draw(st.none() | st.integers(1, 400)),
        "widths": tuple(sorted(draw(st.sets(st.integers(1, 4096), max_size=3)))),
        "seeds": draw(st.integers(1, 5)),
        "kernel_at": tuple(sorted(set(at))),
        "points": draw(st.none() | st.integers(2, 20)),
        "kernels": tuple(sorted(draw(st.sets(st.sampled_from(KERNELS), min_size=1)), key=lambda k: k != "entk")),
        "ridge": draw(st.sampled_from([0.0, 1e-6])),
        "linearised": draw(st.booleans()),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
    }
    plan = plan_sweep(draw(st.sampled_from(["digits", "rings", "sine"])), seed=draw(st.integers(0, 9)))
    given_ = {name: value for name, value in given_.items() if value not in (None, ())}
    data = plan.data.model_dump(exclude={"n"}) | ({"n": n} if n else {})
    trajectory = plan_trajectory(data, plan.network, seed=plan.seed, training=training, **given_)
    state = ExplorerState(plan=plan).train(trajectory).look(tab="training")
    assert state.trajectory == trajectory
    return state.look_at(
        epoch=draw(st.sampled_from(trajectory.kernel_at)),
        width=draw(st.sampled_from(trajectory.widths)),
        draw=draw(st.integers(0, trajectory.seeds - 1)),
        kernel=draw(st.sampled_from(trajectory.kernels)),
        start=draw(st.sampled_from(["network", "zero"])),
    )


@given(states())
def test_a_link_opens_the_training_it_was_made_from(state):
    reopened, notices = from_query(arguments(to_query(state)))
    assert notices == []
    assert reopened == state
    assert reopened.trajectory == state.trajectory


def test_a_link_without_training_says_nothing_of_it():
    assert to_query(ExplorerState()) == "?v=1"
    state = ExplorerState(training=TrainingOptions(training=TrainingConfig(epochs=30), widths=(64,)))
    assert to_query(state) == "?v=1&epochs=30&train_widths=64"


@pytest.mark.parametrize(
    ("given_", "names", "value"),
    [
        ({"optimizer": "adamm"}, "adam", lambda p: p.training.optimizer == "adam"),
        ({"epochs": "0"}, "epochs=0", lambda p: p.training.epochs == 1),
        ({"learning_rate": "nan"}, "learning_rate", lambda p: p.training.learning_rate is None),
        ({"train_n": "1"}, "train_n=1", lambda p: p.data.n == 2),
        ({"train_widths": "8,-1"}, "-1", lambda p: p.widths == (256,)),
        ({"train_kernels": "pntk,nonsense"}, "nonsense", lambda p: p.kernels == ("entk", "pntk", "trntk")),
        ({"kernel_at": "0,500"}, "500", lambda p: p.kernel_at[-1] == 100),
        ({"points": "9000"}, "9000", lambda p: p.points == 200),
        ({"ridge": "-1"}, "ridge=-1", lambda p: p.ridge == 0),
        ({"data": "rings", "batch_size": "500"}, "100 training", lambda p: p.training.batch_size is None),
    ],
)
def test_a_bad_value_is_named_and_replaced(given_, names, value):
    state, notices = from_query(given_)
    assert len(notices) == 1
    assert names in notices[0]
    assert value(state.trajectory)
    assert from_query(arguments(to_query(state))) == (state, [])


@pytest.mark.parametrize(
    ("key", "text", "said"), [("epoch", "7", "epoch"), ("train_width", "60", "width"), ("train_init", "9", "Init")]
)
def test_what_cannot_be_looked_at_is_snapped_with_a_notice(key, text, said):
    state, notices = from_query({key: text})
    assert len(notices) == 1
    assert said in notices[0]
    assert from_query(arguments(to_query(state))) == (state, [])


@given(st.dictionaries(st.sampled_from(["epochs", "kernel_at", "points", "train_n", "batch_size", "epoch"]), st.text()))
def test_any_text_opens_a_valid_training(given_):
    state, _ = from_query(given_)
    assert state.trajectory is not None
    assert from_query(arguments(to_query(state)))[0] == state


def test_options_are_what_a_plan_would_not_choose_itself():
    plan = plan_trajectory("rings", training={"epochs": 20}, seeds=2)
    options = options_of(plan)
    assert (options.n, options.test, options.points, options.widths, options.kernel_at) == (None, None, None, (), ())
    assert trajectory_of(ExplorerState().train(plan).plan, options) == plan


def test_the_sidebar_keeps_what_only_sweeps_have():
    state = ExplorerState(plan=plan_sweep({"name": "digits", "n": 30}, widths=[4, 8]))
    trained = state.train(plan_trajectory("rings", {"architecture": "mlp", "depth": 2}, seed=3))
    assert (trained.plan.data.name, trained.plan.data.n, trained.plan.widths) == ("rings", 30, (4, 8))
    assert (trained.plan.network.depth, trained.plan.seed, trained.trajectory.data.n) == (2, 3, 100)


def test_options_that_do_not_fit_the_data_leave_no_training():
    options = TrainingOptions(points=300)
    assert ExplorerState(training=options).trajectory is not None
    assert ExplorerState(plan=plan_sweep("rings"), training=options).trajectory is None
