"""Downloads from a server on this machine: a file appears when it is whole and right, or not at all."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import published_by_hand as by_hand
import pytest
from typer.testing import CliRunner

from ntk_explorer.cli import app
from ntk_explorer.datasets import DATASETS, load_dataset
from ntk_explorer.datasets._published import Form, Publication
from ntk_explorer.datasets.download import download
from ntk_explorer.errors import InvalidInput, NTKExplorerError, UnknownName

FIRST, SECOND = np.random.default_rng(0).bytes(3_000_000), b"labels"


@pytest.fixture
def site():
    """A web server; ``pages`` are its answers by path, ``asked`` what it was asked for."""
    pages: dict[str, bytes] = {}
    asked: list[str] = []

    class Site(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = pages.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"") + self.path.startswith("/broken/")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.pages, server.asked, server.address = pages, asked, f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def form(name, content):
    return Form(name, len(content), hashlib.md5(content).hexdigest())


@pytest.fixture
def publish(site, tmp_path, monkeypatch):
    """A published data set of two files, one of which may be unpacked; give the site's folders that have it."""
    monkeypatch.setenv("NTK_EXPLORER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def publish(*folders):
        addresses = tuple(f"{site.address}/{folder}/" for folder in folders)
        needs = (form("first.gz", FIRST),), (Form("second"), form("second.gz", SECOND))
        publication = Publication("tried", f"{site.address}/about", addresses, needs)
        DATASETS.register("tried", label="tried", tags={"folder"}, publication=publication)(lambda config: None)
        return publication

    yield publish
    DATASETS._entries.pop("tried", None)


def offer(site, folder, first=FIRST, second=SECOND):
    site.pages[f"/{folder}/first.gz"], site.pages[f"/{folder}/second.gz"] = first, second


def test_all_files_arrive_and_are_not_fetched_again(site, publish, tmp_path):
    publish("good")
    offer(site, "good")
    told = []
    assert download("tried", progress=lambda done, total: told.append((done, total))) == tmp_path / "data" / "tried"
    files = {file.name: file.read_bytes() for file in (tmp_path / "data" / "tried").iterdir()}
    assert files == {"first.gz": FIRST, "second.gz": SECOND}
    assert told[-1] == (len(FIRST) + len(SECOND),) * 2
    assert told == sorted(told)
    assert len(told) >= 3
    before = len(site.asked)
    download("tried")
    assert len(site.asked) == before


def test_only_what_is_not_there_is_fetched(site, publish, tmp_path):
    publish("good")
    offer(site, "good")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "second").write_bytes(b"unpacked")
    download("tried", folder=tmp_path / "here")
    assert site.asked == ["/good/first.gz"]


@pytest.mark.parametrize("folder", ["absent", "wrong", "long", "broken"])
def test_the_next_address_is_tried(site, publish, tmp_path, folder):
    publish(folder, "good")
    offer(site, "good")
    offer(site, "wrong", first=FIRST[:-1] + b"?")
    offer(site, "long", first=FIRST + b"?")
    offer(site, "broken", first=FIRST[:-9])
    download("tried")
    assert (tmp_path / "data" / "tried" / "first.gz").read_bytes() == FIRST
    assert not list((tmp_path / "data" / "tried").glob(".*"))


@pytest.mark.parametrize(
    ("folder", "content", "reason"),
    [
        ("absent", None, "Not Found"),
        ("wrong", FIRST[:-1] + b"?", f"MD5 {hashlib.md5(FIRST[:-1] + b'?').hexdigest()} came instead of 3000000 bytes"),
        ("long", FIRST + b"?", "more than the published 3000000 bytes came"),
        ("broken", FIRST[:-9], "2999991 bytes with MD5"),
    ],
)
def test_what_cannot_be_had_leaves_nothing_and_is_said(site, publish, tmp_path, folder, content, reason):
    publication = publish(folder)
    if content is not None:
        offer(site, folder, first=content)
    with pytest.raises(NTKExplorerError) as caught:
        download("tried")
    for words in (reason, f"{site.address}/{folder}/first.gz", publication.page, str(tmp_path / "data" / "tried")):
        assert words in str(caught.value)
    assert not list((tmp_path / "data" / "tried").iterdir())


def test_without_a_network_the_files_and_their_place_are_named(publish, tmp_path):
    publication = publish()
    address = "http://127.0.0.1:9/"  # the port of `discard`, where nobody answers
    unreachable = Publication("tried", publication.page, (address,), publication.needs)
    DATASETS.register("tried", label="tried", publication=unreachable)(DATASETS["tried"].function)
    with pytest.raises(NTKExplorerError, match=r"first.gz of 'tried' could not be downloaded .*refused.*put it into"):
        download("tried")


def test_a_folder_that_cannot_be_made_is_said(site, publish, tmp_path):
    publish("good")
    (tmp_path / "data").write_text("a file")
    with pytest.raises(NTKExplorerError, match=r"could not be downloaded .*data/tried"):
        download("tried")


def test_names_that_are_not_published():
    with pytest.raises(InvalidInput, match=r"'digits' needs no download. These do: cifar10,"):
        download("digits")
    with pytest.raises(UnknownName, match="Did you mean 'mnist'"):
        download("mnis")


def test_the_command_lists_downloads_and_lists(site, publish, tmp_path):
    publication = publish("good")
    offer(site, "good")
    before = CliRunner().invoke(app, ["data"])
    assert before.exit_code == 0
    assert f"tried           not in {tmp_path / 'data' / 'tried'}" in before.stdout
    assert f"downloads 3.0 MB (first.gz, second.gz) from {publication.page}" in before.stdout
    done = CliRunner().invoke(app, ["data", "tried"])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"tried is in {tmp_path / 'data' / 'tried'}\n"
    after = CliRunner().invoke(app, ["data"])
    assert f"tried           in {tmp_path / 'data' / 'tried'}\n" in after.stdout


def test_the_command_says_what_went_wrong(publish):
    publish("absent")
    result = CliRunner().invoke(app, ["data", "tried"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: first.gz of 'tried' could not be downloaded" in result.stderr


def test_what_was_downloaded_is_what_is_read(site, tmp_path, monkeypatch):
    """From the server into the data folder and through the reader, under a name that is published."""
    monkeypatch.setenv("NTK_EXPLORER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    part = by_hand.images(30, (28, 28)), by_hand.labels(30, 10)
    by_hand.write_mnist(tmp_path / "site", part, part)
    contents = {file.name: file.read_bytes() for file in (tmp_path / "site").iterdir()}
    site.pages.update({f"/{name}": content for name, content in contents.items()})
    card = DATASETS["mnist"]
    needs = tuple((form(old.name, contents[old.name]),) for old in card.extras["publication"].downloads)
    small = Publication("mnist", "", (f"{site.address}/",), needs)
    monkeypatch.setitem(card.extras, "publication", small)
    download("mnist")
    assert len(load_dataset("mnist", n=30).x) == 30
