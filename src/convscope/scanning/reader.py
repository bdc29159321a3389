"""A reader process as its parent sees it."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from convscope.errors import ConvscopeError, ImageError
from convscope.image.preparation import Preparation
from convscope.image.recipe import JSON
from convscope.image.sources import Entry
from convscope.scanning.picture import Reading, unread
from convscope.scanning.slots import Slots, slot_bytes, slots_file

SECONDS = 60.0
"""What a picture may take."""
_SECONDS_TO_START = 300.0
_SECONDS_TO_END = 5.0
_ATTEMPTS_TO_START = 3

# Ctrl-C is for the parent, from the start on. The paths are the parent's, which may have been changed by hand.
_PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import sys, json; "
    "sys.path[:] = json.loads(sys.argv[1]); from convscope.scanning.reader_process import main; main()"
)


@dataclass
class _Task:
    slot: int
    entry: Entry
    ended_a_reader: bool = False


class Reader:
    """One process that reads the entries it is given, in their order; where it dies another takes its place.

    It has memory for `ahead` pictures that were given and not taken.
    """

    def __init__(self, spec: Mapping[str, JSON], preparation: Preparation, thumbnail: int, ahead: int) -> None:
        rows, columns = preparation.input_size
        shape = (preparation.channels, rows, columns)
        self._file = slots_file(ahead * slot_bytes(shape, thumbnail))
        self._slots = Slots(self._file.fileno(), shape, thumbnail, ahead)
        self._ahead = ahead
        self._how: dict[str, JSON] = {
            "source": spec,
            "preparation": preparation.to_json(),
            "file": self._file.fileno(),
            "thumbnail": thumbnail,
            "slots": ahead,
        }
        self._tasks: deque[_Task] = deque()
        self._given = 0
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the reader
        self._process: subprocess.Popen[bytes] | None = None
        self._ready, self._heard = False, b""
        self._start()

    @property
    def is_busy(self) -> bool:
        """Whether there is what was given and not taken."""
        return bool(self._tasks)

    def give(self, entry: Entry) -> None:
        """Have an entry read; at most `ahead` before the first is taken."""
        task = _Task(self._given % self._ahead, entry)
        self._given += 1
        self._tasks.append(task)
        self._send([task.slot, entry.name])

    def take(self) -> Reading:
        """The reading of the first entry that was given and not taken; waits for it."""
        task = self._tasks[0]
        while True:
            self._await_start()
            try:
                answer = self._line(SECONDS)
            except TimeoutError:
                answer = {"reason": f"reading it took more than {SECONDS:.0f} seconds; it was given up"}
            except EOFError:
                ended = self._end(_SECONDS_TO_END)
                if not task.ended_a_reader:
                    # This may have been another's doing: of one who ends processes, or uses up all memory.
                    task.ended_a_reader = True
                    self._start()
                    continue
                answer = {"reason": f"reading it ended the reader ({ended})"}
            self._tasks.popleft()
            if "size" not in answer:
                self._start()
            return self._reading(task, answer)

    def close(self) -> None:
        """End the process."""
        self._end()
        self._slots.close()
        self._file.close()
        self._complaints.close()

    def _start(self) -> None:
        """Start a process for the tasks that are left, in the place of another if there was one."""
        if self._process is not None:
            self._end()
        self._ready, self._heard = False, b""
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps([each or os.getcwd() for each in sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            pass_fds=[self._file.fileno()],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._send(self._how)
        for each in self._tasks:
            self._send([each.slot, each.entry.name])

    def _send(self, line: JSON) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # that it is gone is noticed when its answer is due
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            self._process.stdin.flush()

    def _await_start(self) -> None:
        """Raise ConvscopeError if the process can't read anything."""
        attempts = 0
        while not self._ready:
            try:
                first = self._line(_SECONDS_TO_START)
            except (EOFError, TimeoutError):
                attempts += 1
                ended = self._end(_SECONDS_TO_END)
                if attempts == _ATTEMPTS_TO_START or not ended.startswith("killed"):
                    raise ConvscopeError(
                        f"a process to read pictures did not start: {self._complaint() or ended}; "
                        "read in this process, with workers=0, or find out why"
                    ) from None
                self._start()
                continue
            if first["reason"] is not None:
                raise ImageError(first["reason"])
            self._ready = True

    def _line(self, seconds: float) -> dict[str, Any]:
        """The next answer. Raises EOFError if the process is gone before, TimeoutError if none comes in time."""
        assert self._process is not None
        assert self._process.stdout is not None
        stream, until = self._process.stdout.fileno(), time.monotonic() + seconds
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        while b"\n" not in self._heard:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if poll.poll(left * 1000):
                more = os.read(stream, 65536)
                if not more:
                    raise EOFError
                self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _reading(self, task: _Task, answer: Mapping[str, Any]) -> Reading:
        if answer["reason"] is not None:
            return unread(task.entry, answer["reason"])
        image = torch.from_numpy(self._slots.image(task.slot).copy())
        thumbnail = torch.from_numpy(self._slots.thumbnail(task.slot).copy())
        rows, columns = answer["size"]
        return Reading(task.entry, image, thumbnail, (rows, columns))

    def _end(self, patience: float = 0) -> str:
        """End the process, unless it has ended by itself or does so in time; in words, how that was."""
        process = self._process
        assert process is not None
        try:
            code = process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        for stream in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()
        return f"exit code {code}" if code >= 0 else f"killed by {_signal(-code)}"

    def _complaint(self) -> str:
        """The last that processes wrote of what went wrong."""
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
