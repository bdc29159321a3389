"""DICOM files to samples, by pydicom."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convscope.errors import ImageError, MissingExtra
from convscope.image.samples import Samples, Wanted, own_white

if TYPE_CHECKING:
    from pydicom import Dataset

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def read_dicom(data: bytes, wanted: Wanted) -> Samples:
    """The samples of one frame. Raises ImageError for what can't be read, ValueError and others if it is damaged.

    Grey values are rescaled to their units, and shown by the file's own window unless another is wanted.
    """
    try:
        from pydicom import dcmread
        from pydicom.pixels.processing import apply_color_lut
    except ImportError as error:
        raise MissingExtra("reading DICOM files", extra="dicom") from error

    dataset = dcmread(BytesIO(data))
    if not any(each in dataset for each in _PIXELS):
        raise ImageError("it holds no picture, or is cut off before it; expected a DICOM image")
    wanted.check_page(int(dataset.get("NumberOfFrames") or 1))
    wanted.check_size(dataset.Rows, dataset.Columns)
    values = _decoded(dataset, wanted.page)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(values, dataset)
        return Samples(colours, own_white(colours))
    if dataset.SamplesPerPixel > 1:
        return Samples(values, _depth(dataset, values))
    return _grey(dataset, values[..., None], wanted)


def _decoded(dataset: "Dataset", frame: int) -> NDArray[Any]:
    """The stored values (H, W) of one frame, or (H, W, 3) in RGB."""
    from pydicom.pixels.utils import pixel_array

    try:
        return pixel_array(dataset, index=frame)
    except (RuntimeError, NotImplementedError) as error:
        # Whether a decoder is missing, can't do this variant, or met damaged bytes is in its words alone.
        reason = " ".join(str(error).split())
        raise ImageError(
            f"its pixels are packed as {dataset.file_meta.TransferSyntaxUID.name} and can't be unpacked here "
            f"({reason}): if the file is whole, pip install 'pylibjpeg[all]', or unpack it with another program"
        ) from error


def _depth(dataset: "Dataset", values: NDArray[Any]) -> float | None:
    """The stored value that stands for 1, if nothing else is said: the largest of its bits."""
    return 2.0**dataset.BitsStored - 1 if values.dtype.kind == "u" else own_white(values)


def _grey(dataset: "Dataset", stored: NDArray[Any], wanted: Wanted) -> Samples:
    """Values in their units, shown by the file's own window or table unless another is wanted."""
    from pydicom.pixels.processing import apply_voi

    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    values, white = _in_units(dataset, stored, wanted.page)
    window: tuple[float, float] | None = None
    if wanted.window is None:
        centre, width, function = (
            _attribute(dataset, wanted.page, "FrameVOILUTSequence", name)
            for name in ("WindowCenter", "WindowWidth", "VOILUTFunction")
        )
        if centre is not None and width is not None:
            if function == "SIGMOID":
                # The logistic function of 4 (x - c) / w, written such that nothing overflows.
                curve = 0.5 + 0.5 * np.tanh(2 * (values - float(centre)) / float(width))
                return Samples(curve, 1, inverted=inverted)
            window = _window(float(centre), float(width), exact=function == "LINEAR_EXACT")
        elif "VOILUTSequence" in dataset:
            values, white = apply_voi(values, dataset), 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    return Samples(values, white, inverted=inverted, window=window)


def _in_units(dataset: "Dataset", stored: NDArray[Any], frame: int) -> tuple[NDArray[Any], float | None]:
    """Values in the file's units, such as Hounsfield's (DICOM PS3.3, C.11.1); and the one for 1, if there is one."""
    from pydicom.pixels.processing import apply_modality_lut

    if "ModalityLUTSequence" in dataset:
        return apply_modality_lut(stored, dataset), None
    slope, intercept = (
        _attribute(dataset, frame, "PixelValueTransformationSequence", name)
        for name in ("RescaleSlope", "RescaleIntercept")
    )
    if slope is None or intercept is None or (slope, intercept) == (1, 0):
        return stored, _depth(dataset, stored)
    return stored * float(slope) + float(intercept), None


def _window(centre: float, width: float, *, exact: bool) -> tuple[float, float]:
    """The values shown as 0 and 1: DICOM PS3.3, C.11.2.1.2, where windows are of whole numbers unless `exact`."""
    if width <= 0 or (width < 1 and not exact):
        raise ImageError(f"its own window is {width:g} wide, which can't be followed: give window=(low, high)")
    low = centre - width / 2
    high = low + width - (0 if exact else 1)
    # Of the narrowest one, 1 wide, all above `low` is white.
    return low, max(high, float(np.nextafter(low, np.inf)))


def _attribute(dataset: "Dataset", frame: int, group: str, name: str) -> Any:
    """An attribute of a frame, the first of its values: its own, of all frames, or of the file. None without."""
    holders = [dataset]
    for sequence, item in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
        if sequence in dataset and group in dataset[sequence][item]:
            holders.insert(0, dataset[sequence][item][group][0])
    value = next((each[name].value for each in holders if name in each), None)
    return value[0] if isinstance(value, Sequence) and not isinstance(value, str) else value
