"""Plates and pages of layers: what is on them, and that the page fits a browser's window."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.patches_scan import pieces_scan
from tests.plates.test_report_in_browser import WIDTHS

import convscope as cs
from convscope.image.write import read_recipe
from convscope.plates.patch_plates import layer_page, layer_plate
from convscope.progress import Progress
from convscope.scanning.patches import top_patches
from convscope.scanning.stored import Scan

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return pieces_scan(tmp_path_factory.mktemp("pieces"))


def test_a_plate_has_the_channels_that_top_patches_finds(pieces: Scan, tmp_path: Path) -> None:
    plate = layer_plate(pieces, channels=3)
    assert [each.layer for each in plate.layers] == ["0", "1", "2"]
    for each in plate.layers:
        assert each.rows == top_patches(pieces, each.layer, order="selective", limit=3).rows
    # No rectifier lies below the first: what stands there is the gradient, and is called so.
    assert [each.projections for each in plate.layers] == [("gradient",), ("guided",), ("guided",)]
    assert [each["layer"] for each in json.loads(plate.to_json())] == ["0", "1", "2"]
    plate.save(tmp_path / "plate.png")
    recipe = read_recipe(tmp_path / "plate.png")
    assert (recipe.method, recipe.parameters["layers"]) == ("layer_plate", ["0", "1", "2"])


def test_a_plate_grows_with_layers_channels_and_projections(pieces: Scan) -> None:
    small = layer_plate(pieces, ["1"], channels=2, projections=()).picture()
    wide = layer_plate(pieces, ["1"], channels=3, projections=()).picture()
    high = layer_plate(pieces, ["1"], channels=2, projections=["guided", "deconvnet"]).picture()
    both = layer_plate(pieces, ["1", "2"], channels=2, projections=()).picture()
    assert (wide.height, both.width) == (small.height, small.width)
    assert wide.width > 1.3 * small.width
    assert high.height > 2.4 * small.height
    assert both.height > 1.7 * small.height
    assert np.ptp(np.asarray(small)) > 200


def test_it_tells_how_far_it_has_come_and_stops(pieces: Scan) -> None:
    told: list[Progress] = []
    layer_plate(pieces, channels=2, progress=told.append)
    assert told[-1].done == told[-1].total
    with pytest.raises(cs.Cancelled):
        layer_page(pieces, "1", progress=lambda progress: progress.done < 2)


def test_bad_input_is_refused(pieces: Scan) -> None:
    with pytest.raises(cs.ConvscopeError, match="channels=0"):
        layer_plate(pieces, channels=0)
    with pytest.raises(cs.ConvscopeError, match="no layer"):
        layer_plate(pieces, [])
    with pytest.raises(cs.LayerError, match="'9' was not scanned"):
        layer_plate(pieces, ["9"])
    with pytest.raises(cs.RuleMatchedNothing):
        layer_page(pieces, "0", projections=["guided"])


def test_a_page_holds_every_channel(pieces: Scan, tmp_path: Path) -> None:
    page = layer_page(pieces, "1", projections=["guided"])
    html = page.html()
    assert html.count("<figure") == 3
    assert html.count("data:image/webp") == 3
    assert "1: never active" in html
    share = pieces.statistics("1").positive[0] / pieces.statistics("1").count
    assert f"{share:.0%} active" in html
    assert "Each unit sees 3 of 32×32 pixels." in html
    assert "beside them their projections by guided" in html
    chosen = layer_page(pieces, "1", channel=[3, 0], order="strongest").html()
    assert chosen.index("<figcaption>3: ") < chosen.index("<figcaption>0: ")
    assert layer_page(pieces, "2", limit=2).html().count("<figure") == 2


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_fits_the_window_and_asks_for_nothing(
    browser: "Browser", pieces: Scan, tmp_path: Path, width: int
) -> None:
    path = tmp_path / "layer.html"
    layer_page(pieces, "2", projections=["guided"]).save(path)
    page = browser.new_page(viewport={"width": width, "height": 900})
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    try:
        page.goto(path.as_uri(), wait_until="load")
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        widths = page.eval_on_selector_all("img", "all => all.map(each => each.naturalWidth)")
    finally:
        page.close()
    assert overflow <= 0
    assert len(widths) == 5
    assert min(widths) > 200
    assert [url for url in requests if url != path.as_uri() and not url.startswith("data:")] == []
