"""A real server in a process of its own, and pages that tolerate no error and no request to elsewhere."""

import os
import subprocess
import sys
import time
from urllib.parse import urlsplit

import psutil
import pytest
from playwright.sync_api import expect

from ntk_explorer.store import Store

SERVE = "from ntk_explorer.cli import main; main()"
HERE = {"localhost", "127.0.0.1"}
# Patience for machines that do something else as well; what is quick is measured in benchmarks/.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """URL and process of a running dashboard with a store of its own."""
    environment = os.environ | {"NTK_EXPLORER_STORE": str(tmp_path_factory.mktemp("served"))}
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        url = process.stdout.readline().strip()
        assert url.startswith("http://localhost:"), url
        yield url, psutil.Process(process.pid)
        process.terminate()
        assert process.wait(timeout=30) == 0


@pytest.fixture(scope="session")
def served_store(server):
    """The store of the running dashboard."""
    return Store(server[1].environ()["NTK_EXPLORER_STORE"])


@pytest.fixture
def open_page(server, page):
    """Open a link of the dashboard; at the end nothing may have gone wrong in the browser."""
    problems = []
    page.on("console", lambda m: problems.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(f"page: {error}"))
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))

    def local_only(route):
        parts = urlsplit(route.request.url)
        if parts.scheme in ("data", "blob") or parts.hostname in HERE:
            return route.continue_()
        problems.append(f"outside: {route.request.url}")
        return route.abort()

    page.route("**/*", local_only)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.set_default_timeout(60_000)

    def go(query: str = ""):
        page.goto(server[0].rstrip("/") + "/" + query)
        page.get_by_role("tab", name="Width and error").wait_for()
        return page

    yield go
    assert problems == []


@pytest.fixture
def points():
    """How many dots of a variable the open figures show, as the browser holds them."""

    def count(page, variable: str) -> int:
        return page.evaluate(
            """variable => {
              let most = 0
              for (const document of Bokeh.documents) {
                for (const model of document._all_models.values()) {
                  if (model.type === 'ColumnDataSource' && model.data.seed && model.data[variable]) {
                    most = Math.max(most, model.data[variable].length)
                  }
                }
              }
              return most
            }""",
            variable,
        )

    def wait_for(page, variable: str, least: int, seconds: float = 60) -> int:
        limit = time.monotonic() + seconds
        while (found := count(page, variable)) < least and time.monotonic() < limit:
            page.wait_for_timeout(100)
        return found

    return wait_for
