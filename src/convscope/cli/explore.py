"""`convscope explore`: the library in a browser."""

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convscope.cli.options import DEFAULT_NETWORK, load_network, say

if TYPE_CHECKING:
    import socket

    from convscope.explorer.explorer import Explorer
    from convscope.explorer.guard import Policy
    from convscope.network.network import Network

HEADER = "header.json"
"""What tells a scan from a folder of pictures; `scanning.header` has it too, but imports torch."""

_EVERYWHERE = ("0.0.0.0", "::")


def explore(
    place: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER or SCAN]", help="A folder of pictures, or one that is a scan.")
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network", "-n", help="Which network; may be given again. By default the scan's, or the bundled."
        ),
    ] = None,
    scan: Annotated[list[Path] | None, typer.Option(help="A scan beside the folder; may be given again.")] = None,
    host: Annotated[str, typer.Option(help="Where to listen; any but this machine's own is warned of.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="By default 8760, or another if that is taken; 0 is any.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name by which browsers come here beside this machine's own; may be given again."),
    ] = None,
    root_path: Annotated[str, typer.Option(help="The path under which a proxy serves it, as /lens.")] = "",
    open_browser: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open", help="By default where there are a terminal and a display.", show_default=False
        ),
    ] = None,
) -> None:
    """Look at networks in a browser: camera, photographs, every channel, explanations. Ctrl-C ends it.

    The address that is printed holds a token, without which nobody sees anything.
    """
    from convscope.explorer import check_installed
    from convscope.explorer.guard import Policy, new_token
    from convscope.explorer.served import check_built
    from convscope.explorer.server import address_of, serve_soon

    check_installed()
    check_built()
    if place is not None:
        _check_folder(place)
    for each in scan or []:
        _check_scan(each)
    hosts = frozenset(_name(each) for each in (*(() if host in _EVERYWHERE else (host,)), *(allow_host or ())))
    policy = Policy(new_token(), hosts=hosts, root_path=_root(root_path))
    # What was named is looked for before an address is promised; what is usual may come later.
    networks = [load_network(each) for each in network or []]
    with _bound(host, port) as listening:
        address = address_of(policy, listening)
        typer.echo(address)
        sys.stdout.flush()
        if (_has_display() and sys.stdout.isatty()) if open_browser is None else open_browser:
            _open(address)
        ended = serve_soon(policy, lambda: _explorer(policy, place, scan or [], networks), listening)
    if not ended:
        # A thread is still within torch, which Python would tear down beneath it.
        sys.stdout.flush()
        os._exit(0)


def _check_folder(place: Path) -> None:
    from convscope.errors import ConvscopeError

    if not place.is_dir():
        got = "a file" if place.exists() else "nothing of that name"
        raise ConvscopeError(f"{place}: got {got}; expected a folder of pictures, or a scan as convscope scan makes it")


def _check_scan(place: Path) -> None:
    from convscope.errors import ConvscopeError

    _check_folder(place)
    if not (place / HEADER).is_file():
        raise ConvscopeError(f"{place} is no scan; convscope scan {place} makes one, which is another folder")


def _explorer(policy: "Policy", place: Path | None, named: list[Path], networks: "list[Network]") -> "Explorer":
    """Of a folder, or of a scan, whose network and pictures it brings where they are still there."""
    from convscope.explorer.explorer import Explorer
    from convscope.scanning.stored import open_scan

    folder = place
    if place is not None and (place / HEADER).is_file():
        named = [place, *named]
        source = open_scan(place).header.source or {}
        folder = Path(str(source["path"])) if source.get("kind") == "folder" else None
        folder = folder if folder is not None and folder.is_dir() else None
    scans = [open_scan(each) for each in named]
    if not networks and scans:
        networks = [scans[0].network]
    explorer = Explorer.of(folder=folder, networks=networks or [DEFAULT_NETWORK], scans=scans, policy=policy)
    if folder is not None and folder == place:
        explorer.images.all("file")  # raises where there is none
    return explorer


@contextmanager
def _bound(host: str, port: int | None) -> "Iterator[socket.socket]":
    """Where to listen. What is no address of this machine alone is warned of in a line."""
    from convscope.errors import ConvscopeError
    from convscope.explorer.server import PORT, bound

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            listening = bound(host, PORT if port is None else port)
        except ConvscopeError as error:
            if port is not None or getattr(error.__cause__, "errno", None) != errno.EADDRINUSE:
                raise
            listening = bound(host, 0)
            say(f"port {PORT} is taken; this is another")
    for each in caught:
        say(f"warning: {each.message}")
    if host in _EVERYWHERE:
        say("who comes from another machine needs a name of this one in the address, and --allow-host NAME for it")
    with listening:
        yield listening


def _root(path: str) -> str:
    from convscope.errors import ConvscopeError

    root = path.rstrip("/")
    if root and (
        not root.startswith("/") or "//" in root or not all(each.isalnum() or each in "/._~-" for each in root)
    ):
        raise ConvscopeError(f"got --root-path {path!r}; expected a path as /lens")
    return root


def _name(host: str) -> str:
    """A host as requests name it."""
    from convscope.errors import ConvscopeError
    from convscope.explorer.guard import authority

    found = authority(f"[{host}]" if ":" in host and not host.startswith("[") else host)
    if found is None or found[1] is not None:
        raise ConvscopeError(f"got the host {host!r}; expected a name or an address without a port")
    return found[0]


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or any(os.environ.get(each) for each in ("DISPLAY", "WAYLAND_DISPLAY"))


def _open(address: str) -> None:
    """In the usual browser, which may take its time."""
    import webbrowser
    from threading import Thread

    Thread(target=webbrowser.open, args=(address,), name="browser", daemon=True).start()
