"""Filters as tiles, against the gradient of the layer itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from convscope.anatomy.filters import filters
from convscope.anatomy.tiles import tile
from convscope.errors import ConvscopeError, LayerError
from convscope.image.write import read_recipe
from convscope.network.network import Network


def network(*layers: nn.Module, channels: int = 3, **options: object) -> Network:
    return Network(nn.Sequential(*layers), input_size=16, channels=channels, **options)  # type: ignore[arg-type]


def to_bgr(batch: Tensor) -> Tensor:
    return 255 * batch.flip(1) - torch.tensor([104.0, 117.0, 124.0])[:, None, None]


def test_values_are_the_layers_own_weights(tiny: nn.Module) -> None:
    net = Network(tiny, input_size=16)
    first, second = tiny[0], tiny[3]  # type: ignore[index]
    assert torch.equal(filters(net).values, first.weight)
    assert torch.equal(filters(net, "3").values, second.weight)
    assert not filters(net).values.requires_grad


@pytest.mark.parametrize("normalize", [None, to_bgr, lambda batch: batch.square(), lambda batch: batch.mean(1, True)])
def test_weights_in_the_image_are_the_gradient_of_the_layer(normalize: object) -> None:
    fed = 1 if normalize is not None and normalize(torch.zeros(1, 3, 2, 2)).shape[1] == 1 else 3  # type: ignore[operator]
    layer = nn.Conv2d(fed, 4, 5)
    standard = {"mean": (0.5, 0.4, 0.3), "std": (0.1, 0.2, 0.3)} if normalize is None else {"normalize": normalize}
    net = network(layer, **standard)
    bank = filters(net).banks[0]
    assert bank.in_image is not None
    for index in range(4):
        gradient = net.gradient(torch.full((3, 16, 16), 0.5), f"0:{index}@2,3")
        torch.testing.assert_close(bank.in_image[index], gradient[:, 2:7, 3:8])


def test_a_network_fed_bgr_is_shown_in_rgb() -> None:
    plain, reversed_ = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 6, 3)
    reversed_.load_state_dict({"weight": plain.weight.flip(1), "bias": plain.bias})
    one, other = network(plain, name="a"), network(reversed_, normalize=to_bgr, name="a")
    assert filters(one).picture().tobytes() == filters(other).picture().tobytes()
    assert torch.equal(filters(other).values, reversed_.weight)


def test_a_tile_is_mid_grey_at_zero_and_as_bright_as_can_be_at_its_largest() -> None:
    weights = torch.zeros(3, 2, 2)
    weights[0, 0, 0], weights[2, 1, 1] = 2.0, -2.0
    pixels = np.asarray(tile(weights))
    assert pixels[0, 0].tolist() == [255, 128, 128]
    assert pixels[1, 1].tolist() == [128, 128, 0]
    assert np.asarray(tile(weights, largest=4.0))[0, 0].tolist() == [191, 128, 128]
    assert np.unique(np.asarray(tile(torch.zeros(3, 2, 2)))).tolist() == [128]


def test_own_scale_hides_a_filters_strength_and_a_shared_one_shows_it() -> None:
    layer = nn.Conv2d(3, 2, 3)
    with torch.no_grad():
        layer.weight[1] = layer.weight[0] / 3
    result = filters(network(layer))

    def tiles_alike(picture: Image.Image) -> bool:
        pixels = np.asarray(picture)[-44:-8]  # one row of two tiles of 36 pixels, above the margin
        first = pixels[:, 9:45]
        places = range(45, pixels.shape[1] - 36)
        return any(np.array_equal(first, pixels[:, left : left + 36]) for left in places)

    assert tiles_alike(result.picture(scale="own"))
    assert not tiles_alike(result.picture(scale="shared"))


def test_later_filters_are_rows_of_grey_tiles_and_limits_are_told() -> None:
    net = network(nn.Conv2d(3, 40, 3), nn.ReLU(), nn.Conv2d(40, 20, 3))
    bank = filters(net, "2").banks[0]
    assert bank.in_image is None
    whole = filters(net, "2").picture()
    pixels = np.asarray(whole).astype(int)
    body = pixels[90:, 40:]
    assert np.ptp(body, axis=2).max() < 16  # grey, but for the faint lines around
    assert filters(net, "2", limit=4).picture().height < whole.height
    assert bank._notes(bank.values[:16, :32], "own")[0] == (
        "20 filters, 40 × 3 × 3; shown: the first 16 filters, the first 32 channels of each"
    )
    assert bank._notes(bank.values, "shared") == ["20 filters, 40 × 3 × 3", "one scale for all; mid-grey is 0"]


def test_kernels_of_all_kinds_can_be_seen() -> None:
    net = network(
        nn.Conv2d(1, 8, 5), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1), nn.ConvTranspose2d(4, 6, 2), channels=1
    )
    assert filters(net, "1").values.shape == (8, 1, 3, 3)
    assert filters(net, "2").values.shape == (4, 8, 1, 1)
    assert filters(net, "3").values.shape == (6, 4, 2, 2)
    for layer in ("0", "1", "2", "3"):
        assert filters(net, layer).picture().mode == "RGB"


def test_a_first_convolution_that_reads_rearranged_pixels_has_no_colours() -> None:
    bank = filters(network(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3))).banks[0]
    assert bank.values.shape == (4, 12, 3, 3)
    assert bank.in_image is None


def test_networks_stand_side_by_side(tiny: nn.Module, tmp_path: Path) -> None:
    one, other = Network(tiny, input_size=16, name="one"), network(nn.Conv2d(3, 9, 7), name="other")
    both = filters([one, other])
    assert [bank.network for bank in both.banks] == ["one", "other"]
    assert both.picture().width > filters(one).picture().width + filters(other).picture().width
    both.save(tmp_path / "both.png", scale="shared")
    recipe = read_recipe(tmp_path / "both.png")
    assert recipe.network == "one"
    assert recipe.parameters["beside"] == [{"network": "other", "weights": other.weights_sha256}]
    assert recipe.picture == {"scale": "shared"}


def test_the_default_networks_first_layer(lite0: Network) -> None:
    result = filters(lite0)
    assert result.banks[0].layer == "stem.conv"
    assert result.values.shape == (32, 3, 3, 3)
    assert result.banks[0].in_image is not None
    torch.testing.assert_close(result.banks[0].in_image, result.values * 255 / 128)


def test_what_has_no_filters_is_an_error_that_names_what_has(lite0: Network) -> None:
    with pytest.raises(LayerError, match=r"batch norm.*nearest: blocks\.0\.\w+\.conv, blocks\.0\.\w+\.conv$"):
        filters(lite0, "blocks.0")
    with pytest.raises(LayerError, match=r"no layer 'stem\.konv'; nearest: stem\.conv"):
        filters(lite0, "stem.konv")
    with pytest.raises(LayerError, match="no layer with two-dimensional filters"):
        filters(network(nn.Flatten(), nn.Linear(768, 2)))
    with pytest.raises(ConvscopeError, match="no network"):
        filters([])
    with pytest.raises(ConvscopeError, match="limit=0"):
        filters(lite0, limit=0)
    with pytest.raises(ConvscopeError, match="no scale 'common'"):
        filters(lite0).picture(scale="common")  # type: ignore[arg-type]
