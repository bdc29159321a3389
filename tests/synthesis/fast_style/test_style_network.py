"""The network of styles: its normalization is the definition, and styles blend by their own numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from convscope.errors import ImageError, NetworkError
from convscope.synthesis.fast_style.conditional_norm import ConditionalNorm
from convscope.synthesis.fast_style.style_network import Architecture, StyleNetwork

SMALL = Architecture(width=4, blocks=2, kernel=5)


def network(norm: str = "instance") -> StyleNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = StyleNetwork(["a", "b", "c"], Architecture(width=4, blocks=2, kernel=5, norm=norm))  # type: ignore[arg-type]
        for name, each in made.named_parameters():
            if name.endswith((".gamma", ".beta")):
                torch.nn.init.normal_(each, mean=0.5)
    return made.eval()


def test_normalization_is_its_definition() -> None:
    layer = ConditionalNorm(3, 2, "instance").double()
    torch.nn.init.normal_(layer.gamma)
    torch.nn.init.normal_(layer.beta)
    features, mix = torch.randn(2, 3, 5, 4, dtype=torch.float64), torch.tensor([[0.25, 0.75], [1.0, 0.0]]).double()
    found = layer(features, mix)
    for image in range(2):
        for channel in range(3):
            values = features[image, channel]
            gamma = sum(mix[image, style] * layer.gamma[style, channel] for style in range(2))
            beta = sum(mix[image, style] * layer.beta[style, channel] for style in range(2))
            normalized = (values - values.mean()) / (values.var(unbiased=False) + 1e-5).sqrt()
            torch.testing.assert_close(found[image, channel], gamma * normalized + beta)


def test_batches_are_normalized_together_and_then_by_running_means() -> None:
    layer = ConditionalNorm(2, 1, "batch")
    features = torch.randn(4, 2, 6, 6) * 3 + 1
    normalized = layer(features, torch.ones(4, 1))
    torch.testing.assert_close(normalized.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.running_mean, 0.1 * features.mean(dim=(0, 2, 3)), atol=1e-5, rtol=0)
    layer.eval()
    alone, among = layer(features[:1], torch.ones(1, 1)), layer(features, torch.ones(4, 1))[:1]
    torch.testing.assert_close(alone, among)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_an_image_is_the_same_alone_and_among_others(norm: str) -> None:
    made, images = network(norm), torch.rand(3, 3, 16, 20)
    mix = torch.eye(3)
    among = made(images, mix)
    for number in range(3):
        torch.testing.assert_close(made(images[number : number + 1], mix[number : number + 1])[0], among[number])
    assert among.min() >= 0
    assert among.max() <= 1


@given(some.lists(some.floats(0, 10), min_size=3, max_size=3).filter(lambda weights: sum(weights) > 1e-3))
def test_shares_add_up_to_one_and_scale_does_not_matter(weights: list[float]) -> None:
    made = network()
    mix = made.mix(dict(zip("abc", weights, strict=True)))
    assert float(mix.sum()) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(made.mix({name: 3 * weight for name, weight in zip("abc", weights, strict=True)}), mix)


def test_contrast_and_brightness_of_the_photograph_do_not_matter() -> None:
    made, image = network(), torch.rand(1, 3, 16, 16)
    mix = made.mix({"b": 1})
    paler = 0.5 * image + 0.2
    torch.testing.assert_close(made(paler, mix), made(image, mix), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"d": 1.0}, "no style 'd'"),
        ({"a": -1.0, "b": 2.0}, "none below 0"),
        ({}, "some above"),
        ({"a": float("nan")}, "nan"),
    ],
)
def test_weights_of_no_use_are_told(shares: dict[str, float], said: str) -> None:
    with pytest.raises(ImageError, match=said):
        network().mix(shares)


def test_architectures_of_no_use_are_told() -> None:
    for options, said in [
        ({"kernel": 4}, "kernel 4"),
        ({"blocks": -1}, "-1 blocks"),
        ({"norm": "layer"}, "instance or batch"),
    ]:
        with pytest.raises(NetworkError, match=said):
            Architecture(**options)  # type: ignore[arg-type]
    for styles in ([], ["a", "a"], [""]):
        with pytest.raises(NetworkError, match="one name or more, all different"):
            StyleNetwork(styles, SMALL)
