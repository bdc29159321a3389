"""The attacks by name: how each is called with networks, images and keyword arguments."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from convscope.fooling.adversarial_patch import adversarial_patch
from convscope.fooling.bim import bim
from convscope.fooling.box_lbfgs import box_lbfgs
from convscope.fooling.carlini_wagner import carlini_wagner
from convscope.fooling.deep_fool import deep_fool
from convscope.fooling.fgsm import fgsm
from convscope.fooling.pgd import pgd
from convscope.fooling.targeted_gradient import targeted_gradient
from convscope.fooling.universal import universal
from convscope.network.network import Network
from convscope.render.result import Pictured


@dataclass(frozen=True)
class Attack:
    """An attack by its function."""

    function: Callable[..., Pictured]

    def __call__(self, networks: Sequence[Network], images: Sequence[Tensor], options: Mapping[str, Any]) -> Pictured:
        """The result of one image, or of several together."""
        return self.function(networks[0], images if len(images) > 1 else images[0], **options)

    @property
    def options(self) -> list[str]:
        """What it may be given by name."""
        return list(inspect.signature(self.function).parameters)[2:]


METHODS: Mapping[str, Attack] = {
    "adversarial_patch": Attack(adversarial_patch),
    "bim": Attack(bim),
    "box_lbfgs": Attack(box_lbfgs),
    "carlini_wagner": Attack(carlini_wagner),
    "deep_fool": Attack(deep_fool),
    "fgsm": Attack(fgsm),
    "pgd": Attack(pgd),
    "targeted_gradient": Attack(targeted_gradient),
    "universal": Attack(universal),
}
