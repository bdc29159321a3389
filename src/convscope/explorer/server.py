"""The server: where it listens, what it logs, and that it stops when it is told to."""

import logging
import socket
import warnings
from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, ClassVar

from convscope.errors import ConvscopeError
from convscope.explorer import check_installed
from convscope.explorer.guard import LOOPBACK, without_paths

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


def serve(explorer: "Explorer", listening: socket.socket) -> None:
    """Serve on a socket that is `bound` until Ctrl-C; then jobs end, and this returns. Raises MissingExtra."""
    Thread(target=explorer.warm, name="warm", daemon=True).start()
    # uvicorn passes on the interrupt when it is done with it.
    with suppress(KeyboardInterrupt):
        server_of(explorer).run(sockets=[listening])
    explorer.jobs.close()


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


def address_of(explorer: "Explorer", listening: socket.socket) -> str:
    """What to open in a browser, with the token, which leaves the address at the first load."""
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}{explorer.policy.root_path}/?token={explorer.policy.token}"


def server_of(explorer: "Explorer") -> "uvicorn.Server":
    """The server, not running yet. Raises MissingExtra."""
    check_installed()
    import uvicorn

    from convscope.explorer.app import guarded_app

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: Sequence[socket.socket] | None = None) -> None:
            # First, since requests may wait for what jobs keep busy.
            explorer.jobs.stop()
            await super().shutdown(None if sockets is None else list(sockets))

    log_to(explorer.policy.token)
    config = uvicorn.Config(
        guarded_app(explorer),
        # Those that need nothing compiled; the older one for web sockets is deprecated.
        http="h11", ws="websockets-sansio",
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
