"""The default page as its visitors meet it: first picture, the whole sweep, redraws, idle load, a small class."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from clients import Visitor
from run import Figure

USERS, MOVES = 10, 12
# Finite numbers in the columns behind the error figure: two or more are a picture, all of them the whole sweep.
DRAWN = """() => (window.Bokeh?.documents ?? []).flatMap(d => [...d.all_models])
    .filter(m => m.type == "ColumnDataSource" && m.data.relative_frobenius !== undefined)
    .map(m => Array.from(m.data.relative_frobenius).filter(Number.isFinite).length).reduce((a, b) => a + b, 0)"""


def caches(folder: str) -> dict[str, str]:
    """The environment of programs whose store and caches are in a folder."""
    return os.environ | {"NTK_EXPLORER_STORE": f"{folder}/store", "XDG_CACHE_HOME": f"{folder}/cache"}


def computed(folder: str, *words: str) -> None:
    """Compute a sweep or a training into the store of the served page."""
    command = [str(Path(sys.executable).with_name("ntk-explorer")), *words]
    subprocess.run(command, check=True, capture_output=True, env=caches(folder))


@contextmanager
def served(folder: str) -> Iterator[tuple[str, psutil.Process]]:
    """A server with an empty store and empty caches; its address and process."""
    command = [str(Path(sys.executable).with_name("ntk-explorer")), "serve", "--no-open", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=caches(folder)) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.communicate(timeout=30)  # reads on, as a closed pipe would keep the server from ending


@contextmanager
def browser() -> Iterator:
    """A page of a fresh Chromium."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from browsers import ARGUMENTS, MISSING, find_chromium
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    if path is None:
        sys.exit(MISSING)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium.new_page(viewport={"width": 1400, "height": 950})
        chromium.close()


def opened(page, url: str) -> tuple[float, float]:
    """Seconds from the page's load event to the first picture, and to the end of the sweep."""
    page.goto(url)
    begun = time.perf_counter()
    page.wait_for_function(f"({DRAWN})() > 1", polling="raf", timeout=120_000)
    first = time.perf_counter() - begun
    page.get_by_role("button", name="Stop").wait_for(state="hidden", timeout=600_000)
    return first, time.perf_counter() - begun


SHOWS_DEPTH_2 = """() => (window.Bokeh?.documents ?? []).flatMap(d => [...d.all_models])
    .some(m => m.type == "Title" && m.text.includes("depth 2"))"""


def opened_from_runs(page, url: str) -> float:
    """Seconds from a click on Open in the Runs tab to the curves of another stored sweep."""
    page.goto(f"{url}?tab=width")
    page.wait_for_function(f"({DRAWN})() > 1", polling="raf", timeout=120_000)
    page.get_by_role("tab", name="Runs").click()
    row = page.locator(".tabulator-row", has_text="depth 2")
    row.locator("input[type=checkbox]").check(timeout=30_000)
    button = page.get_by_role("button", name="Open", exact=True)
    button.wait_for()
    time.sleep(1)  # the tick has to reach the server, and the button to be enabled
    begun = time.perf_counter()
    button.click()
    page.wait_for_function(SHOWS_DEPTH_2, polling="raf", timeout=60_000)
    return time.perf_counter() - begun


def idle_share(process: psutil.Process, seconds: float = 20) -> float:
    """Share of one core that the server and its worker use while nobody does anything."""
    family = [process, *process.children(recursive=True)]

    def used() -> float:
        return sum(sum(member.cpu_times()[:2]) for member in family)

    before = used()
    time.sleep(seconds)
    return (used() - before) / seconds


async def scrubbed(url: str, users: int, *, tab: str = "spectrum", player: str = "width"):
    """Every user moves a player once a second: seconds until the pictures have come, and their bytes."""
    visitors = [await Visitor.open(f"{url}?tab={tab}") for _ in range(users)]
    await asyncio.gather(*(visitor.settle() for visitor in visitors))
    answers = await asyncio.gather(*(_scrub(visitor, k / users, player) for k, visitor in enumerate(visitors)))
    seconds, sizes = zip(*(answer for one in answers for answer in one), strict=True)
    return list(seconds), list(sizes)


async def _scrub(visitor: Visitor, delay: float, label: str) -> list[tuple[float, int]]:
    player = visitor.find(label=label, discrete=True)
    places = len(visitor.models[player]["attributes"]["options"])
    answers = []
    await asyncio.sleep(delay)
    for move in range(MOVES):
        begun = time.perf_counter()
        await visitor.set(player, "value", (places - 2 - move) % places)
        answers.append(await visitor.pictures())
        await asyncio.sleep(max(0, 1 - (time.perf_counter() - begun)))
    return answers[2:]  # the first pictures after a page has opened also build what later ones reuse


def p95(values: list[float]) -> float:
    """The value that 95 of 100 stay below."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def measure() -> Iterator[Figure]:
    """All figures of one server: its first visitor in a browser, then a class of visitors."""
    with tempfile.TemporaryDirectory() as folder, served(folder) as (url, process):
        with browser() as page:
            first, whole = opened(page, url)
            yield Figure("first picture after the page has loaded", first, 3)
            yield Figure("default sweep on the page, cold", whole, 30)
            yield Figure("page loaded with a stored sweep", min(opened(page, url)[1] for _ in range(3)), 2)
            computed(folder, "sweep", "--depth", "2")
            yield Figure("stored sweep opened in the page", min(opened_from_runs(page, url) for _ in range(3)), 1)
            yield Figure("idle server and worker, one open page", 100 * idle_share(process), 5, "% of a core")
        seconds, sizes = asyncio.run(scrubbed(url, 1))
        yield Figure("width scrub to new data, p95", 1000 * p95(seconds), 200, "ms")
        yield Figure("largest update", max(sizes) / 1e6, 1, "MB")
        seconds, _ = asyncio.run(scrubbed(url, USERS))
        yield Figure(f"{USERS} users scrubbing, p95", 1000 * p95(seconds), 250, "ms")
        computed(folder, "train")
        seconds, sizes = asyncio.run(scrubbed(url, 1, tab="training", player="epoch"))
        yield Figure("epoch scrub of a training to new data, p95", 1000 * p95(seconds), 200, "ms")
        yield Figure("largest update of a training", max(sizes) / 1e6, 1, "MB")
