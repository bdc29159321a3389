"""What a step shows, and what makes one result another."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from tests.scanning.little import little_network

import convscope as cs
from convscope.attribution.occluded import SoFar
from convscope.attribution.occluder import Windows
from convscope.explorer.images import Images
from convscope.explorer.jobs import Drawn, Reading
from convscope.explorer.models import ExplainAsked
from convscope.explorer.networks import Networks, Scans
from convscope.explorer.sprite import LEVELS
from convscope.explorer.work import Kinds, _draw


def _levels(drawn: Drawn | None) -> np.ndarray:
    assert drawn is not None
    return np.asarray(Image.open(io.BytesIO(drawn.png)))


def test_previews_of_maps_and_images() -> None:
    known = torch.full((3, 4), torch.nan)
    known[0, 1] = 2.0
    # Windows of 2×2 pixels at each second, but for the last column, which is one wide.
    drawn = _draw(SoFar(known, Windows.over(torch.zeros(3, 6, 7), 2, 2), "logit"))
    levels = _levels(drawn)
    assert (levels[:2, 2:4] == LEVELS).all()
    assert (levels == 255).sum() == 6 * 7 - 4
    assert drawn is not None
    assert drawn.reading == Reading(6, 7, 0.0, 2.0, False, "logit")
    picture = Image.open(io.BytesIO(drawn.png)).convert("RGBA")
    assert picture.getpixel((0, 0))[3] == 0  # type: ignore[index]
    assert picture.getpixel((2, 0))[3] == 255  # type: ignore[index]
    network = little_network()
    made = cs.saliency(network, torch.rand(3, 24, 24), "class:1")
    assert _levels(_draw(made)).shape == (24, 24)
    assert _levels(_draw(torch.rand(2, 3, 5, 6))).shape == (5, 6, 3)
    assert _levels(_draw(torch.full((3, 5, 6), 7.0))).max() == 255
    assert _draw(torch.full((3, 5, 6), torch.nan)) is None
    assert _draw("words") is None


@pytest.mark.parametrize("change", [{"target": "class:2"}, {"seed": 1}, {"image": "sample-coffee"}, {"verdict": True}])
def test_what_differs_has_another_key(change: dict[str, object]) -> None:
    def key(**changes: object) -> str:
        networks = Networks([little_network()])
        asked = {
            "kind": "explain", "network": networks.all()[0].id, "image": "sample-chelsea", "target": "class:1",
            "method": "saliency", **changes,
        }  # fmt: skip
        return Kinds(Images(), networks, Scans()).prepared(ExplainAsked.model_validate(asked)).key

    # The same at another start and for another page.
    assert key() == key(page="another")
    assert key(**change) != key()


def test_other_weights_make_another_result() -> None:
    def key(seed: int) -> str:
        network = little_network(seed)
        networks = Networks([network])
        asked = ExplainAsked(
            kind="explain", network=networks.all()[0].id, image="sample-chelsea", target="class:1", method="saliency"
        )
        return Kinds(Images(), networks, Scans()).prepared(asked).key

    assert key(0) != key(1)
