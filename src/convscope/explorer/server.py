"""The server: where it listens, what it logs, and that it stops when it is told to."""

import logging
import socket
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread
from threading import enumerate as enumerate_threads
from typing import TYPE_CHECKING, ClassVar

from convscope.errors import ConvscopeError
from convscope.explorer import check_installed
from convscope.explorer.guard import LOOPBACK, App, Guard, Policy, without_paths
from convscope.explorer.memory import share
from convscope.explorer.served import FOLDER, Pages

if TYPE_CHECKING:
    import uvicorn

    from convscope.explorer.explorer import Explorer

PORT = 8760
_FRAME_BYTES = 8 << 20
_SECONDS_TO_STOP = 1


class _Words(logging.Formatter):
    """One line, without a traceback, a path or a token, whatever was raised where."""

    # Of all servers of this process, which share its loggers.
    tokens: ClassVar[set[str]] = set()

    def format(self, record: logging.LogRecord) -> str:
        line = f"{record.levelname.lower()}: {record.getMessage()}"
        for token in self.tokens:
            line = line.replace(token, "…")
        return " ".join(without_paths(line).split())


def serve(explorer: "Explorer", listening: socket.socket) -> bool:
    """Serve on a socket that is `bound` until Ctrl-C; then jobs end, and this returns. Raises MissingExtra.

    Whether all its threads have ended, too: Python must not be left to tear torch down beneath one that computes.
    """
    return serve_soon(explorer.policy, lambda: explorer, listening)


def serve_soon(policy: Policy, make: "Callable[[], Explorer]", listening: socket.socket) -> bool:
    """The same, and the pages come at once, while `make` imports torch and loads what there is to explore.

    Raises what `make` raises, when the server has stopped for it.
    """
    share()
    before = set(enumerate_threads())
    made: Future[Explorer] = Future()
    app: Future[App] = Future()
    server = _server(policy, made, app)

    def work() -> None:
        try:
            explorer = make()
            made.set_result(explorer)
            app.set_result(_app_of(explorer))
        except BaseException as error:
            for each in (made, app):
                if not each.done():
                    each.set_exception(error)
            server.should_exit = True
            return
        explorer.warm()

    Thread(target=work, name="make", daemon=True).start()
    # uvicorn passes on the interrupt when it is done with it.
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    if app.done():
        app.result()
    return set(enumerate_threads()) <= before


def bound(host: str = "127.0.0.1", port: int = PORT) -> socket.socket:
    """A socket that listens there; with port 0 at any that is free. An address that is not loopback's is warned of.

    Raises ConvscopeError where it can't.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise ConvscopeError(
            f"can't listen on {host} port {port}: {reason}; choose another with --port, or 0 for any that is free"
        ) from error
    if not is_loopback(str(place[0])):
        warnings.warn(
            f"listening on {host}, which other machines can reach: whoever learns the address with its token can look "
            "at all that is served here, and nothing is encrypted on the way",
            RuntimeWarning,
            stacklevel=2,
        )
    return listening


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    return address in LOOPBACK or address.startswith("127.")


def address_of(policy: Policy, listening: socket.socket) -> str:
    """What to open in a browser, with the token, which leaves the address at the first load."""
    host, port = listening.getsockname()[:2]
    # All addresses are no address to go to; this machine's own is among them.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}{policy.root_path}/?token={policy.token}"


def server_of(explorer: "Explorer", pages: Path = FOLDER) -> "uvicorn.Server":
    """The server, not running yet; `pages` is where they were built. Raises MissingExtra."""
    made: Future[Explorer] = Future()
    app: Future[App] = Future()
    made.set_result(explorer)
    app.set_result(_app_of(explorer))
    return _server(explorer.policy, made, app, pages)


def _app_of(explorer: "Explorer") -> App:
    check_installed()
    from convscope.explorer.app import plain_app

    return plain_app(explorer)


def _server(policy: Policy, made: "Future[Explorer]", app: "Future[App]", pages: Path = FOLDER) -> "uvicorn.Server":
    check_installed()
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: Sequence[socket.socket] | None = None) -> None:
            explorer = made.result() if made.done() and made.exception() is None else None
            # First, since requests may wait for what jobs keep busy.
            if explorer is not None:
                explorer.jobs.stop()
            # What is cut off now is meant to be, and no error.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(None if sockets is None else list(sockets))
            if explorer is not None:
                explorer.jobs.close()

    log_to(policy.token)
    config = uvicorn.Config(
        Guard(Pages(app, pages), policy),
        # Those that need nothing compiled; the older one for web sockets is deprecated.
        http="h11", ws="websockets-sansio", lifespan="off",
        ws_max_size=_FRAME_BYTES, ws_per_message_deflate=False,
        # The usual lines tell whole addresses, with what is asked in them.
        log_config=None, access_log=False, log_level="warning",
        server_header=False, proxy_headers=False, timeout_graceful_shutdown=_SECONDS_TO_STOP,
        root_path="", h11_max_incomplete_event_size=64 << 10,
    )  # fmt: skip
    return Server(config)


def log_to(token: str) -> None:
    """Have the server's log lines, and ours, go to the error stream in one line each."""
    _Words.tokens.add(token)
    handler = logging.StreamHandler()
    handler.setFormatter(_Words())
    for name in ("uvicorn", "convscope.explorer"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
