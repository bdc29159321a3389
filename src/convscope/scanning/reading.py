"""Reading many pictures ahead of what is done with them, in their order."""

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Self

from convscope.errors import ImageError
from convscope.image.preparation import Preparation
from convscope.image.source.dataset import DatasetSource
from convscope.image.sources import Entry, Source
from convscope.scanning.picture import Loader, Reading, read_entry
from convscope.scanning.reader import Reader
from convscope.scanning.slots import slot_bytes

__all__ = ["Readers", "Reading"]


# Together the processes read some batches ahead, so that none waits while the network runs.
_AHEAD, _MOST_A_WORKER, _LEAST_A_WORKER = 192, 48, 4
_BYTES_A_WORKER = 2**25


class Readers:
    """What reads the entries of a source, some batches ahead of what is done with them; a context manager.

    Parameters
    ----------
    source
        Of the pictures.
    preparation
        How they come to the network. JPEGs far larger than its input are decoded at a fraction of their size; all
        else is the same bits as `preparation.read` gives.
    workers
        Processes that read, beside this one; 0 reads in this thread. A process that dies, by a decoder that crashes,
        is replaced; the picture it was at is tried once more, then given up, as is one that takes more than a minute.
        What other processes can't open (a torch Dataset, `memory://`) is read by as many threads, as is everything
        with a loader, and on Windows.
    loader
        `path → image`, instead of the source's own way but for a Dataset's. May be called from several threads.
    thumbnail
        Rows and columns of the thumbnails.

    Raises
    ------
    ImageError
        There is a loader, and the source is no folder or list of files.
    """

    def __init__(
        self,
        source: Source,
        preparation: Preparation,
        *,
        workers: int,
        loader: Loader | None = None,
        thumbnail: int = 32,
    ) -> None:
        if isinstance(source, DatasetSource):
            loader = None
        elif loader is not None and type(source).path is Source.path:
            raise ImageError(
                f"the network has a loader, which opens files, and {source.root} has none on this machine; "
                "expected a folder or a list of files"
            )
        self._source, self._preparation, self._loader, self._thumbnail = source, preparation, loader, thumbnail
        self._spec = source.spec if loader is None and os.name == "posix" and sys.executable else None
        self._workers = workers
        self._ahead = _ahead(preparation, thumbnail, workers)
        self._readers: list[Reader] = []
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self._workers and self._spec is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="reader")
        else:
            try:
                self._start()
            except BaseException:
                self._stop()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def read(self, entries: Iterable[Entry]) -> Iterator[Reading]:
        """The readings of the entries, in their order.

        One iterator at a time: a new one ends what the last has left. What is wrong with a picture is the reason in
        its reading; an error is raised only where no picture can be read, as when the source is gone.
        """
        if self._pool is not None:
            return self._by_threads(entries, self._pool)
        if self._workers:
            return self._by_processes(entries)
        return map(self._read, entries)

    def _read(self, entry: Entry) -> Reading:
        return read_entry(self._source, entry, self._preparation, thumbnail=self._thumbnail, loader=self._loader)

    def _by_threads(self, entries: Iterable[Entry], pool: ThreadPoolExecutor) -> Iterator[Reading]:
        waiting: deque[Future[Reading]] = deque()
        try:
            for entry in entries:
                waiting.append(pool.submit(self._read, entry))
                if len(waiting) > 2 * self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()

    def _by_processes(self, entries: Iterable[Entry]) -> Iterator[Reading]:
        """Entry i goes to process i modulo their number, so that answers come in order without anyone sorting them."""
        left, given, taken = iter(entries), 0, 0
        readers = self._readers
        for reader in readers:
            while reader.is_busy:  # with what an iterator that was dropped had given
                reader.take()
        for entry in islice(left, self._ahead * len(readers)):
            readers[given % len(readers)].give(entry)
            given += 1
        while taken < given:
            reader = readers[taken % len(readers)]
            reading = reader.take()
            taken += 1
            for entry in islice(left, 1):
                reader.give(entry)
                given += 1
            yield reading

    def _start(self) -> None:
        if self._spec is not None and self._workers:
            for _ in range(self._workers):
                self._readers.append(Reader(self._spec, self._preparation, self._thumbnail, self._ahead))

    def _stop(self) -> None:
        for reader in self._readers:
            reader.close()
        self._readers.clear()


def _ahead(preparation: Preparation, thumbnail: int, workers: int) -> int:
    """How many pictures each of so many workers reads ahead."""
    shape = (preparation.channels, *preparation.input_size)
    most = min(_MOST_A_WORKER, _AHEAD // max(1, workers), _BYTES_A_WORKER // slot_bytes(shape, thumbnail))
    return max(_LEAST_A_WORKER, most)
