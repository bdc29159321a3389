"""A real server in a thread, and a client that sends bytes as they are: libraries tidy up what is to be tested."""

import io
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from websockets.sync.client import ClientConnection, connect

from convscope.explorer.explorer import Explorer
from convscope.explorer.served import FOLDER
from convscope.explorer.server import bound, server_of

BOUNDARY = "------------------------of-a-test"


@dataclass(frozen=True)
class Answer:
    """A response; `headers` by their lower-case names, those that come twice joined."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Asks the server on a port; with its token unless other headers are given."""

    port: int
    token: str
    explorer: Explorer = field(repr=False)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        host: str | None = None,
    ) -> Answer:
        sent = {"Host": host or f"127.0.0.1:{self.port}", **(self.bearer if headers is None else headers)}
        if body and not {"Content-Length", "Transfer-Encoding"} & sent.keys():
            sent["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
        return self.raw("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body)

    def raw(self, sent: bytes) -> Answer:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(sent)
            return received(connection)

    def post(self, path: str, asked: Any) -> Answer:
        headers = {**self.bearer, "Content-Type": "application/json"}
        return self.ask(path, method="POST", headers=headers, body=json.dumps(asked).encode())

    def made(self, asked: Any) -> Any:
        """The result of a job, waited for, with its `key`."""
        answer = self.post("/api/jobs", asked)
        assert answer.status == 202, answer.body
        job = self.ended(answer.json["id"])
        assert job["state"] == "done", job
        return {**self.ask(f"/api/results/{job['key']}").json, "key": job["key"]}

    def ended(self, id: str) -> Any:
        """How a job stands once it has ended."""
        end = time.monotonic() + 120
        while (job := self.ask(f"/api/jobs/{id}").json)["state"] in ("waiting", "running"):
            assert time.monotonic() < end
            time.sleep(0.01)
        return job

    def picture(self, result: Any, name: str) -> Image.Image:
        """A picture of a result."""
        return Image.open(io.BytesIO(self.ask(f"/api/results/{result['key']}/{name}").body))

    def upload(self, data: bytes, name: str = "dog.png", headers: Mapping[str, str] | None = None) -> Answer:
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        body = form(data, name)
        return self.ask(
            "/api/images", method="POST", headers={**(self.bearer if headers is None else headers), **kind}, body=body
        )

    def socket(self, path: str) -> AbstractContextManager[ClientConnection]:
        return connect(f"ws://127.0.0.1:{self.port}{path}", additional_headers=self.bearer, proxy=None, max_queue=None)

    def handshake(self, path: str, headers: Mapping[str, str], host: str | None = None) -> int:
        """The status with which a web socket's handshake is answered: 101 if it is taken."""
        upgrade = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }  # fmt: skip
        lines = [f"{name}: {value}" for name, value in {**upgrade, **headers}.items()]
        asked = [f"GET {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{self.port}'}", *lines, "", ""]
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall("\r\n".join(asked).encode())
            return int(connection.recv(4096).split(b" ", 2)[1])


def received(connection: socket.socket) -> Answer:
    """All that comes until the connection is closed, as a response."""
    data = b""
    while part := connection.recv(65536):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name.lower()] = ", ".join(filter(None, [headers.get(name.lower()), value]))
    return Answer(int(first.split(" ")[1]), headers, body)


def form(data: bytes, name: str) -> bytes:
    """A file as a browser's form sends it."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


@contextmanager
def serving(explorer: Explorer, pages: Path = FOLDER) -> Iterator[Client]:
    """The server until the block ends, when it must stop within three seconds."""
    listening = bound("127.0.0.1", 0)
    port = listening.getsockname()[1]
    server = server_of(explorer, pages)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield Client(port, explorer.policy.token, explorer)
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
    assert not thread.is_alive()
