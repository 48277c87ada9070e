import pytest

from ntk_explorer.sweeps.estimate import describe_sweep, estimate_sweep, human_seconds
from ntk_explorer.sweeps.plan import plan_sweep
from ntk_explorer.sweeps.progress import Clock
from ntk_explorer.sweeps.run import run_sweep

SMALL = {"name": "digits", "n": 12, "classes": 4}


def small_plan(**options):
    return plan_sweep(**({"data": SMALL, "widths": [4, 8], "seeds": 2} | options))


def test_an_estimate_counts_what_is_still_to_do():
    plan = small_plan()
    before = estimate_sweep(plan)
    assert (before.cells, before.found) == (4, 0)
    assert before.bytes > 48 * 48 * 8
    assert before.seconds > 0
    assert before.text().startswith("about ")
    run_sweep(small_plan(seeds=1))
    half = estimate_sweep(plan)
    assert (half.cells, half.found) == (2, 2)
    run_sweep(plan)
    assert estimate_sweep(plan).text() == "already computed"


def test_an_estimate_grows_with_examples_widths_and_seeds():
    def cost(**options):
        return estimate_sweep(small_plan(**options))

    plain = cost()
    assert cost(data=SMALL | {"n": 24}).bytes > plain.bytes
    assert cost(widths=[4, 512]).seconds > plain.seconds
    assert cost(seeds=4).seconds > plain.seconds
    assert cost(dtype="float32").bytes < plain.bytes


def test_a_description_says_why_a_sweep_cannot_be_run(monkeypatch):
    plan = small_plan()
    found = describe_sweep(plan.model_dump_json())
    assert found["refusal"] == ""
    assert found["cells"] == 4
    assert found["text"].startswith("about")
    monkeypatch.setattr("ntk_explorer.reading.machine.available_bytes", lambda: 1000)
    refused = describe_sweep(plan.model_dump_json())
    assert "1.0 kB are free" in refused["refusal"]
    assert "Lower the number of examples" in refused["refusal"]
    missing = describe_sweep(plan_sweep({"name": "digits", "n": 5000}).model_dump_json())
    assert "1797" in missing["refusal"]


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (12.3, "12 s"), (200, "3 min"), (9000, "2.5 h")])
def test_seconds_as_people_read_them(seconds, text):
    assert human_seconds(seconds) == text


def test_time_left_tells_first_cells_from_later_ones():
    clock = Clock()

    def left(*widths):
        return clock.left([("mlp", width) for width in widths])

    def record(width, seconds):
        clock.record(("mlp", width), seconds)

    assert left(32, 64) is None
    record(32, 3.0)
    record(64, 5.0)
    # A width not yet timed is like its nearest neighbour; later cells are at most as slow as first ones.
    assert left(128) == 5.0
    assert left(128, 32, 64, 128) == 5.0 + 3.0 + 5.0 + 5.0
    record(32, 0.3)
    assert left(64, 32) == pytest.approx(0.5 + 0.3)
    record(64, 1.0)
    assert left(64) == 1.0
    assert left() == 0


def test_time_left_goes_by_the_network_first_and_is_shared_by_the_workers():
    clock = Clock(workers=2)
    clock.record(("mlp", 64), 1.0)
    clock.record(("cnn", 1024), 8.0)
    assert clock.left([("cnn", 64)]) == 4.0
    assert clock.left([("mlp", 1024), ("cnn", 64)]) == 4.5
