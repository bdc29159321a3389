"""Networks and scans by id: those named at the start, each loaded when it is first asked for."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from threading import RLock

from convscope.explorer.images import Unknown
from convscope.explorer.lens import Lens
from convscope.network.network import Network
from convscope.network.zoo import BUNDLED, DEFAULT, load
from convscope.scanning.stored import Scan, open_scan


@dataclass(frozen=True)
class Named:
    """A network or a scan that can be asked for, and what to call it."""

    id: str
    name: str


class Networks:
    """Networks by id. `given` are names as `convscope.load` takes them, or networks; the first is the usual one."""

    def __init__(self, given: Sequence[str | Network] = (DEFAULT,)) -> None:
        self._given: dict[str, str | Network] = {}
        for each in given or (DEFAULT,):
            self._given.setdefault(_id(each if isinstance(each, str) else each.name), each)
        self._lenses: dict[str, Lens] = {}
        self._locks = {id: RLock() for id in self._given}

    def all(self) -> list[Named]:
        """In the order given."""
        return [Named(id, _shown(each if isinstance(each, str) else each.name)) for id, each in self._given.items()]

    @property
    def loaded(self) -> list[str]:
        """Those that were asked for already."""
        return list(self._lenses)

    def lens(self, id: str) -> Lens:
        """The network of that id, loaded, ready to be looked through. Raises Unknown, NetworkError."""
        if id not in self._given:
            raise Unknown("there is no such network; GET /api/networks lists them")
        with self._locks[id]:
            if id not in self._lenses:
                given = self._given[id]
                self._lenses[id] = Lens(load(given) if isinstance(given, str) else given)
            return self._lenses[id]


class Scans:
    """Scans by id: folders as `convscope scan` made them, or scans that are open."""

    def __init__(self, given: Sequence[str | Path | Scan] = ()) -> None:
        opened = [each if isinstance(each, Scan) else open_scan(each) for each in given]
        self._scans = {_id(str(each.path)): each for each in opened}

    def all(self) -> list[tuple[Named, Scan]]:
        """In the order given."""
        return [(Named(id, scan.path.name), scan) for id, scan in self._scans.items()]

    def scan(self, id: str) -> Scan:
        """Raises Unknown."""
        if id not in self._scans:
            raise Unknown("there is no such scan; GET /api/scans lists them")
        return self._scans[id]


def _id(name: str) -> str:
    """What stands in addresses for a network or a scan; it tells no path.

    >>> _id("efficientnet-lite0"), _id("/home/ada/nets/my net.toml")
    ('efficientnet-lite0', 'my-net-7b1b8d')
    """
    if name in BUNDLED:
        return name
    slug = re.sub(r"[^a-z0-9]+", "-", Path(PureWindowsPath(name).name).stem.lower()).strip("-")
    return f"{slug or 'network'}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _shown(name: str) -> str:
    """A name without the folder it is in."""
    library, colon, rest = name.rpartition(":")
    return library + colon + PureWindowsPath(rest).name if not re.fullmatch(r"[A-Za-z]", library) else rest
