"""Ticks, limits and texts that all figures share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_explorer.kernels import KERNELS, incomparable
from ntk_explorer.plots import FIGURES
from ntk_explorer.plots.theme import kernel_style, log_limits, log_ticks, number, padded, plain, width_ticks


def test_every_kernel_has_its_own_colour_and_marker():
    drawn = {name: entry for name, entry in KERNELS.items() if name == "entk" or not incomparable(entry)}
    styles = [kernel_style(name) for name in drawn]
    assert len({style.color for style in styles}) == len({style.marker for style in styles}) == len(styles)
    assert [style.label for style in styles] == [entry.label for entry in drawn.values()]
    assert kernel_style("margin").label == "margin"


@given(st.floats(-12, 12), st.floats(0, 20))
def test_any_logarithmic_axis_has_a_few_ticks_inside_its_limits(low, span):
    limits = log_limits([10.0**low, 10.0 ** (low + span)])
    ticks = [tick for tick, _ in log_ticks(limits)]
    assert 1 <= len(ticks) <= 9
    assert all(limits[0] <= tick <= limits[1] for tick in ticks)
    assert limits[0] < 10.0**low <= 10.0 ** (low + span) < limits[1]


def test_limits_leave_out_what_has_no_logarithm():
    assert log_limits([0.0, -1.0, float("nan"), float("inf")]) == (0.1, 1.0)
    assert log_limits([1.0, 100.0, float("inf"), -5.0]) == log_limits([1.0, 100.0])
    assert padded([float("nan")]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "0.05"), (1, "1"), (500, "500"), (1e-6, "10⁻⁶"), (2e5, "2·10⁵"), (1e10, "10¹⁰")]
)
def test_numbers_read_as_one_writes_them(value, text):
    assert number(value) == text


def test_many_widths_are_thinned():
    assert [tick for tick, _ in width_ticks([2**k for k in range(6)])] == [1, 2, 4, 8, 16, 32]
    assert len(width_ticks(range(1, 41))) <= 12


@pytest.mark.parametrize("text", ["$$x$$", r"\(x\)", r"\[x\]", "$$$$x$$$", "\\$$x"])
def test_no_label_becomes_a_formula(text):
    shown = plain(text)
    assert not any(mark in shown for mark in ("$$", r"\(", r"\["))
    assert "x" in shown


def test_labels_are_printable_and_short():
    assert plain("a\x00b\u202ec\nd") == "a b c d"
    assert len(plain("x" * 500, 12)) == 12


def test_every_figure_has_a_card():
    assert {"convergence", "condition_numbers", "spectra", "kernel_heatmap", "error_heatmap"} <= set(FIGURES)
    for card in FIGURES.values():
        assert card.label
        assert card.summary.endswith(".")
