import io
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing
from pydicom.uid import (
    MPEG2MPML,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from convscope.errors import ImageError, MissingExtra
from convscope.image.decode import decode

LIMIT = 1_000_000
RANDOM = np.random.default_rng(0)
SCAN = RANDOM.integers(-1000, 2000, (5, 7), dtype=np.int16)
EIGHT = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)
TWELVE = RANDOM.integers(0, 4096, (5, 7), dtype=np.uint16)


def dataset(values: NDArray[Any], photometric: str = "MONOCHROME2", **attributes: Any) -> FileDataset:
    """A file of `values`: (H, W), with frames (N, H, W), or in colours (H, W, 3)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=bytes(128))
    in_colours = values.ndim == 3 and values.shape[2] == 3
    file.SamplesPerPixel = 3 if in_colours else 1
    file.PhotometricInterpretation = photometric
    if in_colours:
        file.PlanarConfiguration = 0
    elif values.ndim == 3:
        file.NumberOfFrames = len(values)
    file.Rows, file.Columns = values.shape[:2] if in_colours else values.shape[-2:]
    file.BitsAllocated = file.BitsStored = values.itemsize * 8
    file.PixelRepresentation = int(values.dtype.kind == "i")
    file.PixelData = values.tobytes() + bytes(values.nbytes % 2)
    for name, value in attributes.items():
        setattr(file, name, value)
    file.HighBit = file.BitsStored - 1
    return file


def encode(file: FileDataset) -> bytes:
    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def dicom(values: NDArray[Any], photometric: str = "MONOCHROME2", **attributes: Any) -> bytes:
    return encode(dataset(values, photometric, **attributes))


def grey(data: bytes, **options: Any) -> NDArray[np.float32]:
    return decode(data, pixel_limit=LIMIT, channels=1, **options).squeeze(0)


def error_of(data: bytes, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, **{"pixel_limit": LIMIT, **options})
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Scaling


def test_unsigned_values_are_scaled_by_their_bits() -> None:
    assert (grey(dicom(EIGHT)) == EIGHT / np.float32(255)).all()
    assert (grey(dicom(TWELVE, BitsStored=12)) == TWELVE / np.float32(4095)).all()
    assert (grey(dicom(TWELVE, RescaleSlope=1, RescaleIntercept=0)) == TWELVE / np.float32(65535)).all()
    assert decode(dicom(EIGHT), pixel_limit=LIMIT).shape == (3, 5, 7)


def test_rescaled_and_signed_values_need_a_window() -> None:
    low, high = SCAN.min(), SCAN.max()
    assert f"values are int16 from {low} to {high}, and nothing says which" in error_of(dicom(SCAN))
    message = error_of(dicom(TWELVE, RescaleSlope=2, RescaleIntercept=-1024))
    assert f"give window=({TWELVE.min() * 2.0 - 1024:g}, {TWELVE.max() * 2.0 - 1024:g})" in message


def test_a_window_is_in_rescaled_units() -> None:
    data = dicom(TWELVE, RescaleSlope=0.5, RescaleIntercept=-1000, WindowCenter=0, WindowWidth=10)
    expected = np.clip((TWELVE * 0.5 - 1000 - -160) / 400, 0, 1)
    np.testing.assert_allclose(grey(data, window=(-160, 240)), expected, rtol=1e-6)


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(40, 400), (-600.5, 1500), (100, 2), (300, 100_000)])
def test_the_files_own_window_is_pydicoms(centre: float, width: float, function: str | None) -> None:
    options = {} if function is None else {"VOILUTFunction": function}
    file = dataset(SCAN, RescaleSlope=1, RescaleIntercept=-24, WindowCenter=centre, WindowWidth=width, **options)
    with np.errstate(over="ignore"):
        shown = apply_windowing(apply_modality_lut(SCAN, file), file)
    low, high = -(2**15) - 24, 2**15 - 1 - 24  # what pydicom scales to
    np.testing.assert_allclose(grey(encode(file)), (shown - low) / (high - low), atol=1e-6)


def test_the_narrowest_window_is_a_threshold() -> None:
    data = dicom(np.arange(-3, 3, dtype=np.int16)[None], WindowCenter=0.5, WindowWidth=1)
    assert grey(data).tolist() == [[0, 0, 0, 0, 1, 1]]


@pytest.mark.parametrize(("width", "function"), [(0, "LINEAR"), (0.5, "LINEAR"), (0, "LINEAR_EXACT"), (-3, "LINEAR")])
def test_a_window_that_is_none(width: float, function: str) -> None:
    message = error_of(dicom(SCAN, WindowCenter=1, WindowWidth=width, VOILUTFunction=function))
    assert f"its own window is {width:g} wide, which can't be followed: give window=(low, high)" in message


def test_the_first_of_several_windows() -> None:
    several = dicom(SCAN, WindowCenter=[40, 500], WindowWidth=[400, 2000])
    assert (grey(several) == grey(dicom(SCAN, WindowCenter=40, WindowWidth=400))).all()


def test_tables() -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.LUTData = (np.arange(4096) * 16 % 60_001).astype(np.uint16).tobytes()
    table.ModalityLUTType = "US"
    file = dataset(TWELVE, BitsStored=12, VOILUTSequence=[table])
    np.testing.assert_allclose(grey(encode(file)), apply_voi(TWELVE, file) / 65535, rtol=1e-6)
    data = dicom(TWELVE, BitsStored=12, ModalityLUTSequence=[table])
    assert "nothing says which are black and white" in error_of(data)
    expected = np.clip((TWELVE.astype(int) * 16 % 60_001) / 60_000, 0, 1)
    np.testing.assert_allclose(grey(data, window=(0, 60_000)), expected, rtol=1e-6)


def test_low_values_may_be_bright() -> None:
    window: dict[str, Any] = {"WindowCenter": 100, "WindowWidth": 50}
    for options in ({}, window):
        bright = grey(dicom(EIGHT, "MONOCHROME1", **options))
        np.testing.assert_array_equal(bright, 1 - grey(dicom(EIGHT, **options)))


def test_floating_point_pixels() -> None:
    values = RANDOM.random((5, 7)).astype(np.float32)
    file = dataset(values)
    del file.PixelData, file.BitsStored, file.HighBit, file.PixelRepresentation
    file.FloatPixelData = values.tobytes()
    assert (grey(encode(file)) == values).all()


# Colours and frames


def test_colours() -> None:
    levels = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert (decode(dicom(levels, "RGB"), pixel_limit=LIMIT) == levels.transpose(2, 0, 1) / np.float32(255)).all()
    planes = np.ascontiguousarray(levels.transpose(2, 0, 1))
    file = dataset(levels, "RGB", PlanarConfiguration=1, PixelData=planes.tobytes() + b"\0")
    assert (decode(encode(file), pixel_limit=LIMIT) == planes / np.float32(255)).all()
    neutral = np.full((4, 4, 3), 128, dtype=np.uint8)
    assert decode(dicom(neutral, "YBR_FULL"), pixel_limit=LIMIT) == pytest.approx(128 / 255, abs=0.005)


def test_a_palette() -> None:
    palette = RANDOM.integers(0, 2**16, (3, 256), dtype=np.uint16)
    attributes: dict[str, Any] = {}
    for name, entries in zip(("Red", "Green", "Blue"), palette, strict=True):
        attributes[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        attributes[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
    pixels = decode(dicom(EIGHT, "PALETTE COLOR", **attributes), pixel_limit=LIMIT)
    np.testing.assert_allclose(pixels, palette[:, EIGHT] / 65535, rtol=1e-6)


def test_a_frame_is_chosen() -> None:
    frames = RANDOM.integers(0, 256, (4, 5, 7), dtype=np.uint8)
    for page in range(4):
        assert (grey(dicom(frames), page=page) == frames[page] / np.float32(255)).all()
    assert error_of(dicom(frames), page=4) == "got page=4, expected 0 to 3: it has 4 pages, counted from 0"


def test_attributes_of_each_frame_and_of_all() -> None:
    frames = np.stack([SCAN, SCAN])

    def window(centre: float) -> Dataset:
        group, item = Dataset(), Dataset()
        group.WindowCenter, group.WindowWidth = centre, 200
        item.FrameVOILUTSequence = [group]
        return item

    rescale, shared = Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = 2, 10
    shared.PixelValueTransformationSequence = [rescale]
    data = dicom(
        frames,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[window(0), window(500)],
    )
    for page, centre in enumerate([0, 500]):
        alone = dicom(SCAN, RescaleSlope=2, RescaleIntercept=10, WindowCenter=centre, WindowWidth=200)
        assert (grey(data, page=page) == grey(alone)).all()


# How they are packed, and damage


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_transfer_syntaxes(syntax: UID) -> None:
    file = dataset(TWELVE, BitsStored=12)
    file.file_meta.TransferSyntaxUID = syntax
    assert (grey(encode(file)) == TWELVE / np.float32(4095)).all()


def packed() -> bytes:
    file = dataset(TWELVE, BitsStored=12)
    file.compress(RLELossless, generate_instance_uid=False)
    return encode(file)


def test_packed_pixels() -> None:
    assert (grey(packed()) == TWELVE / np.float32(4095)).all()


def with_frame(values: NDArray[Any], photometric: str, frame: bytes, syntax: UID) -> bytes:
    file = dataset(values, photometric)
    file.file_meta.TransferSyntaxUID = syntax
    file.PixelData = encapsulate([frame])
    file["PixelData"].is_undefined_length = True
    return encode(file)


def test_packed_colours() -> None:
    stream = io.BytesIO()
    levels = np.full((16, 24, 3), [200, 100, 50], dtype=np.uint8)
    Image.fromarray(levels).save(stream, "JPEG", quality=95)
    data = with_frame(levels, "YBR_FULL_422", stream.getvalue(), JPEGBaseline8Bit)
    np.testing.assert_allclose(decode(data, pixel_limit=LIMIT), levels.transpose(2, 0, 1) / 255, atol=0.02)
    cut = with_frame(levels, "YBR_FULL_422", stream.getvalue()[:200], JPEGBaseline8Bit)
    assert "packed as JPEG Baseline (Process 1) and can't be unpacked here (" in error_of(cut)


@pytest.mark.parametrize(("syntax", "name"), [(JPEGLSLossless, "JPEG-LS Lossless"), (MPEG2MPML, "MPEG2 Main Profile")])
def test_what_cannot_be_unpacked_here(syntax: UID, name: str) -> None:
    message = error_of(with_frame(EIGHT, "MONOCHROME2", b"\xff\xd8", syntax))
    assert f"its pixels are packed as {name}" in message
    assert "pip install 'pylibjpeg[all]'" in message


@pytest.mark.parametrize("data", [dicom(TWELVE, BitsStored=12), packed(), dicom(np.stack([EIGHT, EIGHT]))])
def test_a_file_cut_anywhere_is_an_error(data: bytes) -> None:
    # The last four bytes are but the length, zero, of the mark that ends packed pixels.
    for length in range(0, len(data) - 4, 3):
        with pytest.raises(ImageError, match="expected"):
            decode(data[:length], pixel_limit=LIMIT)


@pytest.mark.filterwarnings("ignore")
def test_changed_bytes_are_an_error_of_ours_or_a_picture() -> None:
    whole = dicom(SCAN, RescaleSlope=1, RescaleIntercept=-24, WindowCenter=40, WindowWidth=400)
    for _ in range(100):
        data = bytearray(whole)
        for place in RANDOM.integers(132, len(data), 3):
            data[place] = RANDOM.integers(256)
        with suppress(ImageError):
            assert decode(bytes(data), pixel_limit=LIMIT).shape[0] == 3


def test_the_limit_is_checked_before_the_pixels() -> None:
    assert "60000 × 60000 = 3600 million pixels" in error_of(dicom(EIGHT, Rows=60000, Columns=60000))


def test_a_file_without_a_picture() -> None:
    file = dataset(EIGHT)
    del file.PixelData
    assert "it holds no picture" in error_of(encode(file))


def test_without_pydicom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtra, match=r"reading DICOM files needs .* 'convscope\[dicom\]'"):
        decode(dicom(EIGHT), pixel_limit=LIMIT)
