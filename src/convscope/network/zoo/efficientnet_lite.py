"""EfficientNet-Lite: ImageNet classifiers of inverted-residual blocks with ReLU6 and no squeeze-excitation.

Blocks: Sandler et al., "MobileNetV2", CVPR 2018. Scaling: Tan & Le, "EfficientNet", ICML 2019.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Stage:
    """A run of blocks that work at one resolution, before scaling."""

    blocks: int
    channels: int
    kernel: int
    stride: int
    expansion: int = 6


@dataclass(frozen=True)
class Scale:
    """How a variant differs from the base network."""

    width: float
    depth: float
    input_size: int
    dropout: float


STAGES = (
    Stage(blocks=1, channels=16, kernel=3, stride=1, expansion=1),
    Stage(blocks=2, channels=24, kernel=3, stride=2),
    Stage(blocks=2, channels=40, kernel=5, stride=2),
    Stage(blocks=3, channels=80, kernel=3, stride=2),
    Stage(blocks=3, channels=112, kernel=5, stride=1),
    Stage(blocks=4, channels=192, kernel=5, stride=2),
    Stage(blocks=1, channels=320, kernel=3, stride=1),
)

SCALES = {
    "efficientnet-lite0": Scale(width=1.0, depth=1.0, input_size=224, dropout=0.2),
    "efficientnet-lite1": Scale(width=1.0, depth=1.1, input_size=240, dropout=0.2),
    "efficientnet-lite2": Scale(width=1.1, depth=1.2, input_size=260, dropout=0.3),
}


class EfficientNetLite(nn.Module):
    """Normalized images `(N, 3, H, W)` to logits `(N, classes)`.

    >>> with torch.device("meta"):
    ...     network = EfficientNetLite(SCALES["efficientnet-lite0"])
    ...     network(torch.empty(2, 3, 224, 224)).shape
    torch.Size([2, 1000])
    """

    def __init__(self, scale: Scale, *, classes: int = 1000) -> None:
        super().__init__()
        self.stem = convolution(3, 32, 3, stride=2, size=scale.input_size)
        self.blocks = nn.Sequential(*blocks(32, scale))
        self.head = convolution(scaled_width(STAGES[-1].channels, scale.width), 1280)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(scale.dropout)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.head(self.blocks(self.stem(images)))
        return cast(Tensor, self.classifier(self.dropout(torch.flatten(self.pool(features), 1))))


class InvertedResidual(nn.Module):
    """Widen, filter every channel on its own, narrow; then add the input, where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int, size: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = convolution(inputs, hidden) if expansion > 1 else None
        self.depthwise = convolution(hidden, hidden, kernel, stride=stride, groups=hidden, size=size)
        self.project = convolution(hidden, outputs, activation=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        hidden = features if self.expand is None else self.expand(features)
        narrow = cast(Tensor, self.project(self.depthwise(hidden)))
        return features + narrow if self.residual else narrow


def blocks(inputs: int, scale: Scale) -> Iterator[InvertedResidual]:
    """The blocks of all stages in order; the first of a stage changes the width and the resolution."""
    size = math.ceil(scale.input_size / 2)
    for stage in STAGES:
        outputs, stride = scaled_width(stage.channels, scale.width), stage.stride
        # The stages at both ends keep their depth, as the stem and the head keep their width.
        ends = stage in (STAGES[0], STAGES[-1])
        for _ in range(stage.blocks if ends else math.ceil(stage.blocks * scale.depth)):
            yield InvertedResidual(
                inputs, outputs, kernel=stage.kernel, stride=stride, expansion=stage.expansion, size=size
            )
            inputs, size, stride = outputs, math.ceil(size / stride), 1


def convolution(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    size: int = 1,
    activation: bool = True,
) -> nn.Sequential:
    """A convolution of maps of `size` pixels (which matters at stride 2 only), its batch norm and ReLU6.

    The networks were trained with TensorFlow's "SAME" padding: as much as gives ⌈size / stride⌉ outputs, and where
    that is odd one pixel more at the right and at the bottom.
    """
    padding = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    before, after = padding // 2, padding - padding // 2
    symmetric = before == after
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if not symmetric:
        layers["pad"] = nn.ZeroPad2d((before, after, before, after))
    layers["conv"] = nn.Conv2d(
        inputs, outputs, kernel, stride, padding=before if symmetric else 0, groups=groups, bias=False
    )
    layers["norm"] = nn.BatchNorm2d(outputs, eps=1e-3)
    if activation:
        layers["activation"] = nn.ReLU6()
    return nn.Sequential(layers)


def scaled_width(channels: int, width: float) -> int:
    """The multiple of 8 nearest to `channels * width`.

    >>> scaled_width(40, 1.1), scaled_width(112, 1.1)
    (48, 120)
    """
    return int(channels * width + 4) // 8 * 8
