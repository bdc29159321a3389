"""Drill-down against the whole map, and what it says of its own error."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import convscope as cs
from convscope.attribution.drill_down import _weights


@pytest.fixture
def network(tiny: nn.Module) -> cs.Network:
    return cs.Network(tiny.double(), input_size=16)


@pytest.fixture
def image() -> Tensor:
    return torch.rand(3, 16, 16, dtype=torch.float64)


def test_all_that_it_measured_is_exact(network: cs.Network, image: Tensor) -> None:
    exact = cs.occlusion(network, image, 1, window=4, stride=1)
    found = cs.drill_down(network, image, 1, window=4, stride=1, coarse=3, refine=0.2)
    assert 0.2 < float(found.measured.double().mean()) < 0.6
    assert found.measured[::3, ::3].all()
    torch.testing.assert_close(found.scores[found.measured], exact.scores[found.measured], rtol=0, atol=1e-10)
    assert found.probabilities is not None
    assert exact.probabilities is not None
    torch.testing.assert_close(
        found.probabilities[found.measured], exact.probabilities[found.measured], rtol=0, atol=1e-10
    )


def test_refining_everything_is_occlusion(network: cs.Network, image: Tensor) -> None:
    exact = cs.occlusion(network, image, 1, window=4, stride=2)
    found = cs.drill_down(network, image, 1, window=4, stride=2, refine=1.0)
    assert (found.error, found.largest_error) == (0.0, 0.0)
    torch.testing.assert_close(found.values, exact.values, rtol=0, atol=1e-10)


def test_its_error_is_that_of_the_interpolated_places(lite0: cs.Network) -> None:
    image = lite0.read("chelsea")
    exact = cs.occlusion(lite0, image, 282, window=32, stride=8)
    found = cs.drill_down(lite0, image, 282, window=32, stride=8)
    wrong = (found.scores - exact.scores)[~found.measured].square().mean().sqrt()
    assert found.error == pytest.approx(float(wrong), rel=0.5)
    assert f"{found.error:.2g} logit" in found.note
    assert "approximate" in found.note


def test_the_places_that_change_most_are_measured(network: cs.Network, image: Tensor) -> None:
    exact = cs.occlusion(network, image, 1, window=4, stride=1)
    found = cs.drill_down(network, image, 1, window=4, stride=1, refine=0.3)
    change = (exact.scores - exact.baseline).abs()
    assert change[found.measured].mean() > change[~found.measured].mean()


def test_interpolation_is_exact_for_straight_lines() -> None:
    places = torch.tensor([0, 3, 4, 9])
    torch.testing.assert_close(
        _weights(places, 10) @ (2.0 * places.double() + 1), 2.0 * torch.arange(10.0).double() + 1
    )


def test_progress_ends_at_its_total_and_can_stop(network: cs.Network, image: Tensor) -> None:
    seen: list[cs.Progress] = []
    cs.drill_down(network, image, 1, window=4, stride=1, progress=seen.append)
    assert seen[-1].done == seen[-1].total
    with pytest.raises(cs.Cancelled):
        cs.drill_down(network, image, 1, window=4, stride=1, progress=lambda progress: False)


@pytest.mark.parametrize("options", [{"coarse": 1}, {"refine": 1.5}, {"refine": -0.1}, {"window": 20}, {"stride": 0}])
def test_bad_options_are_named(network: cs.Network, image: Tensor, options: dict[str, float]) -> None:
    with pytest.raises(cs.ImageError, match=r"got|larger"):
        cs.drill_down(network, image, 1, **options)  # type: ignore[arg-type]


def test_a_batch_is_refused(network: cs.Network, image: Tensor) -> None:
    with pytest.raises(cs.ImageError, match="one image at a time"):
        cs.drill_down(network, image[None], 1)


def test_its_picture_is_made_again(lite0: cs.Network, tmp_path: Path) -> None:
    result = cs.drill_down(lite0, lite0.read("chelsea"), "tiger cat", window=64, stride=32)
    result.save(tmp_path / "map.png", style="probability")
    assert cs.redo(tmp_path / "map.png", tmp_path / "again.png") == ()
    assert (tmp_path / "map.png").read_bytes() == (tmp_path / "again.png").read_bytes()
