"""Names, shapes, parameters and costs of layers."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convscope as cs
from convscope.errors import LayerError

ZOO = [
    "resnet18",
    "vgg11_bn",
    "densenet121",
    "googlenet",
    "shufflenet_v2_x1_0",
    "mobilenet_v3_small",
    "efficientnet_b0",
]


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained:UserWarning")
def test_named_as_torchvision_names_them(name: str) -> None:
    extraction = pytest.importorskip("torchvision.models.feature_extraction")
    models = pytest.importorskip("torchvision.models")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        module = models.get_model(name, weights=None).eval()
    for each in module.modules():
        if hasattr(each, "inplace"):
            each.inplace = False  # torchvision returns what a later layer has overwritten
    _, expected = extraction.get_graph_node_names(module)
    net = cs.Network(module, input_size=64)
    no_tensors = {"size", "floordiv", "getattr", "getitem", "chunk"}
    missing = [each for each in expected[1:] if each not in net.layers]
    assert [each for each in missing if each.rpartition(".")[2].rstrip("_0123456789") not in no_tensors] == []
    wanted = [each for each in expected[1:] if each in net.layers][::7]
    image = torch.rand(1, 3, 64, 64)
    peers = extraction.create_feature_extractor(module, return_nodes=wanted)
    with torch.no_grad():
        theirs = peers(image)
    ours = net.capture(image, wanted)
    for each in wanted:
        if isinstance(theirs[each], Tensor) and not each.rpartition(".")[2].startswith("getitem"):
            # Where torchvision's value has been overwritten by a rectifier in place, ours has not.
            overwritten = torch.allclose(ours[each].clamp(min=0), theirs[each], rtol=1e-4, atol=1e-6)
            assert overwritten or torch.allclose(ours[each], theirs[each], rtol=1e-4, atol=1e-6), each


class Repeats(nn.Module):
    """A module and a function that are called twice, a container, and in-place work."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Identity())
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.block(x))
        x = self.relu(self.block(x)) + 1
        x = x + x
        x = F.relu(x)
        return torch.relu(x).mean((2, 3))


def test_repeats_are_numbered_and_containers_mean_what_they_return() -> None:
    net = cs.Network(Repeats(), input_size=4)
    assert list(net.layers) == ["block.0", "relu", "block.0_1", "relu_1", "add", "add_1", "relu_2", "relu_3", "mean"]
    assert net.layers["block"].name == net.layers["block.1"].name == "block.0"
    assert net.layers["block_1"].name == "block.0_1"


def test_capture_is_from_before_what_is_done_in_place() -> None:
    module = Repeats()
    net = cs.Network(module, input_size=4)
    image = torch.rand(3, 4, 4)
    captured = net.capture(image, ["block", "relu", "relu_1"])
    with torch.no_grad():
        expected = module.block(image)
    torch.testing.assert_close(captured["block"], expected)
    torch.testing.assert_close(captured["relu"], expected.clamp(min=0))


def test_known_totals() -> None:
    """Parameters as published; multiply-adds as torchvision's documentation gives them, in thousand millions."""
    models = pytest.importorskip("torchvision.models")
    for name, parameters, giga in [
        ("resnet18", 11_689_512, 1.814),
        ("vgg16", 138_357_544, 15.47),
        ("alexnet", 61_100_840, 0.714),
    ]:
        table = cs.layer_table(cs.Network(models.get_model(name, weights=None)))
        assert table.parameters == table.total_parameters == parameters
        assert table.multiply_adds / 1e9 == pytest.approx(giga, abs=0.006)


def test_one_layer_in_full(tiny: nn.Module) -> None:
    layer = cs.Network(tiny, input_size=16).layers["3"]
    assert (layer.kind, layer.shape, layer.kernel, layer.stride) == ("convolution", (8, 6, 6), (3, 3), (1, 1))
    assert layer.parameters == 8 * 6 * 9 + 8
    assert layer.multiply_adds == 8 * 6 * 6 * 6 * 9
    assert layer.weight is not None
    assert layer.weight.shape == (8, 6, 3, 3)


def test_a_normalized_weights_parts_are_counted() -> None:
    convolution = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    table = cs.layer_table(cs.Network(nn.Sequential(convolution, nn.ReLU()), input_size=8))
    assert table.parameters == table.total_parameters == 4 * 3 * 9 + 4 + 4


def test_vgg_aliases() -> None:
    models = pytest.importorskip("torchvision.models")
    layers = cs.Network(models.vgg16(weights=None), input_size=32).layers
    assert layers["conv1_1"].name == "features.0"
    assert layers["relu3_3"].name == "features.15"
    assert layers["pool5"].name == "features.30"
    batch_norm = cs.Network(models.vgg11_bn(weights=None), input_size=32).layers
    assert batch_norm["relu2_1"].name == "features.6"
    assert "relu1_1" not in cs.Network(models.resnet18(weights=None), input_size=32).layers


def test_unknown_layer_lists_the_nearest(tiny: nn.Module) -> None:
    models = pytest.importorskip("torchvision.models")
    net = cs.Network(models.resnet18(weights=None), input_size=32)
    with pytest.raises(LayerError, match=r"no layer 'layer1\.0\.con1'; nearest: layer1\.0\.conv1"):
        net.layers["layer1.0.con1"]
    with pytest.raises(LayerError, match="no layer 'nowhere'"):
        cs.Network(tiny, input_size=16).capture(torch.rand(3, 16, 16), ["nowhere"])
