"""The web sockets: what a page hears of its jobs, that they end with it, and that no frame waits in line."""

import io
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image
from tests.explorer.serving import Client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from convscope.explorer import sockets
from convscope.explorer.models import FrameTold
from convscope.image.read import read_picture


def _long(client: Client, page: str | None, seed: int = 0) -> dict[str, Any]:
    """A job that goes on for longer than any test."""
    asked = {
        "kind": "preferred", "network": _network(client), "target": "3:4", "steps": 4000, "seed": seed, "page": page,
    }  # fmt: skip
    answer = client.post("/api/jobs", asked)
    assert answer.status == 202
    job: dict[str, Any] = answer.json
    return job


def _network(client: Client) -> str:
    return client.explorer.networks.all()[0].id


def _state(client: Client, job: dict[str, Any]) -> str:
    return str(client.ask(f"/api/jobs/{job['id']}").json["state"])


def _until(true: Callable[[], bool], seconds: float = 60) -> float:
    """How long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + seconds
        time.sleep(0.01)
    return time.monotonic() - began


def _heard(events: ClientConnection, until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """What is told of jobs until one of them is as wanted."""
    heard: list[dict[str, Any]] = []
    while not heard or not until(heard[-1]):
        heard += json.loads(events.recv(timeout=60))["jobs"]
    return heard


def test_a_page_hears_of_its_jobs_and_of_no_others(client: Client) -> None:
    with client.socket("/api/events") as events, client.socket("/api/events") as other:
        page = json.loads(events.recv())["page"]
        assert json.loads(other.recv())["page"] != page
        job = _long(client, page)
        heard = _heard(events, lambda each: each["previews"] > 0)
        assert {each["id"] for each in heard} == {job["id"]}
        assert [each["done"] for each in heard] == sorted(each["done"] for each in heard)
        assert heard[-1]["total"] == 4000
        preview = client.ask(f"/api/jobs/{job['id']}/preview")
        assert Image.open(io.BytesIO(preview.body)).size == (24, 24)
        client.ask(f"/api/jobs/{job['id']}", method="DELETE")
        assert _heard(events, lambda each: each["state"] == "cancelled")
        # It may have been asked for just before.
        assert client.ask(f"/api/jobs/{job['id']}/preview").status == 200
        with pytest.raises(TimeoutError):
            other.recv(timeout=0.05)


def test_a_closed_page_ends_its_jobs(client: Client) -> None:
    with client.socket("/api/events") as events:
        page = json.loads(events.recv())["page"]
        running, waiting = _long(client, page, 1), _long(client, page, 2)
        shared = _long(client, None, 3)
        _until(lambda: _state(client, running) == "running")
    assert _until(lambda: _state(client, running) == "cancelled") < 3
    assert _state(client, waiting) == "cancelled"
    # Another waits for this one.
    assert _state(client, shared) in ("waiting", "running")
    client.ask(f"/api/jobs/{shared['id']}", method="DELETE")
    _until(lambda: _state(client, shared) == "cancelled")
    assert client.post("/api/jobs", {"kind": "preferred", "page": page}).status == 422
    assert page not in client.explorer.pages


def test_a_page_whose_connection_breaks_ends_its_jobs(client: Client) -> None:
    with client.socket("/api/events") as events:
        job = _long(client, json.loads(events.recv())["page"], 4)
        _until(lambda: _state(client, job) == "running")
        events.socket.shutdown(socket.SHUT_RDWR)  # without a word
    assert _until(lambda: _state(client, job) == "cancelled") < 3


def test_a_page_that_is_loaded_anew_keeps_its_jobs(client: Client) -> None:
    with client.socket("/api/events") as events:
        page = json.loads(events.recv())["page"]
        job = _long(client, page, 5)
        _until(lambda: _state(client, job) == "running")
    with client.socket(f"/api/events?page={page}") as events:
        assert json.loads(events.recv())["page"] == page
        time.sleep(client.explorer.grace + 0.2)
        assert _state(client, job) == "running"
        assert _heard(events, lambda each: each["state"] == "running")
    _until(lambda: _state(client, job) == "cancelled")
    with client.socket("/api/events?page=made-up") as events:
        assert json.loads(events.recv())["page"] != "made-up"


def _frame(number: int = 0, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (number % 256, 90, 30)).save(buffer, kind)
    return buffer.getvalue()


def _answer(camera: ClientConnection) -> tuple[FrameTold, bytes]:
    data = camera.recv(timeout=60)
    assert isinstance(data, bytes)
    length = int.from_bytes(data[:4], "big")
    return FrameTold.model_validate_json(data[4 : 4 + length]), data[4 + length :]


def test_frames_are_looked_at(client: Client) -> None:
    network = client.explorer.networks.lens(_network(client)).network
    with client.socket("/api/camera") as camera:
        camera.send(json.dumps({"network": _network(client), "layer": "3", "top": 2}))
        for number in range(3):
            camera.send(_frame(number, ("JPEG", "PNG", "WEBP")[number]))
            told, png = _answer(camera)
            assert told.frame == number
            assert told.error is None
            assert len(told.predictions) == 2
            assert told.shown is not None
            sheet = Image.open(io.BytesIO(png))
            assert sheet.width == told.shown.across * told.shown.columns
        camera.send(json.dumps({"network": _network(client)}))
        camera.send(_frame(7, "PNG"))
        told, png = _answer(camera)
        assert (told.shown, png) == (None, b"")
        picture = network.prepare(read_picture(_frame(7, "PNG"))[0])
        assert told.predictions[0].probability == pytest.approx(
            network.predict(picture, top=1)[0].probability, rel=1e-4
        )


def test_what_is_no_frame_is_told_and_the_stream_goes_on(client: Client) -> None:
    asked = json.dumps({"network": _network(client)})
    with client.socket("/api/camera") as camera:
        camera.send(_frame())
        assert "say first" in (_answer(camera)[0].error or "")
        for text in ("nonsense", '{"network": "x", "path": "/etc/passwd"}', "[" * 5000, '{"network": 5}'):
            camera.send(text)
            camera.send(_frame())
            assert _answer(camera)[0].error
        camera.send(json.dumps({"network": "nothing"}))
        camera.send(_frame())
        assert "no such network" in (_answer(camera)[0].error or "")
        camera.send(asked)
        for data, words in ((b"<svg/>", "SVG"), (b"", "empty"), (_frame()[:200], "damaged")):
            camera.send(data)
            assert words in (_answer(camera)[0].error or "")
        buffer = io.BytesIO()
        Image.new("1", (4000, 4000)).save(buffer, "PNG")
        camera.send(buffer.getvalue())
        assert "pixels" in (_answer(camera)[0].error or "")
        camera.send(json.dumps({"network": _network(client), "layer": "nothing"}))
        camera.send(_frame())
        assert "no layer" in (_answer(camera)[0].error or "")
        camera.send(asked)
        camera.send(_frame())
        assert _answer(camera)[0].error is None


def test_old_frames_are_dropped_and_never_queued(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    busy, seen = threading.Event(), []
    looked_at = sockets._looked_at

    def slow(*given: Any) -> Any:
        seen.append(given[2])
        busy.wait(10)
        return looked_at(*given)

    monkeypatch.setattr(sockets, "_looked_at", slow)
    with client.socket("/api/camera") as camera:
        camera.send(json.dumps({"network": _network(client)}))
        camera.send(_frame(0))
        _until(lambda: seen == [0])
        for number in range(1, 200):
            camera.send(_frame(number))
        # All of them have come when an answer to a ping has.
        assert camera.ping().wait(10)
        time.sleep(0.1)
        busy.set()
        first, second = _answer(camera)[0], _answer(camera)[0]
        assert (first.frame, second.frame) == (0, 199)
        assert second.dropped == 198
        assert seen == [0, 199]


def test_a_client_that_does_not_read_holds_up_nobody(client: Client) -> None:
    """Its frames are dropped, its answers don't pile up, and others are served."""
    with client.socket("/api/camera") as camera:
        camera.send(json.dumps({"network": _network(client), "layer": "0", "cell": 256}))
        for number in range(100):
            camera.send(_frame(number))
        with client.socket("/api/camera") as other:
            other.send(json.dumps({"network": _network(client)}))
            other.send(_frame())
            assert _answer(other)[0].error is None
        camera.socket.shutdown(socket.SHUT_RDWR)
    assert client.ask("/api/networks").status == 200


def test_a_broken_camera_ends_its_stream(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    until_one_ends = sockets._until_one_ends

    async def watched(*works: Any) -> None:
        await until_one_ends(*works)
        ended.set()

    monkeypatch.setattr(sockets, "_until_one_ends", watched)
    with client.socket("/api/camera") as camera:
        camera.send(json.dumps({"network": _network(client)}))
        camera.send(_frame())
        _answer(camera)
        assert not ended.is_set()
        camera.socket.shutdown(socket.SHUT_RDWR)
        assert ended.wait(3)


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What the server logs meanwhile."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, logger = Kept(), logging.getLogger("convscope.explorer")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.mark.parametrize("raised", [RuntimeError, KeyError])
def test_what_goes_wrong_inside_is_told_in_the_log_and_to_the_client(
    client: Client, monkeypatch: pytest.MonkeyPatch, log: list[str], raised: type[Exception]
) -> None:
    def broken(*_: Any) -> Any:
        raise raised("expected all tensors of '/home/ada' to be on one device")

    monkeypatch.setattr(sockets, "_looked_at", broken)
    with client.socket("/api/camera") as camera:
        camera.send(_frame())
        with pytest.raises(ConnectionClosed) as closed:
            camera.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    assert log == [f"a web socket failed: {raised.__name__}"]


def test_a_socket_that_is_closed_already_is_no_error(
    client: Client, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    """An answer that comes when nobody is there any more."""
    going, gone = threading.Event(), threading.Event()
    looked_at = sockets._looked_at

    def slow(*given: Any) -> Any:
        going.set()
        gone.wait(10)
        return looked_at(*given)

    monkeypatch.setattr(sockets, "_looked_at", slow)
    with client.socket("/api/camera") as camera:
        camera.send(_frame())
        assert going.wait(10)
    gone.set()
    assert client.ask("/api/networks").status == 200
    assert not log


def test_a_message_over_the_limit_closes_the_socket(client: Client) -> None:
    def flood(camera: ClientConnection) -> None:
        camera.send(bytes(9 << 20))
        camera.recv(timeout=10)

    with client.socket("/api/camera") as camera, pytest.raises(ConnectionClosed):
        flood(camera)
    assert client.ask("/api/networks").status == 200


def test_bytes_that_are_no_text_close_the_socket(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    with client.socket("/api/events") as events:
        events.recv()
        events.send(b"\xff\xfe", text=True)
        with pytest.raises(ConnectionClosed):
            events.recv(timeout=10)
    assert "Traceback" not in capfd.readouterr().err
