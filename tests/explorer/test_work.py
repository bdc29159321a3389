"""What a step shows, and what makes one result another."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from tests.scanning.little import little_network

import convscope as cs
from convscope.explorer.images import Images
from convscope.explorer.models import ExplainAsked
from convscope.explorer.networks import Networks, Scans
from convscope.explorer.sprite import LEVELS
from convscope.explorer.work import Kinds, _draw


def _levels(png: bytes | None) -> np.ndarray:
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png)))


def test_previews_of_maps_and_images() -> None:
    known = torch.full((3, 4), torch.nan)
    known[0, 1] = 2.0
    levels = _levels(_draw(known))
    assert levels[0, 1] == LEVELS
    assert (np.delete(levels.ravel(), 1) == 255).all()
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
        return Kinds(Images(), networks, Scans()).prepared(ExplainAsked.model_validate(asked))[0]

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
        return Kinds(Images(), networks, Scans()).prepared(asked)[0]

    assert key(0) != key(1)
