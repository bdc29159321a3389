"""The process that reads pictures for another: tasks come by its input, answers go by its output, pixels by a file.

The first line of its input says how to read; each further one, `[slot, entry's name]`, what to read and where to leave
it. Each is answered with `{size, reason}`. It ends when its input does, so that nothing outlives a parent that is gone.
"""

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, Any

_LONGEST_REASON = 500


def main() -> None:
    """Read until there are no more tasks."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    with suppress(BrokenPipeError):
        _serve(sys.stdin.buffer, answers)
    # The answers that were not taken are for nobody.
    os._exit(0)


def _serve(tasks: Iterable[bytes], answers: IO[str]) -> None:
    lines = iter(tasks)
    how = json.loads(next(lines, b"null"))
    if how is None:
        return

    import torch

    from convscope.errors import ConvscopeError
    from convscope.image.preparation import Preparation
    from convscope.image.sources import Entry, Source
    from convscope.scanning.picture import read_entry
    from convscope.scanning.slots import Slots

    def answer(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    torch.set_num_threads(1)
    preparation = Preparation.from_json(how["preparation"])
    rows, columns = preparation.input_size
    slots = Slots(how["file"], (preparation.channels, rows, columns), how["thumbnail"], how["slots"])
    try:
        source = Source.from_spec(how["source"])
    except ConvscopeError as error:
        answer(reason=str(error))
        return
    answer(reason=None)
    for line in lines:
        slot, name = json.loads(line)
        reading = read_entry(source, Entry(name), preparation, thumbnail=how["thumbnail"])
        if reading.image is not None and reading.thumbnail is not None:
            slots.image(slot)[:] = reading.image.numpy()
            slots.thumbnail(slot)[:] = reading.thumbnail.numpy()
        # More than the pipe holds would have both wait for one another.
        answer(size=reading.size, reason=reading.reason and reading.reason[:_LONGEST_REASON])
