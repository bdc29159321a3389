import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from convscope.errors import ImageError, MissingExtra
from convscope.image import bundled
from convscope.image.bundled import PHOTOGRAPHS, photograph
from convscope.image.provenance import recall
from convscope.image.read import read_image
from convscope.image.recipe import Input


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with two pictures in it."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30), "red").save("red.png")
    Image.new("RGB", (40, 30), "blue").save("blue.jpg", quality=95)
    return tmp_path


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_bundled_photographs(name: str) -> None:
    image = read_image(name)
    with Image.open(photograph(name)) as picture:
        expected = np.asarray(picture.convert("RGB")).transpose(2, 0, 1) / np.float32(255)
    assert image.dtype == torch.float32
    assert image.is_contiguous()
    # That of the rocket is in Adobe RGB, the others are in sRGB.
    assert (image - torch.from_numpy(expected)).abs().mean() < (0.03 if name == "rocket" else 1e-6)


def test_a_file_and_its_provenance(folder: Path) -> None:
    image = read_image(folder / "red.png")
    assert image.shape == (3, 30, 40)
    assert image.amax(dim=(1, 2)).tolist() == [1, 0, 0]
    digest = hashlib.sha256(Path("red.png").read_bytes()).hexdigest()
    assert recall(image) == Input("red.png", digest)
    assert recall(read_image("red.png", 20)) == Input("red.png", digest, 20)


def test_an_image_is_read_again_by_its_provenance(folder: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 4096, (3, 30, 40), dtype=np.uint16)
    tifffile.imwrite("scan.tif", stack, photometric="minisblack")
    image = read_image("scan.tif", 20, channels=1, page=2, window=(100, 4000))
    given = recall(image)
    digest = hashlib.sha256(Path("scan.tif").read_bytes()).hexdigest()
    assert given == Input("scan.tif", digest, 20, channels=1, page=2, window=(100.0, 4000.0))
    again = read_image("scan.tif", given.size, channels=given.channels, page=given.page, window=given.window)
    assert torch.equal(again, image)
    assert not torch.equal(read_image("scan.tif", 20, channels=1, page=1, window=(100, 4000)), image)


def test_channels_and_windows_of_a_file(folder: Path) -> None:
    np.save("bands.npy", np.arange(60, dtype=np.int32).reshape(5, 3, 4))
    image = read_image("bands.npy", channels=5, window=(0, 59))
    torch.testing.assert_close(image, torch.arange(60).reshape(5, 3, 4) / 59)
    assert read_image("bands.npy", 2, channels=5, window=(0, 59)).shape == (5, 2, 2)
    assert read_image("red.png", channels=1).shape == (1, 30, 40)
    assert error_of("red.png", window=(3, 1)).startswith(
        "can't read 'red.png': got window=(3, 1), expected (low, high)"
    )
    assert error_of("red.png", channels=4) == (
        "can't read 'red.png': it has 3 channels, expected 4: give channels=3, or a file that has 4"
    )


def test_the_provenance_of_a_bundled_photograph_is_its_name() -> None:
    digest = hashlib.sha256(photograph("chelsea").read_bytes()).hexdigest()
    assert recall(read_image("chelsea", size=224)) == Input("chelsea", digest, 224)


def test_a_file_goes_before_a_bundled_photograph(folder: Path) -> None:
    (folder / "red.png").rename(folder / "chelsea")
    assert read_image("chelsea").shape == (3, 30, 40)


def test_the_suffix_does_not_matter(folder: Path) -> None:
    (folder / "red.png").rename(folder / "red.jpg")
    (folder / "blue.jpg").rename(folder / "blue.webp")
    assert read_image("red.jpg")[0].min() == 1
    assert read_image("blue.webp")[2].min() > 0.98


@pytest.mark.parametrize(("size", "shape"), [(451, (300, 451)), (450, (299, 450)), (224, (149, 224)), (1, (1, 1))])
def test_size_is_the_longer_side_at_most(size: int, shape: tuple[int, int]) -> None:
    image = read_image("chelsea", size)
    assert image.shape == (3, *shape)
    assert image.min() >= 0
    assert image.max() <= 1


def test_size_never_enlarges(folder: Path) -> None:
    assert read_image("red.png", size=4000).shape == (3, 30, 40)
    Image.new("RGB", (1, 1)).save("dot.png")
    assert read_image("dot.png", size=2).shape == (3, 1, 1)


def test_a_long_line_keeps_one_row(folder: Path) -> None:
    Image.new("RGB", (3000, 1)).save("line.png")
    assert read_image("line.png", size=100).shape == (3, 1, 100)


def test_making_smaller_is_antialiased() -> None:
    small = read_image("chelsea", 45)
    with Image.open(photograph("chelsea")) as picture:
        peer = np.asarray(picture.convert("RGB").resize((45, 30), Image.Resampling.BICUBIC)) / 255
    assert (small.permute(1, 2, 0) - torch.from_numpy(peer)).abs().max() < 0.01


def test_an_image_read_in_inference_mode_is_a_common_tensor(folder: Path) -> None:
    with torch.inference_mode():
        images = [read_image("red.png"), read_image("red.png", 20)]
    assert not any(image.is_inference() for image in images)
    images[1].requires_grad_().sum().backward()  # type: ignore[no-untyped-call]


def test_threads_may_read_at_once(folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(read_image, ["red.png", "blue.jpg"] * 40))
    assert all(image[0].min() == 1 for image in images[::2])
    assert all(recall(image).name == "blue.jpg" for image in images[1::2])


def test_a_large_picture_within_the_limit_gives_no_warning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image("red.png").shape == (3, 30, 40)


def error_of(path: str | Path, size: int | None = None, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path, size, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_unknown_name_suggests_files_and_photographs(folder: Path) -> None:
    message = error_of("rde.png")
    assert message.startswith("can't read 'rde.png': no such file; files there, nearest: red.png")
    assert "bundled photographs, nearest: chelsea" in error_of("chelsae")
    assert "chelsea" in error_of("chelsea.jpg")


def test_an_unknown_file_in_a_folder_suggests_its_neighbours(folder: Path) -> None:
    message = error_of(folder / "blu.jpg")
    assert message.endswith("no such file; files there, nearest: blue.jpg")


def test_an_unknown_folder_is_named(folder: Path) -> None:
    assert error_of("photos/red.png") == "can't read 'photos/red.png': no such file, and no folder photos"


def test_an_empty_folder_has_nothing_to_suggest(folder: Path) -> None:
    (folder / "empty").mkdir()
    assert error_of("empty/red.png") == "can't read 'empty/red.png': no such file"


def test_what_is_no_file(folder: Path) -> None:
    assert "it is a folder" in error_of(folder)
    assert "it is a folder" in error_of("")
    assert "no such file" in error_of("red\0.png")
    assert "no such file" in error_of("red\n.png")
    assert "too long" in error_of("x" * 5000)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs devices")
def test_a_device_is_not_read(folder: Path) -> None:
    assert "it is a device" in error_of("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo("pipe.png")
    assert "it is a device" in error_of("pipe.png")


def test_a_file_that_may_not_be_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert error_of("red.png") == "can't read 'red.png': Permission denied; expected a file that can be opened"


def test_what_is_no_picture(folder: Path) -> None:
    Path("text.png").write_text("Dear Sir or Madam")
    Path("zero.png").touch()
    Image.new("RGB", (4, 4)).save("picture.png", "GIF")
    assert error_of("text.png").startswith("can't read 'text.png': it is text; expected a PNG, JPEG, WebP, TIFF, NPY")
    assert "it is empty" in error_of("zero.png")
    assert "it is a GIF picture" in error_of("picture.png")


def test_a_large_file_that_is_no_picture_is_not_read_whole(folder: Path) -> None:
    with open("weights.png", "wb") as stream:
        stream.truncate(200 * 2**30)
    assert "of a kind unknown" in error_of("weights.png")


def test_a_damaged_file(folder: Path) -> None:
    data = Path("red.png").read_bytes()
    Path("red.png").write_bytes(data[: len(data) // 2])
    assert error_of("red.png").startswith(
        "can't read 'red.png': the PNG file is damaged (the file ends too early); expected"
    )


def test_the_pixel_limit(folder: Path) -> None:
    assert "40 × 30 = 0.0012 million pixels, expected at most 0.001 million" in error_of("red.png", pixel_limit=1000)


@pytest.mark.parametrize("size", [0, -3])
def test_size_must_be_positive(folder: Path, size: int) -> None:
    assert error_of("red.png", size) == f"got size={size}, expected the longer side in pixels, at least 1"


def test_a_bundled_photograph_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="photos"):
        read_image("chelsea")
