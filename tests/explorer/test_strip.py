"""By what the strip of layers folds, and where it opens."""

import pytest

import convscope as cs
from convscope.explorer.lens import Lens
from convscope.explorer.strip import opening_layer, stages
from convscope.network.layers import Layer


def _layers(*names: str, size: int = 8) -> dict[str, Layer]:
    return {name: Layer(name, "convolution", (4, size, size)) for name in names}


def test_the_bundled_network() -> None:
    lens = Lens(cs.load("efficientnet-lite0"))
    staged = lens.stages
    assert list(dict.fromkeys(staged.values())) == ["stem", *(f"blocks.{at}" for at in range(16)), "head"]
    assert staged["blocks.10.depthwise.conv"] == "blocks.10"
    assert staged["classifier"] == "head"
    assert opening_layer(lens.layers) == "blocks.6.add"
    assert "blocks.6" in lens.aliases["blocks.6.add"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["conv1", "layer1.0.conv1", "layer1.0.add", "layer2.0.conv1", "fc"], "stem layer1.0 layer1.0 layer2.0 head"),
        (["a.b.0.x", "a.b.1.x", "a.pool", "a.c.0.y"], "a.b.0 a.b.1 a a.c.0"),
        # A container with layers of its own holds together, whatever is inside of it.
        (["m1.a.0.x", "m1.b.0.x", "m1.cat", "m2.a.0.x", "m2.cat", "m3.cat"], "m1 m1 m1 m2 m2 m3"),
        (["stem.x", "pool", "body.x", "end"], "stem stem body head"),
    ],
)
def test_containers(names: list[str], expected: str) -> None:
    assert " ".join(stages(_layers(*names)).values()) == expected


def test_a_long_row_is_folded_by_the_sizes_of_its_maps() -> None:
    layers = {f"features.{at}": Layer(f"features.{at}", "relu", (4, 32 >> at // 5, 32 >> at // 5)) for at in range(15)}
    layers["classifier.0"] = Layer("classifier.0", "linear", (10,))
    staged = stages(layers)
    assert list(dict.fromkeys(staged.values())) == ["features 32×32", "features 16×16", "features 8×8", "classifier"]
    assert opening_layer(layers) == "features.6"


def test_a_network_without_maps_opens_somewhere() -> None:
    layers = {name: Layer(name, "linear", (4,)) for name in ("0", "1", "2")}
    assert opening_layer(layers) in layers
    assert set(stages(layers).values()) == {"stem"}
