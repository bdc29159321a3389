"""Targets: what is asked about, as text, as a class's index or as a function of the network's output."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from convscope.errors import TargetError, nearest
from convscope.network.layers import Layers

GRAMMAR = "a label, class:N, LAYER, LAYER:CHANNEL, LAYER:CHANNEL@ROW,COLUMN, TARGET@mask.png, or two with ' - ' between"


@dataclass(frozen=True)
class Term:
    """One term of a target: `sign` × a class's logit (`layer` None), or × a layer's, channel's or unit's activation."""

    sign: int
    layer: str | None
    channel: int | None = None
    position: tuple[int, int] | None = None
    mask: "Mask | None" = None

    def value(self, output: Tensor, layers: Mapping[str, Tensor]) -> Tensor:
        """The term for each image of the batch, `(N,)`: the mean over all that it doesn't pin down."""
        if self.layer is not None and self.layer not in layers:
            raise TargetError(f"layer {self.layer!r} is not run for this image: the path depends on what is seen")
        values = output if self.layer is None else layers[self.layer]
        if self.channel is not None:
            values = values[:, self.channel] if values.dim() > 1 else values
        if self.position is not None:
            values = values[..., self.position[0], self.position[1]]
        if self.mask is not None:
            return self.sign * self.mask.mean_of(values)
        return self.sign * values.reshape(len(values), -1).mean(dim=1)


@dataclass(frozen=True)
class Mask:
    """A region of the image: `covers` `(H, W)`, 1 within and 0 without, from a `picture` as it was read."""

    picture: Tensor
    covers: Tensor

    def mean_of(self, values: Tensor) -> Tensor:
        """The mean of maps `(N, …, h, w)` over the region, `(N,)`; a place counts by how much of it is covered."""
        if values.dim() < 3:
            raise TargetError(f"a mask needs an output with space; this one's shape is {tuple(values.shape[1:])}")
        rows, columns = values.shape[-2:]
        weights = adaptive_avg_pool2d(self.covers[None].to(values), (rows, columns))
        if not weights.any():
            raise TargetError("the mask is dark everywhere the network looks")
        return (values * weights).sum(dim=(-2, -1)).reshape(len(values), -1).mean(dim=1) / weights.sum()


@dataclass(frozen=True)
class Target:
    """What is asked about: a sum of signed terms, or a function `output → (N,)`. `text` says it in words."""

    text: str
    terms: tuple[Term, ...] = ()
    function: Callable[[Any], Any] | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose activations it needs."""
        return tuple({term.layer: None for term in self.terms if term.layer is not None})

    @property
    def needs_output(self) -> bool:
        """Whether it asks about the network's output."""
        return self.function is not None or any(term.layer is None for term in self.terms)

    @property
    def index(self) -> int | None:
        """The class that it is, None where it is no single class."""
        (term,) = self.terms if len(self.terms) == 1 else (None,)
        plain = term is not None and term.layer is None and term.sign == 1 and term.mask is None
        return term.channel if plain and term is not None else None

    @property
    def unit(self) -> str:
        """What its value is counted in."""
        if self.function is not None:
            return "target"
        return "activation" if self.layers else "logit"

    @property
    def masks(self) -> tuple[Tensor, ...]:
        """The pictures of its masks, as they were read."""
        return tuple(term.mask.picture for term in self.terms if term.mask is not None)

    def score(self, output: Any, layers: Mapping[str, Tensor], *, count: int | None = None) -> Tensor:
        """The target's value for each image of the batch, `(N,)`; a function's is checked to be `count` numbers."""
        if self.function is None:
            return torch.stack([term.value(output, layers) for term in self.terms]).sum(dim=0)
        score: Any = self.function(output)
        if not isinstance(score, Tensor) or score.dim() != 1 or len(score) != (count or len(score)):
            got = f"a tensor of shape {tuple(score.shape)}" if isinstance(score, Tensor) else type(score).__name__
            raise TargetError(f"the target function returned {got}; it must return one number an image, shape (N,)")
        return score


@dataclass(frozen=True)
class Grammar:
    """Understands targets of one network.

    By its labels, its layers, how many classes it has (None: none; asked only when a class is), and by how it reads the
    file of a mask, as `(H, W)` of ones and zeros.
    """

    labels: Sequence[str] | None
    layers: Layers
    classes: Callable[[], int | None]
    read_mask: Callable[[str], "Mask"]

    def parse(self, text: str) -> Target:
        """A target from text.

        `golden retriever` or `class:207` a class; `class:207 - class:208` a difference; `features.28` a layer,
        `features.28:12` a channel, `features.28:12@3,4` the unit at row 3, column 4; `class:3@mask.png` a class or
        channel over the places where the mask, a picture of what was prepared, is bright.
        """
        if self._named(text.strip()):
            return Target(text.strip(), (self._term(text.strip(), 1),))
        parts = re.split(r"\s+([-+])\s+", text.strip())
        signs = [1, *(1 if sign == "+" else -1 for sign in parts[1::2])]
        terms = [self._term(part, sign) for part, sign in zip(parts[::2], signs, strict=True)]
        parts[::2] = map(_without_folder, parts[::2])
        return Target(" ".join(parts), tuple(terms))

    def of_class(self, index: int) -> Target:
        """The logit of class `index`."""
        self._checked_class(index, f"class:{index}")
        return Target(f"class:{index}", (Term(1, None, index),))

    def _named(self, text: str) -> list[int]:
        return [index for index, label in enumerate(self.labels or ()) if label.lower() == text.lower()]

    def _checked_class(self, index: int, text: str) -> int:
        classes = self.classes()
        if classes is None:
            raise TargetError(f"{text!r} asks for a class and the network has none; ask for a layer, channel or unit")
        if not 0 <= index < classes:
            raise TargetError(f"{text!r}: the network has classes 0 to {classes - 1}")
        return index

    def _term(self, text: str, sign: int) -> Term:
        subject, _, place = text.rpartition("@")
        if subject and not re.fullmatch(r"[-+\d,\s]*", place):
            return replace(self._term(subject, sign), mask=self.read_mask(place))
        if index := re.fullmatch(r"class:(\d+)", text):
            return Term(sign, None, self._checked_class(int(index[1]), text))
        named = self._named(text)
        if len(named) > 1:
            choices = ", ".join(f"class:{index}" for index in named)
            raise TargetError(f"{len(named)} classes are called {text!r}; say which: {choices}")
        if named:
            return Term(sign, None, self._checked_class(named[0], text))
        match = re.fullmatch(r"(?P<layer>[^:@]+)(?::(?P<channel>\d+)(?:@(?P<row>\d+),\s*(?P<column>\d+))?)?", text)
        if not match:
            raise TargetError(f"can't understand the target {text!r}; expected {GRAMMAR}")
        if match["layer"] not in self.layers:
            known = self.layers.names if match["channel"] else [*(self.labels or ()), *self.layers.names]
            what = "layer" if match["channel"] else "class or layer"
            raise TargetError(f"no {what} {match['layer']!r}; {nearest(match['layer'], known)}")
        return self._layer_term(match, text, sign)

    def _layer_term(self, match: re.Match[str], text: str, sign: int) -> Term:
        layer = self.layers[match["layer"]]
        if match["channel"] is None:
            return Term(sign, layer.name)
        channel = int(match["channel"])
        if not layer.shape:
            raise TargetError(f"{text!r}: {layer.name} is one number and has no channels; ask for {layer.name!r}")
        if channel >= layer.shape[0]:
            raise TargetError(f"{text!r}: {layer.name} has channels 0 to {layer.shape[0] - 1}")
        if match["row"] is None:
            return Term(sign, layer.name, channel)
        if not layer.has_space:
            raise TargetError(f"{text!r}: {layer.name} has no space, its shape is {layer.shape}; leave out @ROW,COLUMN")
        row, column = int(match["row"]), int(match["column"])
        rows, columns = layer.shape[1:]
        if row >= rows or column >= columns:
            raise TargetError(f"{text!r}: {layer.name} has rows 0 to {rows - 1} and columns 0 to {columns - 1}")
        return Term(sign, layer.name, channel, (row, column))


def _without_folder(text: str) -> str:
    """A term's text with its mask by the file's name alone: what a recipe may say of it.

    >>> _without_folder("road@my masks/left side.png")
    'road@left side.png'
    """
    subject, at, place = text.rpartition("@")
    return f"{subject}{at}{Path(place).name}" if subject else text


TargetLike = str | int | Target | Callable[[Any], Tensor]
