"""What a person does with the page, in a real browser against the real server and the real worker."""

import re

import numpy as np
import psutil
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SMALL = "?v=1&n=20&classes=4&widths=4,8&seeds=2"


def finished(page):
    expect(page.get_by_text("Finished: 4 networks")).to_be_visible()


def test_curves_without_a_click_and_stop(open_page, points):
    page = open_page()
    assert points(page, "relative_frobenius", least=2) >= 2
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped after")).to_be_visible()
    assert points(page, "relative_frobenius", least=2) >= 2


def test_another_architecture_a_small_sweep_and_a_reload(open_page, points):
    page = open_page(SMALL)
    finished(page)
    page.get_by_role("combobox", name="architecture").click()
    page.get_by_text("CNN", exact=True).click()
    expect(page.get_by_role("textbox", name="kernel size")).to_be_visible()
    page.get_by_role("textbox", name="widths").fill("2, 3")
    page.get_by_role("textbox", name="widths").press("Enter")
    expect(page.get_by_text("changed: press Run")).to_be_visible()
    page.get_by_role("button", name="Run").click()
    expect(page).to_have_url(re.compile("arch=cnn"))
    finished(page)
    assert points(page, "relative_frobenius", least=4) == 4
    assert points(page, "condition_number", least=4) == 4
    assert points(page, "distance_to_limit", least=4) == 4
    address = page.url
    page.reload()
    finished(page)
    assert page.url == address
    expect(page.get_by_role("textbox", name="widths")).to_have_value("2, 3")
    expect(page.get_by_role("textbox", name="kernel size")).to_be_visible()
    assert points(page, "relative_frobenius", least=4) == 4


def test_page_says_why_a_network_has_no_infinite_limit_and_which_have(open_page, points):
    page = open_page(SMALL + "&activation=tanh")
    finished(page)
    expect(page.get_by_text("tanh has no closed form at infinite width")).to_be_visible()
    expect(page.get_by_text("is known for an MLP or CNN with relu")).to_be_visible()
    assert points(page, "distance_to_limit", least=1, seconds=1) == 0
    page.get_by_role("combobox", name="activation").click()
    page.get_by_text("erf", exact=True).click()
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("tanh has no closed form at infinite width")).to_be_hidden()
    finished(page)
    assert points(page, "distance_to_limit", least=4) == 4


def test_every_tab_opens(open_page):
    page = open_page(SMALL + "&tab=start")
    finished(page)
    expect(page.get_by_role("link", name=re.compile("Width makes the kernels agree"))).to_be_visible()
    page.get_by_role("tab", name="Spectrum").click()
    expect(page.get_by_text("effective rank")).to_be_visible()
    expect(page).to_have_url(re.compile("tab=spectrum"))
    page.get_by_role("tab", name="Matrices").click()
    expect(page.get_by_text("Click a cell to see")).to_be_visible()
    page.get_by_role("tab", name="Runs").click()
    expect(page.get_by_role("button", name="Compare")).to_be_visible()
    page.get_by_role("tab", name="About").click()
    expect(page.get_by_text("panel-material-ui")).to_be_visible()
    page.get_by_role("tab", name="Width and error").click()
    expect(page.locator(".katex").first).to_be_visible()


def test_scrubbing_the_width_changes_the_picture_and_the_link(open_page):
    page = open_page(SMALL + "&tab=spectrum")
    finished(page)
    expect(page.get_by_text("width 8, initialisation 0")).to_be_visible()
    page.get_by_role("slider", name="width").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("width 4, initialisation 0")).to_be_visible()
    expect(page).to_have_url(re.compile("width=4"))


def test_a_click_on_a_cell_shows_the_block(open_page):
    page = open_page(SMALL + "&tab=matrices")
    finished(page)
    figure = page.locator(".bk-Figure").first
    expect(figure).to_be_visible()
    page.wait_for_timeout(1000)
    box = figure.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.4 * box["height"])
    expect(page).to_have_url(re.compile(r"i=\d+&j=\d+"))
    expect(page.locator(".bk-Figure")).to_have_count(7)
    kernels, chosen = page.locator(".bk-Figure").nth(2).bounding_box(), page.locator(".bk-Figure").nth(3).bounding_box()
    assert kernels["y"] + kernels["height"] <= chosen["y"]  # the rows do not lie over one another
    expect(page.get_by_text("single logit:").first).to_be_visible()


def test_a_bad_link_is_corrected_in_words_and_runs_nothing(open_page):
    page = open_page(SMALL + "&depth=99&weight_variance=<img src=x onerror=\"window.hacked='yes'\">&tab=start")
    expect(page.get_by_text("Parts of this link were replaced")).to_be_visible()
    expect(page.get_by_text("depth=99")).to_be_visible()
    expect(page.get_by_text("<img src=x")).to_be_visible()
    expect(page).to_have_url(re.compile("depth=64"))
    page.get_by_role("button", name="Stop").click()
    assert page.evaluate("window.hacked") is None


def test_an_upload_with_a_hostile_name(open_page, tmp_path):
    page = open_page(SMALL)
    finished(page)
    page.get_by_role("combobox", name="data set").click()
    page.get_by_text("Your own file (.npz)", exact=True).click()
    expect(page.get_by_text("Drop an .npz file")).to_be_visible()
    # A real file, so that the browser says of what type it is, as it does for a reader.
    file = tmp_path / "<img src=x onerror=\"window.hacked='yes'\">.npz"
    np.savez(file, x=np.random.default_rng(0).normal(size=(40, 3)), y=np.arange(40) % 4)
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text(re.compile("^Using "))).to_be_visible()
    page.get_by_role("button", name="Run").click()
    expect(page).to_have_url(re.compile("data=npz"))
    finished(page)
    assert page.evaluate("window.hacked") is None
    assert "path" not in page.url


def test_what_cannot_be_run_says_why(open_page):
    page = open_page(SMALL)
    finished(page)
    page.get_by_role("textbox", name="classes").fill("11")
    page.get_by_role("textbox", name="classes").press("Enter")
    expect(page.get_by_text("Lower it to 10.")).to_be_visible()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()


def test_an_idle_page_costs_nothing(open_page, server):
    page = open_page(SMALL)
    finished(page)
    page.get_by_role("tab", name="Runs").click()  # the page that looks for news
    expect(page.get_by_text("Nothing is running")).to_be_visible()
    page.wait_for_timeout(2000)
    processes = [server[1], *server[1].children(recursive=True)]

    def seconds() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes if psutil.pid_exists(process.pid))

    def share(of: float = 4.0) -> float:
        before = seconds()
        page.wait_for_timeout(1000 * of)
        return (seconds() - before) / of

    # Sessions of the tests before are still being cleared away; a page that polls or spins would never be quiet.
    assert min(share() for _ in range(4)) < 0.05
