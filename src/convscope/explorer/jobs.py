"""Jobs: long work in threads of its own, so many at a time, with progress, what it has so far, and an end on demand."""

import logging
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Condition, Thread
from typing import Any, Literal

from convscope.errors import Cancelled, ConvscopeError
from convscope.explorer.cache import Cache, Outcome
from convscope.explorer.guard import without_paths
from convscope.explorer.memory import give_back
from convscope.explorer.priority import come_second
from convscope.progress import Progress, Watcher

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Work = Callable[[Watcher], Outcome]

_ENDED: tuple[State, ...] = ("done", "failed", "cancelled")
# Ended jobs that are remembered, those of them whose last preview is, and seconds between two previews or two words of
# progress.
_REMEMBERED, _REMEMBERED_PREVIEWS, _BETWEEN_PREVIEWS, _BETWEEN_WORDS = 64, 4, 0.25, 0.05

# Seconds after which a job was a long one.
_LONG = 1.0
# Seconds for which a step waits for others at most.
_LONGEST_WAIT = 3.0

_log = logging.getLogger("convscope.explorer")


class Full(ConvscopeError):  # noqa: N818 - it says what it is
    """So many jobs wait that no other is taken."""


@dataclass(frozen=True)
class Reading:
    """How a map that is drawn in so many pixels is to be read: one pixel p stands for low + (high − low) · p / 254."""

    rows: int
    columns: int
    low: float
    high: float
    diverging: bool
    unit: str


@dataclass(frozen=True)
class Drawn:
    """A PNG of what a step shows, and where it is a map how to read it."""

    png: bytes
    reading: Reading | None = None


Draw = Callable[[Any], Drawn | None]


@dataclass(frozen=True)
class Status:
    """How a job stands: `done` of `total` steps in `seconds`; `previews` counts what it has shown so far.

    Where what it shows is a map, `preview` says how to read the last.

    `key` is that of its result, which is there once `state` is "done"; `error` says why it failed.
    """

    id: str
    kind: str
    key: str
    state: State
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    previews: int = 0
    preview: Reading | None = None
    error: str | None = None

    @property
    def ended(self) -> bool:
        return self.state in _ENDED


@dataclass
class _Job:
    """What only this module changes; `owners` are the pages that wait for it, and None who never goes away."""

    status: Status
    work: Work | None
    draw: Draw | None
    owners: set[str | None] = field(default_factory=set)
    stopping: bool = False
    behind: bool = False
    preview: Drawn | None = None
    shown: float = 0.0
    told: float = 0.0
    stepped: float = 0.0
    waits: bool = False


Listener = Callable[[Status, frozenset[str | None]], None]


class Jobs:
    """`workers` jobs at a time, at most `waiting` more in line, results in `cache`.

    All give way to `others`, which says whether anyone else is busy: their threads come second. Jobs in the background
    are one at a time beside these, and wait for them, too.

    Nothing of a job stays in memory once it has ended, but for how it stands, and for a while what it showed last,
    which may just be asked for.
    """

    def __init__(
        self, cache: Cache, *, workers: int = 1, waiting: int = 16, others: Callable[[], bool] = lambda: False
    ) -> None:
        self.cache = cache
        self._limit, self._others = waiting, others
        self._changed = Condition()
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._line: deque[_Job] = deque()
        self._behind: deque[_Job] = deque()
        self._listeners: list[Listener] = []
        self._closed = False
        lines = [*[self._line] * workers, self._behind]
        self._threads = [
            Thread(target=self._serve, args=(line,), name=f"job-{at}", daemon=True) for at, line in enumerate(lines)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        kind: str,
        key: str,
        work: Work,
        *,
        draw: Draw | None = None,
        owner: str | None = None,
        behind: bool = False,
        anew: bool = False,
    ) -> Status:
        """Put work in line, or find what is there of it already: its result, unless `anew`, or the same on its way.

        `behind` is for what takes long and is not waited for: it is done in the background.
        `draw` makes a picture of what a step shows. A job is cancelled when all its owners are gone; None never is.
        Raises Full.
        """
        with self._changed:
            if self._closed:
                raise Full("the server is stopping; start it again")
            job = next((each for each in self._jobs.values() if each.status.key == key and _lives(each)), None)
            line = self._behind if behind else self._line
            if job is None and not anew and key in self.cache:
                job = _Job(Status(secrets.token_hex(8), kind, key, "done"), None, None)
            elif job is None:
                if len(line) >= self._limit:
                    raise Full(f"{self._limit} jobs are waiting already; cancel one, or ask again later")
                job = _Job(Status(secrets.token_hex(8), kind, key, "waiting"), work, draw, behind=behind)
                line.append(job)
                self._changed.notify_all()
            self._jobs[job.status.id] = job
            if not job.status.ended:
                job.owners.add(owner)
            self._forget()
            return job.status

    def status(self, id: str) -> Status | None:
        """How the job of that id stands; None where there is none, or none any more."""
        with self._changed:
            job = self._jobs.get(id)
            return None if job is None else job.status

    def all(self) -> list[Status]:
        """How all stand, the newest last."""
        with self._changed:
            return [job.status for job in self._jobs.values()]

    def preview(self, id: str) -> Drawn | None:
        """What a job has shown last."""
        with self._changed:
            job = self._jobs.get(id)
            return None if job is None else job.preview

    def cancel(self, id: str, owner: str | None = None) -> Status | None:
        """Stop a job: one in line at once, a running one within a step.

        With an `owner`, for that page alone: it hears no more of it, and the job goes on as long as others wait for it.
        """
        with self._changed:
            job = self._jobs.get(id)
            if job is None:
                return None
            if owner is not None and not job.status.ended and job.owners - {owner}:
                job.owners.discard(owner)
                return replace(job.status, state="cancelled")
            self._stop(job)
            return job.status

    def release(self, owner: str) -> None:
        """A page is gone; what only it waited for is cancelled."""
        with self._changed:
            for job in list(self._jobs.values()):
                if owner in job.owners:
                    job.owners.discard(owner)
                    if not job.owners:
                        self._stop(job)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` called at each change, from any thread, with the job's owners; it must be quick.

        What is returned ends that.
        """
        with self._changed:
            self._listeners.append(listener)

        def end() -> None:
            with self._changed, suppress(ValueError):
                self._listeners.remove(listener)

        return end

    def stop(self) -> None:
        """Cancel all, take no more; returns at once."""
        with self._changed:
            self._closed = True
            for job in list(self._jobs.values()):
                self._stop(job)
            self._changed.notify_all()

    def close(self, *, timeout: float = 3.0) -> bool:
        """The same, and wait so many seconds for the threads; whether all have ended."""
        self.stop()
        until = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    # In the threads

    def _serve(self, line: deque[_Job]) -> None:
        second = come_second()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: line or self._closed)
                if self._closed and not line:
                    return
                job = line.popleft()
                self._tell(job, state="running")
            job.stepped = began = time.monotonic()
            job.waits = job.behind or not second
            self._run(job)
            # Else the loop would hold the last job until the next.
            del job
            # What was soon done took little, and giving it back takes longer.
            if time.monotonic() - began > _LONG and not self._closed:
                give_back()

    def _run(self, job: _Job) -> None:
        state: State = "failed"
        error: str | None = None
        work = job.work
        assert work is not None
        try:
            self.cache.put(job.status.key, work(lambda progress: self._watch(job, progress)))
            state = "done"
        except Cancelled:
            state = "cancelled"
        except ConvscopeError as raised:
            error = without_paths(str(raised))
        except MemoryError:
            error = "memory ran out; close other programs, or ask for less"
        except Exception as raised:
            _log.error("a job failed: %s", type(raised).__name__)
            error = "something went wrong inside; the log says when"
        del work
        with self._changed:
            self._end(job, state, error)

    def _watch(self, job: _Job, progress: Progress) -> bool:
        now = time.monotonic()
        due = progress.preview is not None and now - job.shown >= _BETWEEN_PREVIEWS
        drawn = None
        if job.draw is not None and due and not job.stopping:
            drawn = job.draw(progress.preview)
            job.shown = time.monotonic()
        with self._changed:
            changes: dict[str, Any] = {
                "done": progress.done, "total": progress.total, "seconds": round(progress.seconds, 3),
            }  # fmt: skip
            if drawn is not None:
                job.preview = drawn
                changes |= {"previews": job.status.previews + 1, "preview": drawn.reading}
            quiet = drawn is None and now - job.told < _BETWEEN_WORDS and progress.done < progress.total
            self._tell(job, quiet=quiet, **changes)
            if job.waits:
                self._give_way(job)
            return not job.stopping

    # With the lock held

    def _give_way(self, job: _Job) -> None:
        """Wait while others go first, but not for ever: one that is waited for only as long as its last step took."""
        now = time.monotonic()
        until = now + (_LONGEST_WAIT if job.behind else min(now - job.stepped, _LONGEST_WAIT))
        while time.monotonic() < until and not job.stopping and (self._others() or (job.behind and self._is_busy())):
            self._changed.wait(_BETWEEN_WORDS)
        job.stepped = time.monotonic()

    def _is_busy(self) -> bool:
        return any(each.status.state == "running" and not each.behind for each in self._jobs.values())

    def _stop(self, job: _Job) -> None:
        job.stopping = True
        for line in (self._line, self._behind):
            if job in line:
                line.remove(job)
                self._end(job, "cancelled", None)

    def _end(self, job: _Job, state: State, error: str | None) -> None:
        job.work = job.draw = None
        self._tell(job, state=state, error=error)
        job.owners.clear()
        self._forget()

    def _tell(self, job: _Job, *, quiet: bool = False, **changes: Any) -> None:
        job.status = Status(**{**vars(job.status), **changes})
        if not quiet:
            job.told = time.monotonic()
            for listener in self._listeners:
                listener(job.status, frozenset(job.owners))

    def _forget(self) -> None:
        ended = [id for id, job in self._jobs.items() if job.status.ended]
        for id in ended[:-_REMEMBERED]:
            del self._jobs[id]
        shown = [job for job in self._jobs.values() if job.status.ended and job.preview is not None]
        for job in shown[:-_REMEMBERED_PREVIEWS]:
            job.preview = None


def _lives(job: _Job) -> bool:
    return not job.status.ended and not job.stopping
