"""The built pages: by address and never by path, behind the guard, small, and there before all else is."""

import asyncio
import gzip
import re
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from tests.explorer.conftest import explorer_of
from tests.explorer.serving import Client, serving

from convscope.errors import ConvscopeError
from convscope.explorer.guard import App, Message, Policy, Receive, Scope, Send, new_token, words_page
from convscope.explorer.served import FOLDER, NAMES, Pages, check_built, table

_SCRIPT = b"export const answer = 42;\n" * 100
_READS = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
_WEIGHT = 400_000


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages as a build leaves them, and what it never would."""
    folder = tmp_path_factory.mktemp("built") / "pages"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text('<!doctype html><script src="./assets/index-a1.js"></script>')
    (folder / "assets" / "index-a1.js").write_bytes(_SCRIPT)
    (folder / "assets" / "dot-b2.png").write_bytes(b"\x89PNG")
    (folder / "assets" / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "assets" / "index-a1.js.map").write_text("{}")
    (folder / "secret.js").write_text("no page of ours")
    (folder.parent / "pages-private.js").write_text("nor this")
    (folder / "assets" / "link.js").symlink_to(folder / "secret.js")
    return folder


@pytest.fixture(scope="module")
def served(pages: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serving(explorer_of(folder, tmp_path_factory.mktemp("cache")), pages) as client:
        yield client


def test_every_page_is_the_index(served: Client, pages: Path) -> None:
    for address in ("/", "/?network=x", *(f"/{name}" for name in NAMES), "/look?unit=3:4"):
        answer = served.ask(address)
        assert (answer.status, answer.body) == (200, (pages / "index.html").read_bytes()), address
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        # Another version may be served at the same address tomorrow.
        assert answer.headers["cache-control"] == "no-cache"
        assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_assets_are_kept_by_the_browser(served: Client) -> None:
    script, dot = served.ask("/assets/index-a1.js"), served.ask("/assets/dot-b2.png")
    assert (script.status, script.body) == (200, _SCRIPT)
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert dot.headers["content-type"] == "image/png"
    for answer in (script, dot):
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip, deflate, br", True), ("br;q=1, GZIP;q=0.5", True), ("gzip;q=0, br", False), ("identity", False)],
)
def test_it_is_packed_for_who_takes_it(served: Client, accepted: str, packed: bool) -> None:
    answer = served.ask("/assets/index-a1.js", headers={**served.bearer, "Accept-Encoding": accepted})
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert (gzip.decompress(answer.body) if packed else answer.body) == _SCRIPT
    assert int(answer.headers["content-length"]) == len(answer.body)
    # What is packed already is sent as it is.
    dot = served.ask("/assets/dot-b2.png", headers={**served.bearer, "Accept-Encoding": accepted})
    assert "content-encoding" not in dot.headers


def test_only_the_head_for_who_asks_for_that(served: Client) -> None:
    for address in ("/", "/assets/index-a1.js"):
        whole, head = served.ask(address), served.ask(address, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.body))


@pytest.mark.parametrize(
    "address",
    [
        "/index.html", "/secret.js", "/assets", "/assets/", "/assets/secret.js", "/assets/../secret.js", "/look/",
        "/assets/..%2fsecret.js", "/assets/%2e%2e/secret.js", "/assets/..%5csecret.js", "/assets/..\\secret.js",
        "/../pages-private.js", "/assets/../../pages-private.js", "/pages-private.js", "/assets/link.js",
        "/assets/drawing.svg", "/assets/index-a1.js.map", "/assets//index-a1.js", "//assets/index-a1.js",
        "/assets/index-a1.js%00.png", "/assets/index-a1.js%2500", "/assets/INDEX-a1.js", "/assets/C:/x.js",
        "/assets/index-a1.js/", "/pages/index.html", "/Look", "/settings", "/favicon.ico",
    ],
)  # fmt: skip
def test_nothing_else_is_there(served: Client, address: str) -> None:
    answer = served.ask(address)
    assert answer.status == 404
    assert b"no page of ours" not in answer.body
    assert b"nor this" not in answer.body


def test_nothing_is_changed_at_a_page(served: Client) -> None:
    headers = {**served.bearer, "Content-Type": "application/json"}
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert served.ask("/look", method=method, headers=headers, body=b"{}").status in (404, 405)


def test_pages_and_assets_need_the_token_and_our_own_name(served: Client) -> None:
    cookie = {"Cookie": f"{served.explorer.policy.cookie}={served.token}"}
    for address in ("/", "/look", "/assets/index-a1.js", "/assets/none.js"):
        assert served.ask(address, headers={}).status == 401
        assert served.ask(address, host="evil.example").status == 403
        assert served.ask(address, headers={**cookie, "Sec-Fetch-Site": "cross-site"}).status == 403
        assert served.ask(address, headers=cookie).status == (404 if "none" in address else 200)


def test_who_opens_a_page_without_the_token_is_told_what_to_do(served: Client) -> None:
    for address in ("/", "/look?unit=3", "/look?token=wrong", "/nowhere"):
        answer = served.ask(address, headers=_READS)
        assert answer.status == 401
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        told = answer.body.decode()
        assert "address with the token that was printed" in told
        assert not re.search(r"<script|<style|style=|src=|href=|\son\w+=", told)
    foreign = served.ask("/", headers=_READS, host="evil.example")
    assert foreign.status == 403
    assert "--allow-host" in foreign.body.decode()
    # Programs are told in JSON.
    for path, headers in (("/", {}), ("/api/networks", _READS), ("/assets/index-a1.js", {"Accept": "*/*"})):
        assert "token" in served.ask(path, headers=headers).json["error"]


def test_words_are_no_markup() -> None:
    assert "<p>&lt;script&gt;&amp;&quot;</p>" in words_page('<script>&"')


def test_behind_a_proxy_pages_are_under_its_path(pages: Path, folder: Path, tmp_path: Path) -> None:
    policy = Policy(new_token(), hosts=frozenset({"lab.example"}), root_path="/x/lens")
    with serving(explorer_of(folder, tmp_path, policy=policy), pages) as client:
        opened = client.ask(f"/x/lens/?token={policy.token}", headers=_READS, host="lab.example")
        assert opened.status == 303
        assert opened.headers["location"] == "/x/lens/"
        cookie = opened.headers["set-cookie"]
        assert cookie.endswith("; Path=/x/lens")
        headers = {"Cookie": cookie.partition(";")[0]}
        for address in ("/x/lens/", "/x/lens/look", "/x/lens/assets/index-a1.js", "/x/lens/api/networks"):
            assert client.ask(address, headers=headers, host="lab.example").status == 200, address
            # A proxy may have taken its part off.
            assert client.ask(address.removeprefix("/x/lens"), headers=headers, host="lab.example").status == 200
        for address in ("/x/lens/assets/../secret.js", "/x/lens/x/lens/look", "/x/lensassets/index-a1.js", "/x/look"):
            assert client.ask(address, headers=headers, host="lab.example").status == 404, address
        # `./assets` would be beside it.
        assert client.ask("/x/lens", headers=headers, host="lab.example").headers["location"] == "/x/lens/"
        opened = client.ask(f"/x/lens?token={policy.token}", headers={}, host="lab.example")
        assert opened.headers["location"] == "/x/lens/"


def test_pages_that_are_not_built_are_told_of(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConvscopeError, match=r"pages are not built.*pip install"):
        check_built(tmp_path)
    with serving(explorer_of(folder, tmp_path / "cache"), tmp_path) as client:
        for address in ("/", "/look"):
            answer = client.ask(address, headers={**client.bearer, **_READS})
            assert answer.status == 503
            assert "pip install" in answer.body.decode()
            assert str(tmp_path) not in answer.body.decode()
        assert client.ask("/assets/index-a1.js").status == 404
        assert client.ask("/api/networks").status == 200


def test_pages_are_there_before_all_else(pages: Path) -> None:
    """Those who ask for more wait, and one that goes away takes nothing from the others."""
    rest: Future[App] = Future()
    app = Pages(rest, pages)

    async def asked(path: str) -> int:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        await app({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
        return int(sent[0]["status"])

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def all_of_them() -> None:
        gone, waiting = (asyncio.create_task(asked("/api/networks")) for _ in range(2))
        assert await asked("/") == 200
        gone.cancel()
        await asyncio.wait([gone])
        assert gone.cancelled()
        assert not waiting.done()
        rest.set_result(answers)
        assert await waiting == 204

    asyncio.run(all_of_them())


@pytest.mark.skipif(not (FOLDER / "index.html").is_file(), reason="the pages are not built: make does that")
def test_the_built_pages_are_whole_and_light() -> None:
    found = table()
    assert {path.name for path in (FOLDER / "assets").iterdir()} == {
        address.removeprefix("/assets/") for address in found if address.startswith("/assets/")
    }
    index = found["/"].content.decode()
    named = re.findall(r'(?:src|href)="\./([^"]+)"', index)
    assert named
    assert {f"/{each}" for each in named} <= found.keys()
    # What the policy of the guard would keep from running or from being seen.
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?://", index)
    sent = {address: each.packed or each.content for address, each in found.items()}
    assert (
        sum(len(content) for address, content in sent.items() if address not in {f"/{name}" for name in NAMES})
        < _WEIGHT
    )
