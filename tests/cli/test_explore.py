"""`convscope explore`: what it is given, where it listens, what it prints, how it ends."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.scanning.little import little_network, little_pictures, scan_little
from typer.testing import CliRunner, Result

from convscope.cli import explore
from convscope.cli.app import app
from convscope.errors import ConvscopeError
from convscope.explorer import server
from convscope.explorer.explorer import Explorer
from convscope.explorer.guard import Policy
from convscope.explorer.served import FOLDER
from convscope.scanning.header import FILE

Make = Callable[[], Explorer]
Ran = tuple[Result, Policy, Make]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Policy, Make, tuple[str, int]]]:
    """What would be served, which ends at once; the pages count as built."""
    seen = []

    def serve_soon(policy: Policy, make: Make, listening: socket.socket) -> bool:
        seen.append((policy, make, listening.getsockname()[:2]))
        return True

    monkeypatch.setattr(server, "serve_soon", serve_soon)
    monkeypatch.setattr("convscope.explorer.served.check_built", lambda: None)
    return seen


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was opened in a browser."""
    seen: list[str] = []
    monkeypatch.setattr(explore, "_open", seen.append)
    return seen


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["explore", *map(str, arguments)])


def refused(*arguments: str | Path) -> str:
    """In which words it refuses, before any address is printed."""
    ran = run(*arguments)
    assert ran.stdout == ""
    assert isinstance(ran.exception, ConvscopeError), ran.output
    return str(ran.exception)


def test_the_address_is_printed_alone(served: list[tuple[Policy, Make, tuple[str, int]]]) -> None:
    ran = run("--port", "0")
    assert ran.exit_code == 0, ran.output
    ((policy, _, (host, port)),) = served
    assert host == "127.0.0.1"
    assert ran.stdout == f"http://127.0.0.1:{port}/?token={policy.token}\n"
    assert ran.stderr == ""
    run("--port", "0")
    assert served[1][0].token != policy.token


def test_a_port_that_is_taken(
    served: list[tuple[Policy, Make, tuple[str, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.bound("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(server, "PORT", port)
        ran = run()
        assert ran.exit_code == 0
        assert served[0][2][1] != port
        assert f":{served[0][2][1]}/" in ran.stdout
        assert f"port {port} is taken" in ran.stderr
        # One that was asked for is meant.
        assert f"can't listen on 127.0.0.1 port {port}" in refused("--port", str(port))
    assert "can't listen on no.such.host.invalid" in refused("--host", "no.such.host.invalid")


def test_another_address_is_warned_of_in_words(served: list[tuple[Policy, Make, tuple[str, int]]]) -> None:
    ran = run("--host", "0.0.0.0", "--port", "0", "--allow-host", "Lab.Example", "--root-path", "/lens/")
    policy, _, (host, port) = served[0]
    assert host == "0.0.0.0"
    assert policy.hosts == {"lab.example"}
    assert ran.stdout == f"http://127.0.0.1:{port}/lens/?token={policy.token}\n"
    assert "warning: listening on 0.0.0.0, which other machines can reach" in ran.stderr
    assert "RuntimeWarning" not in ran.stderr
    assert policy.token not in ran.stderr
    run("--host", "127.0.0.2", "--port", "0")
    assert served[1][0].hosts == {"127.0.0.2"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--root-path", "lens"], "expected a path as /lens"), (["--root-path", "/a//b"], "expected a path"),
        (["--root-path", "/a b"], "expected a path"), (["--root-path", "/a\r\nb"], "expected a path"),
        (["--allow-host", "lab.example:80"], "without a port"), (["--allow-host", "a b"], "expected a name"),
        (["--allow-host", "*"], "expected a name"), (["gone"], "gone: got nothing of that name"),
        (["file.txt"], "file.txt: got a file; expected a folder of pictures, or a scan"),
        (["--scan", "photos"], "photos is no scan"), (["--network", "eficientnet-lite0"], "efficientnet-lite0"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_first(
    served: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.txt").write_text("no folder")
    Path("photos").mkdir()
    assert words in refused("--port", "0", *arguments)
    assert not served


def test_pages_that_are_not_built_are_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    check = "convscope.explorer.served.check_built"
    from convscope.explorer.served import check_built

    monkeypatch.setattr(check, lambda: check_built(tmp_path))
    assert "not built" in refused("--port", "0")


def test_a_folder_or_a_scan(served: list[tuple[Policy, Make, tuple[str, int]]], tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    photos = little_pictures(tmp_path / "photos", 4)
    scan = scan_little(photos, tmp_path / "little.scan", layers=["1"])
    assert explore.HEADER == FILE
    run("--port", "0", photos)
    folder = served[0][1]()
    try:
        assert len(folder.images.all("file")) == 4
        assert folder.policy is served[0][0]
        assert [each.id for each in folder.networks.all()] == ["efficientnet-lite0"]
        assert folder.scans.all() == []
    finally:
        folder.jobs.close()
    run("--port", "0", scan.path)
    with pytest.raises(ConvscopeError, match="--network"):  # it was made in a test, of a network without a name
        served[1][1]()
    scanned = explore._explorer(served[1][0], scan.path, [scan.path], [little_network()])
    try:
        assert len(scanned.images.all("file")) == 4
        assert [named.name for named, _ in scanned.scans.all()] == ["little.scan"]
    finally:
        scanned.jobs.close()


def test_a_browser_is_opened_where_somebody_looks(
    served: list[object], opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explore, "_has_display", lambda: True)
    run("--port", "0")
    assert opened == []  # its output is no terminal
    ran = run("--port", "0", "--open")
    assert opened == [ran.stdout.strip()]
    run("--port", "0", "--no-open")
    assert len(opened) == 1


def test_a_display_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not explore._has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert explore._has_display()
    monkeypatch.delenv("WAYLAND_DISPLAY")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert explore._has_display()


def test_a_folder_without_pictures_is_told_of(
    served: list[tuple[Policy, Make, tuple[str, int]]], tmp_path: Path
) -> None:
    run("--port", "0", tmp_path)
    with pytest.raises(ConvscopeError, match="there is no picture in"):
        served[0][1]()


def test_what_fails_later_ends_the_server() -> None:
    def fail() -> Explorer:
        raise ConvscopeError("no such weights")

    with server.bound("127.0.0.1", 0) as listening, pytest.raises(ConvscopeError, match="no such weights"):
        server.serve_soon(Policy("0123456789abcdefghijkl"), fail, listening)


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    """The command as it is run, with the port left to it."""
    if not (FOLDER / "index.html").is_file():
        pytest.skip("the pages are not built: make does that")
    started = subprocess.Popen(
        [sys.executable, "-m", "convscope", "explore", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    yield started
    started.kill()
    started.communicate()


def _ask(address: str, path: str) -> tuple[int, bytes]:
    """As a client in Python does, with the token in a header."""
    host, _, token = address.removeprefix("http://").partition("/?token=")
    with closing(http.client.HTTPConnection(host, timeout=60)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.read()


def _ask_in_vain(address: str) -> None:
    with suppress(OSError, http.client.HTTPException):
        _ask(address, "/api/networks")


@pytest.mark.slow
def test_it_serves_and_ctrl_c_ends_it(program: subprocess.Popen[str]) -> None:
    assert program.stdout is not None
    address = program.stdout.readline().strip()
    status, index = _ask(address, "/")
    assert status == 200
    assert b"<script" in index
    status, networks = _ask(address, "/api/networks")
    assert status == 200
    assert b"efficientnet-lite0" in networks
    began = time.monotonic()
    program.send_signal(signal.SIGINT)
    printed, told = program.communicate(timeout=60)
    assert time.monotonic() - began < 10  # three seconds, on a machine that does nothing else
    assert (program.returncode, printed, told) == (0, "", "")


@pytest.mark.slow
def test_ctrl_c_ends_it_while_it_gets_ready(program: subprocess.Popen[str]) -> None:
    assert program.stdout is not None
    address = program.stdout.readline().strip()
    waiting = threading.Thread(target=_ask_in_vain, args=(address,))
    waiting.start()
    assert _ask(address, "/")[0] == 200
    program.send_signal(signal.SIGINT)
    printed, told = program.communicate(timeout=60)
    waiting.join(60)
    assert (program.returncode, printed) == (0, "")
    assert "Traceback" not in told


def test_the_pages_need_no_torch() -> None:
    heavy = "{'torch', 'fastapi', 'numpy'}"
    code = f"import sys, convscope.explorer.server, convscope.cli.app; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
