"""The work on one shard of a scan: from its pictures to the rows and summaries that are kept."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.network.engine import EngineName
from convscope.network.network import Network
from convscope.network.summarized import Summarizer, Summed
from convscope.scanning.header import Header, ScannedLayer
from convscope.scanning.plan import Shard
from convscope.scanning.reading import Reading
from convscope.scanning.store import Done
from convscope.scanning.summary import Statistics, Summary, Top

if TYPE_CHECKING:
    import pyarrow as pa

ANSWERS = 5
"""How many of the most probable classes are kept."""
THUMBNAIL = 32
"""Rows and columns of the small copy that is kept of each picture."""
CODE = "code_{}".format
"""The column of a layer's codes, by its place in its pass."""

_LARGEST = float(np.finfo(np.float16).max)
_NOT_FINITE = "the network answers it with NaN or infinity"


class Worker:
    """Does the shards of one pass, that of this `number`, always in the same way.

    The first pass keeps what is known of the pictures, too; the others keep codes alone. `summarizer`, if there is one
    already, is one of that pass.
    """

    def __init__(self, network: Network, header: Header, number: int, summarizer: Summarizer | None = None) -> None:
        self._header, self._first, self._layers = header, number == 0, header.passes[number]
        self._answers = min(ANSWERS, header.classes or 0) if self._first else 0
        self._summarizer = summarizer or Summarizer(
            network,
            [layer.name for layer in self._layers],
            whole=self._answers > 0,
            engine=engine_kind(header.engine),
            batch=header.batch,
        )

    def done(self, shard: Shard, readings: Iterable[Reading], on_pictures: Callable[[int], None]) -> Done:
        """A shard, given what is read of its pictures in their order.

        `on_pictures` is told of each batch how many pictures it was.
        """
        groups = []
        for group in _groups(readings, self._header.batch):
            groups.append(self._seen(group))
            on_pictures(len(group))
        readings = [reading for group in groups for reading in group.readings]
        seen = np.array([reading.reason is None for reading in readings], dtype=bool)
        ids = shard.id + np.arange(len(readings))
        sums = {layer.name: _joined([group.sums[layer.name] for group in groups], layer) for layer in self._layers}
        summaries = {
            layer.name: _summary(sums[layer.name], ids[seen], seen, layer, self._header.k) for layer in self._layers
        }
        columns: dict[str, Any] = {"id": ids, "shard": np.full(len(readings), shard.number)}
        columns["reason"] = [reading.reason for reading in readings]
        if self._first:
            columns |= _known(readings)
            for place, name in enumerate(("probabilities", "answers")):
                columns[name] = [row for group in groups for row in group.likely[place].tolist()]
        codes = {CODE(place): _half(sums[layer.name].mean) for place, layer in enumerate(self._layers)}
        return Done(shard.number, _table(columns, codes), summaries)

    def _seen(self, readings: "Sequence[Reading]") -> "_Group":
        """What the network makes of a few pictures; of those that can't be read, zeros. Their pixels are let go."""
        count, readable = len(readings), [at for at, reading in enumerate(readings) if reading.image is not None]
        if not readable:
            nothing = torch.zeros(count, self._answers)
            return _Group(
                readings, {each.name: _blank(count, each) for each in self._layers}, (nothing, nothing.long())
            )
        answers, summed = self._summarizer(torch.stack([readings[at].image for at in readable]))  # type: ignore[misc]
        finite = torch.stack([each.mean.isfinite().all(dim=1) for each in summed.values()]).all(dim=0)
        refused = {at for at, fine in zip(readable, finite.tolist(), strict=True) if not fine}
        told = [
            replace(reading, image=None, reason=_NOT_FINITE if at in refused else reading.reason)
            for at, reading in enumerate(readings)
        ]
        likely: Sequence[Tensor] = torch.zeros(len(readable), 0), torch.zeros(len(readable), 0, dtype=torch.long)
        if self._answers:
            likely = answers.probabilities[: len(readable)].float().cpu().topk(self._answers)
        return _Group(
            told,
            {
                name: Summed(*(_placed(part, readable, count) for part in vars(each).values()))
                for name, each in summed.items()
            },
            tuple(_placed(each, readable, count) for each in likely),
        )


@dataclass(frozen=True)
class _Group:
    """Pictures that were run together: what is known of them, each layer's sums, the likely classes.

    `likely` are their probabilities `(N, t)` and indices `(N, t)`, the most probable first.
    """

    readings: Sequence[Reading]
    sums: dict[str, Summed]
    likely: tuple[Tensor, ...]


def engine_kind(name: str) -> EngineName:
    """Which engine one of that name and version is.

    >>> engine_kind("onnxruntime 1.20.1")
    'onnx'
    """
    return "onnx" if name.startswith("onnxruntime") else "torch"


def _groups(readings: Iterable[Reading], size: int) -> Iterator[list[Reading]]:
    """Pictures in their order, so many readable ones at a time, and those that are not among them."""
    group: list[Reading] = []
    readable = 0
    for reading in readings:
        group.append(reading)
        readable += reading.image is not None
        if readable == size:
            yield group
            group, readable = [], 0
    if group:
        yield group


def _placed(values: Tensor, rows: Sequence[int], count: int) -> Tensor:
    """Values of some of `count` rows, zeros elsewhere."""
    if len(rows) == count:
        return values
    placed = values.new_zeros(count, *values.shape[1:])
    placed[list(rows)] = values
    return placed


def _blank(count: int, layer: ScannedLayer) -> Summed:
    values = torch.zeros(count, layer.channels)
    return Summed(values, values, values.long())


def _joined(sums: Sequence[Summed], layer: ScannedLayer) -> Summed:
    parts = [*sums, _blank(0, layer)]
    return Summed(*(torch.cat([getattr(each, name) for each in parts]) for name in ("mean", "largest", "at")))


def _summary(sums: Summed, ids: NDArray[np.int64], seen: NDArray[np.bool_], layer: ScannedLayer, k: int) -> Summary:
    """The summary over the images that were seen, whose ids these are."""
    values, at = sums.largest.float().numpy()[seen], sums.at.numpy()[seen]
    width = layer.shape[2] if layer.has_space else 1
    places = np.stack([at // width, at % width], axis=-1).astype(np.int32)
    return Summary(Top.of(values, ids, places, k), Statistics.of(values))


def _half(codes: Tensor) -> NDArray[np.float16]:
    """In half precision; what is too large for it becomes the largest number there is."""
    return codes.float().nan_to_num(0).clamp(-_LARGEST, _LARGEST).half().numpy()


def _known(readings: Sequence[Reading]) -> dict[str, Any]:
    """What is known of the pictures themselves, as columns."""
    blank = np.zeros(3 * THUMBNAIL**2, np.uint8)
    thumbnails = [blank if each.thumbnail is None else each.thumbnail.numpy() for each in readings]
    return {
        "name": [each.entry.name for each in readings],
        "label": [each.entry.label for each in readings],
        "index": [each.entry.index for each in readings],
        "rows": [each.size[0] for each in readings],
        "columns": [each.size[1] for each in readings],
        "thumbnail": [each.tobytes() for each in thumbnails],
    }


def _table(columns: dict[str, Any], codes: dict[str, NDArray[np.float16]]) -> "pa.Table":
    import pyarrow as pa

    kinds = {
        "id": pa.int64(), "shard": pa.int32(), "reason": pa.string(),
        "name": pa.string(), "label": pa.string(), "index": pa.int64(), "rows": pa.int32(), "columns": pa.int32(),
        "thumbnail": pa.binary(3 * THUMBNAIL**2),
        "answers": pa.list_(pa.int32()), "probabilities": pa.list_(pa.float32()),
    }  # fmt: skip
    arrays = {name: pa.array(values, kinds[name]) for name, values in columns.items()}
    for name, values in codes.items():
        arrays[name] = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    return pa.table(arrays)
