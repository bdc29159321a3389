"""What every source of pictures can do."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from convscope.errors import ImageError
from convscope.image.preparation import Preparation
from convscope.image.read import read_picture
from convscope.image.recipe import JSON
from convscope.image.resize import Size


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture that a source has, with its class as the source tells it: a name, a number, both or neither.

    `name` is a path relative to the source's root, with slashes. `stamp` is another when the file has changed, and
    empty where nothing tells.
    """

    name: str
    label: str | None = None
    index: int | None = None
    stamp: str = ""


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that was passed over, and why."""

    path: Path
    reason: str


class Source(ABC):
    """Many pictures: what there is, and each one by its name. Opened by `open_source`."""

    root: str
    """What the names are relative to: a folder, an address, or a word for what is neither."""
    unreadable: Sequence[Unreadable] = ()
    """What was passed over. Known once `entries` was called."""
    labels_from: str | None = None
    """What told the classes, in words. Known once `entries` was called."""

    @abstractmethod
    def entries(self) -> Sequence[Entry]:
        """What there is, sorted, the same at each call. Raises ImageError if there is nothing."""

    @abstractmethod
    def bytes(self, name: str) -> bytes:
        """The file of that name; of what is no picture perhaps only its beginning. Raises ImageError or OSError."""

    @property
    def spec(self) -> dict[str, JSON] | None:
        """What `from_spec` opens the same source by in another process; None where there is no such thing."""
        return None

    @staticmethod
    def from_spec(spec: Mapping[str, Any]) -> "Source":
        """The source that has this `spec`. Raises as `open_source` does."""
        from convscope.image.sources import source_from

        return source_from(spec)

    def path(self, name: str) -> Path | None:
        """The file of that name on this machine, if there is one."""
        return None

    def where(self, name: str) -> str:
        """Its path or address, to show."""
        return str(self.path(name) or f"{self.root.rstrip('/')}/{name}")

    def open(self, name: str, preparation: Preparation, *, at_least: Size | None = None) -> tuple[Tensor, Size]:
        """The picture of that name (C, H, W), not prepared yet, and the rows and columns of it in its file, upright.

        With `at_least` it may come smaller than that: see `read_picture`. Raises ImageError, which tells the reason
        without the name, for what can't be read.
        """
        try:
            data = self.bytes(name)
        except (OSError, ValueError) as error:  # ValueError: a null character in the name
            raise ImageError(
                f"{getattr(error, 'strerror', None) or error}; expected a file that can be read"
            ) from error
        return read_picture(data, channels=preparation.channels, window=preparation.window, at_least=at_least)
