"""A module left in training mode: what that would do to its answers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convscope.network.heads import class_logits, plain_logits
from convscope.network.network import Network
from convscope.network.replica import Replica, unwrapped
from convscope.plates.checking.feeding import Feeding
from convscope.plates.checking.trials import Trials, log_probabilities

# Batch norms in training mode answer by the batch; it should be of the usual size.
_BATCH = 32
# By less the probabilities differ between any two ways to compute them.
_LEAST_MOVED = 1e-3
_BY_MODE = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


@dataclass(frozen=True)
class TrainMode:
    """How many dropouts and batch norms are in training mode, and what that would do.

    `moved` is how far the probability of each answer goes, on average. The accuracies, in evaluation mode and as the
    module is, are None where the right classes aren't known; all three are None where it can't be run as it is.
    """

    layers: int
    moved: float | None = None
    accuracy: float | None = None
    accuracy_as_it_is: float | None = None

    @property
    def matters(self) -> bool:
        """Whether it changes what the module answers, or would stop it from answering."""
        return self.moved is None or self.moved > _LEAST_MOVED

    def __str__(self) -> str:
        layers = f"{self.layers} of its layers are" if self.layers > 1 else "one of its layers is"
        effect = "it can't be run like that"
        if self.moved is not None:
            effect = f"like that its answers' probabilities move by {self.moved:.1%} on average"
        if self.accuracy is not None and self.accuracy_as_it_is is not None:
            effect += f", and it is right on {self.accuracy_as_it_is:.1%} instead of {self.accuracy:.1%}"
        return (
            f"the module was left in training mode ({layers}): {effect}. convscope evaluates it in evaluation mode; in "
            "your own code call module.eval() first"
        )


def train_mode(network: Network, trials: Trials, feeding: Feeding, which: range, *, seed: int) -> TrainMode | None:
    """What the module's own mode does to its answers to these photographs; None if nothing in it is in training mode.

    It is tried on a replica, in batches of 32; the user's module and the random numbers stay as they are.
    """
    layers = sum(module.training and _depends_on_mode(module) for module in network.module.modules())
    if not layers:
        return None
    run = _Modes(network)
    evaluated, as_it_is, right = [], [], []
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            for rows, batches in trials.batches([feeding.geometry], which, _BATCH):
                batch = batches[feeding.geometry].to(network.device, network.dtype)
                evaluated.append(run(feeding.scaling.function(batch), training=False))
                as_it_is.append(run(feeding.scaling.function(batch), training=True))
                right.append(trials.right_outputs(feeding, [which[int(row)] for row in rows]))
    except Exception:  # whatever a module raises that was never meant to be run like this
        return TrainMode(layers)
    usual, other = torch.cat(evaluated), torch.cat(as_it_is)
    answers = usual.argmax(dim=1, keepdim=True)
    moved = float((usual - other).gather(1, answers).abs().mean())
    if right[0] is None:
        return TrainMode(layers, moved)
    wanted = torch.cat([each for each in right if each is not None])
    return TrainMode(layers, moved, _accuracy(usual, wanted), _accuracy(other, wanted))


class _Modes:
    """A replica's probabilities, in evaluation mode or in the modes that the user's own modules are in."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._replica = Replica(network.module).module
        self._modes = {name: module.training for name, module in unwrapped(network.module).named_modules()}

    def __call__(self, fed: Tensor, *, training: bool) -> Tensor:
        for name, module in self._replica.named_modules():
            module.training = training and self._modes[name]
        output = self._replica(fed)
        plain = self._network.output(output) if self._network.output else plain_logits(output, self._network.name)
        logits = class_logits(plain, self._network.head).cpu().float()
        return log_probabilities(logits, self._network).exp()


def _depends_on_mode(module: nn.Module) -> bool:
    # Stochastic depth has a class of its own in every library.
    return isinstance(module, _BY_MODE) or type(module).__name__ in ("DropPath", "StochasticDepth")


def _accuracy(probabilities: Tensor, wanted: Tensor) -> float:
    return float((probabilities.argmax(dim=1) == wanted).float().mean())
