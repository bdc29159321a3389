"""Is a network fed as it was trained? Other feedings of the same module are tried on photographs."""

import json
import os
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from convscope.errors import ImageError, NetworkError
from convscope.image.recipe import Recipe
from convscope.image.sources import Folder, Photograph, Unreadable, read_folder
from convscope.network.class_names import classes_of
from convscope.network.network import Network
from convscope.plates.checking.feeding import Feeding
from convscope.plates.checking.judging import Difference, half_interval, strangeness
from convscope.plates.checking.search import Search
from convscope.plates.checking.train_mode import TrainMode, train_mode
from convscope.plates.checking.trials import OnProgress, Trials

# Rows of the table that are shown: the current one and the best others.
_SHOWN = 12
# A list of labels that is longer is not shown in a verdict.
_LABELS_SHOWN = 20
_NORMED, _CONFIDENCE = "batch norms and confidence", "confidence"


@dataclass(frozen=True)
class Row:
    """One feeding and how the network did with it, on so many `photographs`.

    `accuracy` and `log_probability` (the mean of the right class's) where the right classes are known, else the
    `strangeness` in nats (see `judging.py`). `confidence` is the mean of the highest probability.
    `difference` is to the current feeding on the same photographs. `toml` are the lines that a `net.toml` needs for it.
    """

    name: str
    photographs: int
    accuracy: float | None
    log_probability: float | None
    strangeness: float | None
    confidence: float
    difference: Difference
    toml: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """How feedings of one network compare, and what to do about it.

    `best` is the one to use: `current` itself unless another is better by more than chance. `evidence` says what the
    comparison goes by. The `rows` that were tried on most photographs come first, the best of them first.
    """

    network: str
    evidence: str
    rows: tuple[Row, ...]
    current: Row
    best: Row
    screened: int
    train_mode: TrainMode | None
    unreadable: tuple[Unreadable, ...]
    notes: tuple[str, ...]
    recipe: Recipe

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong, a sentence each; none where the network is fed as it was trained."""
        faults = [] if self.best == self.current else [self._better]
        if self.train_mode is not None and self.train_mode.matters:
            faults.append(str(self.train_mode))
        return tuple(faults)

    @property
    def verdict(self) -> str:
        """The answer in words, with the lines for `net.toml`."""
        lines = [f"{self.network} is not fed as it was trained: {self._better}"]
        if self.best == self.current:
            lines = [self._no_better]
        elif self.best.toml:
            lines += ["Put into net.toml:", *(f"    {_shortened(line)}" for line in self.best.toml)]
        lines += [fault for fault in self.faults if fault != self._better]
        return "\n".join([*lines, *self.notes])

    def to_json(self) -> str:
        """All of it for other programs."""
        whole = asdict(self)
        del whole["recipe"]
        whole["unreadable"] = [{"file": str(each.path), "reason": each.reason} for each in self.unreadable]
        whole |= {"fed_as_trained": self.best == self.current, "faults": self.faults, "verdict": self.verdict}
        return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        head = ("feeding", "photographs", *self._measures, "95% interval")
        shown = [self.current, *(row for row in self.rows if row != self.current)][:_SHOWN]
        cells = [head, *map(self._cells, shown)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for first, *others in cells:
            numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
            lines.append("  ".join([first.ljust(widths[0]), *numbers]).rstrip())
        if len(self.rows) > len(shown):
            lines.append(f"and {len(self.rows) - len(shown)} more, which did worse")
        return "\n".join([*lines, "", self.verdict])

    @property
    def _measures(self) -> tuple[str, str, str]:
        if self.current.accuracy is None:
            return "strangeness", "", "less by (nats)"
        return "accuracy", "±", "better by (points)"

    @property
    def _better(self) -> str:
        row, gained = self.best, self.best.difference
        gain, low, high = (_signed(row, each) for each in (gained.gain, gained.low, gained.high))
        if row.accuracy is None:
            return (
                f"“{row.name}” is less strange to it, by {gain} nats (95% interval {low} to {high}; by {self.evidence} "
                f"on {row.photographs} photographs)"
            )
        return (
            f"“{row.name}” is right on {row.accuracy:.1%} of {row.photographs} photographs instead of "
            f"{row.accuracy - gained.gain:.1%} ({gain} points, 95% interval {low} to {high})"
        )

    @property
    def _no_better(self) -> str:
        if self.evidence == _CONFIDENCE:
            return (
                f"without right classes and batch norms there is only the confidence of {self.network} to go by, and "
                "that can mislead: nothing can be said. Give it photographs whose classes are known"
            )
        accuracy = self.current.accuracy
        how = f"by {self.evidence}" if accuracy is None else f"right on {accuracy:.1%}"
        return (
            f"{self.network} is fed as it was trained, as far as {self.current.photographs} photographs tell: {how}; "
            f"none of {len(self.rows) - 1} other feedings does better by more than chance"
        )

    def _cells(self, row: Row) -> tuple[str, ...]:
        gained = row.difference
        compared = ("", "")
        if row != self.current:
            compared = (_signed(row, gained.gain), f"{_signed(row, gained.low)} to {_signed(row, gained.high)}")
        if row.accuracy is None:
            return row.name, str(row.photographs), f"{row.strangeness:.3f}", "", *compared
        half = half_interval(row.accuracy, row.photographs)
        return row.name, str(row.photographs), f"{row.accuracy:.1%}", f"{half:.1%}", *compared


def check(
    network: Network,
    folder: str | os.PathLike[str],
    *,
    limit: int | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Check:
    """Compare how a network is fed with the usual other ways, on the photographs in a folder.

    It varies the pixels' scaling, RGB and BGR, how photographs are cropped or resized, the interpolation, and the order
    of the labels; all are tried on a third of the photographs, the best of them on all. Another feeding is called
    better only if its answers are (McNemar's test), by a point at least, and the right classes' log-probabilities too,
    at a level of 5% divided by the number of feedings tried. Where no classes are known it goes by the entropy of the
    answers and by what batch norms get against what they got in training, and compares scalings and channel orders
    only. The module itself is always evaluated in evaluation mode; what its being in training mode would do is told.

    Parameters
    ----------
    folder
        Photographs, and their classes if they are known: see `read_folder`.
    limit
        Only so many of them, drawn by `seed`.
    on_progress
        Called with how many answers there are and how many there will be, about; stops the work by returning False.

    Raises
    ------
    ImageError
        There is no photograph to go by.
    NetworkError
        The network has no classes to answer with.
    Cancelled
        `on_progress` returned False.
    """
    classes = network.classes
    if classes is None or classes < 2:
        raise NetworkError(f"{network.name} has no classes to answer with; check needs a network of two or more")
    if limit is not None and limit < 1:
        raise ImageError(f"got limit={limit}, expected at least one photograph")
    found = read_folder(folder, every_file=network.loader is not None)
    photographs, right, notes = _chosen(found, network, classes, limit, seed)
    trials = Trials(network, photographs, right, on_progress=on_progress)
    search = Search(network, trials, len(photographs), seed=seed)
    search.run()
    recommended = search.recommended()
    evidence = f"classes from {found.labels_from}"
    if right is None:
        evidence = _NORMED if trials.normed.channels else _CONFIDENCE
        recommended = recommended if trials.normed.channels else search.current
    rows = {feeding: _row(feeding, search, network) for feeding in search.feedings}
    return Check(
        network=network.name,
        evidence=evidence,
        rows=tuple(rows.values()),
        current=rows[search.current],
        best=rows[recommended],
        screened=len(search.screened),
        train_mode=train_mode(network, trials, recommended, search.screened, seed=seed),
        unreadable=(*found.unreadable, *trials.unreadable),
        notes=(*notes, *_unreadable_note((*found.unreadable, *trials.unreadable))),
        recipe=network.recipe("check", {"folder": Path(folder).name, "limit": limit}, seed=seed),
    )


def _chosen(
    found: Folder, network: Network, classes: int, limit: int | None, seed: int
) -> tuple[list[Photograph], list[int] | None, list[str]]:
    """The photographs to go by in random order, their classes if these are known, and what is to be said of that."""
    known, note = classes_of(found.photographs, network.labels, classes)
    pairs = [(each, at) for each, at in zip(found.photographs, known, strict=True) if at is not None]
    notes = [note] if note is not None and pairs else []
    draw = partial(random.Random(seed).sample, k=min(limit or len(known), len(pairs) or len(known)))
    if not pairs:
        if found.labels_from is not None:
            told = next(filter(None, (each.label or str(each.index) for each in found.photographs)), "")
            notes.append(f"{found.labels_from} tell no class that the network has, such as {told!r}: not gone by")
        return draw(found.photographs), None, notes
    if len(pairs) < len(known):
        notes.append(f"{len(known) - len(pairs)} of {len(known)} photographs have no class that the network has")
    photographs, right = zip(*draw(pairs), strict=True)
    return list(photographs), list(right), notes


def _row(feeding: Feeding, search: Search, network: Network) -> Row:
    answers = search.answers(feeding)
    known = answers.classes_known
    return Row(
        name=feeding.name(search.current),
        photographs=len(answers),
        accuracy=float(answers.right.float().mean()) if known else None,
        log_probability=float(answers.log_probability.mean()) if known else None,
        strangeness=None if known else strangeness(answers),
        confidence=float(answers.confidence.mean()),
        difference=search.difference(feeding, search.current),
        toml=feeding.toml(network),
    )


def _unreadable_note(unreadable: Sequence[Unreadable]) -> list[str]:
    if not unreadable:
        return []
    first = unreadable[0]
    return [f"{len(unreadable)} files were left out; {first.path.name}: {first.reason}"]


def _signed(row: Row, gain: float) -> str:
    return f"{gain:+.3f}" if row.accuracy is None else f"{100 * gain:+.1f}"


def _shortened(line: str) -> str:
    names = line.split(", ")
    if not line.startswith("labels = [") or len(names) <= _LABELS_SHOWN:
        return line
    return f"{', '.join(names[:3])}, … {len(names)} names in that order (--json has them all)"
