"""Scans that the Explorer makes itself, in the background: of its folder or its samples, usable while they grow."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from convscope.errors import ConvscopeError, ImageError, MissingExtra
from convscope.explorer.images import Images, Some
from convscope.explorer.networks import Networks
from convscope.explorer.own_folder import SCANS_LIMIT, remove, shrink, used
from convscope.explorer.strip import opening_layer
from convscope.image.sources import Source
from convscope.network.network import Network
from convscope.network.stages import stage_ends
from convscope.network.summarized import check_summable
from convscope.progress import Progress, Watcher
from convscope.scanning.header import FILE, Header, ScannedLayer
from convscope.scanning.plan import read_plan
from convscope.scanning.scan import scan
from convscope.scanning.stored import Scan
from convscope.scanning.summary import Summary

# The first so many pictures are kept by themselves, so that there is something to see soon.
_SOON = (32, 128)
# It is opened anew after so many seconds, and this many times those that the last time took.
_BETWEEN, _TIMES = 2.0, 10

_log = logging.getLogger("convscope.explorer")


class Snapshot(Scan):
    """A scan as far as it was when this was made; all that is small is in memory, since more is being written.

    `seen` counts its pictures with those that could not be read.
    """

    def __init__(self, path: Path, network: Network, source: Source) -> None:
        super().__init__(path, network, source)
        self._summaries: dict[str, Summary] = {}
        for number in range(len(self.header.passes)):
            self._summaries |= self._store(number).summaries()
        self.seen = len(self._store(0).columns(("id",)))
        self.images  # noqa: B018 - read now

    @property
    def layers(self) -> dict[str, ScannedLayer]:
        """Those of which something is known."""
        return {name: layer for name, layer in super().layers.items() if name in self._summaries}

    def code_batches(self, layer: str, rows: int = 65536) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        for ids, codes in super().code_batches(layer, rows):
            known = np.isin(ids, self.images.ids)
            yield ids[known], codes[known]

    def _summary(self, layer: ScannedLayer) -> Summary:
        return self._summaries[layer.name]


class GrowingScan:
    """A network's scan of all pictures; `path` is where it is kept, `total` how many there are."""

    def __init__(self, id: str, name: str, path: Path, network: Network, source: Source) -> None:
        self.id, self.name, self.network, self.growing = id, name, network, False
        self.path, self._source = path, source
        # In no order, so that the first ones are of all kinds; the same each time.
        self._entries = sorted(source.entries(), key=lambda entry: hashlib.sha256(entry.name.encode()).digest())
        self.total = len(self._entries)
        self._snapshot: Snapshot | None = None
        self._next = 0.0
        self._planned()

    @property
    def scan(self) -> Snapshot | None:
        """What there is so far; None before the first pictures, and once its folder was emptied."""
        if self._snapshot is not None and not (self.path / FILE).is_file():
            self._snapshot = None
        return self._snapshot

    def is_complete(self, layers: Sequence[str]) -> bool:
        """Whether it has seen all pictures, with these layers."""
        found = self.scan
        if found is None or found.seen < self.total:
            return False
        known = {name for layer in found.layers.values() for name in (layer.name, *layer.called)}
        return known.issuperset(layers) and all(found.statistics(each).count == len(found) for each in layers)

    def layers_with(self, asked: Sequence[str]) -> list[str]:
        """The layers that are scanned where none are named, and those asked for. Raises LayerError."""
        known = self.network.layers
        usual = [*stage_ends(self.network), opening_layer(known)]
        for name in asked:
            check_summable(self.network, name)
        return list(dict.fromkeys(known[name].name for name in (*usual, *asked)))

    def run(self, layers: Sequence[str], watcher: Watcher) -> Scan:
        """Go on with it to its end. It may be stopped at any time, and goes on there the next time."""
        planned = self._planned()
        if planned is None:
            remove(self.path)
            planned = 0
        before, began = 0, time.perf_counter()
        self.growing = True
        try:
            for stop in [*(each for each in _SOON if planned < each < self.total), self.total]:
                before += self._part(stop, layers, watcher, before, began)
        finally:
            self.growing = False
            # What stopped it is to be told, and not that it can't be read on top of that.
            with suppress(ConvscopeError, OSError):
                self._open()
        found = self._snapshot
        if found is None:
            raise ConvscopeError("none of the pictures can be read; expected PNG, JPEG or others that are whole")
        return found

    def _part(self, stop: int, layers: Sequence[str], watcher: Watcher, before: int, began: float) -> int:
        """Go on to so many pictures, after so many steps; returns how many it took."""
        taken = 0

        def watch(own: Progress) -> bool | None:
            nonlocal taken
            taken = own.total
            # Nothing is written now.
            if time.monotonic() >= self._next:
                self._open()
            total = before + own.total + self.total - stop
            return watcher(Progress(before + own.done, total, time.perf_counter() - began))

        some = Some(self._source, self._entries[:stop])
        scan(self.network, some, layers=layers, out=self.path, engine="torch", workers=0, progress=watch)
        self._open()
        return taken

    def _planned(self) -> int | None:
        """Open it; how many pictures it was begun with, 0 of a new one, None where it is damaged."""
        planned: int | None = 0
        try:
            if os.path.lexists(self.path):
                self._open()
                planned = sum(1 for _ in read_plan(self.path, Header.read(self.path).parts))
            else:
                self._snapshot = None
        # Files that anyone may have damaged raise anything.
        except Exception as error:
            self._snapshot, planned = None, None
            _log.warning("a scan of the Explorer's own is damaged, and will be made anew: %s", type(error).__name__)
        return planned

    def _open(self) -> None:
        began = time.monotonic()
        found = Snapshot(self.path, self.network, self._source)
        self._snapshot = found if found.layers else None
        now = time.monotonic()
        self._next = now + max(_BETWEEN, _TIMES * (now - began))


class Growing:
    """The scans of the networks that are served, each made when it is first asked for; they are kept in `folder`.

    With those of earlier times they take `limit` bytes: those that were not used longest go.
    """

    def __init__(self, images: Images, networks: Networks, folder: Path | None, *, limit: int = SCANS_LIMIT) -> None:
        self._images, self._networks, self._folder, self._limit = images, networks, folder, limit
        self._lock = RLock()
        self._found: dict[str, GrowingScan] = {}

    def of(self, network: str) -> GrowingScan:
        """That of a network by its id. Raises Unknown, MissingExtra, ImageError where there are no pictures."""
        if find_spec("lancedb") is None or self._folder is None:
            raise MissingExtra("a scan", extra="scan")
        own = self._networks.lens(network).network
        with self._lock:
            if network not in self._found:
                name, source = self._images.source
                if not source.entries():
                    raise ImageError("there are no pictures to scan; open a folder with some")
                of = [own.weights_sha256, own.feeding, source.spec]
                key = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]
                path = self._folder / key
                used(path)
                self._found[network] = GrowingScan(f"own-{key}", name, path, own, source)
                shrink(self._folder, self._limit, keep=[each.path for each in self._found.values()])
            return self._found[network]

    def all(self) -> list[GrowingScan]:
        """Those that were begun, now or at an earlier time, of the networks that are loaded."""
        for id in self._networks.loaded:
            with suppress(ConvscopeError, OSError):
                self.of(id)
        with self._lock:
            return [each for each in self._found.values() if each.growing or each.scan is not None]
