"""Trying feedings on photographs: what the same module answers when it is fed in different ways."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.errors import Cancelled, ImageError
from convscope.image.read import read_image
from convscope.image.sources import Photograph, Unreadable
from convscope.network.heads import probabilities
from convscope.network.network import Network
from convscope.plates.checking.feeding import Feeding, Geometry
from convscope.plates.checking.normed import NormedLayers

# Photographs run together: few enough for a layer's outputs to stay in a processor's cache.
_BATCH = 4
_LARGEST_LOGIT = 1e4

# Called with how much is done and how much there is to do; stops the work by returning False.
OnProgress = Callable[[int, int], bool | None]


@dataclass(frozen=True)
class Answers:
    """What came of one feeding, a row a photograph.

    `output` is the most probable class, `confidence` its probability and `entropy` that of all, in nats. Where
    `classes_known`: the class that was `wanted`, and its `log_probability`. Elsewhere: the `moments` of what the batch
    norms got, `(N, 2, channels)`.
    """

    classes_known: bool
    output: Tensor
    confidence: Tensor
    entropy: Tensor
    wanted: Tensor
    log_probability: Tensor
    moments: Tensor

    @classmethod
    def blank(cls, count: int, *, classes_known: bool, channels: int) -> "Answers":
        """Room for so many photographs; filled in place, as small results among large buffers scatter the memory."""
        output, wanted = torch.zeros(2, count, dtype=torch.long)
        confidence, entropy, log_probability = torch.zeros(3, count)
        moments = torch.zeros(count, 2, channels)
        return cls(classes_known, output, confidence, entropy, wanted, log_probability, moments)

    @property
    def right(self) -> Tensor:
        """Whether each answer is the class that was wanted."""
        return self.output == self.wanted

    def __len__(self) -> int:
        return len(self.output)

    def select(self, rows: slice | Tensor) -> "Answers":
        """Those to some of the photographs."""
        return Answers(self.classes_known, *(tensor[rows] for tensor in self._tensors))

    def joined(self, other: "Answers") -> "Answers":
        """These, then those to other photographs."""
        pairs = zip(self._tensors, other._tensors, strict=True)
        return Answers(self.classes_known, *(torch.cat(pair) for pair in pairs))

    @property
    def _tensors(self) -> tuple[Tensor, ...]:
        return self.output, self.confidence, self.entropy, self.wanted, self.log_probability, self.moments


class Trials:
    """Runs feedings of one network over photographs; `classes` holds the right ones, or is None.

    A photograph that can't be read or fitted is left out of every feeding, and noted in `unreadable`. `planned` is how
    many answers there will be in all, for the progress.
    """

    def __init__(
        self,
        network: Network,
        photographs: Sequence[Photograph],
        classes: Sequence[int] | None,
        *,
        on_progress: OnProgress | None = None,
    ) -> None:
        self.unreadable: dict[Unreadable, None] = {}
        self.planned = 0
        self.classes = classes
        self._done = 0
        self._on_progress = on_progress
        self._photographs = photographs
        self._network = network
        # Fed as it is given, so that one trace serves every scaling.
        self._bare = _refitted(network, Geometry(network.fit, network.crop_fraction, network.interpolation))
        self.normed = NormedLayers.of(self._bare) if classes is None else NormedLayers({})

    def run(self, feedings: Sequence[Feeding], which: range) -> list[Answers]:
        """The answers of each feeding to the photographs of these numbers."""
        known, channels = self.classes is not None, self.normed.channels
        answers = [Answers.blank(len(which), classes_known=known, channels=channels) for _ in feedings]
        rows = [torch.zeros(0, dtype=torch.long)]
        for at, batches in self.batches([each.geometry for each in feedings], which):
            self._answer(feedings, batches, answers, at, which)
            rows.append(at)
            self._report(len(at) * len(feedings))
        return [each.select(torch.cat(rows)) for each in answers]

    def batches(
        self, geometries: Sequence[Geometry], which: range, size: int = _BATCH
    ) -> Iterator[tuple[Tensor, dict[Geometry, Tensor]]]:
        """Batches of the photographs that can be read, in every geometry, each with its rows' places in `which`."""
        fitted = {geometry: _refitted(self._network, geometry) for geometry in geometries}
        for start in range(0, len(which), size):
            places = range(start, min(start + size, len(which)))
            prepared = {place: each for place in places if (each := self._prepared(fitted, which[place])) is not None}
            if prepared:
                columns = zip(*prepared.values(), strict=True)
                yield torch.tensor(list(prepared)), dict(zip(fitted, map(torch.stack, columns), strict=True))

    def right_outputs(self, feeding: Feeding, which: Sequence[int]) -> Tensor | None:
        """The output that is right for each of these photographs, as the feeding has its labels; None if not known."""
        if self.classes is None:
            return None
        classes = [self.classes[number] for number in which]
        return torch.tensor(feeding.order.outputs(classes) if feeding.order else classes)

    def _prepared(self, fitted: dict[Geometry, Network], number: int) -> list[Tensor] | None:
        path = self._photographs[number].path
        try:
            if self._network.loader is not None:
                image = self._network.loader(str(path))
            else:
                image = read_image(path, channels=self._network.channels, window=self._network.window)
            return [network.prepare(image) for network in fitted.values()]
        except ImageError as error:
            self.unreadable[Unreadable(path, str(error))] = None
            return None

    def _answer(
        self,
        feedings: Sequence[Feeding],
        batches: dict[Geometry, Tensor],
        answers: Sequence[Answers],
        rows: Tensor,
        which: range,
    ) -> None:
        """Fill in these rows; feedings that differ in the labels' order alone share one run."""
        ran: dict[tuple[str, Geometry], tuple[Tensor, Tensor]] = {}
        for feeding, into in zip(feedings, answers, strict=True):
            key = feeding.scaling.name, feeding.geometry
            if key not in ran:
                batch = batches[feeding.geometry].to(self._bare.device, self._bare.dtype)
                fed = feeding.scaling.function(batch)
                # A wrong scaling may overflow half precision; what is no number tells nothing.
                logits = self._bare.logits(fed).cpu().float().nan_to_num().clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)
                ran[key] = log_probabilities(logits, self._bare), self.normed.moments(self._bare, fed).nan_to_num()
            log_probability, into.moments[rows] = ran[key]
            into.output[rows] = log_probability.argmax(dim=1)
            into.confidence[rows] = log_probability.amax(dim=1).exp()
            into.entropy[rows] = -(log_probability.exp() * log_probability).sum(dim=1)
            wanted = self.right_outputs(feeding, [which[int(row)] for row in rows])
            if wanted is not None:
                into.wanted[rows] = wanted
                into.log_probability[rows] = log_probability[torch.arange(len(rows)), wanted]

    def _report(self, done: int) -> None:
        self._done += done
        if self._on_progress is not None and self._on_progress(self._done, max(self._done, self.planned)) is False:
            raise Cancelled("the check was stopped")


def log_probabilities(logits: Tensor, network: Network) -> Tensor:
    """The logarithm of each class's probability, `(N, K)`; outputs without a head are taken for logits."""
    if network.head in ("softmax", "none"):
        flat = logits.flatten(2).mean(dim=2) if logits.dim() > 2 else logits
        return flat.log_softmax(dim=1)
    return probabilities(logits, network.head).clamp_min(torch.finfo(torch.float32).tiny).log()


def _refitted(network: Network, geometry: Geometry) -> Network:
    """The same module with this geometry, fed what it is given."""
    return Network(
        network.module,
        input_size=network.input_size,
        channels=network.channels,
        normalize=_as_it_is,
        fit=geometry.fit,
        crop_fraction=geometry.crop_fraction,
        interpolation=geometry.interpolation,
        head=network.head,
        output=network.output,
        name=network.name,
    )


def _as_it_is(batch: Tensor) -> Tensor:
    return batch
