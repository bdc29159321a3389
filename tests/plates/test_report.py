"""The report: one self-contained page, on the default network and on networks that lack what it shows."""

import base64
import io
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

import convscope as cs
from convscope.errors import ConvscopeError, LayerError, TargetError
from convscope.image.write import read_recipe
from convscope.network.rules import RULES
from convscope.plates import report as plate
from convscope.plates.report import typical_layers


class Reader(HTMLParser):
    """Checks that tags balance; keeps attributes, text and pictures."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, name: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(name))]

    def pictures(self) -> list[bytes]:
        """The PNGs in the page."""
        sources = [attributes["src"] or "" for tag, attributes in self.elements if tag == "img"]
        assert all(source.startswith("data:image/png;base64,") for source in sources)
        return [base64.b64decode(source.partition(",")[2]) for source in sources]


def methods_of(pictures: list[bytes], folder: Path) -> list[str | None]:
    """What made each picture, by the recipe in it."""
    methods: list[str | None] = []
    for picture in pictures:
        (folder / "picture.png").write_bytes(picture)
        try:
            methods.append(read_recipe(folder / "picture.png").method)
        except cs.RecipeError:
            methods.append(None)
    return methods


def read(network: cs.Network, *arguments: Any, verdicts: bool = False, **options: Any) -> Reader:
    return Reader(cs.report(network, *arguments, verdicts=verdicts, **options).html())


@pytest.fixture
def without_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are not looked at: they take most of the time."""
    monkeypatch.setattr(plate, "reasons", lambda *_, **__: [])


@pytest.fixture(scope="module")
def chelsea(lite0: cs.Network) -> Reader:
    return read(lite0, cs.read_image("chelsea"))


# --- The default network ---


def test_the_page_asks_nothing_of_the_network(chelsea: Reader) -> None:
    links = chelsea.attributes("src") + chelsea.attributes("href")
    assert len(links) > 10
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not [tag for tag, _ in chelsea.elements if tag in ("script", "iframe", "object", "embed")]
    assert not [style for style in chelsea.attributes("style") if "url(" in style]
    anchors = {link[1:] for link in chelsea.attributes("href") if link.startswith("#")}
    assert anchors <= set(chelsea.attributes("id"))


def test_it_says_what_was_looked_at_and_what_was_found(chelsea: Reader, lite0: cs.Network) -> None:
    predictions = lite0.predict(lite0.prepare(cs.read_image("chelsea")), top=5)
    for each in predictions:
        assert each.label in chelsea.text
        assert f"{each.probability:.1%}" in chelsea.text
    assert "chelsea" in chelsea.text
    assert "efficientnet-lite0" in chelsea.text
    for rule in RULES:
        assert chelsea.text.count(rule) >= 3
    for layer in (*lite0.layers, *typical_layers(lite0)):
        assert layer in chelsea.text
    assert cs.layer_table(lite0).summary in chelsea.text


def test_its_pictures_are_pngs_that_carry_their_recipes(chelsea: Reader, tmp_path: Path) -> None:
    pictures = chelsea.pictures()
    for picture in pictures:
        opened = Image.open(io.BytesIO(picture))
        opened.load()
        assert opened.format == "PNG"
        assert min(opened.size) > 16
    methods = methods_of(pictures, tmp_path)
    assert methods.count("saliency") == 3 * len(RULES)
    assert methods.count("activations") >= 3
    assert methods.count("occlusion") == 2
    assert {"grad_cam", "integrated_gradients", "segment", "filters"} <= set(methods)
    assert all(chelsea.attributes("alt"))
    assert len(chelsea.attributes("alt")) == len(pictures)


@pytest.mark.parametrize("method", ["saliency", "activations", "filters", "occlusion", "grad_cam", "segment"])
def test_a_picture_saved_from_the_page_is_made_again(method: str, chelsea: Reader, tmp_path: Path) -> None:
    pictures = chelsea.pictures()
    picture = pictures[methods_of(pictures, tmp_path).index(method)]
    (tmp_path / "saved.png").write_bytes(picture)
    assert cs.redo(tmp_path / "saved.png", tmp_path / "again.png") == ()
    assert (tmp_path / "again.png").read_bytes() == picture


@pytest.mark.usefixtures("without_reasons")
def test_targets_layers_and_their_number_are_the_users(lite0: cs.Network, tmp_path: Path) -> None:
    page = read(
        lite0,
        cs.read_image("coffee"),
        targets=["espresso - class:969", "blocks.3:1"],
        layers=["blocks.2", "stem.conv"],
    )
    assert "espresso - class:969" in page.text
    assert "blocks.3:1" in page.text
    methods = methods_of(page.pictures(), tmp_path)
    assert methods.count("saliency") == 2 * len(RULES)
    assert methods.count("activations") == 2
    one = read(lite0, cs.read_image("coffee"), top=1, layers=["blocks.2"])
    assert methods_of(one.pictures(), tmp_path).count("saliency") == len(RULES)


@pytest.mark.usefixtures("without_reasons")
def test_the_same_page_twice(lite0: cs.Network, tmp_path: Path) -> None:
    options: dict[str, Any] = {"targets": ["tabby"], "layers": ["blocks.9"]}
    pages = [cs.report(lite0, cs.read_image("chelsea"), **options) for _ in range(2)]
    assert pages[0].html() == pages[1].html()
    pages[0].save(tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") == pages[0].html()


def test_wrong_targets_and_layers_are_errors(lite0: cs.Network) -> None:
    with pytest.raises(TargetError, match="nearest: tabby"):
        cs.report(lite0, cs.read_image("chelsea"), targets=["tabbi"])
    with pytest.raises(LayerError, match="no layer"):
        cs.report(lite0, cs.read_image("chelsea"), targets=[], layers=["blocks.99"])
    with pytest.raises(LayerError, match="no space"):
        cs.report(lite0, cs.read_image("chelsea"), targets=[], layers=["classifier"])


# --- Why ---


def test_each_map_has_its_verdict_and_says_what_it_can_not_show() -> None:
    page = read(cs.Network(small(nn.ReLU()), input_size=24), torch.rand(3, 24, 24), targets=["class:1"], verdicts=True)
    assert page.text.count("Verdict: ") == 3
    assert page.text.count("can't show") == 4
    bare = read(cs.Network(small(nn.ReLU()), input_size=24), torch.rand(3, 24, 24), targets=["class:1"])
    assert "Verdict" not in bare.text


def test_without_opencv_a_line_says_which_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    page = read(cs.Network(small(nn.ReLU()), input_size=24), torch.rand(3, 24, 24), targets=["class:1"])
    assert "pip install 'convscope[segment]'" in page.text


def test_progress_reaches_the_end_and_stops_it() -> None:
    net, image = cs.Network(small(nn.ReLU()), input_size=24), torch.rand(3, 24, 24)
    seen: list[cs.Progress] = []
    cs.report(net, image, targets=["class:1"], progress=seen.append)
    done = [each.done for each in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1].total
    with pytest.raises(cs.Cancelled):
        cs.report(net, image, targets=["class:1"], progress=lambda progress: False)


# --- Other networks ---


def test_typical_layers_are_the_last_of_each_size(lite0: cs.Network) -> None:
    layers = [lite0.layers[name] for name in typical_layers(lite0)]
    sides = [layer.shape[1] for layer in layers]
    assert sides == sorted(set(sides), reverse=True)
    assert sides == [112, 56, 28, 14, 7]


def small(activation: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), activation, nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), activation,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip


def test_a_network_without_rectifiers_shows_why_two_rules_fail(tmp_path: Path) -> None:
    page = read(cs.Network(small(nn.SiLU()), input_size=24), torch.rand(3, 24, 24), top=2)
    assert "smooth='positive'" in page.text
    assert methods_of(page.pictures(), tmp_path).count("saliency") == 2
    linear = cs.Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 22 * 22, 2)), input_size=24)
    assert "no rectifier lies between" in read(linear, torch.rand(3, 24, 24)).text


def test_a_network_without_classes(tmp_path: Path) -> None:
    net = cs.Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), input_size=24)
    page = read(net, torch.rand(3, 24, 24))
    methods = methods_of(page.pictures(), tmp_path)
    assert "saliency" not in methods
    assert "activations" in methods
    asked = read(net, torch.rand(3, 24, 24), targets=["1:3"])
    assert methods_of(asked.pictures(), tmp_path).count("saliency") == len(RULES)


def test_a_network_of_maps_with_labels() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    page = read(cs.Network(module, input_size=24, labels=["meadow", "river"]), torch.rand(3, 24, 24))
    assert "meadow" in page.text
    assert "river" in page.text


def test_a_network_without_maps() -> None:
    net = cs.Network(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 9), nn.ReLU(), nn.Linear(9, 2)), input_size=8)
    page = read(net, torch.rand(3, 8, 8))
    assert "class 1" in page.text


def test_a_network_that_can_not_be_traced() -> None:
    class ValueDependent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = small(nn.ReLU())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x if x.mean() > 0 else -x)  # type: ignore[no-any-return]

    page = read(cs.Network(ValueDependent(), input_size=24), torch.rand(3, 24, 24))
    assert "can't be traced" in page.text
    assert "body.3" in page.text


@pytest.mark.parametrize("shape", [(3, 24, 24), (3, 25, 90), (3, 301, 7), (3, 1, 1), (3, 24, 23)])
def test_pictures_of_every_size(shape: tuple[int, ...]) -> None:
    assert "class 1" in read(cs.Network(small(nn.ReLU()), input_size=24), torch.rand(shape)).text


def test_a_colour_picture_for_a_grey_network() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 22 * 22, 2))
    page = read(cs.Network(module, input_size=24, channels=1), cs.read_image("coffee"))
    assert "coffee" in page.text


def test_a_batch_is_refused() -> None:
    with pytest.raises(ConvscopeError):
        cs.report(cs.Network(small(nn.ReLU()), input_size=24), torch.rand(2, 3, 24, 24))


def test_names_are_escaped() -> None:
    labels = ["<script>alert(1)</script>", 'a "quoted" & name', "</style>", "d", "e"]
    net = cs.Network(small(nn.ReLU()), input_size=24, labels=labels, name="<b>mine</b>")
    page = read(net, torch.rand(3, 24, 24))
    assert "script" not in {tag for tag, _ in page.elements}
    assert all(label in page.text for label in labels)
