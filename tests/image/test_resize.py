from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.read import read_image
from convscope.image.resize import Fit, Interpolation, Placement, fit_image, place, resize, unfit_map

FITS: tuple[Fit, ...] = get_args(Fit)

sides = st.integers(20, 120)
sizes = st.tuples(sides, sides)
fits = st.sampled_from(FITS)


def torchvision_size(height: int, width: int, shorter: int) -> tuple[int, int]:
    """What torchvision's Resize makes of a picture, by its documentation."""
    if height <= width:
        return shorter, int(shorter * width / height)
    return int(shorter * height / width), shorter


def torchvision_fit(image: Tensor, shorter: int, side: int) -> Tensor:
    scaled = torch.nn.functional.interpolate(
        image[None], torchvision_size(image.shape[1], image.shape[2], shorter), mode="bicubic", antialias=True
    )[0].clamp(0, 1)
    top, left = (round((length - side) / 2.0) for length in scaled.shape[-2:])
    return scaled[:, top : top + side, left : left + side]


@given(sizes, st.sampled_from([(224, 256), (240, 274), (7, 8), (33, 38)]))
@settings(max_examples=60, deadline=None)
def test_crop_of_a_square_input_is_torchvisions(size: tuple[int, int], sides: tuple[int, int]) -> None:
    side, shorter = sides
    placement = place(size, (side, side), crop_fraction=side / shorter)
    assert placement.scaled == torchvision_size(*size, shorter)
    assert placement.offset == tuple(-round((length - side) / 2.0) for length in placement.scaled)


@pytest.mark.parametrize("transpose", [False, True])
def test_the_pixels_of_a_crop_are_torchvisions(transpose: bool) -> None:
    photo = read_image("chelsea")
    photo = photo.mT.contiguous() if transpose else photo
    torch.testing.assert_close(fit_image(photo, (224, 224)), torchvision_fit(photo, 256, 224), rtol=0, atol=1e-6)


@given(sizes, sizes, st.sampled_from([0.5, 0.875, 1.0]), st.sampled_from(get_args(Interpolation)))
@settings(max_examples=60, deadline=None)
def test_to_crop_is_to_resize_and_cut(
    size: tuple[int, int], target: tuple[int, int], fraction: float, mode: Interpolation
) -> None:
    image = torch.rand(3, *(3 * side for side in size))
    placement = place((3 * size[0], 3 * size[1]), target, crop_fraction=fraction)
    top, left = placement.offset
    cut = resize(image, placement.scaled, mode)[:, -top : target[0] - top, -left : target[1] - left]
    assert torch.equal(fit_image(image, target, crop_fraction=fraction, interpolation=mode), cut)


@given(sizes, sizes, fits, st.sampled_from([0.5, 0.875, 0.95, 1.0]))
@settings(max_examples=150, deadline=None)
def test_laws_of_placement(size: tuple[int, int], target: tuple[int, int], fit: Fit, fraction: float) -> None:
    placement = place(size, target, fit=fit, crop_fraction=fraction)
    ends = [offset + scaled for offset, scaled in zip(placement.offset, placement.scaled, strict=True)]
    if fit == "crop":
        assert all(offset <= 0 for offset in placement.offset)
        assert all(end >= side for end, side in zip(ends, target, strict=True)), "the picture covers the input"
        wanted = [round(side / fraction) for side in target]
        assert any(scaled == side for scaled, side in zip(placement.scaled, wanted, strict=True)), "and no more"
    if fit == "pad":
        assert all(offset >= 0 for offset in placement.offset)
        assert all(end <= side for end, side in zip(ends, target, strict=True)), "the picture fits in"
        assert any(scaled == side for scaled, side in zip(placement.scaled, target, strict=True)), "and is no smaller"
        for offset, end, side in zip(placement.offset, ends, target, strict=True):
            assert abs(offset - (side - end)) <= 1, "in the middle"
    if fit == "resize":
        assert placement == Placement(size, target, (0, 0))
    else:
        across, down = (scaled / original for scaled, original in zip(placement.scaled, size, strict=True))
        assert across / down == pytest.approx(1, abs=1 / min(placement.scaled)), "the aspect is kept"


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_fit_image_keeps_type_channels_and_batch(fit: Fit, kind: torch.dtype) -> None:
    batch = torch.rand(2, 5, 31, 47).to(kind)
    fitted = fit_image(batch, (24, 16), fit=fit)
    assert fitted.shape == (2, 5, 24, 16)
    assert fitted.dtype == kind
    assert torch.equal(fit_image(batch[1], (24, 16), fit=fit), fitted[1])


@pytest.mark.parametrize("mode", get_args(Interpolation))
def test_resize_stays_within_an_images_values(mode: Interpolation) -> None:
    checkers = (torch.arange(12)[:, None] + torch.arange(12)).remainder(2).float()[None]
    for size in [(30, 30), (5, 7), (12, 12)]:
        scaled = resize(checkers, size, mode)
        assert scaled.shape == (1, *size)
        assert scaled.min() >= 0
        assert scaled.max() <= 1
    assert torch.equal(resize(checkers, (12, 12), mode), checkers)


def test_padding_is_grey() -> None:
    fitted = fit_image(torch.ones(3, 10, 20), (40, 40), fit="pad")
    assert (fitted[:, :10] == 0.5).all()
    assert (fitted[:, 30:] == 0.5).all()
    torch.testing.assert_close(fitted[:, 10:30], torch.ones(3, 20, 40))


def test_gradients_flow_through_the_fit() -> None:
    image = torch.rand(3, 30, 40, requires_grad=True)
    fit_image(image, (16, 16)).sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


@pytest.mark.parametrize("fit", FITS)
def test_the_gradients_are_right(fit: Fit) -> None:
    image = torch.rand(1, 9, 7, dtype=torch.float64) / 2 + 0.25
    assert torch.autograd.gradcheck(lambda image: fit_image(image, (4, 5), fit=fit), image.requires_grad_())


# The way back


def ramps(height: int, width: int) -> Tensor:
    """Two channels in (0, 1): how far down, and how far across, a pixel's centre is."""
    rows, columns = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
    return torch.stack([rows[:, None].expand(height, width), columns.expand(height, width)]).double()


@given(sizes, sizes, fits, st.sampled_from([0.6, 0.875, 1.0]))
@settings(max_examples=60, deadline=None)
def test_unfit_of_fit_is_the_identity_where_it_was_seen(
    size: tuple[int, int], target: tuple[int, int], fit: Fit, fraction: float
) -> None:
    original = ramps(*size)
    fitted = fit_image(original, target, fit=fit, crop_fraction=fraction, interpolation="bilinear")
    back = unfit_map(fitted, size, target, fit=fit, crop_fraction=fraction, outside=torch.nan)
    assert back.shape == original.shape
    placement = place(size, target, fit=fit, crop_fraction=fraction)
    rows, columns = (~back[0].isnan()).nonzero().T
    seen = (back - original)[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    for error, side, scaled in zip(seen, size, placement.scaled, strict=True):
        pixel = max(1, side / scaled)  # the coarser grid's, in the original's
        # Antialiasing levels a ramp off near its ends.
        margin = round(2 + 2 * pixel)
        inner = error[margin:-margin, margin:-margin] * side
        assert inner.abs().le(0.1 * pixel).all()


@given(sizes, sizes, fits)
@settings(max_examples=60, deadline=None)
def test_what_was_not_seen_is_outside(size: tuple[int, int], target: tuple[int, int], fit: Fit) -> None:
    seen = unfit_map(torch.ones(target), size, target, fit=fit, outside=-1)
    placement = place(size, target, fit=fit)
    for row, column in [(0, 0), (size[0] // 2, size[1] // 2), (size[0] - 1, size[1] - 1), (0, size[1] // 2)]:
        at = [
            (position + 0.5) * scaled / original + offset
            for position, scaled, original, offset in zip(
                (row, column), placement.scaled, placement.original, placement.offset, strict=True
            )
        ]
        inside = all(0 <= place_ <= side for place_, side in zip(at, target, strict=True))
        assert seen[row, column].item() == pytest.approx(1 if inside else -1)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(301, 453), (453, 301), (96, 97), (64, 64)])
@pytest.mark.parametrize("target", [(64, 64), (63, 91), (224, 224)])
def test_a_planted_square_is_found_where_it_was_planted(
    fit: Fit, size: tuple[int, int], target: tuple[int, int]
) -> None:
    image = torch.zeros(1, *size)
    top, left, height, width = size[0] // 2 - 20, size[1] // 2 + 3, 17, 25
    image[:, top : top + height, left : left + width] = 1
    seen = fit_image(image, target, fit=fit, interpolation="bilinear")
    back = unfit_map(seen, size, target, fit=fit)[0]
    rows, columns = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    centre = ((back * rows).sum() / back.sum()).item(), ((back * columns).sum() / back.sum()).item()
    assert centre == pytest.approx((top + height / 2, left + width / 2), abs=0.25)
    assert back.sum().item() == pytest.approx(height * width, rel=0.05)


def test_a_single_position_of_a_coarse_map() -> None:
    """Of a 7 × 7 map of a 224 × 224 input, position (2, 5) is that input's pixels 64 … 96 by 160 … 192."""
    coarse = torch.zeros(7, 7)
    coarse[2, 5] = 1
    positions = torch.arange(224) + 0.5
    back = unfit_map(coarse, (224, 224), (224, 224), crop_fraction=1.0)
    centre = (back.sum(dim=1) @ positions / back.sum()).item(), (back.sum(dim=0) @ positions / back.sum()).item()
    assert centre == pytest.approx((80, 176), abs=0.01)
    assert (back > 0.5).sum() < 32 * 32 * 2
    assert back.max() > 0.95


@pytest.mark.parametrize(
    ("shape", "kind", "expected"),
    [
        ((8, 8), torch.float64, torch.float64),
        ((3, 8, 8), torch.float16, torch.float32),
        ((2, 3, 8, 8), torch.float32, torch.float32),
        ((8, 8), torch.bool, torch.float32),
    ],
)
def test_maps_of_any_shape_and_type(shape: tuple[int, ...], kind: torch.dtype, expected: torch.dtype) -> None:
    values = torch.ones(shape, dtype=kind)
    back = unfit_map(values, (20, 30), (8, 8), fit="resize")
    assert back.dtype == expected
    assert torch.equal(back, torch.ones(*shape[:-2], 20, 30, dtype=expected))


# Errors


def test_an_unknown_fit_or_interpolation() -> None:
    with pytest.raises(ImageError, match="no fit 'corp'; nearest: crop"):
        place((10, 10), (5, 5), fit="corp")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="no interpolation 'bicubc'; nearest: bicubic"):
        resize(torch.zeros(3, 4, 4), (2, 2), "bicubc")  # type: ignore[arg-type]


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.1, float("nan")])
def test_a_crop_fraction_that_is_none(fraction: float) -> None:
    with pytest.raises(ImageError, match=r"crop_fraction=.*, expected more than 0 and at most 1"):
        fit_image(torch.zeros(3, 4, 4), (2, 2), crop_fraction=fraction)


def test_a_picture_like_a_thread_is_not_cropped() -> None:
    thread = torch.zeros(3, 1, 5000)
    with pytest.raises(ImageError, match=r'1 × 5000, too long and narrow to crop: use fit="pad"'):
        fit_image(thread, (224, 224))
    assert fit_image(thread, (224, 224), fit="pad").shape == (3, 224, 224)


@pytest.mark.parametrize("size", [(0, 5), (5, -1)])
def test_an_empty_size(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="expected at least one row and one column"):
        resize(torch.zeros(3, 4, 4), size)
    for fit in FITS:
        with pytest.raises(ImageError, match="expected at least 1 × 1 of each"):
            place((4, 4), size, fit=fit)


def test_what_is_no_image_or_map() -> None:
    with pytest.raises(ImageError, match="/ 255"):
        fit_image(torch.zeros(3, 4, 4, dtype=torch.uint8), (2, 2))
    with pytest.raises(ImageError, match=r"got a map of shape \(5,\)"):
        unfit_map(torch.zeros(5), (4, 4), (5, 5))
