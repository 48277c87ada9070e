"""The Training tab in a real browser: a tiny network is trained, played, stepped back through, and found again."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

TINY = (
    "?v=1&data=rings&n=12&depth=2&bias=on&bias_variance=0.1&tab=training&epochs=10&batch_size=none&train_n=12&test=10"
    "&train_widths=8&kernel_at=0,1,2,3,4,5,6,7,8,9,10&ridge=0.001&train_kernels=entk,pntk"
)
EPOCHS = re.compile("^epochs")
# Notes the epoch of every address that the page takes.
LISTEN = """() => {
  window.visited = []
  const replace = history.replaceState.bind(history)
  history.replaceState = (state, title, url) => {
    window.visited.push(new URL(url, location.href).searchParams.get('epoch'))
    replace(state, title, url)
  }
}"""
# Whether every marker line of the open figures, two points one above the other, stands at an epoch.
MARKED = """epoch => {
  const places = [...Bokeh.documents[0]._all_models.values()]
    .filter(m => m.type === 'ColumnDataSource' && m.data.place?.length === 2 && m.data.place[0] === m.data.place[1])
    .map(m => m.data.place[0])
  return places.length >= 5 && places.every(place => place === epoch)
}"""


def finished(page):
    expect(page.get_by_text("Finished: 10 epochs, kernels at 11 of them")).to_be_visible()


def epoch(page, number: int):
    expect(page.get_by_text(f"epoch {number}, width 8, initialisation 0", exact=True)).to_be_visible()


def test_ten_epochs_are_played_stepped_back_and_found_again(open_page):
    page = open_page(TINY)
    finished(page)
    epoch(page, 10)
    expect(page.get_by_text("Concentric rings: 12 examples, 10 others to test on")).to_be_visible()
    expect(page.get_by_text(re.compile("Learning rate 0.001; gradient descent"))).to_be_visible()
    page.evaluate(LISTEN)
    page.get_by_role("button", name="Play").click()  # at the end it begins anew
    page.wait_for_function("window.visited.length >= 11")
    page.get_by_role("button", name="Pause").click()
    assert page.evaluate("window.visited.slice(0, 11)") == [*map(str, range(10)), None]  # the last is not named
    page.get_by_role("button", name="Last frame").click()
    epoch(page, 10)
    page.get_by_role("button", name="Previous frame").click()
    epoch(page, 9)
    expect(page).to_have_url(re.compile("epoch=9"))
    page.wait_for_function(MARKED, arg=9)
    page.get_by_role("button", name="First frame").click()
    epoch(page, 0)
    page.get_by_role("button", name="Last frame").click()
    epoch(page, 10)
    page.get_by_role("slider", name="epoch").focus()
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile("epoch=9"))
    address = page.url
    page.reload()
    finished(page)
    epoch(page, 9)
    assert page.url == address
    expect(page.get_by_text("already computed")).to_be_visible()


def test_a_training_is_changed_started_and_opened_from_the_runs(open_page):
    page = open_page(TINY + "&train_init=0")
    finished(page)
    page.get_by_role("textbox", name=EPOCHS).fill("12")
    page.get_by_role("textbox", name=EPOCHS).press("Enter")
    expect(page.get_by_text("changed: press Train")).to_be_visible()
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_text("Finished: 12 epochs")).to_be_visible()
    expect(page).to_have_url(re.compile("epochs=12"))
    page.get_by_role("tab", name="Runs").click()
    page.get_by_role("textbox", name="filter").fill("training, 10 epochs")
    expect(page.locator(".tabulator-row")).to_have_count(1)
    page.locator(".tabulator-row").locator("input[type=checkbox]").check()
    page.get_by_role("button", name="Open", exact=True).click()
    finished(page)
    expect(page).to_have_url(re.compile("epochs=10"))
    expect(page.get_by_role("textbox", name=EPOCHS)).to_have_value("10")


def test_what_cannot_be_trained_says_why(open_page):
    page = open_page(TINY)
    finished(page)
    page.get_by_role("textbox", name="kernel points").fill("500")
    page.get_by_role("textbox", name="kernel points").press("Enter")
    expect(page.get_by_text("500 points for the kernels are more than the 12 training examples")).to_be_visible()
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_disabled()
