"""What all tests share: peers made importable, small networks, threads kept few."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

import convscope as cs

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHARED_IMAGES = Path(__file__).parents[2] / "shared" / "images"


def _declare_torchvision_operators() -> None:
    """Torchvision's package expects two operators that its build for a CPU-only torch lacks; none is ever called."""
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _libraries.append(library)


# Tests run side by side, a process a core; threads within each would only wait for one another.
torch.set_num_threads(1)

_libraries: list[torch.library.Library] = []
_declare_torchvision_operators()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds what is kept in the user's cache, or writes there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVSCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def lite0() -> cs.Network:
    """The default network with its real weights."""
    return cs.load("efficientnet-lite0")


@pytest.fixture(scope="session")
def photographs() -> Path:
    """Real photographs with known classes, where they lie beside the checkout."""
    if not (SHARED_IMAGES / "photos.tsv").exists():
        pytest.skip("needs the folder of photographs beside the checkout, which is not part of the project")
    return SHARED_IMAGES


@pytest.fixture
def tiny() -> nn.Module:
    """A small network of module rectifiers for images of 3×16×16."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip


CHROMIUM = Path("/usr/bin/chromium")
_QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    # A camera that shows a moving picture of its own, allowed to be used.
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium, which asks nobody for anything."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"needs Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=_QUIET)
        yield chromium
        chromium.close()
