"""What every film is, whatever it is kept in: frames of one size that follow each other at some rate."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import count
from types import TracebackType
from typing import Self, TypeAlias
from weakref import WeakSet

from torch import Tensor

from convscope.errors import ConvscopeError, ImageError

Frames: TypeAlias = Generator[Tensor, None, None]

_SLOWEST, _FASTEST = 0.01, 1000.0


class Film:
    """Frames in order, each an image (3, H, W), float32 in [0, 1], upright, decoded when it is asked for.

    Made by `open_film`. Each iteration starts at the first frame and holds the file open until it ends, is dropped, or
    the film is left as a context manager.

    Iterating raises ImageError, which says which frame it was, counted from 1, for one that can't be decoded or has
    another size than the first. The frames before it have been given by then.

    Attributes
    ----------
    path
        The file or folder.
    size
        Rows and columns of every frame, upright.
    frames_per_second
        The mean rate, where frames are shown for times of different length.
    frames
        How many there are, as the file says before it is decoded; None where it doesn't.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        decode: Callable[[], Frames],
        *,
        frames_per_second: float,
        frames: int | None,
    ) -> None:
        """A film whose frames `decode` gives, anew each time it is called.

        Raises ImageError if there are none, or the first can't be decoded.
        """
        self.path, self.frames_per_second, self.frames = os.fspath(path), frames_per_second, frames
        self._decode = decode
        self._passes: WeakSet[Frames] = WeakSet()
        # Only a decoded frame tells for sure: a header's size doesn't know of rotation.
        with closing(decode()) as begun:
            first = self._next(begun, 1)
        if first is None:
            raise ImageError(f"can't read {self.path!r}: it holds no frames; expected a film of one at least")
        self.size = (first.shape[1], first.shape[2])

    def __iter__(self) -> Iterator[Tensor]:
        frames = self._frames()
        self._passes.add(frames)
        return frames

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for frames in list(self._passes):
            frames.close()

    def _frames(self) -> Frames:
        with closing(self._decode()) as frames:
            for number in count(1):
                frame = self._next(frames, number)
                if frame is None:
                    return
                self._check_size(frame, number)
                yield frame

    def _next(self, frames: Frames, number: int) -> Tensor | None:
        try:
            return next(frames, None)
        except ImageError as error:
            raise ImageError(f"can't read frame {number} of {self.path!r}: {error}") from error
        except (ConvscopeError, MemoryError):
            raise
        except Exception as error:  # on damaged bytes decoders fail in many ways
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())
            raise ImageError(
                f"can't read frame {number} of {self.path!r}: the file is damaged ({reason}); "
                "expected a whole one: get it anew, or make do with the frames before"
            ) from error

    def _check_size(self, frame: Tensor, number: int) -> None:
        if frame.shape[1:] != self.size:
            raise ImageError(
                f"can't read frame {number} of {self.path!r}: it has {frame.shape[1]} rows and {frame.shape[2]} "
                f"columns, expected {self.size[0]} and {self.size[1]} as the first has: bring them to one size"
            )


def check_rate(frames_per_second: float) -> None:
    """Raise ImageError unless films can have this rate.

    >>> check_rate(0)
    Traceback (most recent call last):
    convscope.errors.ImageError: got frames_per_second=0, expected a number from 0.01 to 1000, such as 25
    """
    if not _SLOWEST <= frames_per_second <= _FASTEST:
        expected = f"expected a number from {_SLOWEST:g} to {_FASTEST:g}, such as 25"
        raise ImageError(f"got frames_per_second={frames_per_second}, {expected}")
