"""The Explorer's pages in a real browser, of a tiny network and tiny pictures, served as they are to everybody."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.explorer.serving import Client, serving
from tests.scanning.little import little_network, little_pictures, scan_little
from torch import nn

import convscope as cs
from convscope.explorer.cache import Cache
from convscope.explorer.explorer import Explorer
from convscope.explorer.guard import Policy, new_token
from convscope.explorer.served import FOLDER

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDE, PHONE = (1280, 800), (390, 844)
PATIENCE = 15_000

Opened = Callable[..., "Page"]


def other_network() -> cs.Network:
    """Of another size, with other layers, in grey, and with classes whose names hold what stands between targets."""
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    labels = ["crack - surface: fine", "no crack - nor: any"]
    return cs.Network(module, channels=1, input_size=(16, 20), fit="resize", labels=labels, name="other")


@pytest.fixture(scope="module")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server of its own for each module, which may be left as it is."""
    if not (FOLDER / "index.html").exists():
        pytest.skip("needs the built pages: pip install --no-deps --editable .")
    place = tmp_path_factory.mktemp("pages")
    scan = scan_little(little_pictures(place / "scanned", 10), place / "little.scan", layers=["1", "3"])
    explorer = Explorer.of(
        folder=folder, networks=[little_network(), other_network()], scans=[scan],
        policy=Policy(new_token(), json_limit=4096, upload_limit=100_000), cache=Cache(place / "cache"),
    )  # fmt: skip
    with serving(explorer) as client:
        yield client


@pytest.fixture
def opened(browser: "Browser", served: Client) -> Iterator[Opened]:
    """Opens an address with its token. In the end nothing may have gone wrong, or to another server."""
    contexts, wrong = [], list[str]()

    def judge(url: str, own: str) -> None:
        if not url.startswith((own, own.replace("http", "ws"), "data:", "blob:")):
            wrong.append(f"asked for {url}")

    def open_(
        address: str = "",
        size: tuple[int, int] = WIDE,
        *,
        scheme: str = "light",
        refused: bool = False,
        of: Client = served,
    ) -> "Page":
        own = f"http://127.0.0.1:{of.port}/"
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if scheme == "dark" else "light"
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: judge(request.url, own))
        page.on("websocket", lambda socket: judge(socket.url, own))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        # The browser itself complains of an answer that is an error, which may be what is tested.
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" and not refused else None)
        page.goto(f"{own}{address}{'&' if '?' in address else '?'}token={of.token}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []
