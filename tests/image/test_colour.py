import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from convscope.image.colour import to_srgb
from convscope.image.decode import decode


def linear_profile() -> bytes:
    """The profile of sRGB with its tone curves replaced by straight lines, and another description."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for begin in range(128 + 4, 128 + 4 + 12 * int.from_bytes(data[128:132], "big"), 12):
        kind, offset = bytes(data[begin : begin + 4]), int.from_bytes(data[begin + 4 : begin + 8], "big")
        if kind in (b"rTRC", b"gTRC", b"bTRC"):
            data[offset : offset + 12] = b"curv" + bytes(8)
        elif kind == b"desc":
            size = int.from_bytes(data[begin + 8 : begin + 12], "big")
            data[offset : offset + size] = data[offset : offset + size].replace(
                "sRGB".encode("utf-16-be"), b"\0l\0i\0n\0e"
            )
    return bytes(data)


def ink_profile() -> bytes:
    """A CMYK profile that knows only black ink: lightness 100 without it, 20 with all of it, 60 with half."""
    straight = bytes(range(256))
    corners = b"".join(bytes([51 if corner & 1 else 255, 128, 128]) for corner in range(16))
    unit = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + unit + straight * 4 + corners + straight * 3
    name = "ink".encode("utf-16-be")
    text = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(name), 28) + name + bytes(2)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"desc": text, b"cprt": text, b"wtpt": white, b"A2B0": table}
    directory, content = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        directory += tag + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    size = 128 + len(directory) + len(content)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x04300000, b"prtr", b"CMYK", b"Lab ") + bytes(12) + b"acsp"
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + directory + content


def with_profile(profile: bytes, mode: str = "RGB") -> Image.Image:
    picture = Image.new(mode, (2, 2), 55 if mode == "L" else (55, 55, 55) + (128,) * (mode == "RGBA"))
    picture.info["icc_profile"] = profile
    return picture


def srgb_of_linear(value: float) -> float:
    return float(1.055 * value ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_another_profile_is_converted(mode: str) -> None:
    picture = with_profile(linear_profile(), mode)
    converted = np.asarray(to_srgb(picture))
    assert converted.shape == np.asarray(picture).shape
    assert np.abs(converted[..., :3] - 255 * srgb_of_linear(55 / 255)).max() < 2
    assert (converted[..., 3:] == 128).all()


def test_it_is_converted_when_a_file_is_read() -> None:
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        stream = io.BytesIO()
        with_profile(b"").save(stream, kind, icc_profile=linear_profile(), lossless=True)
        assert decode(stream.getvalue(), pixel_limit=100).mean() == pytest.approx(srgb_of_linear(55 / 255), abs=0.01)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_tiff_of_any_depth_is_converted(depth: type[np.unsignedinteger[Any]]) -> None:
    levels = np.full((2, 2, 3), 55 * (np.iinfo(depth).max // 255), dtype=depth)
    stream = io.BytesIO()
    tifffile.imwrite(stream, levels, photometric="rgb", iccprofile=linear_profile())
    assert decode(stream.getvalue(), pixel_limit=100).mean() == pytest.approx(srgb_of_linear(55 / 255), abs=0.01)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_no_profile_is_followed_where_stored_values_are_asked_for(kind: str) -> None:
    stream = io.BytesIO()
    with_profile(b"", "RGBA").save(stream, kind, icc_profile=linear_profile(), lossless=True)
    own = decode(stream.getvalue(), pixel_limit=100, channels=4)
    assert (own[:3] == np.float32(55) / np.float32(255)).all()
    windowed = decode(stream.getvalue(), pixel_limit=100, window=(0, 110))
    assert windowed.mean() == pytest.approx(0.5 * 128 / 255 + 127 / 255, abs=1e-6)


def test_cmyk_is_converted_by_its_profile() -> None:
    picture = Image.new("CMYK", (8, 8), (0, 255, 0, 0))
    picture.paste((0, 0, 0, 127), (0, 4, 8, 8))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=100, icc_profile=ink_profile())
    pixels = decode(stream.getvalue(), pixel_limit=100)
    assert pixels[:, 0].min() > 0.98, "this profile's magenta ink is as white as paper"
    assert np.abs(pixels[:, 7] - 145 / 255).max() < 0.02, "L* = 60 is the sRGB grey 145"


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("RGB", (2, 2)),
        with_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
        with_profile(b"broken"),
        with_profile(linear_profile()[:300]),
        with_profile(linear_profile(), "L"),
    ],
    ids=["none", "sRGB", "broken", "cut", "of another colour space"],
)
def test_the_rest_is_left_alone(picture: Image.Image) -> None:
    assert to_srgb(picture) is picture
