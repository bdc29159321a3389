"""VGG-16's convolutions as edge detection left them, fine-tuned from ImageNet; for textures and styles.

Network: Simonyan & Zisserman, "Very Deep Convolutional Networks", ICLR 2015. Fine-tuning: Xie & Tu,
"Holistically-Nested Edge Detection", ICCV 2015.
"""

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# The mean of ImageNet's pixels from 0 to 255; blue comes first, as Caffe read pictures.
MEAN_BGR = (103.939, 116.779, 123.68)


class VGG16Features(nn.Module):
    """Normalized images `(N, 3, H, W)` to features `(N, 512, H // 32, W // 32)`.

    Layers are numbered as torchvision numbers them: `features.0` is conv1_1, `features.30` is pool5.

    >>> import torch
    >>> with torch.device("meta"):
    ...     VGG16Features()(torch.empty(1, 3, 224, 320)).shape
    torch.Size([1, 512, 7, 10])
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*_layers())

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.features(images))


def normalize(image: Tensor) -> Tensor:
    """RGB `(…, 3, H, W)` in [0, 1] to what the network expects: BGR from 0 to 255, less ImageNet's mean."""
    return 255 * image.flip(-3) - image.new_tensor(MEAN_BGR)[:, None, None]


def convolution_names() -> dict[str, str]:
    """The module of each convolution, in order.

    >>> convolution_names()["block3_conv3"]
    'features.14'
    """
    names = [f"block{b}_conv{c}" for b, block in enumerate(BLOCKS, 1) for c in range(1, len(block) + 1)]
    places = [index for index, layer in enumerate(_layers()) if isinstance(layer, nn.Conv2d)]
    return {name: f"features.{place}" for name, place in zip(names, places, strict=True)}


def _layers() -> Iterator[nn.Module]:
    inputs = 3
    for block in BLOCKS:
        for outputs in block:
            yield nn.Conv2d(inputs, outputs, 3, padding=1)
            yield nn.ReLU()
            inputs = outputs
        yield nn.MaxPool2d(2, stride=2)
