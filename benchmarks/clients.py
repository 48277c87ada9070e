"""A visitor without a screen: speaks the page's websocket protocol and times what the server sends back."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect


class Visitor:
    """One open page; ``models`` maps the identifiers of the page's models to what they hold."""

    def __init__(self, socket, models: dict[str, dict]):
        self.socket, self.models = socket, models
        self._numbers = itertools.count(1)
        # Read by a task of its own: who stops waiting for a message must not leave half of one behind.
        self._inbox: asyncio.Queue[dict | Exception] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, url: str) -> Visitor:
        """Fetch the page, open its websocket and say that the document is ready, as a browser does."""
        page = (await AsyncHTTPClient().fetch(url, request_timeout=60)).body.decode()
        token = re.search(r'"token":"([^"]+)"', page)
        if token is None:
            raise RuntimeError("the page holds no session token")
        socket = await websocket_connect(
            f"ws://{urlsplit(url).netloc}/ws", subprotocols=["bokeh", token[1]], max_message_size=2**28
        )
        visitor = cls(socket, {})
        await visitor._until("ACK")
        await visitor._send("PULL-DOC-REQ", {})
        reply = await visitor._until("PULL-DOC-REPLY")
        visitor.models = dict(_models(reply["content"]["doc"]))
        ready = {"type": "event", "name": "document_ready", "values": {"type": "map"}}
        await visitor._patch({"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": ready})
        return visitor

    def find(self, **attributes) -> str:
        """Identifier of the one model that has these attributes."""
        found = [
            name
            for name, model in self.models.items()
            if all(_held(model.get("attributes", {}), key) == value for key, value in attributes.items())
        ]
        if len(found) != 1:
            raise LookupError(f"{len(found)} models have {attributes}")
        return found[0]

    async def settle(self, quiet: float = 2.0) -> None:
        """Read what the server sends of its own accord until it has said nothing for ``quiet`` seconds."""
        while True:
            try:
                message = await asyncio.wait_for(self._message(), quiet)
            except TimeoutError:
                return
            self.models |= dict(_models(message["content"]))
            for event in message["content"].get("events", []):
                if event["kind"] == "ModelChanged":
                    self.models[event["model"]["id"]].setdefault("attributes", {})[event["attr"]] = event["new"]

    async def set(self, model: str, attribute: str, value) -> None:
        """Change a property of a model, as a moved control does."""
        event = {"kind": "ModelChanged", "model": {"id": model}, "attr": attribute, "new": value}
        await self._patch(event)

    async def pictures(self, quiet: float = 0.25) -> tuple[float, int]:
        """Seconds until the last new column of data has arrived, and bytes received, once ``quiet`` seconds pass."""
        begun, last, received = time.perf_counter(), None, 0
        while True:
            try:
                message = await asyncio.wait_for(self._message(), quiet if last else 10)
            except TimeoutError:
                if last is None:
                    raise
                return last - begun, received
            received += message["bytes"]
            events = message["content"].get("events", []) if message["type"] == "PATCH-DOC" else []
            if any(event.get("attr") == "data" or event["kind"].startswith("Column") for event in events):
                last = time.perf_counter()

    async def _patch(self, event: dict) -> None:
        await self._send("PATCH-DOC", {"events": [event]})

    async def _send(self, kind: str, content: dict) -> None:
        for part in ({"msgid": str(next(self._numbers)), "msgtype": kind}, {}, content):
            await self.socket.write_message(json.dumps(part))

    async def _until(self, kind: str) -> dict:
        while True:
            message = await self._message()
            if message["type"] == kind:
                return message

    async def _message(self) -> dict:
        message = await self._inbox.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def _read(self) -> None:
        try:
            while True:
                self._inbox.put_nowait(await self._next())
        except ConnectionError as closed:
            self._inbox.put_nowait(closed)

    async def _next(self) -> dict:
        header, metadata, content = [await self._part() for _ in range(3)]
        buffers = [await self._part() for _ in range(2 * json.loads(header).get("num_buffers", 0))]
        size = sum(map(len, (header, metadata, content, *buffers)))
        return {"type": json.loads(header)["msgtype"], "content": json.loads(content), "bytes": size}

    async def _part(self):
        part = await self.socket.read_message()
        if part is None:
            raise ConnectionError("the server has closed the session")
        return part


def _held(attributes: dict, key: str):
    """An attribute, or one of the constants that a component is given apart from them."""
    constants = dict(map(tuple, attributes.get("esm_constants", {}).get("entries", [])))
    return attributes.get(key, constants.get(key))


def _models(part) -> Iterator[tuple[str, dict]]:
    """Every model in a document, found wherever it is nested."""
    if isinstance(part, dict):
        if part.get("type") == "object" and "id" in part:
            yield part["id"], part
        for value in part.values():
            yield from _models(value)
    elif isinstance(part, list):
        for value in part:
            yield from _models(value)
