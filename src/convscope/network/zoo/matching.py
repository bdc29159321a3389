"""The names and shapes of a state dict against those of a module."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convscope.errors import WeightsError

# A count of training steps, which files from elsewhere often lack.
STEP_COUNT = "num_batches_tracked"
SHOWN = 4
# What the copies of weights that are averaged over training are called.
AVERAGED = re.compile(r"(?<![a-z])ema(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Match:
    """How a state dict fits a module, once `prefix` is removed from its keys."""

    prefix: str
    matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: Mapping[str, tuple[torch.Size, torch.Size]]  # key → shape in the file, shape in the module
    outside: tuple[str, ...]  # keys without the prefix: other parts of what the file was saved from

    @property
    def fits(self) -> bool:
        return not (self.missing or self.unexpected or self.misshapen)

    @property
    def summary(self) -> str:
        """One line, such as "312 of 312 keys, prefix `module.` removed"."""
        line = f"{self.matched} of {self.matched + len(self.missing) + len(self.misshapen)} keys"
        if self.prefix:
            line += f", prefix `{self.prefix}` removed"
        if self.outside:
            line += f", {_listed(self.outside, 'outside it left out')}"
        return line

    def classes(self, usual: int) -> int:
        """How many classes the file's network has, where it differs from the module's `usual` count."""
        counts = {file[0] for file, own in self.misshapen.values() if own[:1] == (usual,) and file[1:] == own[1:]}
        return counts.pop() if len(counts) == 1 else usual


def match_weights(module: nn.Module, state: Mapping[str, Tensor]) -> Match:
    """Compare names and shapes; nothing is loaded."""
    own = _tensors(module)
    prefix = common_prefix(state, own)
    inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    both = inside.keys() & own.keys()
    return Match(
        prefix,
        matched=sum(inside[key].shape == own[key].shape for key in both),
        missing=tuple(key for key in own if key not in both and not key.endswith(STEP_COUNT)),
        unexpected=tuple(key for key in inside if key not in both and not key.endswith(STEP_COUNT)),
        misshapen={
            key: (inside[key].shape, own[key].shape)
            for key in own
            if key in both and inside[key].shape != own[key].shape
        },
        outside=tuple(key for key in state if not key.startswith(prefix)),
    )


def load_weights(module: nn.Module, state: Mapping[str, Tensor]) -> Match:
    """Load `state` into `module`, whatever wrappers (`module.`, `_orig_mod.`, `model.`) its keys were saved under.

    A module on the meta device takes the tensors themselves, any other copies their values.

    Raises
    ------
    WeightsError
        A weight is missing, unexpected or of another shape, or the file holds the network twice.
    """
    match = match_weights(module, state)
    if not match.fits:
        raise WeightsError(_complaint(type(module).__name__, match))
    own = _tensors(module)
    values = {
        key: state[match.prefix + key].to(value.dtype) for key, value in own.items() if match.prefix + key in state
    }
    counts = {key: torch.zeros_like(value, device="cpu") for key, value in own.items() if key not in values}
    # Not strict, as a module may keep more than tensors; that all of them are there has just been checked.
    module.load_state_dict(values | counts, strict=False, assign=any(value.is_meta for value in own.values()))
    return match


def common_prefix(keys: Collection[str], wanted: Collection[str]) -> str:
    """The beginning that, once removed, makes most of `keys` those that are `wanted`; none if that is as good.

    >>> common_prefix(["module.net.fc.weight", "module.net.fc.bias", "loss.weight"], ["fc.weight", "fc.bias"])
    'module.net.'

    Of trained weights and their moving average, under names such as `ema_model.`, the trained ones are wanted.

    Raises
    ------
    WeightsError
        Two beginnings are equally good.
    """
    counts = Counter({"": 0})
    for key in keys:
        parts = key.split(".")
        for cut in range(len(parts)):
            rest = ".".join(parts[cut:])
            if rest in wanted:
                counts[key.removesuffix(rest)] += 1
    most = max(counts.values())
    best = [prefix for prefix, count in counts.items() if count == most]
    best = [prefix for prefix in best if not AVERAGED.search(prefix)] or best
    if len(best) > 1 and "" not in best and 2 * most > len(wanted):
        names = ", ".join(sorted(prefix.rstrip(".") for prefix in best))
        raise WeightsError(f"the weights fit {len(best)} times; name one as the weights key: {names}")
    return best[0]


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {key: value for key, value in module.state_dict().items() if isinstance(value, Tensor)}


def _complaint(network: str, match: Match) -> str:
    wrong = [
        _listed(match.missing, "missing"),
        _listed(match.unexpected, "unexpected"),
        _listed(
            [f"{key}: {tuple(file)}, expected {tuple(own)}" for key, (file, own) in match.misshapen.items()],
            "of another shape",
        ),
    ]
    return (
        f"the weights don't fit {network}: {match.summary}; {'; '.join(filter(None, wrong))}. "
        "Check that they are of this architecture, with as many classes"
    )


def _listed(keys: Collection[str], what: str) -> str:
    more = ", …" if len(keys) > SHOWN else ""
    return f"{len(keys)} {what} ({', '.join(list(keys)[:SHOWN])}{more})" if keys else ""
