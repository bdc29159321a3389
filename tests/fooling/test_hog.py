"""HOG against scikit-image and its definition, and twins against what they claim."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.feature import hog as peer
from torch import Tensor

import convscope as cs
from convscope.errors import ConvscopeError, ImageError
from convscope.fooling.hog import Hog, Norm, hog
from convscope.fooling.hog_rounding import rounded
from convscope.fooling.hog_twin import hog_twin
from convscope.fooling.hog_votes import HeldVotes
from convscope.progress import Steps

Array = NDArray[np.float64]


def slowly(image: Array, orientations: int, cell: int, block: int) -> Array:
    """Dalal and Triggs as scikit-image has it, a pixel at a time."""
    channels, rows, columns = image.shape
    down, across = rows // cell, columns // cell
    votes = np.zeros((down, across, orientations))
    for i in range(down * cell):
        for j in range(across * cell):
            pairs = [
                (
                    image[c, i + 1, j] - image[c, i - 1, j] if 0 < i < rows - 1 else 0.0,
                    image[c, i, j + 1] - image[c, i, j - 1] if 0 < j < columns - 1 else 0.0,
                )
                for c in range(channels)
            ]
            dy, dx = max(pairs, key=lambda each: math.hypot(*each))
            angle = math.degrees(math.atan2(dy, dx)) % 180
            votes[i // cell, j // cell, int(angle / (180 / orientations))] += math.hypot(dx, dy) / cell**2
    blocks = np.zeros((down - block + 1, across - block + 1, block, block, orientations))
    for i in range(len(blocks)):
        for j in range(blocks.shape[1]):
            own = votes[i : i + block, j : j + block]
            own = np.minimum(own / math.sqrt((own**2).sum() + 1e-10), 0.2)
            blocks[i, j] = own / math.sqrt((own**2).sum() + 1e-10)
    return blocks


@pytest.mark.parametrize(("orientations", "cell", "block"), [(9, 8, 3), (7, 5, 2), (4, 3, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_its_definition(orientations: int, cell: int, block: int, channels: int) -> None:
    image = torch.rand(channels, 27, 34, dtype=torch.float64)
    found = hog(image, orientations=orientations, cell=cell, block=block).numpy()
    np.testing.assert_allclose(found, slowly(image.numpy(), orientations, cell, block), atol=1e-9)


@pytest.mark.parametrize("name", ["astronaut", "camera", "chelsea", "coffee", "retina", "rocket"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("grey", [True, False])
def test_equals_scikit_image_on_photographs(name: str, dtype: torch.dtype, grey: bool) -> None:
    image = cs.read_image(name, 200, channels=1 if grey else 3).to(dtype)
    given = image[0].numpy() if grey else image.numpy()
    for options, theirs in (
        ({}, {}),
        (
            {"orientations": 8, "cell": 7, "block": 2, "norm": "L1-sqrt", "sqrt": True},
            {"orientations": 8, "pixels_per_cell": (7, 7), "cells_per_block": (2, 2), "block_norm": "L1-sqrt",
             "transform_sqrt": True},
        ),
        ({"norm": "L2"}, {"block_norm": "L2"}),
        ({"norm": "L1"}, {"block_norm": "L1"}),
    ):  # fmt: skip
        expected = peer(
            given, channel_axis=None if grey else 0, feature_vector=False, **{"block_norm": "L2-Hys", **theirs}
        )
        found = hog(image, **options)
        assert found.dtype == dtype
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("norm", ["L2-Hys", "L2", "L1", "L1-sqrt"])
@pytest.mark.parametrize("channels", [1, 3])
def test_its_gradient(norm: Norm, channels: int) -> None:
    image = torch.rand(channels, 8, 10, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: hog(x, cell=4, block=2, norm=norm), image)


def test_the_gradient_of_shared_votes() -> None:
    image = torch.rand(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    numbers = Hog(cell=4, block=2)
    assert torch.autograd.gradcheck(lambda x: numbers.votes(x, strip=1.0).histograms, image)
    votes, whole = numbers.votes(image, strip=0.5), numbers.votes(image)
    torch.testing.assert_close(votes.histograms.sum(1), whole.histograms.sum(1))
    assert float(whole.shared.detach().sum()) == 0 < float(votes.shared.detach().sum())


def test_a_flat_image_has_a_gradient_without_nan() -> None:
    image = torch.full((3, 24, 24), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(hog(image).sum(), image)
    assert torch.equal(gradient, torch.zeros_like(image))


@given(st.integers(0, 9999), st.floats(0.1, 1), st.floats(0, 0.5))
@settings(max_examples=20, deadline=None)
def test_it_knows_no_brightness_contrast_or_sign(seed: int, contrast: float, brightness: float) -> None:
    image = torch.rand(1, 24, 32, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = hog(image)
    torch.testing.assert_close(hog(contrast * image + brightness), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(hog(1 - image), expected, atol=1e-9, rtol=0)


def test_a_batch_is_its_images() -> None:
    batch = torch.rand(2, 3, 32, 24)
    assert torch.equal(hog(batch), torch.stack([hog(each) for each in batch]))


def test_edges_stand_in_their_orientation() -> None:
    ramp = torch.linspace(0, 1, 24).expand(1, 24, 24)
    across, down = hog(ramp)[0, 0, 1, 1], hog(ramp.mT)[0, 0, 1, 1]
    assert (int(across.argmax()), int(down.argmax())) == (0, 4)


# --- Twins ---


def test_a_twin_has_the_descriptor_and_looks_otherwise() -> None:
    image, other = (cs.read_image(name, 56, channels=1) for name in ("chelsea", "coffee"))
    made = hog_twin(image, start=other, steps=150)
    assert made.share < 0.12
    assert made.likeness < 0.5
    assert made.started == pytest.approx(made.apart)
    written = (made.twin * 255).round() / 255
    torch.testing.assert_close(written, made.twin)
    again = hog_twin(image, start=other, steps=150)
    assert torch.equal(again.twin, made.twin)
    assert made.picture().width > 100


@pytest.mark.slow  # Two descents and two sweeps over a photograph.
def test_a_twin_is_a_hundredth_of_the_way_to_another_photograph() -> None:
    image, other = (cs.read_image(name, 56, channels=1) for name in ("chelsea", "coffee"))
    made = hog_twin(image, start=other)
    assert made.share <= 0.01
    assert abs(made.likeness) < 0.5
    # Also as scikit-image has it, of what is read from a file.
    found, wanted, apart = (
        peer(each[0].double().numpy(), cells_per_block=(3, 3)) for each in (made.twin, image, made.other)
    )
    assert np.linalg.norm(found - wanted) <= 0.01 * np.linalg.norm(apart - wanted)


def test_a_twin_of_noise_in_colours() -> None:
    image = cs.read_image("rocket", 40)
    made = hog_twin(image, steps=60, seed=3)
    assert made.twin.shape == image.shape
    assert made.distance < made.started / 2
    assert float(made.twin.min()) >= 0
    assert float(made.twin.max()) <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_held_votes_are_the_votes_where_they_are(channels: int) -> None:
    picture = torch.rand(1, channels, 9, 13, dtype=torch.float64)
    numbers = Hog(cell=4, block=2)
    whole = numbers.histograms(picture)
    held = HeldVotes(numbers, picture, whole)
    torch.testing.assert_close(held(picture)[0], whole)
    # Nothing leaves its orientation but for the margin, and a larger picture has larger votes, not other ones.
    assert float(held(picture)[1]) < 0.01
    torch.testing.assert_close(held(0.5 * picture)[0], 0.5 * whole)
    other = torch.rand_like(picture)
    assert float(held(other)[1]) > 1
    assert torch.autograd.gradcheck(lambda x: held(x)[0], other.requires_grad_())


def test_an_orientation_without_a_pixel_is_given_one() -> None:
    ramp = torch.linspace(0, 1, 24, dtype=torch.float64).expand(1, 1, 24, 24)
    wanted = torch.zeros(1, 9, 3, 3, dtype=torch.float64)
    wanted[:, 0], wanted[:, 5] = 0.8, 0.2
    # The first and the last column have no gradient.
    votes, out = HeldVotes(Hog(), ramp, wanted)(ramp)
    assert bool((votes[:, [0, 5]] > 0).all())
    assert not votes[:, [1, 2, 3, 4, 6, 7, 8]].any()
    assert float(out) > 0


def coarsely(levels: Array, wanted: Tensor, numbers: Hog) -> Array:
    """One sweep of rounding, by the descriptor of the whole picture for each pixel alone, in the same order."""
    apart = (numbers.block + 2) * numbers.cell

    def missed(tried: Array) -> float:
        return float((numbers(torch.from_numpy(tried / 255)) - wanted).square().sum())

    levels = levels.copy()
    _, rows, columns = levels.shape
    order = [(i, j) for top in range(apart) for left in range(apart)
             for i in range(top, rows, apart) for j in range(left, columns, apart)]  # fmt: skip
    for i, j in order:
        least, best = missed(levels) - 1e-12, levels[0, i, j]
        for change in (1, -1):
            tried = levels.copy()
            tried[0, i, j] = min(max(levels[0, i, j] + change, 0), 255)
            if missed(tried) < least:
                least, best = missed(tried), tried[0, i, j]
        levels[0, i, j] = best
    return levels


def test_rounding_equals_its_definition() -> None:
    numbers = Hog(cell=2, block=2)
    image = torch.rand(1, 13, 18, dtype=torch.float64)
    near = (image + 0.01 * torch.randn_like(image)).clamp(0, 1)
    found = rounded(near, image, numbers, sweeps=1, told=Steps(8))
    expected = coarsely((near * 255).round().numpy(), numbers(image), numbers) / 255
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


@given(
    st.integers(0, 9999), st.sampled_from([(1, 9, 2, 3), (3, 9, 3, 2), (1, 5, 4, 1)]), st.sampled_from([0.0, 0.02, 0.4])
)
@settings(max_examples=8, deadline=None)
def test_rounding_is_never_farther_than_the_nearest_levels(
    seed: int, shape: tuple[int, int, int, int], noise: float
) -> None:
    channels, orientations, cell, block = shape
    numbers = Hog(orientations, cell, block)
    draws = torch.Generator().manual_seed(seed)
    image = torch.rand(channels, 9, 13, generator=draws)
    picture = (image + noise * torch.randn(image.shape, generator=draws)).clamp(0, 1).double()
    found = [rounded(picture, image, numbers, sweeps=sweeps, told=Steps(2 * 40)).double() for sweeps in (0, 1, 2)]
    torch.testing.assert_close(found[0], ((picture * 255).round() / 255), atol=1e-6, rtol=0)
    nearest, once, twice = (float((numbers(each) - numbers(image.double())).norm()) for each in found)
    assert twice <= once + 1e-9 <= nearest + 2e-9
    torch.testing.assert_close((found[2] * 255).round() / 255, found[2], atol=1e-6, rtol=0)


def test_the_negative_is_a_twin_already() -> None:
    image = cs.read_image("camera", 64, channels=1)
    assert float((hog(1 - image.double()) - hog(image.double())).norm()) < 1e-6


@pytest.mark.parametrize(
    ("image", "options", "says"),
    [
        (torch.rand(1, 7, 40), {}, "24 × 24 at least"),
        (torch.rand(2, 3, 32, 32), {}, "got a batch"),
        (torch.full((1, 32, 32), 0.5), {}, "one colour"),
        (torch.full((1, 32, 32), torch.nan), {}, "NaN"),
        (torch.rand(1, 32, 32), {"start": "noize"}, "'noise'"),
        (torch.rand(1, 32, 32), {"steps": 0}, "steps=0"),
        (torch.rand(1, 32, 32), {"sweeps": -1}, "sweeps=-1"),
        (torch.rand(1, 32, 32), {"cell": 0}, "cell=0"),
        (torch.rand(1, 32, 32), {"norm": "L3"}, "nearest"),
    ],
)
def test_bad_input(image: Tensor, options: dict[str, object], says: str) -> None:
    with pytest.raises(ImageError, match=says):
        hog_twin(image, **options)  # type: ignore[arg-type]


def test_it_stops_when_told() -> None:
    with pytest.raises(ConvscopeError, match="stopped after 2"):
        hog_twin(torch.rand(1, 24, 24), steps=9, progress=lambda progress: progress.done < 2)
