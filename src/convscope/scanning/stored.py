"""A scan that is there: what it holds, and what can be asked of it."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope import __version__
from convscope.errors import ConvscopeError, ImageError, LayerError, NetworkError, nearest
from convscope.image.recipe import JSON, Recipe
from convscope.image.sources import Entry, Source, Unreadable, open_source, source_from
from convscope.image.write import atomic_path
from convscope.network.class_names import classes_of
from convscope.network.network import Network
from convscope.network.summarized import Summarizer
from convscope.network.zoo.again import harmless, load_again
from convscope.scanning.header import Header, ScannedLayer
from convscope.scanning.plan import read_plan
from convscope.scanning.store import Store
from convscope.scanning.summary import Statistics, Summary, Top
from convscope.scanning.work import CODE, THUMBNAIL, engine_kind

if TYPE_CHECKING:
    from lancedb.table import Table

    from convscope.scanning.map import Map
    from convscope.scanning.mistakes import Mistakes
    from convscope.scanning.patches import TopPatches
    from convscope.scanning.projection import Method
    from convscope.scanning.units import Units

_REMOVED = "removed.json"
_PASSED_OVER = "passed_over.json"


@dataclass(frozen=True)
class Images:
    """The pictures that were read, in the order of their ids; all columns are of one length n.

    `ids` `(n,)`; `names` as the source calls them, `labels` as it tells them; `classes` `(n,)` the network's class of
    that label, −1 where it isn't known; `answers` `(n, t)` the network's most probable classes, the first before the
    others, with their `probabilities` `(n, t)`, t = 0 where it has no classes; `sizes` `(n, 2)` rows and columns of the
    picture as its file has it, upright; `removed` `(n,)` whether the source has it no more, or another in its place.
    """

    ids: NDArray[np.int64]
    names: list[str]
    labels: list[str | None]
    classes: NDArray[np.int64]
    answers: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    sizes: NDArray[np.int32]
    removed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, id: int) -> int:
        """Where the picture of that id is. Raises ConvscopeError where none was read by that id."""
        row = int(np.searchsorted(self.ids, id))
        if row == len(self.ids) or self.ids[row] != id:
            raise ConvscopeError(f"no picture of the scan has the id {id}")
        return row


class Scan:
    """What one network answers to many pictures, as it was stored; opened by `open_scan`.

    `path` is its folder, `header` says what it was made with.
    """

    def __init__(self, path: Path, network: Network | None = None, source: Source | None = None) -> None:
        self.path, self.header = path, Header.read(path)
        self._given, self._source = network, source
        if network is not None:
            check_network(network, self.header)
        self._summarizers: dict[str, Summarizer] = {}
        self._codes: dict[str, NDArray[np.float16]] = {}

    def __repr__(self) -> str:
        return f"Scan({str(self.path)!r}, {self.header.network!r}, {len(self)} images, {len(self.layers)} layers)"

    def __len__(self) -> int:
        return len(self.images)

    # What it was made of

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the network's classes."""
        return self.header.labels

    @property
    def layers(self) -> dict[str, ScannedLayer]:
        """The layers that were scanned, as they were asked for."""
        return self.header.layers

    def layer(self, name: str) -> ScannedLayer:
        """That of this name, or of any other that the network has for it. Raises LayerError."""
        for each in self.layers.values():
            if name in (each.name, *each.called):
                return each
        raise LayerError(
            f"layer {name!r} was not scanned; {nearest(name, self.layers)}; add it by: convscope scan … --layers {name}"
        )

    @cached_property
    def network(self) -> Network:
        """The network that it was made with, loaded at first need.

        Raises RecipeError where it can't be loaded by its name; `open_scan(path, network=…)` says which it is.
        """
        if self._given is not None:
            return self._given
        return load_again(harmless(self.header.network), self.header.weights, self.header.feeding)

    @cached_property
    def source(self) -> Source:
        """Where the pictures are. Raises ImageError where that isn't known."""
        if self._source is not None:
            return self._source
        if self.header.source is None:
            raise ImageError("the scan's pictures were no files: open_scan(path, source=…) says where they are")
        return source_from(self.header.source)

    # Pictures

    @cached_property
    def images(self) -> Images:
        """Those that were read."""
        names = ("id", "name", "label", "index", "rows", "columns", "answers", "probabilities", "reason")
        rows = self._store(0).columns(names).to_pydict()
        read = [at for at, reason in enumerate(rows["reason"]) if reason is None]
        of = {name: [values[at] for at in read] for name, values in rows.items()}
        entries = [Entry(*each) for each in zip(of["name"], of["label"], of["index"], strict=True)]
        classes, _ = classes_of(entries, self.labels, self.header.classes or 0)
        ids = np.array(of["id"], np.int64)
        return Images(
            ids,
            of["name"],
            of["label"],
            np.array([-1 if each is None else each for each in classes], np.int64),
            _table(of["answers"], np.int32),
            _table(of["probabilities"], np.float32),
            np.array([of["rows"], of["columns"]], np.int32).T.reshape(-1, 2),
            np.isin(ids, _read_json(self.path / _REMOVED, [])),
        )

    @cached_property
    def unreadable(self) -> list[Unreadable]:
        """Those that were not, with the reason."""
        rows = self._store(0).columns(("name", "reason")).to_pylist()
        passed_over = _read_json(self.path / _PASSED_OVER, [])
        found = [(row["name"], row["reason"]) for row in rows if row["reason"] is not None]
        return [Unreadable(Path(name), reason) for name, reason in [*found, *passed_over]]

    def where(self, id: int) -> str:
        """The path or address of a picture, to show."""
        return self.source.where(self.images.names[self.images.row(id)])

    def open(self, id: int) -> Tensor:
        """A picture `(C, H, W)` in [0, 1] of its full size, read with the network's channels.

        Raises ImageError where it is gone, or is another now.
        """
        row = self.images.row(id)
        if self.images.removed[row]:
            raise ImageError(f"{self.images.names[row]!r} is gone since it was scanned, or is another now")
        if self.network.loader is not None:
            return self.network.loader(self.source.where(self.images.names[row]))
        return self.source.open(self.images.names[row], self.network.preparation)[0]

    def pixels(self) -> NDArray[np.uint8]:
        """Each picture at 32×32, `(n, 3072)`: `(3, 32, 32)` row by row, levels 0 … 255."""
        column = self._read(0, "thumbnail")
        return np.frombuffer(b"".join(column), np.uint8).reshape(-1, 3 * THUMBNAIL**2)

    # What the network made of them

    def codes(self, layer: str) -> NDArray[np.float16]:
        """The codes `(n, C)` of a layer: the mean over the places of its maps, or the vector itself. Kept in memory."""
        found = self.layer(layer)
        if found.name not in self._codes:
            chunks = self._store(found.number).columns((self.column(found),)).column(0).chunks
            parts = [np.asarray(each.flatten()).reshape(-1, found.channels) for each in chunks]
            rows = np.concatenate(parts) if parts else np.zeros((0, found.channels), np.float16)
            self._codes[found.name] = rows[self._of(found.number)]
        return self._codes[found.name]

    def code_batches(self, layer: str, rows: int = 65536) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """The same so many rows at a time, with their ids, in any order: for more than memory holds."""
        found = self.layer(layer)
        column = self.column(found)
        for batch in self._store(found.number).batches(("id", "reason", column), rows):
            codes = np.asarray(batch.column(column).flatten()).reshape(-1, found.channels)
            read = np.asarray(batch.column("reason").is_null())
            yield np.asarray(batch.column("id"))[read], codes[read]

    def code_of(self, images: Tensor, layer: str) -> NDArray[np.float32]:
        """The codes `(C,)` of an image `(C, H, W)` of any size, or `(N, C)` of a batch, as they would be stored."""
        found = self.layer(layer)
        if found.name not in self._summarizers:
            self._summarizers[found.name] = Summarizer(
                self.network,
                [found.name],
                whole=False,
                engine=engine_kind(self.header.engine),
                batch=min(self.header.batch, 8),
            )
        summarizer = self._summarizers[found.name]
        prepared = self.network.prepare(images if images.dim() == 4 else images[None])
        parts = [summarizer(each)[1][found.name].mean for each in torch.split(prepared, summarizer.batch)]
        codes = torch.cat(parts).float().numpy()
        return codes if images.dim() == 4 else codes[0]

    def table(self, number: int) -> "Table":
        """The LanceDB table of a pass: a row a picture. Raises ConvscopeError where nothing is kept yet."""
        table = self._store(number).table
        if table is None:
            raise ConvscopeError(f"the scan {str(self.path)!r} is empty: run it again to go on")
        return table

    def column(self, layer: ScannedLayer) -> str:
        """The column of that table that holds a layer's codes."""
        return CODE([each.name for each in self.header.passes[layer.number]].index(layer.name))

    def top(self, layer: str) -> Top:
        """The images in which each channel of a layer is strongest."""
        return self._summary(self.layer(layer)).top

    def statistics(self, layer: str) -> Statistics:
        """How strong each channel of a layer usually is."""
        return self._summary(self.layer(layer)).statistics

    # What can be asked of it

    def top_patches(self, layer: str, **options: Any) -> "TopPatches":
        """What each channel of a layer is strongest at: see `scanning.patches.top_patches`."""
        from convscope.scanning.patches import top_patches

        return top_patches(self, layer, **options)

    def neighbours(self, image: Any, **options: Any) -> Any:
        """The pictures that are most like one, by codes and by pixels: see `scanning.neighbours.neighbours`."""
        from convscope.scanning.neighbours import neighbours

        return neighbours(self, image, **options)

    def map(self, method: "Method" = "t-sne", **options: Any) -> "Map":
        """All pictures in a plane, like ones near each other: see `scanning.map.map_of`."""
        from convscope.scanning.map import map_of

        return map_of(self, method=method, **options)

    def mistakes(self, **options: Any) -> "Mistakes":
        """Where the labels and the answers differ: see `scanning.mistakes.mistakes`."""
        from convscope.scanning.mistakes import mistakes

        return mistakes(self, **options)

    def units(self, layer: str, **options: Any) -> "Units":
        """What each channel of a layer usually answers: see `scanning.units.units`."""
        from convscope.scanning.units import units

        return units(self, layer, **options)

    def recipe(self, method: str, parameters: Mapping[str, JSON], *, seed: int | None = None) -> Recipe:
        """The recipe of a result that `method` makes of this scan."""
        header = self.header
        return Recipe(
            method=method,
            parameters={"scan": self.path.name, **parameters},
            network=header.network,
            weights=header.weights,
            feeding=header.feeding,
            engine=header.engine,
            threads=torch.get_num_threads(),
            batch=None,
            seed=seed,
            version=__version__,
        )

    # Inside

    def _store(self, number: int) -> Store:
        return Store(self.path, number)

    def _of(self, number: int) -> NDArray[np.int64]:
        """Which rows of a pass, in the order of ids, are those of `images`."""
        ids = np.asarray(self._store(number).columns(("id",)).column(0), dtype=np.int64)
        rows = np.searchsorted(ids, self.images.ids)
        if len(ids) < len(self.images) or not np.array_equal(ids[rows], self.images.ids):
            raise ConvscopeError(f"the scan {str(self.path)!r} is not finished: run it again to go on")
        return rows

    def _read(self, number: int, column: str) -> list[Any]:
        values = self._store(number).columns((column,)).column(0).to_pylist()
        return [values[at] for at in self._of(number)]

    def _summary(self, layer: ScannedLayer) -> Summary:
        found = self._store(layer.number).summaries()
        if layer.name not in found:
            raise ConvscopeError(
                f"the scan {str(self.path)!r} has nothing of {layer.name!r} yet: run it again to go on"
            )
        return found[layer.name]


def open_scan(path: str | os.PathLike[str], network: Network | None = None, source: Any = None) -> Scan:
    """The scan in a folder, as `convscope scan` made it.

    Parameters
    ----------
    network
        The network that it was made with, where its name alone doesn't load it.
    source
        Where its pictures are, where they were moved: whatever `scan` takes.

    Raises
    ------
    ConvscopeError
        There is no scan.
    NetworkError
        `network` is another than that of the scan.
    """
    every_file = network is not None and network.loader is not None
    return Scan(Path(path), network, None if source is None else open_source(source, every_file=every_file))


def check_network(network: Network, header: Header) -> None:
    """Raises NetworkError unless the scan was made with this network, fed as it is."""
    if network.weights_sha256 != header.weights:
        raise NetworkError(
            f"the scan was made with {header.network!r}, weights {header.weights[:12]}…; got {network.name!r}, "
            f"weights {network.weights_sha256[:12]}…: give that network, or another folder with out="
        )
    then, now = (json.loads(json.dumps(each)) for each in (header.feeding, network.feeding))
    if then != now:
        other = [name for name in now if then.get(name) != now[name]]
        told = "; ".join(f"{name} was {then.get(name)!r}, is {now[name]!r}" for name in other)
        raise NetworkError(f"the scan was made with the network fed otherwise: {told}")


def write_removed(folder: Path, ids: Sequence[int]) -> None:
    """Note which pictures the source has no more."""
    _write_json(folder / _REMOVED, sorted(ids))


def write_passed_over(folder: Path, found: Sequence[Unreadable]) -> None:
    """Note what the source passed over."""
    _write_json(folder / _PASSED_OVER, [(str(each.path), each.reason) for each in found])


def known_entries(folder: Path, header: Header) -> Iterator[tuple[int, Entry]]:
    """All pictures that were ever planned, with their ids."""
    yield from ((planned.id, planned.entry) for planned in read_plan(folder, header.parts))


def _table(rows: Sequence[Sequence[float]], kind: Any) -> NDArray[Any]:
    return np.array(rows, kind).reshape(len(rows), len(rows[0]) if rows else 0)


def _read_json(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_text("utf-8")) if path.exists() else otherwise


def _write_json(path: Path, value: Any) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, ensure_ascii=False), "utf-8")
