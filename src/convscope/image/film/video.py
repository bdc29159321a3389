"""Video files, by PyAV: what FFmpeg reads, and MP4 (H.264) and WebM (VP9) to write."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import ImageError, MissingExtra
from convscope.image.exif import upright
from convscope.image.film.comment import as_comment
from convscope.image.film.film import Film, Frames
from convscope.image.film.matroska import is_cut
from convscope.image.film.sink import Add, Encoding, Size
from convscope.image.samples import Wanted

MAYBE_VIDEO = ("a video", "of a kind unknown here")
"""What `identify` calls files that are worth a try."""

# The numbers are those of ITU-T H.273, which the containers hold, and of FFmpeg's ranges.
_BT709, _UNSPECIFIED = 1, 2
_LIMITED, _FULL = 1, 2
# From so many rows on, players take a video that doesn't say for BT.709.
_HIGH_DEFINITION = 720
# Bicubic, with all of the colours' pixels and rounded well: by default swscale is three times as far off.
_CAREFULLY = 0x4 | 0x2000 | 0x4000 | 0x40000
# The signs of a display matrix's upper left (ISO/IEC 14496-12, 8.2.2), row by row, and the EXIF orientation they mean.
_ORIENTATIONS: dict[tuple[int, ...], int] = {
    (1, 0, 0, 1): 1, (-1, 0, 0, 1): 2, (-1, 0, 0, -1): 3, (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5, (0, 1, -1, 0): 6, (0, -1, -1, 0): 7, (0, -1, 1, 0): 8,
}  # fmt: skip


def open_video(file: Path, frames_per_second: float | None, pixel_limit: int) -> Film:
    """The film in a video file. Raises ImageError if it is none or holds no pictures, and as `Film` does."""
    with _opened(file) as (_, stream):
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        count = stream.frames or None

    def decode() -> Frames:
        with _opened(file) as (container, stream):
            Wanted(pixel_limit=pixel_limit).check_size(stream.height, stream.width)
            for decoded in container.decode(stream):
                yield _image(decoded)
        if is_cut(file):
            raise ValueError("the file ends too early")

    return Film(file, decode, frames_per_second=frames_per_second or rate, frames=count)


def read_comment(file: Path) -> str:
    """The comment in a video file, empty if there is none. Raises as `open_video`."""
    with _opened(file) as (container, _):
        tags = {name.lower(): str(value) for name, value in container.metadata.items()}
        return tags.get("comment", "")


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Any, Any]]:
    """PyAV's container and its stream of pictures."""
    av = _pyav(f"reading {file.name!r} as a video")
    try:
        # So a playlist in disguise can't reach the network, comments in odd encodings do no harm, and a colon in a
        # relative name is not taken for a protocol's.
        only_files = {"protocol_whitelist": "file"}
        container = av.open(str(file.absolute()), container_options=only_files, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"can't read {str(file)!r} as a film: {reason}; expected a video that FFmpeg knows") from error
    with container:
        covers = av.stream.Disposition.attached_pic
        stream = next((each for each in container.streams.video if not each.disposition & covers), None)
        if stream is None:
            raise ImageError(f"can't read {str(file)!r} as a film: it holds no pictures; expected a video")
        yield container, stream


def _image(decoded: Any) -> torch.Tensor:
    """A decoded frame as an upright image."""
    unsaid = decoded.colorspace == _UNSPECIFIED and decoded.height >= _HIGH_DEFINITION
    colours = decoded.reformat(
        format="rgb24",
        src_colorspace=_BT709 if unsaid else None,
        dst_color_range=_FULL,
        interpolation=_CAREFULLY,
    )
    levels: NDArray[np.uint8] = upright(colours.to_ndarray(), _orientation(decoded))
    with torch.inference_mode(False):
        return torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1))).float() / 255


def _orientation(decoded: Any) -> int:
    matrix = decoded.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1
    signs = np.sign(np.frombuffer(bytes(matrix), np.int32)).reshape(3, 3)[:2, :2]
    return _ORIENTATIONS.get(tuple(signs.ravel().tolist()), 1)


@dataclass(frozen=True)
class Codec:
    """What a container is written with, and how its quality is said."""

    container: str
    encoder: str
    finest: int
    """The rate factor (crf) at quality 100; one more for each step below."""
    coarsest: int
    options: dict[str, str]
    container_options: dict[str, str]

    def rate_factor(self, quality: int) -> str:
        """What the encoder takes for a quality of 1 … 100."""
        return str(min(self.coarsest, self.finest + 100 - quality))


# Faststart: the index comes first, so that browsers play while they load.
MP4 = Codec("mp4", "libx264", 8, 51, {"preset": "medium"}, {"movflags": "+faststart"})
WEBM = Codec("webm", "libvpx-vp9", 14, 63, {"b": "0", "cpu-used": "4", "row-mt": "1"}, {})


def check_encoder(codec: Codec) -> None:
    """Raise MissingExtra without PyAV, ImageError if it was built without that encoder."""
    av = _pyav(f"writing .{codec.container} (.gif, .webp and a folder of pictures need nothing more)")
    if codec.encoder not in av.codecs_available:
        raise ImageError(
            f"can't write .{codec.container}: this build of PyAV lacks the encoder {codec.encoder}; "
            "expected that of PyPI (pip install av): or write .gif, .webp or a folder"
        )


@contextmanager
def video_sink(path: Path, size: Size, encoding: Encoding, codec: Codec) -> Iterator[Add]:
    """A video in BT.709 with halved colours (4:2:0), which all players know; see `Sink`.

    That takes even sides: an odd one grows by a pixel, as the one before it.
    """
    import av

    rows, columns = (side + side % 2 for side in size)
    options = {"crf": codec.rate_factor(encoding.quality), **codec.options}
    with (
        _errors_of_ours(),
        av.open(str(path), "w", format=codec.container, container_options=codec.container_options) as container,
    ):
        if encoding.recipe is not None:
            container.metadata["comment"] = as_comment(encoding.recipe)
        stream: Any = container.add_stream(codec.encoder, rate=encoding.frames_per_second, options=options)
        stream.height, stream.width, stream.pix_fmt = rows, columns, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED

        def add(picture: Image.Image) -> None:
            container.mux(stream.encode(_frame(picture, rows, columns)))

        yield add
        container.mux(stream.encode(None))


def _frame(picture: Image.Image, rows: int, columns: int) -> Any:
    import av

    levels = np.asarray(picture.convert("RGB"))
    padding = ((0, rows - levels.shape[0]), (0, columns - levels.shape[1]), (0, 0))
    return av.VideoFrame.from_ndarray(np.pad(levels, padding, mode="edge"), format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=_BT709,
        src_color_range=_FULL,
        dst_color_range=_LIMITED,
        interpolation=_CAREFULLY,
    )


@contextmanager
def _errors_of_ours() -> Iterator[None]:
    import av

    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise ImageError(f"the encoder refused the frames: {error}; expected a size it can take") from error


def _pyav(feature: str) -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise MissingExtra(feature, extra="video") from error
    module: ModuleType = av
    return module
