"""Cutting out objects, as the API does it."""

import importlib.util
import json
from typing import Any

import numpy as np
import pytest
from tests.explorer.serving import Client

import convscope as cs


@pytest.fixture
def asked(client: Client) -> dict[str, Any]:
    network = client.explorer.networks.all()[0].id
    return {"kind": "segment", "network": network, "image": "sample-chelsea", "target": "class:3"}


@pytest.mark.parametrize("photograph", [True, False])
def test_an_object_is_cut_out(client: Client, asked: dict[str, Any], photograph: bool) -> None:
    pytest.importorskip("cv2")
    result = client.made({**asked, "photograph": photograph})
    told = result["told"]
    network = client.explorer.networks.lens(asked["network"]).network
    whole = cs.read_image("chelsea")
    image = network.prepare(whole)
    why = cs.grad_cam(network, image, "class:3")
    own = cs.segment(whole, why, network=network) if photograph else cs.segment(image, why)
    assert (told["rows"], told["columns"]) == tuple(own.mask.shape)
    assert told["share"] == pytest.approx(float(own.mask.float().mean()))
    assert tuple(told["box"].values()) == own.box
    assert told["method"] == "grad-cam"
    assert set(result["pictures"]) == {"outline.png", "cutout.png", "mask.png", "picture.png"}
    cutout = client.picture(result, "cutout.png")
    assert cutout.mode == "RGBA"
    assert np.array_equal(np.asarray(cutout)[..., 3] == 255, own.mask.numpy())
    assert np.array_equal(np.asarray(client.picture(result, "outline.png")), np.asarray(own.picture()))
    recipe = json.loads(client.picture(result, "picture.png").info["convscope"])
    assert (recipe["method"], recipe["picture"]) == ("segment", {"style": "beside"})
    assert client.post("/api/jobs", {**asked, "photograph": photograph}).json["state"] == "done"


def test_what_is_missing_is_said(client: Client, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    usual = importlib.util.find_spec
    monkeypatch.setattr("convscope.explorer.segmenting.find_spec", lambda name: None if name == "cv2" else usual(name))
    answer = client.post("/api/jobs", {**asked, "target": "class:4"})
    assert answer.status == 422
    assert "pip install 'convscope[segment]'" in answer.json["error"]


@pytest.mark.parametrize(("change", "words"), [({"method": "magic"}, "no method"), ({"target": "nothing"}, "nothing")])
def test_bad_input(client: Client, asked: dict[str, Any], change: dict[str, Any], words: str) -> None:
    answer = client.post("/api/jobs", {**asked, **change})
    assert answer.status == 422
    assert words in answer.json["error"]
