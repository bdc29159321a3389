"""Where the server listens, how it starts and how it stops, as a program of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from tests.explorer.conftest import explorer_of
from tests.explorer.serving import Client

from convscope.errors import ConvscopeError, MissingExtra
from convscope.explorer import check_installed, server
from convscope.explorer.guard import Policy

_PROGRAM = """
import sys
from pathlib import Path
from tests.explorer.conftest import explorer_of
from convscope.explorer.server import address_of, bound, serve
explorer = explorer_of(Path(sys.argv[1]), Path(sys.argv[2]))
listening = bound("127.0.0.1", 0)
print(address_of(explorer.policy, listening), flush=True)
print(explorer.networks.all()[0].id, flush=True)
serve(explorer, listening)
"""


def test_it_binds_loopback() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with server.bound("127.0.0.1", 0) as listening:
            assert listening.getsockname()[0] == "127.0.0.1"
        with server.bound("localhost", 0) as listening:
            assert server.is_loopback(listening.getsockname()[0])


def test_another_address_is_warned_of() -> None:
    with pytest.warns(RuntimeWarning, match="other machines can reach"):
        server.bound("0.0.0.0", 0).close()


def test_the_sixth_version_works(folder: Path, tmp_path: Path) -> None:
    try:
        listening = server.bound("::1", 0)
    except ConvscopeError:
        pytest.skip("this machine has no IPv6")
    explorer = explorer_of(folder, tmp_path, policy=Policy("0123456789abcdefghijkl"))
    with listening:
        port = listening.getsockname()[1]
        assert server.address_of(explorer.policy, listening) == f"http://[::1]:{port}/?token=0123456789abcdefghijkl"
    explorer.jobs.close()


def test_a_port_that_is_taken_is_told() -> None:
    with server.bound("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(ConvscopeError, match=f"can't listen on 127.0.0.1 port {port}.*--port"):
            server.bound("127.0.0.1", port)
    with pytest.raises(ConvscopeError, match=r"can't listen on no\.such\.host\.invalid"):
        server.bound("no.such.host.invalid", 0)


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setattr("convscope.explorer.find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(MissingExtra, match=r"pip install 'convscope\[explorer\]'"):
        check_installed()


@pytest.mark.slow
def test_ctrl_c_ends_it_and_its_jobs_within_three_seconds(folder: Path, tmp_path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(folder), str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert program.stdout is not None
    address, network = program.stdout.readline().strip(), program.stdout.readline().strip()
    port, token = int(address.split(":")[2].split("/")[0]), address.partition("token=")[2]
    client = Client(port, token, None)  # type: ignore[arg-type]  # it is in another process
    asked = {"kind": "preferred", "network": network, "target": "3:4", "steps": 4000}
    job = client.post("/api/jobs", asked).json
    while client.ask(f"/api/jobs/{job['id']}").json["done"] == 0:
        time.sleep(0.02)
    with client.socket("/api/events"), socket.create_connection(("127.0.0.1", port)):
        began = time.monotonic()
        program.send_signal(signal.SIGINT)
        # Only then does it leave the port; that Python itself goes may take longer on a busy machine.
        while _listens(port):
            assert time.monotonic() - began < 3
            time.sleep(0.02)
        printed, told = program.communicate(timeout=120)
    assert program.returncode == 0
    assert printed == ""
    for each in ("Traceback", token, str(folder)):
        assert each not in told


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
