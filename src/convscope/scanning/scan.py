"""Scan: one network over many pictures, kept as it goes, so that a scan that was stopped goes on where it was."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from convscope import __version__
from convscope.errors import ConvscopeError, ImageError, LayerError
from convscope.image.sources import Entry, Source, open_source
from convscope.network.engine import EngineName
from convscope.network.network import Network
from convscope.network.stages import stage_ends
from convscope.network.summarized import Summarizer, check_summable
from convscope.progress import Steps, Watcher
from convscope.scanning.header import FILE, Header, ScannedLayer
from convscope.scanning.plan import Shard, read_part, shards, write_part
from convscope.scanning.reading import Readers
from convscope.scanning.store import Store, make_ready
from convscope.scanning.stored import Scan, check_network, known_entries, write_passed_over, write_removed
from convscope.scanning.work import THUMBNAIL, Worker, engine_kind

STRONGEST = 9
"""How many of the strongest images are kept of each channel, where nobody says."""
_SHARD = 256
# Fewer pictures are read sooner than other processes have started.
_WORTH_WORKERS = 256
_LOCK = "lock"


def scan(
    network: Network,
    source: Any,
    *,
    layers: Sequence[str] | None = None,
    out: str | os.PathLike[str],
    k: int | None = None,
    engine: EngineName = "auto",
    ray: str | None = None,
    workers: int | None = None,
    progress: Watcher | None = None,
) -> Scan:
    """Run a network over many pictures and keep what its layers answer, in the folder `out`.

    Of each picture: its place, size and label, the five most probable classes, and of each layer the code, which is the
    spatial mean of each channel's map, or the vector itself. Of each channel: the `k` pictures in which it is
    strongest, with the place in the map, and how strong it usually is. Never the maps themselves.

    Where there is a scan already it goes on with what is left of it, adds the pictures that are new, marks those that
    are gone or have changed, and scans layers that it lacks as a pass of their own. It may be stopped or killed at any
    moment: what was kept is kept once, and the rest is done again.

    Parameters
    ----------
    source
        A folder, a list of files, a table of them (`.txt`, `.csv`, `.tsv`), Parquet with image bytes, an address that
        fsspec knows (`s3://…`), or a torch `Dataset`. What can't be read is kept with the reason, and never fatal.
    layers
        Of maps `(C, H, W)` or vectors `(C,)`; by default the ends of the network's stages and the vector that its
        classifier reads.
    k
        By default 9; fixed for a scan's life, as are the engine, the batch and the threads, since sums of
        floating-point numbers change with them in the last digits.
    engine
        "torch", "onnx", or "auto" for the faster one.
    ray
        "local" or the address of a Ray cluster whose machines all see the pictures; the extra `ray`.
    workers
        How many other processes read pictures; by default one for each core, none for few pictures.
    progress
        Called with how many pictures are done.

    Raises
    ------
    ImageError
        The source has no pictures.
    LayerError
        There is no such layer, or it has another shape.
    NetworkError
        The scan that is there was made with another network, or one fed otherwise.
    ConvscopeError
        The folder holds something else, another `k`, or is being scanned into.
    Cancelled
        `progress` returned False; what was kept stays.
    """
    folder = Path(out)
    opened = open_source(source, every_file=network.loader is not None)
    # Processes and imports take a while: they do so while the network is made ready.
    readers = Readers(
        opened,
        network.preparation,
        workers=_workers(workers, len(opened.entries())) if ray is None else 0,
        loader=network.loader,
        thumbnail=THUMBNAIL,
    )
    make_ready()
    with _locked(folder), readers:
        header, tried = _begun(folder, network, opened, layers, k, engine)
        header = _brought_up_to_date(folder, header, opened)
        left = [_Left(number, Store(folder, number), header) for number in range(len(header.passes))]
        steps = Steps(sum(shard.count for each in left for shard in each.shards), progress)
        for each in left:
            if not each.shards:
                continue
            if ray is None:
                with _threads(header.threads):
                    worker = Worker(network, header, each.number, tried if each.number == 0 else None)
                _run_here(folder, header, readers, worker, each, steps)
            else:
                from convscope.scanning.cluster import run_on_ray

                run_on_ray(ray, folder, network, header, each.number, each.store, each.shards, steps)
            each.store.finish()
    return Scan(folder, network, opened)


def _workers(asked: int | None, pictures: int) -> int:
    if asked is not None:
        return asked
    return (os.cpu_count() or 1) if pictures >= _WORTH_WORKERS else 0


@dataclass(frozen=True)
class _Left:
    """What is left to do of a pass."""

    number: int
    store: Store
    header: Header

    @property
    def shards(self) -> list[Shard]:
        """Those that are not kept yet."""
        return [each for each in shards(self.header.parts, self.header.shard) if each.number not in self.store.done]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody else scans into the folder meanwhile; whoever dies lets go of it. Raises ConvscopeError.

    A folder that was made and got no scan goes again.
    """
    if folder.exists() and not folder.is_dir():
        raise ConvscopeError(f"{str(folder)!r} is a file; expected a folder to keep the scan in")
    if folder.is_dir() and not (folder / FILE).exists() and {each.name for each in folder.iterdir()} - {_LOCK, "plan"}:
        raise ConvscopeError(f"{str(folder)!r} holds other things than a scan; name a new folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK, timeout=0).acquire()
    except Timeout as error:
        raise ConvscopeError(
            f"something else is scanning into {str(folder)!r}; wait for it, or name another"
        ) from error
    except OSError as error:
        raise ImageError(f"can't write {str(folder)!r}: {error.strerror or error}") from error
    try:
        with lock:
            yield
    finally:
        if not (folder / FILE).exists():
            with suppress(OSError):
                (folder / _LOCK).unlink(missing_ok=True)
                folder.rmdir()


# What is to be done


def _begun(
    folder: Path, network: Network, source: Source, layers: Sequence[str] | None, k: int | None, engine: EngineName
) -> tuple[Header, Summarizer | None]:
    """The header of the scan that is there, or of a new one, with a pass for layers that it lacks.

    With a new one, what sums up the layers of its first pass, which was made to try engines.
    """
    if not (folder / FILE).exists():
        return _new(
            network, source, stage_ends(network) if layers is None else layers, STRONGEST if k is None else k, engine
        )
    header = Header.read(folder)
    check_network(network, header)
    if k is not None and k != header.k:
        raise ConvscopeError(
            f"the scan {str(folder)!r} keeps {header.k} of each channel; got k={k}: name another folder"
        )
    if engine not in ("auto", engine_kind(header.engine)):
        raise ConvscopeError(f"the scan {str(folder)!r} was made by {header.engine}; got engine={engine!r}")
    known = {name for layer in header.layers.values() for name in (layer.name, *layer.called)}
    lacking = [each for each in _described(network, layers or [], len(header.passes)) if each.name not in known]
    return (replace(header, passes=(*header.passes, tuple(lacking))) if lacking else header), None


def _new(
    network: Network, source: Source, layers: Sequence[str], k: int, engine: EngineName
) -> tuple[Header, Summarizer]:
    if k < 1:
        raise ConvscopeError(f"got k={k}; expected how many images to keep of each channel, at least 1")
    if not layers:
        raise LayerError(f"{network.name} has no maps and no vector before its output; name layers to scan")
    described = _described(network, layers, 0)
    classes = network.classes
    trial = Summarizer(
        network,
        [each.name for each in described],
        whole=classes is not None,
        engine=engine,
        images=len(source.entries()),
    )
    header = Header(
        network=network.name,
        weights=network.weights_sha256,
        feeding=network.feeding,
        labels=network.labels,
        classes=classes,
        engine=trial.name,
        batch=trial.batch,
        threads=torch.get_num_threads(),
        k=k,
        shard=_shard(trial.batch),
        source=source.spec,
        version=__version__,
        passes=(described,),
    )
    return header, trial


def _shard(batch: int) -> int:
    """How many pictures are kept at once: whole batches."""
    return max(1, _SHARD // batch) * batch


def _described(network: Network, layers: Sequence[str], number: int) -> tuple[ScannedLayer, ...]:
    """Layers by the names they were asked for, each once."""
    found: dict[str, ScannedLayer] = {}
    known = network.layers
    for name in layers:
        check_summable(network, name)
        own = known[name]
        called = tuple(each for each in known.names if known[each].name == own.name)
        found.setdefault(own.name, ScannedLayer(name, own.shape, number, [*known].index(own.name), called))
    return tuple(found.values())


def _brought_up_to_date(folder: Path, header: Header, source: Source) -> Header:
    """The plan with what is new in the source, and what is gone from it marked; the header that says so, written."""
    there = {entry.name: entry for entry in source.entries()}
    known: dict[str, str] = {}
    gone: dict[str, list[int]] = {}
    for id, entry in known_entries(folder, header):
        known[entry.name] = entry.stamp
        gone.setdefault(entry.name, []).append(id)
    for name, ids in gone.items():
        if name in there and there[name].stamp == known[name]:
            ids.pop()
    fresh = [entry for name, entry in there.items() if known.get(name) != entry.stamp]
    if fresh:
        write_part(folder, len(header.parts), fresh)
        header = replace(header, parts=(*header.parts, len(fresh)))
    header = replace(header, source=source.spec)
    header.write(folder)
    write_removed(folder, [id for ids in gone.values() for id in ids])
    write_passed_over(folder, source.unreadable)
    return header


# Doing it


def _run_here(folder: Path, header: Header, readers: Readers, worker: Worker, left: _Left, steps: Steps) -> None:
    """Do the shards that are left one after another, reading ahead."""
    # Torch's threads wait for each other, and keep the cores busy with it while another engine needs them.
    with _threads(header.threads if engine_kind(header.engine) == "torch" else 1):
        readings = readers.read(_entries(folder, left.shards))
        for shard in left.shards:
            left.store.commit(worker.done(shard, islice(readings, shard.count), steps.done))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Torch on so many threads."""
    usual = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(usual)


def _entries(folder: Path, left: Iterable[Shard]) -> Iterator[Entry]:
    for shard in left:
        yield from read_part(folder, shard.part, shard.first, shard.count)
