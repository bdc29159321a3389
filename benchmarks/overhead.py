"""What convscope adds to the passes through the network that a method cannot do without.

`saliency` against one forward and one backward pass of the same module, `capture` of three layers against a forward
pass, and the first call on a network, which wraps and traces it, counted in forward passes.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

import convscope as cs
from benchmarks.timing import Timing, interleaved, milliseconds, print_table
from convscope.network.rules import RULES

SALIENCY_LIMIT = 1.25
CAPTURE_LIMIT = 1.1
FIRST_CALLS = 5
TARGET = 207
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Case:
    """A network, an early, a middle and its last layer, and the image to ask about."""

    network: cs.Network
    layers: tuple[str, str, str]
    image: Tensor

    def forward(self) -> Tensor:
        """The logits, by the module itself."""
        with torch.no_grad():
            return self._logits(self.image[None])

    def forward_and_backward(self) -> Tensor:
        """The gradient of the target with respect to the image, by the module itself."""
        batch = self.image[None].clone().requires_grad_()
        return torch.autograd.grad(self._logits(batch)[:, TARGET].sum(), batch)[0]

    def first_call(self) -> Tensor:
        """The logits by a network that has never run."""
        own = self.network
        return cs.Network(own.module, input_size=own.input_size, normalize=own.normalize).logits(self.image)

    def _logits(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.network.module(self.network.normalize(batch))
        return logits


def main() -> None:
    rows = [row for case in cases() for row in measure(case)]
    print(
        f"{torch.get_num_threads()} threads, one image; median times; median of the rounds' ratios, ratio of the minima"
    )
    print_table(["", "against", "takes", "reference", "ratio", "of minima", "limit"], rows)


def cases() -> Iterator[Case]:
    """The default network with its weights, and two of torchvision's, if it is there, with random ones."""
    yield _case(cs.load("efficientnet-lite0"), ("stem", "blocks.3", "classifier"))
    models = _torchvision_models()
    if models is None:
        print("torchvision can't be imported: resnet18 and vgg16 are left out")
        return
    for name, layers in {
        "resnet18": ("relu", "layer2", "fc"),
        "vgg16": ("features.3", "features.16", "classifier.6"),
    }.items():
        module = models.get_model(name, weights=None).eval()
        yield _case(cs.Network(module, mean=MEAN, std=STD, name=name), layers)


def measure(case: Case) -> list[list[str]]:
    """The rows of one network's table."""
    network, image = case.network, case.image
    passes, *saliencies = interleaved(
        case.forward_and_backward, *(partial(cs.saliency, network, image, TARGET, rule=rule) for rule in RULES)
    )
    forward, capture = interleaved(case.forward, partial(network.capture, image, case.layers))
    forward_again, first_call = interleaved(case.forward, case.first_call, repetitions=FIRST_CALLS, warm_up=1)
    return [
        *(
            _row(f"{network.name} saliency, {rule}", timing, "forward + backward", passes, f"{SALIENCY_LIMIT:.2f}")
            for rule, timing in zip(RULES, saliencies, strict=True)
        ),
        _row(f"{network.name} capture, three layers", capture, "forward", forward, f"{CAPTURE_LIMIT:.2f}"),
        _row(f"{network.name} first call: wrap, trace, run", first_call, "forward", forward_again, ""),
    ]


def _row(name: str, timing: Timing, against: str, reference: Timing, limit: str) -> list[str]:
    times = [milliseconds(timing.median), milliseconds(reference.median)]
    ratios = [f"{timing.ratio(reference):.2f}", f"{timing.least_ratio(reference):.2f}"]
    return [name, against, *times, *ratios, limit]


def _case(network: cs.Network, layers: tuple[str, str, str]) -> Case:
    network.module.requires_grad_(False)
    return Case(network, layers, network.read("chelsea"))


def _torchvision_models() -> Any:
    """`torchvision.models`, None where it can't be imported."""
    try:
        return importlib.import_module("torchvision.models")
    except ImportError:
        return None
    except RuntimeError:  # its build for a CPU-only torch lacks two operators, which no classifier calls
        _declare_torchvision_operators()
        return importlib.import_module("torchvision.models")


def _declare_torchvision_operators() -> None:
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            schema = f"{name}(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor"
            library.define(schema)  # type: ignore[no-untyped-call]
    _libraries.append(library)


# A library's operators last as long as it does.
_libraries: list[torch.library.Library] = []


if __name__ == "__main__":
    main()
