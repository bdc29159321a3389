import torch
from torch import nn

from convscope.network.zoo.vgg16_hed import VGG16Features, convolution_names, normalize


def test_layers_are_numbered_as_torchvision_numbers_them() -> None:
    from torchvision.models import vgg16

    with torch.device("meta"):
        ours, theirs = VGG16Features().features, vgg16().features
    assert [type(layer) for layer in ours] == [type(layer) for layer in theirs]
    assert [value.shape for value in ours.state_dict().values()] == [
        value.shape for value in theirs.state_dict().values()
    ]
    assert not any(layer.inplace for layer in ours if isinstance(layer, nn.ReLU))


def test_each_convolution_has_its_name() -> None:
    names = convolution_names()
    assert len(names) == 13
    assert (names["block1_conv1"], names["block3_conv3"], names["block5_conv3"]) == (
        "features.0", "features.14", "features.28",
    )  # fmt: skip


def test_normalization_is_blue_first_less_the_mean() -> None:
    red, green, blue = 0.25, 0.5, 1.0
    image = torch.tensor([red, green, blue])[:, None, None].expand(3, 2, 4)
    expected = torch.tensor([255 * blue - 103.939, 255 * green - 116.779, 255 * red - 123.68])
    torch.testing.assert_close(normalize(image), expected[:, None, None].expand(3, 2, 4))
    torch.testing.assert_close(normalize(image[None])[0], normalize(image))


def test_normalization_can_be_differentiated() -> None:
    image = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(normalize, image)
