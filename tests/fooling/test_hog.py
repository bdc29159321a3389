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
from convscope.fooling.hog_twin import hog_twin

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


def test_a_twin_of_noise_in_colours() -> None:
    image = cs.read_image("rocket", 40)
    made = hog_twin(image, steps=60, seed=3)
    assert made.twin.shape == image.shape
    assert made.distance < made.started / 2
    assert float(made.twin.min()) >= 0
    assert float(made.twin.max()) <= 1


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
