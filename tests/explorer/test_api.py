"""What the API answers, by the library's own answers."""

import base64
import io
import json
import time
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.explorer.conftest import explorer_of
from tests.explorer.serving import Client, serving

import convscope as cs
from convscope.explorer.sprite import LEVELS
from convscope.image.recipe import Recipe

SAMPLE = "sample-chelsea"


@pytest.fixture
def query(client: Client) -> str:
    return f"network={_network(client)}&image={SAMPLE}"


def _network(client: Client) -> str:
    return client.explorer.networks.all()[0].id


def _own(client: Client) -> tuple[cs.Network, torch.Tensor]:
    network = client.explorer.networks.lens(_network(client)).network
    return network, network.read("chelsea")


def _done(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = client.made(asked)
    return made


def test_networks_and_their_layers(client: Client) -> None:
    [listed] = client.ask("/api/networks").json
    network, _ = _own(client)
    assert listed["name"] == network.name
    details = client.ask(f"/api/networks/{listed['id']}").json
    assert details["input_size"] == [24, 24]
    assert details["labels"] == list(network.labels or ())
    layers = client.ask(f"/api/networks/{listed['id']}/layers").json
    assert [each["name"] for each in layers] == list(network.layers)
    assert layers[2]["sees"] == [7, 7]
    assert [each["stage"] for each in layers] == ["12×12"] * 4 + ["1×1"] + ["vectors"] * 2
    assert details["opening"] == "3"
    assert layers[-1]["sees"] is None
    assert client.ask("/api/networks/nothing").status == 404


def test_the_colours_by_which_maps_are_read_back(client: Client, query: str) -> None:
    told = client.ask("/api/session").json["palettes"]
    shown = client.ask(f"/api/layer?{query}&layer=0").json
    sheet = Image.open(io.BytesIO(client.ask(f"/api/sprite?{query}&layer=0").body))
    colours = told["diverging" if shown["diverging"] else "sequential"]
    assert len(colours) == LEVELS + 1 == len(set(colours))
    seen, levels = np.asarray(sheet.convert("RGB")), np.asarray(sheet)
    for row, column in ((0, 0), (5, 7), (11, 3)):
        assert colours[levels[row, column]] == "#" + bytes(seen[row, column]).hex()
    assert told["invalid"] not in told["sequential"] + told["diverging"]


def test_predictions(client: Client, query: str) -> None:
    network, image = _own(client)
    told = client.ask(f"/api/predictions?{query}&top=3").json
    expected = network.predict(image, top=3)
    assert [each["label"] for each in told] == [each.label for each in expected]
    np.testing.assert_allclose(
        [each["probability"] for each in told], [each.probability for each in expected], rtol=1e-4
    )


@pytest.mark.parametrize("layer", ["0", "3", "5"])
@pytest.mark.parametrize("scale", ["own", "shared"])
def test_all_channels_in_one_sprite(client: Client, query: str, layer: str, scale: str) -> None:
    network, image = _own(client)
    maps = network.capture(image, [layer])[layer]
    maps = maps if maps.dim() == 3 else maps[:, None, None]
    shown = client.ask(f"/api/layer?{query}&layer={layer}&scale={scale}").json
    answer = client.ask(f"/api/sprite?{query}&layer={layer}&scale={scale}")
    assert answer.headers["content-type"] == "image/png"
    sheet = np.asarray(Image.open(io.BytesIO(answer.body)))
    rows, columns, across = shown["rows"], shown["columns"], shown["across"]
    for channel, values in enumerate(maps.numpy()):
        top, left = channel // across * rows, channel % across * columns
        low, high = shown["lows"][channel], shown["highs"][channel]
        told = low + (high - low) * sheet[top : top + rows, left : left + columns] / LEVELS
        assert np.abs(told - values).max() <= (high - low) / LEVELS / 2 + 1e-5
    largest = maps.flatten(1).amax(1)
    np.testing.assert_allclose(shown["largest"], largest, atol=1e-5)
    assert shown["order"][0] == int(largest.argmax())
    row, column = shown["places"][3]
    assert float(maps[3, row, column]) == pytest.approx(float(largest[3]), abs=1e-5)


def test_what_is_looked_at_is_saved_with_its_recipe(client: Client, query: str) -> None:
    for path, method in [
        (f"/api/saved/activations?{query}&layer=1&scale=shared", "activations"),
        (f"/api/saved/driven?{query}&target=3:6@1,2&rule=guided", "saliency"),
    ]:
        answer = client.ask(path)
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png"), path
        with Image.open(io.BytesIO(answer.body)) as picture:
            assert json.loads(picture.info["convscope"])["method"] == method
    assert client.ask(f"/api/saved/driven?{query}&target=@mask.png").status == 422
    assert client.ask(f"/api/saved/activations?{query}&layer=nothing").status == 422


def test_a_unit_s_panel(client: Client, query: str) -> None:
    network, image = _own(client)
    scan = client.ask("/api/scans").json[0]
    assert scan["images"] == 10
    maps = network.capture(image, ["3"])["3"]
    panel = client.ask(f"/api/unit?{query}&layer=3&channel=6&rule=guided&scan={scan['id']}").json
    row, column = panel["place"]
    assert panel["value"] == pytest.approx(float(maps[6].max()), abs=1e-5)
    assert panel["field"] == list(network.layers["3"].receptive_field.box(row, column))  # type: ignore[union-attr]
    gradient = network.gradient(image, f"3:6@{row},{column}", rule="guided").abs().amax(0).numpy()
    driven = panel["driven"]
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(driven["png"].partition(",")[2]))))
    expected = np.clip(gradient / driven["high"], 0, 1) * LEVELS
    assert np.abs(seen - expected).max() <= 1
    assert sum(panel["histogram"]["counts"]) == maps[6].numel()
    assert panel["usual"]["images"] == 10
    assert sum(panel["usual"]["histogram"]["counts"]) == 10
    chosen = client.ask(f"/api/unit?{query}&layer=3&channel=6&row=1&column=2").json
    assert chosen["value"] == pytest.approx(float(maps[6, 1, 2]), abs=1e-5)
    assert chosen["usual"] is None
    # Below the first rectifier there is nothing that the rule could do.
    told = client.ask(f"/api/unit?{query}&layer=0&channel=1&rule=deconvnet").json
    assert told["driven"] is None
    assert "rectifier" in told["driven_error"]
    # Nor where a unit is off.
    told = client.ask(f"/api/unit?{query}&layer=3&channel=4&rule=guided").json
    assert told["value"] == 0
    assert told["driven"] is None
    assert "lets no gradient through" in told["driven_error"]


def test_the_occluder_in_hand(client: Client, query: str) -> None:
    network, image = _own(client)
    box = "top=4&left=6&height=8&width=50"
    told = client.ask(f"/api/occluded?{query}&{box}&target=class:2").json
    covered = image.clone()
    covered[:, 4:12, 6:] = 0.5
    assert told["score"] == pytest.approx(float(network.score(covered, "class:2")), abs=1e-4)
    assert told["baseline"] == pytest.approx(float(network.score(image, "class:2")), abs=1e-4)
    predicted = {each.index: each.probability for each in network.predict(covered, top=7)}
    assert told["probability"] == pytest.approx(predicted[2], abs=1e-5)
    assert told["predictions"][0]["label"] == network.predict(covered, top=1)[0].label
    unit = client.ask(f"/api/occluded?{query}&{box}&target=3:4@2,2&fill=mean").json
    assert unit["baseline"] == pytest.approx(float(network.score(image, "3:4@2,2")), abs=1e-4)
    assert unit["probability"] is None
    assert "24×24 pixels" in client.ask(f"/api/occluded?{query}&top=24&left=0&height=1&width=1").json["error"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/layer?{}&layer=nothing", 422, "no layer 'nothing'"),
        ("/api/layer?{}&layer=3&cell=5", 422, "greater than or equal to 8"),
        ("/api/layer?{}", 422, "layer: Field required"),
        ("/api/unit?{}&layer=3&channel=99", 422, "channels 0 to 9"),
        ("/api/unit?{}&layer=3&channel=-1", 422, "channel"),
        ("/api/unit?{}&layer=3&channel=1&row=99&column=0", 422, "rows 0 to"),
        ("/api/unit?{}&layer=3&channel=1&rule=magic", 422, "rule"),
        ("/api/unit?{}&layer=3&channel=1&scan=nothing", 404, "no such scan"),
        ("/api/occluded?{}&top=0&left=0&height=2&width=2&target=nothing", 422, "nothing"),
        ("/api/predictions?network=nothing&image=sample-chelsea", 404, "no such network"),
        ("/api/images?count=100000", 422, "count"),
        ("/api/images/nothing", 404, "no such picture"),
        ("/api/jobs/nothing", 404, "no such job"),
        ("/api/results/nothing", 404, "no such result"),
        ("/api/nothing", 404, "nothing here"),
    ],
)
def test_errors_say_what_is_wrong(client: Client, query: str, path: str, status: int, words: str) -> None:
    answer = client.ask(path.format(query))
    assert answer.status == status
    assert words in answer.json["error"]


def test_explaining_is_a_job(client: Client) -> None:
    network, image = _own(client)
    asked = {
        "kind": "explain", "network": _network(client), "image": SAMPLE, "target": "class:3", "method": "occlusion",
        "window": 8, "stride": 4, "verdict": True, "faithfulness": True,
    }  # fmt: skip
    result = _done(client, asked)
    told = result["told"]
    own = cs.occlusion(network, image, "class:3", window=8, stride=4)
    seen = np.asarray(Image.open(io.BytesIO(client.ask(f"/api/results/{result['key']}/map.png").body)))
    values = told["low"] + (told["high"] - told["low"]) * seen / LEVELS
    inside = np.clip(own.heatmap.numpy(), told["low"], told["high"])
    assert np.abs(values - inside).max() <= (told["high"] - told["low"]) / LEVELS
    assert told["baseline_probability"] == pytest.approx(float(own.baseline_probability or 0), abs=1e-5)
    assert told["verdict"]["word"] in ("holds", "weak", "fails")
    assert len(told["curves"]["deletion"]["values"]) == len(told["curves"]["deletion"]["fractions"])
    # What is downloaded carries its recipe.
    picture = client.ask(f"/api/results/{result['key']}/picture.png")
    assert "immutable" in picture.headers["cache-control"]
    text = Image.open(io.BytesIO(picture.body)).info["convscope"]
    assert Recipe.from_json(text).method == "occlusion"
    assert Recipe.from_json(text).inputs[0].name == "chelsea"
    # The same again is there at once.
    assert client.post("/api/jobs", asked).json["state"] == "done"
    assert client.post("/api/jobs", {**asked, "window": 7}).json["key"] != result["key"]


@pytest.mark.parametrize("method", ["saliency", "guided", "grad-cam", "integrated-gradients"])
def test_every_method_can_be_asked_for(client: Client, method: str) -> None:
    asked = {"kind": "explain", "network": _network(client), "image": SAMPLE, "target": "class:1", "method": method}
    told = _done(client, asked)["told"]
    assert told["method"] == method
    assert (told["rows"], told["columns"]) == (24, 24)


def test_patches_of_a_scan(client: Client) -> None:
    scan = client.ask("/api/scans").json[0]["id"]
    asked = {"kind": "patches", "scan": scan, "layer": "3", "channel": 2, "k": 4, "projections": ["guided"], "cell": 20}
    result = _done(client, asked)
    assert result["told"]["images"] == 10
    [first, *_] = result["told"]["patches"]
    assert "/" not in first["name"]
    assert set(first["pictures"]) == {"photograph", "guided"}
    for name in first["pictures"].values():
        assert max(Image.open(io.BytesIO(client.ask(f"/api/results/{result['key']}/{name}").body)).size) == 20
    found = client.explorer.scans.scan(scan).top_patches("3", channel=2, k=4)
    assert [each["value"] for each in result["told"]["patches"]] == [each.value for each in found.rows[0]]
    assert client.post("/api/jobs", {**asked, "layer": "nothing"}).status == 422
    assert client.post("/api/jobs", {**asked, "scan": "nothing"}).status == 404


def test_preferred_images(client: Client) -> None:
    asked = {"kind": "preferred", "network": _network(client), "target": "3:4", "steps": 3}
    result = _done(client, asked)
    picture = Image.open(io.BytesIO(client.ask(f"/api/results/{result['key']}/picture.png").body))
    assert picture.size == (24, 24)
    assert json.loads(result["told"]["recipe"])["method"] == "maximize"


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"kind": "nothing"}, 422, "kind"),
        ({"method": "magic"}, 422, "no method 'magic'"),
        ({"target": "nothing"}, 422, "nothing"),
        ({"image": "../../etc/passwd"}, 404, "no such picture"),
        ({"network": "/etc/passwd"}, 404, "no such network"),
        # Nothing is fetched that a client names, nor loaded.
        ({"network": "torchvision:resnet50"}, 404, "no such network"),
        ({"network": "os:getcwd"}, 404, "no such network"),
        ({"image": "https://evil.example/x.png"}, 404, "no such picture"),
        ({"page": "nothing"}, 404, "no such page"),
        ({"path": "/etc/passwd"}, 422, "Extra inputs"),
        ({"window": 0}, 422, "window"),
        ({"target": "x" * 2000}, 422, "target"),
    ],
)
def test_jobs_that_can_t_be(client: Client, change: dict[str, Any], status: int, words: str) -> None:
    asked = {"kind": "explain", "network": _network(client), "image": SAMPLE, "target": "class:1", "method": "saliency"}
    answer = client.post("/api/jobs", {**asked, **change})
    assert answer.status == status
    assert words in answer.json["error"]


def test_what_is_kept_can_be_asked_for_without_work(client: Client) -> None:
    asked = {"kind": "preferred", "network": _network(client), "target": "3:5", "steps": 2}
    assert client.post("/api/jobs", {**asked, "kept": True}).json is None
    key = _done(client, asked)["key"]
    assert client.post("/api/jobs", {**asked, "kept": True}).json["key"] == key


def test_when_the_line_is_full_it_says_so(folder: Any, tmp_path: Any) -> None:
    with serving(explorer_of(folder, tmp_path, waiting=1)) as client:
        asked = {"kind": "preferred", "network": _network(client), "target": "3:4", "steps": 4000}
        first = client.post("/api/jobs", asked).json
        end = time.monotonic() + 60
        while client.ask(f"/api/jobs/{first['id']}").json["done"] == 0:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert client.post("/api/jobs", {**asked, "seed": 1}).status == 202
        full = client.post("/api/jobs", {**asked, "seed": 2})
        assert full.status == 429
        assert full.headers["retry-after"] == "2"
        assert "cancel one" in full.json["error"]
        while client.ask(f"/api/jobs/{first['id']}/preview").status == 404:
            assert time.monotonic() < end
            time.sleep(0.02)
        preview = client.ask(f"/api/jobs/{first['id']}/preview")
        assert Image.open(io.BytesIO(preview.body)).size == (24, 24)
        cancelled = client.ask(f"/api/jobs/{first['id']}", method="DELETE").json
        assert cancelled["id"] == first["id"]
        assert client.post("/api/jobs", {**asked, "seed": 2}).status in (202, 429)
        began = time.monotonic()
    # The server was stopped with a job running and one in line.
    assert time.monotonic() - began < 3
    assert all(each.state == "cancelled" for each in client.explorer.jobs.all())


def test_the_client_s_types_can_be_made_of_it(client: Client) -> None:
    schema = client.ask("/api/openapi.json").json
    for path, methods in schema["paths"].items():
        for method in methods.values():
            told = [each for status, each in method["responses"].items() if status.startswith("2")]
            typed = (
                "application/json" in told[0].get("content", {}) and "schema" in told[0]["content"]["application/json"]
            )
            pictures = ("thumbnail", "sprite", "prepared", "preview", "{name}", "activations", "driven")
            assert typed or path.rpartition("/")[2] in pictures, path
    kinds = schema["components"]["schemas"]["ExplainAsked"]["properties"]["kind"]
    assert kinds["const"] == "explain"
