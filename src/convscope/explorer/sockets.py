"""The two web sockets: on one a page hears of its jobs, on the other a camera's frames come and their answers go."""

import asyncio
import json
import time
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from convscope.errors import ConvscopeError, TargetError
from convscope.explorer.explorer import Explorer
from convscope.explorer.guard import without_paths
from convscope.explorer.jobs import Status
from convscope.explorer.looking import frame_image, layer_shown, predictions_told
from convscope.explorer.models import CameraAsked, FrameTold, JobTold

_T = TypeVar("_T")


def router(explorer: Explorer) -> APIRouter:
    """Both."""
    sockets = APIRouter(prefix="/api")

    @sockets.websocket("/events")
    async def events(socket: WebSocket, page: str | None = None) -> None:
        await _events(explorer, socket, page)

    @sockets.websocket("/camera")
    async def camera(socket: WebSocket) -> None:
        await _camera(explorer, socket)

    return sockets


# Of jobs


class _News:
    """How jobs stand that have changed since it was last asked; of each only the latest, however slow the reader is."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._latest: dict[str, Status] = {}
        self._any = asyncio.Event()

    def add(self, status: Status) -> None:
        """From any thread."""
        with suppress(RuntimeError):  # the server has stopped
            self._loop.call_soon_threadsafe(self._put, status)

    def _put(self, status: Status) -> None:
        self._latest[status.id] = status
        self._any.set()

    async def taken(self) -> list[Status]:
        """All of it, once there is any."""
        await self._any.wait()
        self._any.clear()
        latest, self._latest = self._latest, {}
        return list(latest.values())


async def _events(explorer: Explorer, socket: WebSocket, page: str | None) -> None:
    """First `{"page": …}`, then `{"jobs": […]}` as they change; when it is closed, the page's jobs end."""
    await socket.accept()
    news = _News()
    own = explorer.pages.enter(page)
    end = explorer.jobs.listen(lambda status, owners: news.add(status) if own in owners else None)

    async def tell() -> None:
        await _gone_if_closed(socket.send_text(json.dumps({"page": own})))
        while True:
            told = [JobTold.of(each).model_dump() for each in await news.taken()]
            await _gone_if_closed(socket.send_text(json.dumps({"jobs": told})))

    async def listen() -> None:
        while True:
            await _gone_if_closed(socket.receive_text())

    try:
        await _until_one_ends(tell(), listen())
    finally:
        end()
        # A page that is loaded anew comes back at once, and finds its jobs.
        asyncio.get_running_loop().call_later(explorer.grace, _left, explorer, own)


def _left(explorer: Explorer, page: str) -> None:
    if explorer.pages.leave(page):
        explorer.jobs.release(page)


# Of the camera


class _Newest:
    """Room for one frame: a new one takes the place of one that nobody has looked at yet."""

    def __init__(self) -> None:
        self.dropped = 0
        self._frame: tuple[int, bytes] | None = None
        self._count = 0
        self._there = asyncio.Event()

    def put(self, frame: bytes) -> None:
        self.dropped += self._frame is not None
        self._frame = self._count, frame
        self._count += 1
        self._there.set()

    async def taken(self) -> tuple[int, bytes]:
        await self._there.wait()
        self._there.clear()
        frame, self._frame = self._frame, None
        assert frame is not None
        return frame


class _Settings:
    """What is asked of the frames, which may change between two."""

    def __init__(self) -> None:
        self.asked: CameraAsked | None = None
        self.error = 'say first what is to be seen, as text: {"network": …, "layer": …}'

    def read(self, text: str) -> None:
        try:
            self.asked = CameraAsked.model_validate_json(text)
        except ValidationError as error:
            self.asked, self.error = None, "; ".join(each["msg"] for each in error.errors())


async def _camera(explorer: Explorer, socket: WebSocket) -> None:
    """Text sets what is to be seen (`CameraAsked`); each binary message is a frame, as JPEG, PNG or WebP.

    The answers are binary: four bytes, the length of a JSON text (`FrameTold`), that text, and the sprite's PNG. While
    one frame is looked at or its answer is on its way, only the newest of those that come is kept.
    """
    await socket.accept()
    newest, settings = _Newest(), _Settings()

    async def listen() -> None:
        while True:
            message = await _gone_if_closed(socket.receive())
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            if (frame := message.get("bytes")) is not None:
                newest.put(frame)
            else:
                settings.read(message["text"])

    async def answer() -> None:
        while True:
            number, frame = await newest.taken()
            told, png = await run_in_threadpool(_looked_at, explorer, settings, number, frame, newest.dropped)
            await _gone_if_closed(socket.send_bytes(_packed(told, png)))

    await _until_one_ends(listen(), answer())


def _looked_at(
    explorer: Explorer, settings: _Settings, number: int, frame: bytes, dropped: int
) -> tuple[FrameTold, bytes]:
    began, asked = time.perf_counter(), settings.asked
    shown, png, predictions, error = None, b"", [], None
    try:
        if asked is None:
            raise ConvscopeError(settings.error)
        lens = explorer.networks.lens(asked.network)
        answers, maps = lens.look(frame_image(lens, frame), asked.layer)
        with suppress(TargetError):  # a network without classes has layers to look at
            predictions = predictions_told(lens.predictions(answers, asked.top))
        if maps is not None and asked.layer is not None:
            shown, png = layer_shown(asked.layer, maps, shared=asked.scale == "shared", cell=asked.cell)
    except ConvscopeError as raised:
        error = without_paths(str(raised))
    milliseconds = round(1000 * (time.perf_counter() - began), 1)
    told = FrameTold(
        frame=number, dropped=dropped, milliseconds=milliseconds, predictions=predictions, shown=shown, error=error
    )
    return told, png


def _packed(told: BaseModel, png: bytes) -> bytes:
    text = told.model_dump_json().encode()
    return len(text).to_bytes(4, "big") + text + png


async def _gone_if_closed(exchange: Awaitable[_T]) -> _T:
    """What comes of sending or receiving. Once the socket is closed that is a RuntimeError; here it ends as usual."""
    try:
        return await exchange
    except RuntimeError as error:
        raise WebSocketDisconnect(1006) from error


async def _until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Run until the socket is closed, which ends one of them, and let no other go on. Raises what else ends one."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            with suppress(WebSocketDisconnect):
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
