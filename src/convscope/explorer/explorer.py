"""All that the server has, together: pictures, networks, scans, jobs, and the pages that are open."""

import os
import secrets
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import torch

from convscope.errors import ConvscopeError
from convscope.explorer.cache import Cache
from convscope.explorer.growing import Growing
from convscope.explorer.guard import Policy, new_token
from convscope.explorer.images import Images
from convscope.explorer.jobs import Jobs
from convscope.explorer.lens import is_looked_through
from convscope.explorer.memory import settle
from convscope.explorer.networks import Networks, Scans
from convscope.explorer.work import Kinds
from convscope.network.cache import cache_folder
from convscope.network.network import Network
from convscope.network.zoo import DEFAULT
from convscope.scanning.stored import Scan


class Pages:
    """The pages that are open now: each has a web socket on which it hears of its jobs."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._lock = Lock()

    def __contains__(self, page: str) -> bool:
        with self._lock:
            return page in self._open

    def enter(self, page: str | None = None) -> str:
        """A new page, or one that comes back before it was missed."""
        with self._lock:
            name = page if page is not None and page in self._open else secrets.token_hex(8)
            self._open[name] += 1
            return name

    def leave(self, page: str) -> bool:
        """One of a page's connections is gone; whether it was the last."""
        with self._lock:
            self._open[page] -= 1
            if self._open[page] > 0:
                return False
            del self._open[page]
            return True


@dataclass(frozen=True)
class Explorer:
    """What is served, and how it is guarded. `grace` is how many seconds a page may be gone before its jobs end."""

    policy: Policy
    images: Images
    networks: Networks
    scans: Scans
    growing: Growing
    jobs: Jobs
    kinds: Kinds
    grace: float = 1.0
    pages: Pages = field(default_factory=Pages)

    def warm(self) -> None:
        """Load the usual network and run it once, so that the first page need not wait for it."""
        # Where it can't be loaded, whoever asks for it is told.
        with suppress(ConvscopeError):
            lens = self.networks.lens(self.networks.all()[0].id)
            lens.look(torch.zeros(lens.network.channels, *lens.network.input_size))
        settle()

    @classmethod
    def of(
        cls,
        *,
        folder: str | os.PathLike[str] | None = None,
        networks: Sequence[str | Network] = (DEFAULT,),
        scans: Sequence[str | Path | Scan] = (),
        policy: Policy | None = None,
        cache: Cache | None = None,
        workers: int = 1,
        waiting: int = 16,
    ) -> "Explorer":
        """Of a folder of pictures, networks by name and scans by their folders."""
        images, named, opened = Images(folder), Networks(networks), Scans(scans)
        kept = cache or Cache(cache_folder() / "explorer")
        growing = Growing(images, named, kept.folder / "scans")
        kinds = Kinds(images, named, opened, growing=growing)
        jobs = Jobs(kept, workers=workers, waiting=waiting, others=is_looked_through)
        return cls(policy or Policy(new_token()), images, named, opened, growing, jobs, kinds)
