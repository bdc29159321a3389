"""Randomizing the weights of a network from its output down, on a copy."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from convscope.errors import NetworkError
from convscope.network.network import Network
from convscope.network.replica import own_copy, unwrapped


def weighted_layers(network: Network) -> tuple[str, ...]:
    """The submodules that hold weights, from the output down, by their paths.

    In the order in which they are run where that is known, else in the order in which the module has them.
    Raises NetworkError where there are none.
    """
    modules = unwrapped(network.module).named_modules()
    held = [path for path, each in modules if next(each.parameters(recurse=False), None) is not None]
    if not held:
        raise NetworkError(f"{network.name} has no weights that could be randomized")
    run = {name: place for place, name in enumerate(network.layers)}
    # A parametrization's or a container's weights are used where the layer around them is run.
    places: dict[str, int] = {}
    for path in held:
        around = next((above for above in _upwards(path) if above in run), None)
        places[path] = run[around] if around is not None else max(places.values(), default=0)
    return tuple(sorted(held, key=lambda path: (places[path], held.index(path)), reverse=True))


def randomized(network: Network, layers: Sequence[str], image: Tensor, *, seed: int = 0) -> Network:
    """A copy of the network in which the weights of `layers` are random; the user's own module stays as it is.

    Each matrix or kernel becomes normal numbers about 0 of the same mean square, each vector (a bias, a batch norm's
    gain) normal numbers of its own mean and spread: what was learned is gone, and signals stay about as large as they
    were. The batch norms among `layers` take their statistics anew from `image` and its mirror images, as in training:
    with those of the trained weights below them signals would die or explode on their way through random ones, and a
    map of what numerical noise is left would differ from any other for no good reason.

    The numbers of each layer come from `seed` and its place in `layers` alone, so that a longer list begins alike.
    """
    module = own_copy(network.module)
    with torch.no_grad():
        for place, path in enumerate(layers):
            generator = torch.Generator().manual_seed(1_000_003 * seed + place)
            for weight in module.get_submodule(path).parameters(recurse=False):
                weight.copy_(_random_like(weight, generator))
    again = network.with_module(module)
    _renew_statistics(again, [module.get_submodule(path) for path in layers], image)
    return again


def _random_like(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Normal numbers in the place of a weight."""
    old = weight.detach().float()
    noise = torch.randn(old.shape, generator=generator).to(old.device)
    if old.dim() >= 2:
        return noise * old.square().mean().sqrt()
    return old.mean() + noise * old.std(correction=0)


def _renew_statistics(network: Network, layers: Sequence[nn.Module], image: Tensor) -> None:
    """Give the batch norms among `layers` the statistics of `image` `(C, H, W)` or `(N, C, H, W)` and its mirrors."""
    # The base of batch norms of every dimension has no public name.
    norms = [each for each in layers if isinstance(each, nn.modules.batchnorm._BatchNorm) and each.track_running_stats]
    if not norms:
        return
    images = image if image.dim() == 4 else image[None]
    batch = torch.cat([images, images.flip(-1), images.flip(-2), images.flip(-1, -2)])
    network.module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all that is seen: here of one batch
        norm.train()
    with torch.no_grad():
        network.module(network.feed(batch))
    network.module.eval()


def _upwards(path: str) -> list[str]:
    """A path and those of the modules around it, from the inside out.

    >>> _upwards("features.3.conv")
    ['features.3.conv', 'features.3', 'features']
    """
    parts = path.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
