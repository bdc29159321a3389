"""A bar for long work: how far it has come, how fast, and how long it will still take."""

import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from convscope.errors import Cancelled
from convscope.progress import Progress, Watcher

if TYPE_CHECKING:
    from rich.progress import Progress as Drawing
    from rich.progress import TaskID

_PATIENCE = 0.5
"""Seconds of work below which no bar is drawn."""

_REDRAWN = 0.2
"""Seconds from one drawing to the next."""

_NO_ESTIMATE = 1.0
"""Seconds before which nothing is said of the end: the first steps tell more of starting than of working."""


@contextmanager
def bar(label: str) -> Iterator[Watcher]:
    """A watcher that draws what it is told on the error stream, if that is a terminal; gone at the end.

    Ctrl-C within the block becomes `Cancelled`, with how far the work had come.

    >>> with bar("counting") as watcher:
    ...     watcher(Progress(done=1, total=2, seconds=0.1))
    """
    drawn = _Bar(label, shown=sys.stderr.isatty())
    try:
        yield drawn
    except KeyboardInterrupt:
        raise Cancelled(f"{label} stopped{drawn.reached}", so_far=drawn.preview) from None
    finally:
        drawn.close()


class _Bar:
    """Watches one piece of work. Nothing is imported, nor drawn, before it has taken half a second."""

    def __init__(self, label: str, *, shown: bool) -> None:
        self._label, self._shown = label, shown
        self._due = time.monotonic() + _PATIENCE
        self._pace = Pace()
        self._last: Progress | None = None
        self._drawing: tuple[Drawing, TaskID] | None = None

    def __call__(self, progress: Progress) -> None:
        self._last = progress
        self._pace.note(progress)
        if not self._shown or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _REDRAWN
        drawing, task = self._drawing = self._drawing or self._drawn()
        words = self._pace.words(progress)
        drawing.update(task, completed=progress.done, total=progress.total, pace=words, refresh=True)

    @property
    def reached(self) -> str:
        """How far it had come, as the end of a sentence."""
        return "" if self._last is None else f" after {self._last.done:,} of {self._last.total:,} steps"

    @property
    def preview(self) -> Any:
        """The result as far as it had come."""
        return None if self._last is None else self._last.preview

    def close(self) -> None:
        """Take the bar away and give the cursor back."""
        if self._drawing is not None:
            self._drawing[0].stop()
            self._drawing = None

    def _drawn(self) -> "tuple[Drawing, TaskID]":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Drawing

        label, pace = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[pace]}", markup=False)
        # No thread of its own: it is drawn when it is told of a step.
        drawing = Drawing(
            label, BarColumn(), MofNCompleteColumn(), pace,
            console=Console(stderr=True), transient=True, auto_refresh=False,
        )  # fmt: skip
        drawing.start()
        return drawing, drawing.add_task(self._label, pace="")


class Pace:
    """How fast work goes and how long it will still take, by the second half of what is behind it.

    Work warms up: the mean from the very start would promise too late an end for long.

    >>> pace = Pace()
    >>> for seconds, done in (2, 1), (3, 11), (4, 21):
    ...     pace.note(Progress(done=done, total=101, seconds=seconds))
    >>> pace.words(Progress(done=21, total=101, seconds=4))
    '10 a second, 8 s left'
    """

    def __init__(self) -> None:
        self._seconds, self._done = [0.0], [0]

    def note(self, progress: Progress) -> None:
        """Remember that so much was done by then."""
        self._seconds.append(progress.seconds)
        self._done.append(progress.done)

    def words(self, progress: Progress) -> str:
        """The rate and the time that is left; empty where it is too early to tell."""
        since = bisect_right(self._seconds, progress.seconds / 2) - 1
        done, seconds = progress.done - self._done[since], progress.seconds - self._seconds[since]
        if progress.seconds < _NO_ESTIMATE or not done:
            return ""
        rate = done / seconds
        return f"{rate:,.{0 if rate >= 10 else 1}f} a second, {_span((progress.total - progress.done) / rate)} left"


def _span(seconds: float) -> str:
    """A span of time as one would say it.

    >>> [_span(seconds) for seconds in (0.2, 8.4, 71, 600, 8000)]
    ['1 s', '8 s', '1 min 11 s', '10 min', '2 h 13 min']
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60} min"
