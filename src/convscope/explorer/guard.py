"""Every promise of safety that is the server's, in one ASGI middleware before all else, for HTTP and web sockets alike.

A page of another site can send requests to this machine, and a name of its own can be made to mean this machine (DNS
rebinding). So who asks must know the token, the host asked for must be ours, and the page that asks must be, too.
"""

import hashlib
import hmac
import ipaddress
import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names that mean this machine to itself, with any port: it may be another one at the far end of a tunnel."""

WRITE_HEADER = "x-convscope-token"
"""Where a page sends what `Policy.write_token` tells it, which a form of another page can't."""

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob: data:",
    "media-src": "'self' blob:",
    "connect-src": "'self'",
    "font-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_HEADERS = {
    "content-security-policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(), microphone=()",
}

_AUTHORITY = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>\d{1,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]+)")
_ENCODED = re.compile(rb"%(?:2f|5c|00|25)", re.IGNORECASE)
_PORTS = {"http": "80", "https": "443"}

_TOKEN_WANTED = (
    "open the address with the token that was printed at the start, by convscope explore where it runs; "
    "a browser that was closed has forgotten it"
)

_log = logging.getLogger("convscope.explorer")


def new_token() -> str:
    """128 bits that nobody can guess, as text for an address."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True)
class Policy:
    """What the guard goes by.

    `hosts` are names beside those of loopback that may be asked for; `root_path` is where a proxy serves us. Bodies
    are of at most `json_limit` bytes, or `upload_limit` where they are multipart.
    """

    token: str = field(repr=False)
    hosts: frozenset[str] = frozenset()
    root_path: str = ""
    json_limit: int = 1 << 20
    upload_limit: int = 32 << 20

    @property
    def cookie(self) -> str:
        """The cookie's name. Cookies know no ports, and two Explorers may run on one machine."""
        return f"convscope-{hashlib.sha256(self.token.encode()).hexdigest()[:8]}"

    @property
    def write_token(self) -> str:
        """What a page that has the cookie is told, and sends along with uploads."""
        return hmac.new(self.token.encode(), b"write", hashlib.sha256).hexdigest()

    def allows_host(self, name: str) -> bool:
        return name in LOOPBACK or name in self.hosts


@dataclass(frozen=True)
class _Refusal:
    status: int
    reason: str


@dataclass(frozen=True)
class _Asked:
    """The parts of a request by which it is judged; `method` is GET for a web socket, whose handshake is one."""

    method: str
    path: str
    raw_path: bytes
    query: str
    headers: tuple[tuple[bytes, bytes], ...]
    socket: bool

    @classmethod
    def of(cls, scope: Scope, root_path: str) -> "_Asked":
        socket = scope["type"] == "websocket"
        path = scope["path"]
        path = without_root(path, root_path) or "/"
        raw = scope.get("raw_path") or b""
        query = scope.get("query_string", b"").decode("latin-1")
        return cls("GET" if socket else scope["method"], path, raw, query, tuple(scope["headers"]), socket)

    def all(self, name: str) -> list[str]:
        wanted = name.encode()
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    def one(self, name: str) -> str | None:
        """The header's value; None unless it is there exactly once."""
        values = self.all(name)
        return values[0] if len(values) == 1 else None

    @property
    def is_api(self) -> bool:
        return self.socket or self.path == "/api" or self.path.startswith("/api/")

    @property
    def is_navigation(self) -> bool:
        """Whether a person is about to read the answer."""
        return (
            self.method in ("GET", "HEAD")
            and not self.is_api
            and any("text/html" in each for each in self.all("accept"))
        )


class Guard:
    """The middleware: refuses, limits bodies, sets headers, and lets no error's inside out."""

    def __init__(self, app: App, policy: Policy) -> None:
        self._app, self._policy = app, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        asked = _Asked.of(scope, self._policy.root_path)
        refusal = self._refused(asked)
        if refusal is None and (moved := self._handed_over(asked)) is not None:
            await _respond(send, 303, moved, b"")
        elif refusal is None:
            refusal = self._unknown(asked) or self._unfit(asked)
            if refusal is None:
                scope = {**scope, "root_path": self._policy.root_path}
                await (self._socket if asked.socket else self._request)(asked, scope, receive, send)
                return
        if refusal is not None:
            _log.info("refused with %d", refusal.status)
            await _refuse(receive, send, refusal, asked)

    # Judging, each by what the one before has let pass

    def _refused(self, asked: _Asked) -> _Refusal | None:
        """Whether it comes by a name or from a page that is not ours."""
        host = authority(asked.one("host") or "")
        if host is None or not self._policy.allows_host(host[0]):
            return _Refusal(403, "this host is not served here; start with --allow-host NAME if it should be")
        origins = asked.all("origin")
        if len(origins) > 1 or (origins and not _same(origins[0], host)):
            return _Refusal(403, "only the Explorer's own pages may ask")
        site = asked.all("sec-fetch-site")
        navigation = asked.all("sec-fetch-mode") == ["navigate"] and asked.method == "GET" and not asked.is_api
        # Another port of this machine is the same site, but may be anybody's page.
        if "cross-site" in site or ("same-site" in site and not navigation):
            return _Refusal(403, "only the Explorer's own pages may ask")
        return None

    def _handed_over(self, asked: _Asked) -> list[tuple[str, str]] | None:
        """The headers that turn the token of a page's address into a cookie; None where there is none, or a wrong one.

        The address is left without it, lest it stay in the history.
        """
        if asked.is_api or asked.method != "GET" or _odd(asked):
            return None
        pairs = parse_qsl(asked.query, keep_blank_values=True)
        if not any(name == "token" and self._is_token(value) for name, value in pairs):
            return None
        query = urlencode([pair for pair in pairs if pair[0] != "token"])
        place = self._policy.root_path + quote(asked.path) + (f"?{query}" if query else "")
        attributes = f"HttpOnly; SameSite=Strict; Path={self._policy.root_path or '/'}"
        return [("location", place), ("set-cookie", f"{self._policy.cookie}={self._policy.token}; {attributes}")]

    def _unknown(self, asked: _Asked) -> _Refusal | None:
        """Whether who asks doesn't know the token."""
        given = asked.all("authorization")
        if given:
            scheme, _, token = given[0].partition(" ")
            known = len(given) == 1 and scheme.lower() == "bearer" and self._is_token(token.strip())
        else:
            known = any(self._is_token(value) for value in self._cookies(asked))
        return None if known else _Refusal(401, _TOKEN_WANTED)

    def _unfit(self, asked: _Asked) -> _Refusal | None:
        """Whether it asks for what can't be, or in a way in which nothing is changed here."""
        if _odd(asked):
            return _Refusal(404, "there is nothing here")
        if asked.method not in ("POST", "PUT", "PATCH"):
            return None
        kind = (asked.one("content-type") or "").partition(";")[0].strip().lower()
        if kind == "application/json":
            limit = self._policy.json_limit
        elif kind == "multipart/form-data":
            limit = self._policy.upload_limit
            # A form of any page can send this kind; it can't send a header.
            written = asked.one(WRITE_HEADER) or ""
            if not asked.all("authorization") and not _equal(written, self._policy.write_token):
                return _Refusal(403, f"an upload needs the header {WRITE_HEADER}")
        else:
            return _Refusal(415, "expected a body of application/json, or multipart/form-data for an upload")
        length = asked.one("content-length")
        if length is not None and (not length.isdigit() or int(length) > limit):
            return _too_large(limit)
        return None

    def _is_token(self, text: str) -> bool:
        return _equal(text, self._policy.token)

    def _cookies(self, asked: _Asked) -> Iterable[str]:
        for header in asked.all("cookie"):
            for pair in header.split(";"):
                name, _, value = pair.strip().partition("=")
                if name == self._policy.cookie:
                    yield value

    # Passing on what was let through

    async def _request(self, asked: _Asked, scope: Scope, receive: Receive, send: Send) -> None:
        multipart = (asked.one("content-type") or "").lower().startswith("multipart/")
        limit = self._policy.upload_limit if multipart else self._policy.json_limit
        read, started, exceeded = 0, False, False

        async def counted() -> Message:
            nonlocal read, exceeded
            message = await receive()
            read += len(message.get("body", b""))
            # Without a length in front, it shows only as it comes.
            exceeded = exceeded or read > limit
            return {"type": "http.disconnect"} if exceeded else message

        async def guarded(message: Message) -> None:
            nonlocal started
            if exceeded and not started:
                return
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": _with_ours(message.get("headers", []))}
            await send(message)

        failed = False
        try:
            await self._app(scope, counted, guarded)
        except Exception as error:
            failed = not exceeded
            if failed:
                _log.error("%s failed: %s", asked.method, type(error).__name__)
        if started:
            return
        if exceeded:
            await _refuse(receive, send, _too_large(limit), asked)
        elif failed:
            await _refuse(receive, send, _Refusal(500, "something went wrong inside; the log says when"), asked)

    async def _socket(self, asked: _Asked, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            _log.error("a web socket failed: %s", type(error).__name__)
            try:
                await send({"type": "websocket.close", "code": 1011})
            except Exception:
                _log.debug("it was closed already")


def authority(text: str) -> tuple[str, str | None] | None:
    """The name and the port of `name:port`, the name as it is compared; None where it is no such thing.

    >>> authority("LOCALHOST:8000"), authority("[::1]:80"), authority("a b")
    (('localhost', '8000'), ('::1', '80'), None)
    """
    match = _AUTHORITY.fullmatch(text.strip().lower())
    if match is None:
        return None
    if match["six"] is None:
        return match["name"], match["port"]
    try:
        return ipaddress.IPv6Address(match["six"]).compressed, match["port"]
    except ValueError:
        return None


def without_root(path: str, root_path: str) -> str:
    """An address without what a proxy puts before it, if it didn't take that off itself.

    >>> without_root("/lens/look", "/lens"), without_root("/look", "/lens"), without_root("/lens", "/lens")
    ('/look', '/look', '')
    """
    return path[len(root_path) :] if root_path and f"{path}/".startswith(f"{root_path}/") else path


def words_page(text: str) -> str:
    """A page that says something and needs nothing: no style, no script.

    >>> "&lt;b&gt;" in words_page("<b>")
    True
    """
    metas = {"viewport": "width=device-width", "color-scheme": "light dark"}
    told = "".join(f'<meta name="{name}" content="{content}">' for name, content in metas.items())
    head = f'<meta charset="utf-8">{told}<title>convscope</title>'
    return f'<!doctype html><html lang="en">{head}<h1>convscope</h1><p>{escape(text)}</p></html>'


def without_paths(text: str) -> str:
    r"""A message with files by their names alone: where they lie on this machine is nobody's business.

    >>> without_paths(r"can't read '/home/ada/my photos/dog.jpg': cut off; see /tmp/log.txt or C:\Users\x.png")
    "can't read 'dog.jpg': cut off; see log.txt or x.png"
    >>> without_paths("2/3 of 1 and/or 4")
    '2/3 of 1 and/or 4'
    """
    quoted = re.sub(r"(?<=')(?:[A-Za-z]:)?[\\/][^'\n]*[\\/](?=[^'\\/\n]*')", "", text)
    return re.sub(r"(?<![\w.)\]])(?:[A-Za-z]:)?[\\/](?:[^\s'\"\\/:;,]+[\\/])+", "", quoted)


def _equal(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())


def _same(origin: str, host: tuple[str, str | None]) -> bool:
    """Whether an Origin is that of the request's own host; a proxy may have taken https off it."""
    match = _ORIGIN.fullmatch(origin.lower())
    named = authority(match["authority"]) if match else None
    if match is None or named is None:
        return False
    usual = _PORTS[match["scheme"]]
    return (named[0], named[1] or usual) == (host[0], host[1] or usual)


def _odd(asked: _Asked) -> bool:
    """Whether a path holds what no path of ours does, so that nobody has to think about it later."""
    parts = asked.path.split("/")
    return (
        parts[0] != ""
        or any(part in (".", "..") for part in parts)
        or "" in parts[1:-1]
        or any(ord(each) < 32 or each in "\\:\x7f\ufffd" for each in asked.path)
        or _ENCODED.search(asked.raw_path) is not None
    )


def _too_large(limit: int) -> _Refusal:
    return _Refusal(413, f"the body is too large; expected at most {limit} bytes")


def _with_ours(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers if name.decode("latin-1").lower() not in _HEADERS]
    if not any(name.lower() == b"cache-control" for name, _ in kept):
        kept.append((b"cache-control", b"no-store"))
    return kept + [(name.encode(), value.encode()) for name, value in _HEADERS.items()]


async def _respond(send: Send, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
    own = [(name.encode(), value.encode()) for name, value in headers]
    own.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": _with_ours(own)})
    await send({"type": "http.response.body", "body": body})


async def _refuse(receive: Receive, send: Send, refusal: _Refusal, asked: _Asked) -> None:
    if asked.socket:
        await receive()
        # Before it is accepted, so that its handshake is answered with 403.
        await send({"type": "websocket.close", "code": 1008})
        return
    if asked.is_navigation:
        kind, body = "text/html; charset=utf-8", words_page(refusal.reason)
    else:
        kind, body = "application/json", json.dumps({"error": refusal.reason})
    # Closed, or the rest of a body that nobody reads would be waited for.
    await _respond(send, refusal.status, [("content-type", kind), ("connection", "close")], body.encode())
