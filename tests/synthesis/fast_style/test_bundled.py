"""The bundled styles: small, as told, unlike each other, and of what the photograph shows."""

import itertools

import pytest
import torch
from torch import Tensor

import convscope as cs
from convscope.synthesis.fast_style.files import read_network
from convscope.synthesis.fast_style.loading import BUNDLED

LIMIT = 8_000_000
NAMES = ("starry-night", "great-wave", "the-scream", "composition-viii")


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    return cs.read_image("chelsea", 192)


@pytest.fixture(scope="module")
def stylized(photograph: Tensor) -> dict[str, Tensor]:
    return {name: cs.stylize(photograph, name).image for name in NAMES}


def test_it_is_small_and_tells_how_it_was_trained() -> None:
    network, training, rest = read_network(BUNDLED)
    assert network.styles == cs.load_styles().styles == NAMES
    assert BUNDLED.stat().st_size < LIMIT
    assert not rest
    assert {"steps", "style_weight", "images", "photographs", "network", "weights"} <= training.keys()
    told = BUNDLED.with_name("BUNDLED.md").read_text()
    assert all(f"`{name}`" in told for name in NAMES)
    for option in ("steps", "size", "batch", "rate", "schedule", "seed", "style_weight"):
        value = training[option]
        assert f"--{option.replace('_', '-')} {value if isinstance(value, str) else format(value, 'g')}" in told


def test_styles_are_unlike_each_other(photograph: Tensor, stylized: dict[str, Tensor]) -> None:
    for one, other in itertools.combinations([photograph, *stylized.values()], 2):
        assert float((one - other).abs().mean()) > 0.05


def test_each_shows_what_the_photograph_does(photograph: Tensor, stylized: dict[str, Tensor]) -> None:
    """Edges stay where they are, more than they would lie on another photograph's."""
    other = _edges(cs.read_image("coffee", 192)[:, : photograph.shape[1], : photograph.shape[2]])
    for image in stylized.values():
        assert _likeness(_edges(image), _edges(photograph)) > 0.3
        assert _likeness(_edges(image)[: other.shape[0], : other.shape[1]], other) < 0.2


def _edges(image: Tensor) -> Tensor:
    grey = image.mean(dim=0)
    strength = grey.diff(dim=0)[:, :-1].square() + grey.diff(dim=1)[:-1].square()
    return torch.nn.functional.avg_pool2d(strength.sqrt()[None], 9, 1, 4)[0]


def _likeness(one: Tensor, other: Tensor) -> float:
    rows, columns = min(len(one), len(other)), min(one.shape[1], other.shape[1])
    pair = torch.stack([each[:rows, :columns].flatten() for each in (one, other)])
    return float(torch.corrcoef(pair)[0, 1])
