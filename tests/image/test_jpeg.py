import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convscope.image.bundled import photograph
from convscope.image.jpeg import take_apart


def example(**options: Any) -> bytes:
    stream = io.BytesIO()
    with Image.open(photograph("chelsea")) as picture:
        picture.resize((90, 60)).save(stream, "JPEG", **options)
    return stream.getvalue()


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.tobytes()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("restart", [0, 1])
def test_both_smaller_files_show_the_same_picture(progressive: bool, optimize: bool, restart: int) -> None:
    data = example(progressive=progressive, optimize=optimize, restart_marker_rows=restart, comment="hello")
    parts = take_apart(data)
    assert b"hello" not in parts.decodable
    assert len(parts.decodable) < len(data) < len(parts.filled)
    assert pixels(parts.decodable) == pixels(data) == pixels(parts.filled)


@pytest.mark.parametrize("name", ["hubble", "retina", "rocket", "china", "flower"])
def test_photographs_of_others_too(name: str) -> None:
    data = photograph(name).read_bytes()
    parts = take_apart(data)
    assert pixels(parts.decodable) == pixels(data) == pixels(parts.filled)


def test_missing_pixels_are_filled_otherwise_than_with_grey() -> None:
    data = example()
    cut = data[: len(data) * 3 // 4] + b"\xff\xd9"
    parts = take_apart(cut)
    assert set(np.frombuffer(pixels(parts.decodable), np.uint8)[-3:]) == {128}
    assert pixels(parts.filled) != pixels(parts.decodable)


def test_the_end_marker_of_a_thumbnail_is_not_the_end() -> None:
    thumbnail = b"Exif\0\0" + example()
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = example()
    data = whole[:2] + segment + whole[2:]
    assert take_apart(data).exif == thumbnail
    with pytest.raises(ValueError, match="ends too early"):
        take_apart(data[: len(data) // 2 + 1000])


def test_padding_between_segments_is_passed_over() -> None:
    data = example()
    assert pixels(take_apart(data[:2] + b"\xff\xff" + data[2:]).decodable) == pixels(data)
