"""Pictures by id, never by path: bundled photographs, those of a folder, and what is uploaded."""

import hashlib
import io
import os
import re
import stat
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PureWindowsPath
from threading import Lock
from typing import Literal

from PIL import Image
from torch import Tensor

from convscope.errors import ConvscopeError, ImageError, MissingExtra
from convscope.image.bundled import PHOTOGRAPHS, photograph
from convscope.image.formats import HEAD, identify
from convscope.image.provenance import remember
from convscope.image.read import PIXEL_LIMIT, read_picture
from convscope.image.recipe import JSON, Input
from convscope.image.sources import Entry, Source, open_source
from convscope.image.write import to_picture
from convscope.network.network import Network

Kind = Literal["sample", "file", "upload"]

UPLOADED = ("PNG", "JPEG", "WebP")
"""What may be uploaded, by its content."""

_UPLOAD_PIXELS = 40_000_000
_UPLOAD_BYTES = 256 << 20
_PREPARED = 32
_THUMBNAILS = 512
_SAMPLES = ("chelsea", "astronaut", "coffee", "rocket", "motorcycle", "china", "flower", "camera")


class Unknown(ConvscopeError):  # noqa: N818 - it says what it is
    """There is nothing of that id."""


@dataclass(frozen=True)
class Item:
    """A picture: what it is called, without its folder, and its class as a folder tells it."""

    id: str
    kind: Kind
    name: str
    label: str | None = None


class Images:
    """All pictures that there are. `folder` is what was named at the start; nothing else of the disk can be reached.

    Uploads are kept in memory, `upload_bytes` of them; the oldest go first. May be used from several threads.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        upload_pixels: int = _UPLOAD_PIXELS,
        upload_bytes: int = _UPLOAD_BYTES,
    ) -> None:
        self._folder = None if folder is None else Path(folder).resolve()
        self._source = None if folder is None else open_source(self._folder or "", every_file=False)
        self._upload_pixels, self._upload_bytes = upload_pixels, upload_bytes
        self._uploads: OrderedDict[str, tuple[Item, bytes]] = OrderedDict()
        self._prepared: OrderedDict[tuple[int, str], tuple[Network, Tensor]] = OrderedDict()
        self._thumbnails: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = Lock()

    # What there is

    @cached_property
    def _samples(self) -> dict[str, Item]:
        named = [*_SAMPLES, *(name for name in PHOTOGRAPHS if name not in _SAMPLES)]
        return {f"sample-{name}": Item(f"sample-{name}", "sample", name) for name in named if _is_there(name)}

    @cached_property
    def _files(self) -> dict[str, tuple[Item, Entry]]:
        """The folder's pictures, as they lie in it."""
        if self._source is None:
            return {}
        found = {}
        for entry in self._source.entries():
            digest = hashlib.sha256(entry.name.encode("utf-8", "surrogatepass")).hexdigest()
            item = Item(f"file-{digest[:20]}", "file", PureWindowsPath(entry.name).name, entry.label)
            if self._inside(entry.name) is not None:
                found[item.id] = item, entry
        return found

    def all(self, kind: Kind | None = None) -> list[Item]:
        """Those of one kind, or of all: uploads, the newest first, then the folder's, then samples."""
        with self._lock:
            uploads = [item for item, _ in reversed(self._uploads.values())]
        files = [item for item, _ in self._files.values()]
        every = [*uploads, *files, *self._samples.values()]
        return [item for item in every if kind in (None, item.kind)]

    def item(self, id: str) -> Item:
        """Raises Unknown."""
        with self._lock:
            upload = self._uploads.get(id)
        if upload is not None:
            return upload[0]
        found = self._files[id][0] if id in self._files else self._samples.get(id)
        if found is None:
            raise Unknown("there is no such picture; it may have been an upload of an earlier time: upload it again")
        return found

    # As a source

    @cached_property
    def source(self) -> tuple[str, Source]:
        """The folder's pictures, without a folder the samples, for what reads many; and what to call them."""
        if self._source is None or self._folder is None:
            whole = open_source([item.name for item in self._samples.values()])
            # The folders of the packages that they come with are no classes.
            return "samples", Some(whole, [Entry(each.name, stamp=each.stamp) for each in whole.entries()])
        return self._folder.name, Some(self._source, [entry for _, entry in self._files.values()])

    @property
    def labelled(self) -> Sequence[Entry]:
        """The folder's pictures with the classes that it tells."""
        return [entry for _, entry in self._files.values()]

    def id_at(self, path: Path | None) -> str | None:
        """The picture that lies there; None where it is none of these."""
        return None if path is None else self._places.get(str(path)) or self._places.get(str(path.resolve()))

    @cached_property
    def _places(self) -> dict[str, str]:
        files = {str((self._folder or Path()) / entry.name): id for id, (_, entry) in self._files.items()}
        return {str(photograph(item.name).resolve()): id for id, item in self._samples.items()} | files

    # Uploads

    def add(self, data: bytes, name: str) -> Item:
        """Take an uploaded file. Raises ImageError where it is no PNG, JPEG or WebP, too many pixels, or damaged."""
        kind = identify(data[:HEAD])
        if kind not in UPLOADED:
            raise ImageError(f"got {kind}; expected a PNG, JPEG or WebP file: convert it to one of these")
        # Reading it whole is what shows whether it can be; its header is looked at before its pixels are.
        read_picture(data, pixel_limit=self._upload_pixels, at_least=(1, 1))
        id = f"upload-{hashlib.sha256(data).hexdigest()[:20]}"
        item = Item(id, "upload", _plain(name))
        with self._lock:
            self._uploads[id] = item, data
            self._uploads.move_to_end(id)
            while len(self._uploads) > 1 and sum(len(each) for _, each in self._uploads.values()) > self._upload_bytes:
                self._uploads.popitem(last=False)
        return item

    # Pixels

    def prepared(self, id: str, network: Network) -> Tensor:
        """The picture as it comes to a network, kept for the next time. Raises Unknown, ImageError."""
        asked = (id_of(network), id)
        item = self.item(id)
        with self._lock:
            known = self._prepared.get(asked)
            if known is not None:
                self._prepared.move_to_end(asked)
                return known[1]
        image = network.prepare(self._read(item, network))
        with self._lock:
            self._prepared[asked] = network, image
            while len(self._prepared) > _PREPARED:
                self._prepared.popitem(last=False)
        return image

    def read(self, id: str, network: Network) -> Tensor:
        """The picture of its full size, with a network's channels. Raises Unknown, ImageError."""
        return self._read(self.item(id), network)

    def thumbnail(self, id: str, side: int) -> bytes:
        """A WebP whose longer side is at most so many pixels."""
        self.item(id)
        asked = (id, side)
        with self._lock:
            if asked in self._thumbnails:
                self._thumbnails.move_to_end(asked)
                return self._thumbnails[asked]
        image, _ = read_picture(self._bytes(id), at_least=(2 * side, 2 * side), pixel_limit=self._limit(id))
        picture = to_picture(image).convert("RGB")
        picture.thumbnail((side, side))
        drawn = webp(picture)
        with self._lock:
            self._thumbnails[asked] = drawn
            while len(self._thumbnails) > _THUMBNAILS:
                self._thumbnails.popitem(last=False)
        return drawn

    def _read(self, item: Item, network: Network) -> Tensor:
        if network.loader is not None and item.kind == "file":
            path = self._inside(self._files[item.id][1].name)
            if path is None:
                raise Unknown("there is no such picture any more")
            return network.loader(str(path))
        data = self._bytes(item.id)
        image, _ = read_picture(
            data, channels=network.channels, window=network.window, pixel_limit=self._limit(item.id)
        )
        digest = hashlib.sha256(data).hexdigest()
        return remember(image, Input(item.name, digest, channels=network.channels, window=network.window))

    def _limit(self, id: str) -> int:
        return self._upload_pixels if id.startswith("upload-") else PIXEL_LIMIT

    def _bytes(self, id: str) -> bytes:
        with self._lock:
            if id in self._uploads:
                return self._uploads[id][1]
        if id in self._samples:
            return photograph(self._samples[id].name).read_bytes()
        if id in self._files:
            path = self._inside(self._files[id][1].name)
            if path is not None:
                return _whole(path)
        raise Unknown("there is no such picture any more")

    def _inside(self, name: str) -> Path | None:
        """Where a file of the folder really lies; None if that is outside of it, through whatever links."""
        assert self._folder is not None
        try:
            path = (self._folder / name).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            return None
        return path if path.is_relative_to(self._folder) and path.is_file() else None


class Some(Source):
    """Some of the pictures of a source, in an order of their own."""

    def __init__(self, whole: Source, entries: Sequence[Entry]) -> None:
        self._whole, self._entries, self.root = whole, entries, whole.root

    def entries(self) -> Sequence[Entry]:
        return self._entries

    def bytes(self, name: str) -> bytes:
        return self._whole.bytes(name)

    def path(self, name: str) -> Path | None:
        return self._whole.path(name)

    @property
    def spec(self) -> dict[str, JSON] | None:
        return self._whole.spec


def id_of(network: Network) -> int:
    """By what a network is told from another while both are there."""
    return id(network)


def webp(picture: Image.Image, *, quality: int = 85) -> bytes:
    """A picture as WebP, quickly."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=1)
    return buffer.getvalue()


def _whole(path: Path) -> bytes:
    """All of a file, that must be one; `path` holds no link when it was looked at, so none is followed now."""
    opened: Callable[[str, int], int] = lambda name, flags: os.open(name, flags | getattr(os, "O_NOFOLLOW", 0))  # noqa: E731
    try:
        with open(path, "rb", opener=opened) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unknown("there is no such picture any more")
            return file.read()
    except OSError as error:
        raise Unknown("there is no such picture any more") from error


def _is_there(name: str) -> bool:
    try:
        return photograph(name).is_file()
    except (ImageError, MissingExtra):
        return False


def _plain(name: str) -> str:
    r"""What an upload is called: a file's name without folders or what can't be seen.

    >>> _plain("../../etc/dog\0.jpg"), _plain(r"C:\photos\cat.png"), _plain("..")
    ('dog.jpg', 'cat.png', 'upload')
    """
    shown = re.sub(r"[^\w .,()+=@-]", "", PureWindowsPath(name).name)[:100].strip(" .")
    return shown or "upload"
