"""Receptive fields against where the gradient of a unit is not zero."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import convscope as cs
from convscope.network.geometry import ReceptiveField, Sight, Window
from convscope.network.ops import name_of


class Linearized(TorchFunctionMode):
    """Rectifiers become identities and max pools average pools, so that with positive weights nothing cancels."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if name_of(function) in ("relu", "relu6", "hardtanh"):
            return args[0] * 1
        if name_of(function) == "max_pool2d":
            options = {name: kwargs[name] for name in ("stride", "padding", "ceil_mode") if name in kwargs}
            return F.avg_pool2d(*args, **options)
        return function(*args, **kwargs)


def positive(module: nn.Module) -> nn.Module:
    module = module.double().eval()
    with torch.no_grad():
        for each in module.modules():
            if isinstance(each, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)):
                each.weight.copy_(torch.rand_like(each.weight) + 0.5)
                each.weight.div_(each.weight[0].sum())
            if isinstance(each, nn.BatchNorm2d):
                each.reset_parameters()
    return module


def check_every_layer(module: nn.Module, size: int) -> int:
    """A corner unit and one near the middle of every layer; how many layers were checked."""
    net = cs.Network(positive(module), input_size=size)
    layers = dict(net.layers)
    images = torch.rand(2, 3, size, size, dtype=torch.float64, requires_grad=True)
    with Linearized():
        _, kept = net.run(images, list(layers))
    for name, layer in layers.items():
        field, value = layer.receptive_field, kept[name]
        assert field is not None
        middle, corner = (0, 0), (0, 0)
        score = value[0].sum()
        if layer.has_space:
            middle = (layer.shape[1] // 2, layer.shape[2] // 2)
            score = value[0, :, middle[0], middle[1]].sum() + value[1, :, 0, -1].sum()
            corner = (0, layer.shape[2] - 1)
        (gradient,) = torch.autograd.grad(score, images, retain_graph=True)
        for index, unit in enumerate((middle, corner) if layer.has_space else (middle,)):
            if layer.kind == "padding" and not gradient[index].any():
                continue  # a unit that is padding itself sees nothing
            assert seen(gradient[index]) == field.box(*unit), (name, unit)
    return len(layers)


def seen(gradient: Tensor) -> tuple[int, int, int, int]:
    rows, columns = gradient.abs().sum(0).nonzero().T
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def narrow_vgg16() -> nn.Module:
    from torchvision.models.vgg import VGG, cfgs, make_layers

    class Narrow(VGG):  # type: ignore[misc]
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.features = make_layers([2 if isinstance(entry, int) else entry for entry in cfgs["D"]])
            self.features[0] = nn.Conv2d(3, 2, 3, padding=1)
            self.avgpool, self.classifier = nn.AdaptiveAvgPool2d((7, 7)), nn.Linear(98, 10)

    return Narrow()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet-lite0", "vgg16", "resnet18", "googlenet"])
def test_every_layer(name: str) -> None:
    models = pytest.importorskip("torchvision.models")
    modules: dict[str, Callable[[], nn.Module]] = {
        "efficientnet-lite0": lambda: __import__("copy").deepcopy(cs.load("efficientnet-lite0").module),
        "vgg16": narrow_vgg16,
        "resnet18": lambda: models.resnet18(weights=None),
        "googlenet": lambda: models.googlenet(weights=None, init_weights=False),
    }
    # VGG's adaptive pooling has windows of one size at 224.
    assert check_every_layer(modules[name](), 224 if name == "vgg16" else 160) > 30


class Oddities(nn.Module):
    """What the four don't have: dilation, transposed convolution, upsampling, padding, slices, strange axes."""

    def __init__(self) -> None:
        super().__init__()
        self.dilated = nn.Conv2d(3, 4, 3, dilation=3, padding=2)
        self.up = nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1)
        self.reflected = nn.Conv2d(4, 4, (1, 5), padding=(0, 2))
        self.shuffle = nn.PixelShuffle(2)
        self.last_channels = nn.Linear(1, 3)
        self.pool = nn.AvgPool2d((3, 2), stride=(2, 3), padding=(1, 0), ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dilated(x)
        x = self.up(x)
        x = self.reflected(x)
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        x = F.pad(x, (1, 2, 3, 0))
        x = x[:, :, 1:, ::2]
        one, two = x.chunk(2, dim=1)
        x = self.shuffle(torch.cat([one, two], dim=1))
        x = self.last_channels(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = x.view(x.size(0), 3, 1, x.size(2), x.size(3)).transpose(1, 2).reshape(x.shape)
        return self.pool(x) + 0  # type: ignore[no-any-return]


def test_oddities_cover_what_is_seen() -> None:
    """Fractional strides may see one pixel less than the interval says; never one more."""
    size = 24
    net = cs.Network(positive(Oddities()), input_size=size)
    images = torch.rand(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    _, kept = net.run(images, list(net.layers))
    for name, layer in net.layers.items():
        assert layer.receptive_field is not None
        assert not layer.receptive_field.whole, name
        value = kept[name][0]
        spatial = [axis for axis in range(value.dim()) if value.shape[axis] > 4][:2]
        for place in (0, 3, 5):
            row = value.select(spatial[0], place).select(spatial[1] - 1, place + 1)
            (gradient,) = torch.autograd.grad(row.sum(), images, retain_graph=True)
            top, left, bottom, right = layer.receptive_field.box(place, place + 1)
            if gradient.abs().sum() == 0:
                continue
            box = seen(gradient[0])
            assert top <= box[0] <= top + 2, name
            assert left <= box[1] <= left + 2, name
            assert bottom - 2 <= box[2] <= bottom, name
            assert right - 2 <= box[3] <= right, name


def test_published_figures() -> None:
    """Known sizes, strides and starts: Araujo, Norris and Sim 2019, table of receptive fields."""
    models = pytest.importorskip("torchvision.models")
    expected = {
        ("vgg16", "features.30"): (212, 32),
        ("alexnet", "features.12"): (195, 32),
    }
    for (name, layer), (size, stride) in expected.items():
        net = cs.Network(models.get_model(name, weights=None))
        field = net.layers[layer].receptive_field
        assert field is not None
        assert (field.size, field.stride) == ((size, size), (stride, stride))


def test_whole_image_behind_what_sees_it_all(tiny: nn.Module) -> None:
    net = cs.Network(tiny, input_size=16)
    fields = {name: layer.receptive_field for name, layer in net.layers.items()}
    assert [name for name, field in fields.items() if field and field.whole] == ["5", "6", "7"]
    assert str(fields["7"]) == "whole image"
    assert fields["7"] is not None
    assert fields["7"].box(0, 0) == (0, 0, 16, 16)


def test_box_is_clipped() -> None:
    rows, columns = Sight.of_pixels(10), Sight.of_pixels(10)
    field = ReceptiveField(rows.through(Window.sliding(7, 2, 3), 10), columns.through(Window.sliding(3, 1, 1), 10))
    assert field.size == (7, 3)
    assert field.start == (-3, -1)
    assert field.box(0, 0) == (0, 0, 4, 2)
    assert str(field) == "7×3"


def test_pixels_that_rounding_down_leaves_unseen_stay_unseen() -> None:
    """Windows of 3 at a stride of 4 read 13 pixels but for the last two, and each fourth."""
    strided = Sight.of_pixels(13).through(Window.sliding(3, 4), 13)
    padded = strided.through(Window.sliding(3, 1, 1), 3)
    assert padded.pixels(2) == (4, 10)
