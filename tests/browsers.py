"""The browser that the page is tested in: found on this machine, or installed where that is possible."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-quic",
    # What a browser does of its own accord would look like requests of ours.
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MISSING = "Browser tests were not run: no Chromium was found or could be installed (try: apt install chromium)."


def required() -> bool:
    """Whether a missing browser is an error."""
    return os.environ.get("NTK_EXPLORER_REQUIRE_BROWSER", "0") not in ("", "0")


@functools.cache
def find_chromium() -> str | None:
    """Path of a Chromium or Chrome that starts, or None."""
    candidates = [os.environ.get("NTK_EXPLORER_CHROMIUM"), *map(shutil.which, NAMES)]
    found = next((path for path in candidates if path and _starts(path)), None)
    if found:
        return found
    playwright = _playwrights_own()
    return playwright if playwright and _starts(playwright) else None


def _playwrights_own() -> str | None:
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            path = playwright.chromium.executable_path
    except Exception:  # the driver may be missing or not run on this system: then there is no such browser
        return None
    return path if Path(path).exists() else None


def _starts(path: str) -> bool:
    """Some systems have a stand-in that only says how to get the browser, or lack its shared libraries."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def install() -> None:
    """Fetch Playwright's Chromium when there is no other; quiet when that fails."""
    if find_chromium():
        return
    print("No Chromium here; trying `playwright install chromium` ...", flush=True)
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        subprocess.run(command, capture_output=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired):
        return


def main(task: str) -> int:
    """``install`` looks for a browser and fetches one; ``remark`` says, as a last line, that there is none."""
    if task == "install":
        install()
        find_chromium.cache_clear()
    missing = find_chromium() is None
    if missing and (task == "remark" or required()):
        print(MISSING, file=sys.stderr if required() else sys.stdout)
    return int(missing and required())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
