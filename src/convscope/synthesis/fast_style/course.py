"""One training of a style network: its settings, its steps, and how it goes on after a stop."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convscope.errors import StepFailed, WeightsError
from convscope.image.recipe import JSON
from convscope.synthesis.fast_style.crops import Crops
from convscope.synthesis.fast_style.files import read_network, write_network
from convscope.synthesis.fast_style.losses import TERMS, PerceptualLoss
from convscope.synthesis.fast_style.sharing import Sharing
from convscope.synthesis.fast_style.style_network import OWN, StyleNetwork
from convscope.synthesis.optimizers.schedule import Schedule

_MOMENTS = ("exp_avg", "exp_avg_sq")
# Of S styles each is seen in one S-th of the crops, so what is its own has to learn faster.
OWN_RATE = 3.0
# Crops are cut while steps are taken, so many batches ahead.
_AHEAD = 2


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How many steps, of how many images, at which rate."""

    steps: int
    batch: int
    rate: float
    schedule: Schedule


class Course:
    """A network on its way, from step 0 or from where its checkpoint says it was."""

    def __init__(self, network: StyleNetwork, loss: PerceptualLoss, crops: Crops, pace: Pace, sharing: Sharing) -> None:
        self.network, self.step, self.whole = network, 0, True
        self._loss, self._crops, self._pace, self._sharing = loss, crops, pace, sharing
        self._learned = {name: each for name, each in network.named_parameters() if each.requires_grad}
        own = [each for name, each in self._learned.items() if name.endswith(OWN)]
        common = [each for name, each in self._learned.items() if not name.endswith(OWN)]
        self._optimizer = torch.optim.Adam([{"params": common, "faster": 1.0}, {"params": own, "faster": OWN_RATE}])
        self._curves = {name: torch.full((pace.steps,), torch.nan) for name in TERMS}
        self._shared: nn.Module = sharing.shared(network)

    @property
    def steps(self) -> int:
        """All, those already taken too."""
        return self._pace.steps

    @property
    def last(self) -> dict[str, float]:
        """The terms of the loss at the last step, and their weighted sum."""
        terms = {name: curve[self.step - 1] for name, curve in self._curves.items()}
        return {**{name: float(term) for name, term in terms.items()}, "total": float(self._loss.total(terms))}

    def preview(self) -> Tensor:
        """The first crop in each style, `(styles, 3, size, size)`."""
        mix = torch.eye(len(self.network.styles), device=next(self.network.parameters()).device)
        with torch.no_grad():
            shown: Tensor = self.network(self._crops.batch([0]).to(mix.device).expand(len(mix), -1, -1, -1), mix)
        return shown

    @property
    def curves(self) -> dict[str, Tensor]:
        """Each term of the loss at the steps taken so far."""
        return {name: curve[: self.step] for name, curve in self._curves.items()}

    def run(self) -> Iterator[int]:
        """Take the steps that are left; yields how many are done after each. Raises StepFailed."""
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="convscope-crops") as workers:
            coming: list[Future[Tensor]] = []
            for step in range(self.step, self._pace.steps):
                wanted = range(step + len(coming), min(step + 1 + _AHEAD, self._pace.steps))
                coming.extend(workers.submit(self._crops.batch, self._numbers(ahead)) for ahead in wanted)
                self._take(coming.pop(0).result(), self._numbers(step))
                yield self.step

    def _numbers(self, step: int) -> list[int]:
        """Those of the crops that this process takes at a step: its share of the batch."""
        first = step * self._pace.batch
        return list(self._sharing.own(range(first, first + self._pace.batch)))

    def _take(self, crops: Tensor, numbers: Sequence[int]) -> None:
        network, device = self.network, next(self.network.parameters()).device
        for group in self._optimizer.param_groups:
            group["lr"] = group["faster"] * self._pace.rate * self._pace.schedule(self.step / self._pace.steps)
        styles = [number % len(network.styles) for number in numbers]
        images, mix = crops.to(device), torch.eye(len(network.styles), device=device)[styles]
        terms = self._loss(self._shared(images, mix), images, styles)
        self._optimizer.zero_grad()
        total = self._loss.total(terms)
        torch.autograd.backward(total)
        means = self._sharing.mean(torch.stack([terms[name].detach() for name in TERMS])).cpu()
        if not means.isfinite().all():
            raise StepFailed(
                f"step {self.step + 1} gave no numbers; take a lower rate than {self._pace.rate:g}, or less of a style"
            )
        # Stopped from here on, it would be neither before the step nor after it.
        self.whole = False
        self._optimizer.step()
        for name, mean in zip(TERMS, means, strict=True):
            self._curves[name][self.step] = mean
        self.step, self.whole = self.step + 1, True

    def save(self, path: Path, settings: Mapping[str, JSON]) -> None:
        """Write all that going on needs. Raises ImageError if it can't be written; the file before it then stays."""
        moments = {
            f"adam.{moment}.{name}": self._optimizer.state[each][moment]
            for name, each in self._learned.items()
            for moment in _MOMENTS
        }
        curves = {f"curve.{name}": curve for name, curve in self.curves.items()}
        write_network(path, self.network, training={**settings, "step": self.step}, more={**moments, **curves})

    def resume(self, path: Path, settings: Mapping[str, JSON]) -> None:
        """Go on from a checkpoint. Raises WeightsError if it is one of another training."""
        network, told, tensors = read_network(path)
        step = told.pop("step", None)
        if step is None:
            raise WeightsError(f"{path.name} is no checkpoint, but a finished network; give the new one another name")
        self._check_same(path, network, told, settings)
        self.network.load_state_dict(network.state_dict())
        for name, each in self._learned.items():
            moments = {moment: tensors[f"adam.{moment}.{name}"].to(each) for moment in _MOMENTS}
            self._optimizer.state[each] = {"step": torch.tensor(float(step)), **moments}
        for name, curve in self._curves.items():
            curve[:step] = tensors[f"curve.{name}"]
        self.step = step

    def _check_same(
        self, path: Path, network: StyleNetwork, told: Mapping[str, Any], settings: Mapping[str, JSON]
    ) -> None:
        then = {**told, "styles": list(network.styles), **network.architecture.parameters()}
        now = {**settings, "styles": list(self.network.styles), **self.network.architecture.parameters()}
        # What it was begun with is told in the end, and is no reason to begin anew.
        others = [name for name in {**then, **now} if then.get(name) != now.get(name) and name != "version"]
        if others:
            differing = ", ".join(f"{name} {then.get(name)!r} and not {now.get(name)!r}" for name in others)
            raise WeightsError(
                f"{path.name} was begun with {differing}; go on with what it was begun with, or remove it to begin anew"
            )
