"""JPEGs decoded at a fraction of their size."""

import io

import pytest
import torch
from PIL import Image

import convscope as cs
from convscope.errors import ImageError
from convscope.image.bundled import photograph
from convscope.image.read import read_picture


def jpeg(name: str, size: tuple[int, int], **options: object) -> bytes:
    stream = io.BytesIO()
    with Image.open(photograph(name)) as picture:
        large = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    large.save(stream, "JPEG", quality=90, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("at_least", "shape"),
    [
        (None, (300, 400)),
        ((301, 10), (300, 400)),
        ((151, 10), (300, 400)),
        ((150, 200), (150, 200)),
        ((150, 201), (300, 400)),
        ((75, 100), (75, 100)),
        ((38, 50), (75, 100)),
        ((37, 50), (38, 50)),
        ((1, 1), (38, 50)),
    ],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_never_below_what_is_enough(
    at_least: tuple[int, int] | None, shape: tuple[int, int], progressive: bool
) -> None:
    image, size = read_picture(jpeg("chelsea", (400, 300), progressive=progressive), at_least=at_least)
    assert (tuple(image.shape), size) == ((3, *shape), (300, 400))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_of_the_upright_picture(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg("chelsea", (480, 240), exif=exif)
    whole, size = read_picture(data)
    assert size == tuple(whole.shape[1:]) == ((480, 240) if orientation >= 5 else (240, 480))
    half, told = read_picture(data, at_least=(size[0] // 2, size[1] // 2))
    assert (tuple(half.shape[1:]), told) == ((size[0] // 2, size[1] // 2), size)
    assert (half - torch.nn.functional.avg_pool2d(whole, 2)).abs().mean() < 0.01
    assert read_picture(data, at_least=(size[1], size[0]))[0].shape == whole.shape


def test_a_file_whose_pixels_are_missing_is_told_of_at_any_size() -> None:
    data = jpeg("chelsea", (400, 300))
    for cut in (data[: len(data) // 2], data[: len(data) * 3 // 4] + b"\xff\xd9"):
        for at_least in (None, (30, 30)):
            with pytest.raises(ImageError, match=r"ends too early|pixels are fewer"):
                read_picture(cut, at_least=at_least)


def test_ink_and_grey_too() -> None:
    for mode in ("CMYK", "L"):
        stream = io.BytesIO()
        with Image.open(photograph("chelsea")) as picture:
            picture.convert(mode).resize((400, 300)).save(stream, "JPEG", quality=95)
        whole, half = (read_picture(stream.getvalue(), at_least=each)[0] for each in (None, (150, 200)))
        assert half.shape == (3, 150, 200)
        assert (half - torch.nn.functional.avg_pool2d(whole, 2)).abs().mean() < 0.01


def test_what_is_no_jpeg_comes_whole() -> None:
    image, size = read_picture(photograph("chelsea").read_bytes(), at_least=(10, 10))
    assert tuple(image.shape[1:]) == size == (300, 451)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chelsea", "china", "flower", "astronaut"])
def test_a_network_hardly_sees_the_difference(lite0: cs.Network, name: str) -> None:
    for size in [(4000, 3000), (2200, 2100)]:  # the second is the worst case: at a half it has just what is enough
        data = jpeg(name, size)
        preparation = lite0.preparation
        whole, less = (
            preparation.prepare(read_picture(data, at_least=each)[0]) for each in (None, preparation.at_least)
        )
        assert 0 < (whole - less).abs().mean() < 0.6 / 255
        assert (whole - less).abs().max() < 8 / 255
        exact, near = lite0.logits(whole), lite0.logits(less)
        assert (exact - near).abs().max() < 0.25 < exact.std() / 4
        assert exact.argmax() == near.argmax()
