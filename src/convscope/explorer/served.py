"""The built pages by address, in a table made at the start: no address is ever taken for a path.

They are served before torch is imported, so that a browser has them while all else gets ready.
"""

import asyncio
import gzip
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from convscope.errors import ConvscopeError
from convscope.explorer.guard import App, Receive, Scope, Send, without_root, words_page

FOLDER = Path(__file__).parent / "pages"
"""Where the build puts the pages, and an installation has them."""

NAMES = ("look", "explain", "scan", "synthesize", "fool", "anatomy")
"""The pages, which are one file: what is on them the browser decides, by the address."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
}
_INDEX = "index.html"
_PLACES = ("/", *(f"/{name}" for name in NAMES))
# The name of an asset holds a hash of what is in it.
_FOR_EVER = "private, max-age=31536000, immutable"
_ANEW = "no-cache"
_HOW = (
    "the Explorer's pages are not built; where convscope lies as source, run: pip install --no-deps --editable . "
    "(which needs the registries of pip and npm once)"
)


@dataclass(frozen=True)
class Served:
    """A file as it is sent: `packed` by gzip, where that makes it smaller."""

    content: bytes
    packed: bytes | None
    type: str
    cache: str

    @classmethod
    def of(cls, path: Path, cache: str) -> "Served":
        content = path.read_bytes()
        packed = gzip.compress(content, 9, mtime=0)
        return cls(content, packed if len(packed) < 0.95 * len(content) else None, _TYPES[path.suffix], cache)


def check_built(folder: Path = FOLDER) -> None:
    """Raises ConvscopeError unless the pages are there."""
    if not (folder / _INDEX).is_file():
        raise ConvscopeError(_HOW)


def table(folder: Path = FOLDER) -> dict[str, Served]:
    """What is served, by address: the index under the name of every page, and the assets; empty if none is built.

    Only files of the folder itself, of the kinds that pages are made of.
    """
    if not (folder / _INDEX).is_file():
        return {}
    found = dict.fromkeys(_PLACES, Served.of(folder / _INDEX, _ANEW))
    for path in (folder / "assets").glob("*"):
        if path.suffix in _TYPES and path.is_file() and not path.is_symlink():
            found[f"/assets/{path.name}"] = Served.of(path, _FOR_EVER)
    return found


class Pages:
    """The app that answers for the pages, and leaves all else to `rest`, once that is there."""

    def __init__(self, rest: "Future[App]", folder: Path = FOLDER) -> None:
        self._rest, self._table = rest, table(folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = scope.get("root_path", "")
        place = without_root(scope["path"], root)
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            if place in self._table:
                await _send(scope, send, 200, self._table[place])
                return
            if place in _PLACES:
                page = Served(words_page(_HOW).encode(), None, _TYPES[".html"], "no-store")
                await _send(scope, send, 503, page)
                return
            if place == "":
                # Here what is beside a page would be looked for beside the proxy's folder.
                await send(
                    {"type": "http.response.start", "status": 307, "headers": [(b"location", f"{root}/".encode())]}
                )
                await send({"type": "http.response.body"})
                return
        # Shielded, for others wait for it, too.
        rest = self._rest.result() if self._rest.done() else await asyncio.shield(asyncio.wrap_future(self._rest))
        await rest(scope, receive, send)


async def _send(scope: Scope, send: Send, status: int, served: Served) -> None:
    packed = served.packed if _takes_gzip(_header(scope["headers"], b"accept-encoding")) else None
    body = served.content if packed is None else packed
    headers = {
        "content-type": served.type,
        "content-length": str(len(body)),
        "cache-control": served.cache,
        "vary": "accept-encoding",
        **({} if packed is None else {"content-encoding": "gzip"}),
    }
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in headers if key.lower() == name)


def _takes_gzip(accepted: str) -> bool:
    """Whether a client says so.

    >>> _takes_gzip("br, gzip;q=0.5"), _takes_gzip("gzip;q=0"), _takes_gzip("")
    (True, False, False)
    """
    for each in accepted.lower().split(","):
        coding, _, parameter = each.replace(" ", "").partition(";")
        if coding == "gzip":
            return not parameter or parameter.removeprefix("q=").strip("0.") != ""
    return False
