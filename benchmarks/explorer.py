"""The Explorer as its users feel it: start, change of layer, a unit, camera, occluder in hand; eight of them at once.

`--part` runs one of: start, look, camera, occluder, clients, weight. The pages are driven in Debian's Chromium, whose
camera is made up; clients are threads that ask over HTTP.
"""

import argparse
import gzip
import http.client
import json
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.timing import print_table

CHROMIUM = "/usr/bin/chromium"
_FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
_GRID = "canvas[data-layer='{}']"
_UNIT = "[data-unit='{}']:not(.stale)"


@dataclass(frozen=True)
class Server:
    """The command, running, and the address that it printed."""

    process: "subprocess.Popen[str]"
    address: str
    seconds: float

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.address).query)["token"][0]

    @property
    def megabytes(self) -> float:
        """What it holds in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def page(self, browser: Browser, address: str = "look") -> Page:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(self.address.replace("/?", f"/{address}{'&' if '?' in address else '?'}"))
        return page


class Client:
    """One that keeps its connection."""

    def __init__(self, server: Server) -> None:
        place = urlsplit(server.address)
        self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {server.token}", "Accept-Encoding": "gzip"}

    def bytes(self, path: str, **query: object) -> bytes:
        text = urlencode(query)
        self._connection.request("GET", path + (f"?{text}" if text else ""), headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} was answered {response.status}: {body[:200]!r}")
        return body

    def json(self, path: str, **query: object) -> Any:
        body = self.bytes(path, **query)
        return json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explorer", description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="this alone; may be given again")
    parser.add_argument("--seconds", type=float, default=60, help="how long eight clients ask")
    arguments = parser.parse_args()
    rows: list[list[str]] = []
    with sync_playwright() as driver, started() as server:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        for part in arguments.part or PARTS:
            made = clients(server, arguments.seconds) if part == "clients" else MEASURED[part](server, browser)
            for row in made:
                print(": ".join(row[:2]), flush=True)
                rows.append(row)
        browser.close()
    print_table(["", "measured", "goal"], rows)


@contextmanager
def started() -> Iterator[Server]:
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "convscope", "explore", "--port", "0", "--no-open"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = next(line.strip() for line in process.stdout if "token=" in line)
        yield Server(process, re.search(r"http://\S+", address)[0], began)  # type: ignore[index]
    finally:
        process.terminate()
        process.wait(10)


def start(server: Server, browser: Browser) -> list[list[str]]:
    """From the command to a page that is painted, and to one that is full; of the server that was started for all."""
    page = server.page(browser)
    page.get_by_role("link", name="Look").wait_for()
    painted = time.perf_counter() - server.seconds
    page.locator("[data-unit]").wait_for()
    full = time.perf_counter() - server.seconds
    page.close()
    return [
        ["start to first painted page", f"{painted:.2f} s", "5 s"],
        ["start to a page that is full", f"{full:.2f} s", ""],
    ]


def look(server: Server, browser: Browser) -> list[list[str]]:
    layers = [each["name"] for each in Client(server).json("/api/networks/efficientnet-lite0/layers")]
    chosen = random.Random(0).sample(layers[5:-5], 20)
    page = server.page(browser, f"look?layer={layers[0]}&channel=0")
    page.locator(_UNIT.format(f"{layers[0]}:0")).wait_for()
    page.get_by_role("searchbox", name="filter layers").fill(".")
    changes, panels = [], []
    for layer in chosen:
        button = page.get_by_role("group", name="layers").get_by_role("button", name=layer, exact=True)
        button.scroll_into_view_if_needed()
        began = time.perf_counter()
        button.dispatch_event("click")
        page.locator(_GRID.format(layer)).wait_for()
        changes.append(time.perf_counter() - began)
        page.locator("[data-unit]:not(.stale)").wait_for()
        page.wait_for_timeout(200)
    page.keyboard.press("Escape")
    page.locator("canvas[data-layer]").click(position={"x": 5, "y": 5})
    page.locator(_UNIT.format(f"{chosen[-1]}:0")).wait_for()
    for channel in range(1, 16):
        page.wait_for_timeout(200)
        began = time.perf_counter()
        page.keyboard.press("l")
        page.locator(_UNIT.format(f"{chosen[-1]}:{channel}")).wait_for()
        panels.append(time.perf_counter() - began)
    page.close()
    return [
        ["change of layer, 20 of lite0, median (largest)", _milliseconds(changes), "250 ms"],
        ["a unit's panel with its saliency, median (largest)", _milliseconds(panels), "400 ms"],
    ]


def camera(server: Server, browser: Browser) -> list[list[str]]:
    page = server.page(browser)
    page.locator("[data-unit]").wait_for()
    page.wait_for_timeout(1000)
    told = page.get_by_text(re.compile(r"^[1-9]\d*/s · \d+ ms$"))
    began = time.perf_counter()
    page.keyboard.press("c")
    told.wait_for()
    first, rates = time.perf_counter() - began, []
    for _ in range(10):
        page.wait_for_timeout(1000)
        rates.append(int(told.inner_text().split("/")[0]))
    page.close()
    return [
        ["camera: key to the second answered frame", f"{first:.2f} s", "1 s to the first"],
        ["camera: frames a second, median (least)", f"{statistics.median(rates):.0f} ({min(rates)})", "15"],
    ]


def occluder(server: Server, browser: Browser) -> list[list[str]]:
    client, draw = Client(server), random.Random(0)
    times = []
    for _ in range(60):
        place = {"top": draw.randrange(190), "left": draw.randrange(190), "height": 32, "width": 32}
        began = time.perf_counter()
        client.bytes("/api/occluded", network="efficientnet-lite0", image="sample-chelsea", **place)
        times.append(time.perf_counter() - began)
    return [["the answer to the occluder in hand, median (largest)", _milliseconds(times[1:]), "100 ms"]]


def clients(server: Server, seconds: float, count: int = 8) -> list[list[str]]:
    """Each changes layers and units as fast as it is answered."""
    layers = [each["name"] for each in Client(server).json("/api/networks/efficientnet-lite0/layers")]
    images = [each["id"] for each in Client(server).json("/api/images")["images"]]
    times: list[float] = []
    errors: list[str] = []

    def ask(seed: int, until: float) -> None:
        client, draw = Client(server), random.Random(seed)
        while time.perf_counter() < until:
            asked = {"network": "efficientnet-lite0", "image": draw.choice(images), "layer": draw.choice(layers)}
            began = time.perf_counter()
            try:
                shown = client.json("/api/layer", **asked)
                client.bytes("/api/sprite", **asked)
                times.append(time.perf_counter() - began)
                client.bytes("/api/unit", **asked, channel=shown["order"][0])
            except Exception as error:
                errors.append(str(error))
                return

    def crowd(lasts: float) -> None:
        until = time.perf_counter() + lasts
        threads = [threading.Thread(target=ask, args=(seed, until)) for seed in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    # What is kept of images and layers fills up to its limit first.
    crowd(seconds / 2)
    before, asked = server.megabytes, len(times)
    times.clear()
    crowd(seconds)
    after = server.megabytes
    times.sort()
    return [
        [
            f"{count} clients for {seconds:.0f} s, {len(times)} changes of layer (and {asked} before): errors",
            f"{len(errors)}" + (f" ({errors[0]})" if errors else ""), "0",
        ],
        [
            "their change of layer: median, 95th percentile",
            f"{1000 * times[len(times) // 2]:.0f}, {1000 * times[int(0.95 * len(times))]:.0f} ms", "1,500 ms",
        ],
        ["memory before and after", f"{before:.0f}, {after:.0f} MB ({after / before - 1:+.1%})", "± 5%"],
    ]  # fmt: skip


def weight(server: Server, browser: Browser) -> list[list[str]]:
    client = Client(server)
    index = client.bytes("/look")
    text = gzip.decompress(index) if index[:2] == b"\x1f\x8b" else index
    assets = re.findall(r"assets/[\w.-]+", text.decode())
    whole = len(index) + sum(len(client.bytes(f"/{asset}")) for asset in assets)
    return [["page weight, compressed", f"{whole / 1024:.0f} KB", "400 KB"]]


def _milliseconds(times: list[float]) -> str:
    return f"{1000 * statistics.median(times):.0f} ms ({1000 * max(times):.0f})"


MEASURED: dict[str, Callable[[Server, Browser], list[list[str]]]] = {
    "start": start, "look": look, "camera": camera, "occluder": occluder, "weight": weight,
}  # fmt: skip
PARTS = (*MEASURED, "clients")


if __name__ == "__main__":
    main()
