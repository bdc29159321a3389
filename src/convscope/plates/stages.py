"""Several pieces of long work told as one."""

import time
from collections.abc import Hashable, Mapping

from convscope.errors import Cancelled
from convscope.progress import Progress, Watcher


class Stages:
    """Tells one watcher of many pieces of work, each of which has its share of the whole.

    Shares are in any unit that is alike for all, such as forward passes: what is told is how much of them is done, so
    that the time that is left is as honest as they are. Pieces may be left out.

    >>> stages = Stages({"map": 1, "verdict": 9}, lambda progress: print(progress.done, "of", progress.total))
    >>> watcher = stages.begin("map")
    >>> watcher = stages.begin("verdict")
    1 of 10
    >>> watcher(Progress(done=2, total=3, seconds=5.0))
    7 of 10
    """

    def __init__(self, shares: Mapping[Hashable, int], watcher: Watcher | None = None) -> None:
        self._shares, self._watcher, self._started = dict(shares), watcher, time.perf_counter()

    def begin(self, piece: Hashable) -> Watcher:
        """What watches a piece; those before it are done. Raises `Cancelled` where the watcher says so."""
        place = [*self._shares].index(piece)
        before, share = sum([*self._shares.values()][:place]), self._shares[piece]
        if before and self._tell(before) is False:
            raise Cancelled(f"stopped after {place} of {len(self._shares)} pieces of work")
        return lambda progress: self._tell(before + share * progress.done // progress.total, progress.preview)

    def _tell(self, done: int, preview: object = None) -> bool | None:
        if self._watcher is None:
            return None
        seconds = time.perf_counter() - self._started
        return self._watcher(Progress(done, sum(self._shares.values()), seconds, preview))
