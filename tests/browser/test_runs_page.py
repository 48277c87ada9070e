"""The Runs page in a real browser: what is stored is opened, compared and deleted; what runs is seen by everybody."""

import re
import tarfile

import numpy as np
import pytest
from playwright.sync_api import expect
from stored_by_hand import keep, plan

from ntk_explorer.sweeps.kept import stored_sweeps
from ntk_explorer.sweeps.plan import plan_sweep

pytestmark = pytest.mark.browser

RUNS = "?v=1&n=20&classes=4&widths=4,8&seeds=2&tab=runs"


def opened(open_page):
    page = open_page(RUNS)
    expect(page.get_by_text("Finished: 4 networks")).to_be_visible()
    return page


def tick(page, words: str) -> None:
    """Filter the table to one row, and tick it."""
    page.get_by_role("textbox", name="filter").fill(words)
    expect(page.locator(".tabulator-row")).to_have_count(1)
    page.locator(".tabulator-row", has_text=words).locator("input[type=checkbox]").check()
    expect(page.get_by_text(re.compile("^1 selected"))).to_be_visible()


def press(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).last.click()  # the first Export is that of the header


def test_stored_sweeps_are_compared_exported_deleted_and_opened(open_page, served_store, points, tmp_path):
    for depth, cells in ((7, None), (8, None), (9, 1)):
        keep(served_store, plan(depth=depth), only=cells)
    page = opened(open_page)

    page.get_by_role("textbox", name="filter").fill("digits, 3 classes")
    expect(page.locator(".tabulator-row")).to_have_count(3)
    expect(page.get_by_text("1 of 4 cells")).to_be_visible()
    for depth in (7, 8):
        page.locator(".tabulator-row", has_text=f"depth {depth}").locator("input[type=checkbox]").check()
    expect(page.get_by_text(re.compile("^2 selected"))).to_be_visible()
    press(page, "Compare")
    table = page.locator("table.summary")
    expect(table.locator("tr")).to_have_count(7)
    expect(table).to_contain_text("depth 8")
    items = "[...Bokeh.documents[0]._all_models.values()].filter(m => m.type == 'LegendItem').map(m => m.label.value)"
    assert {"depth 7", "depth 8"} <= set(page.evaluate(items))
    page.get_by_role("button", name="Toggle theme").click()
    page.get_by_role("combobox", name="quantity").click()
    page.get_by_text("Condition number", exact=True).click()
    expect(table.locator("tr")).to_have_count(9)
    press(page, "Close")
    expect(page.locator(".bk-Figure")).to_have_count(0)

    for name in ("once.tar", "twice.tar"):
        with page.expect_download() as download:
            press(page, "Export")
        download.value.save_as(tmp_path / name)
        with tarfile.open(tmp_path / name) as archive:
            assert sum(member.startswith("manifests/") for member in archive.getnames()) == 10

    tick(page, "depth 8")
    press(page, "Pin")
    page.get_by_role("button", name="Unpin").wait_for()
    press(page, "Delete")
    expect(page.get_by_text("Unpin it first")).to_be_visible()
    press(page, "Unpin")
    page.get_by_role("button", name="Pin", exact=True).wait_for()
    press(page, "Delete")
    expect(page.get_by_text("with 4 cells")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".tabulator-row")).to_have_count(0)
    assert not [sweep for sweep in stored_sweeps(served_store) if sweep.plan == plan(depth=8)]

    tick(page, "depth 7")
    press(page, "Open")
    expect(page).to_have_url(re.compile("depth=7"))
    expect(page.get_by_role("tab", name="Width and error")).to_have_attribute("aria-selected", "true")
    assert points(page, "relative_frobenius", least=4) == 4


def test_another_sessions_job_is_seen_and_a_hostile_file_name_stays_text(open_page, served_store, tmp_path):
    file = tmp_path / "<img src=x onerror=\"window.hacked='yes'\">.npz"
    np.savez(file, x=np.random.default_rng(0).normal(size=(9, 3)), y=np.arange(9) % 3)
    network = {"architecture": "mlp", "depth": 6}  # other tests of this server upload a file as well
    keep(served_store, plan_sweep({"name": "npz", "n": 9, "path": str(file)}, network, widths=[4], seeds=1))
    page = opened(open_page)
    tick(page, "depth 6")
    expect(page.get_by_text("ntk-explorer sweep --dataset npz")).to_be_visible()
    press(page, "YAML")
    expect(page.get_by_text("<img src=x")).to_be_visible()
    assert page.evaluate("window.hacked") is None

    page.get_by_role("textbox", name="filter").fill("")
    other = page.context.new_page()
    other.goto(page.url.split("?")[0] + "?v=1&n=61&widths=64,65,66,67&seeds=64")
    expect(page.get_by_text("digits, n = 61")).to_be_visible()
    expect(page.get_by_text("Only who started a job can stop it")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    expect(page.locator(".tabulator-row", has_text="of 256 cells")).to_have_count(1)
    other.get_by_role("tab", name="Runs").click()
    expect(other.get_by_text("(yours)")).to_be_visible()
    press(other, "Stop")
    expect(page.get_by_text("Nothing is running")).to_be_visible()
    other.close()
