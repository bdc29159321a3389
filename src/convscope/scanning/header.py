"""The header of a scan: what was scanned with, fixed for the scan's life."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from convscope.errors import ConvscopeError
from convscope.image.recipe import JSON
from convscope.image.write import atomic_path

FILE = "header.json"
_FORMAT = 1


@dataclass(frozen=True)
class ScannedLayer:
    """A layer as it was scanned: its `shape` `(C, H, W)`, or `(C,)`, and the `number` of the pass that holds it.

    `place` is where it comes among the network's layers, `called` are the names that the network has for it.
    """

    name: str
    shape: tuple[int, ...]
    number: int = 0
    place: int = 0
    called: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """C."""
        return self.shape[0]

    @property
    def has_space(self) -> bool:
        """Whether it is a stack of maps."""
        return len(self.shape) == 3


@dataclass(frozen=True)
class Header:
    """What a scan was made with.

    Sums of floating-point numbers change in their last digits with the engine, the batch and the threads, so these
    are kept: what is scanned later is scanned in the same way. `shard` images are kept at once, `parts` says how many
    pictures each reading of the source brought, `passes` which layers were scanned together.
    """

    network: str
    weights: str
    feeding: Mapping[str, JSON]
    labels: tuple[str, ...] | None
    classes: int | None
    engine: str
    batch: int
    threads: int
    k: int
    shard: int
    source: Mapping[str, JSON] | None
    version: str
    parts: tuple[int, ...] = ()
    passes: tuple[tuple[ScannedLayer, ...], ...] = ()
    format: int = field(default=_FORMAT)

    @property
    def layers(self) -> dict[str, ScannedLayer]:
        """All that was scanned, by name, in the network's order."""
        found = sorted((layer for each in self.passes for layer in each), key=lambda layer: layer.place)
        return {layer.name: layer for layer in found}

    @property
    def planned(self) -> int:
        """How many pictures the source was found to have, all told."""
        return sum(self.parts)

    def write(self, folder: Path) -> None:
        """Write it into a scan's folder, whole or not at all."""
        with atomic_path(folder / FILE) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """That of a scan's folder. Raises ConvscopeError where there is none that this version can read."""
        if not folder.is_dir():
            raise ConvscopeError(
                f"there is no scan {str(folder)!r}; make one with: convscope scan FOLDER --out {folder}"
            )
        try:
            stored = json.loads((folder / FILE).read_text("utf-8"))
        except OSError as error:
            raise ConvscopeError(f"{str(folder)!r} is no scan: it has no {FILE}") from error
        except ValueError as error:
            raise ConvscopeError(f"the header of the scan {str(folder)!r} is damaged ({error})") from error
        if stored.get("format") != _FORMAT:
            raise ConvscopeError(
                f"the scan {str(folder)!r} has format {stored.get('format')}, this version reads {_FORMAT}: scan anew"
            )
        return cls(**{name: _restored(name, value) for name, value in stored.items()})


def _restored(name: str, value: Any) -> Any:
    """A field's value as it was before JSON made lists of tuples."""
    if name == "passes":
        return tuple(tuple(ScannedLayer(**_tupled(layer)) for layer in each) for each in value)
    return tuple(value) if isinstance(value, list) else value


def _tupled(layer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in layer.items()}
