"""Random weights: whose they are, what they are like, and what becomes of maps."""

import copy
from typing import get_args

import numpy as np
import pytest
import torch
from tests.planted import planted
from torch import Tensor, nn

import convscope as cs
from convscope.attribution.randomizing import randomized, weighted_layers
from convscope.attribution.ranking import spearman
from convscope.network.rules import Rule
from convscope.progress import Progress


def normed() -> cs.Network:
    """A network whose layers are not defined in the order in which they run."""

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = nn.Linear(8, 3)
            self.norm = nn.BatchNorm2d(8)
            self.convolution = nn.Conv2d(3, 8, 3)
            self.convolution.bias.data += 4  # type: ignore[union-attr]

        def forward(self, image: Tensor) -> Tensor:
            seen = torch.relu(self.norm(self.convolution(image)))
            return self.classifier(seen.mean((2, 3)))  # type: ignore[no-any-return]

    return cs.Network(Normed(), input_size=12)


IMAGE = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(1))


def test_layers_are_told_from_the_output_down() -> None:
    assert weighted_layers(normed()) == ("classifier", "norm", "convolution")


def test_parametrized_weights_have_the_place_of_their_layer() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 2))
    nn.utils.parametrizations.weight_norm(module[0])
    layers = weighted_layers(cs.Network(module, input_size=12))
    assert layers[0] == "3"
    assert set(layers[1:]) == {"0", "0.parametrizations.weight"}


def test_a_network_without_weights_is_refused() -> None:
    with pytest.raises(cs.NetworkError, match="no weights"):
        weighted_layers(cs.Network(nn.Sequential(nn.AvgPool2d(2), nn.Flatten()), input_size=4))


def test_the_users_own_module_stays_as_it_is() -> None:
    net = normed()
    net.module.train()
    before = copy.deepcopy(net.module.state_dict())
    generator = torch.random.get_rng_state()
    randomized(net, weighted_layers(net), IMAGE)
    assert all(torch.equal(value, before[name]) for name, value in net.module.state_dict().items())
    assert net.module.training
    assert torch.equal(torch.random.get_rng_state(), generator)


def test_only_the_layers_asked_for_are_random_and_longer_lists_begin_alike() -> None:
    net = normed()
    layers = weighted_layers(net)
    one, two = (randomized(net, layers[:count], IMAGE, seed=5).module for count in (1, 3))
    own = net.module.state_dict()
    assert torch.equal(one.state_dict()["convolution.weight"], own["convolution.weight"])
    assert not torch.equal(one.state_dict()["classifier.weight"], own["classifier.weight"])
    assert torch.equal(one.state_dict()["classifier.weight"], two.state_dict()["classifier.weight"])
    other = randomized(net, layers[:1], IMAGE, seed=6).module
    assert not torch.equal(one.state_dict()["classifier.weight"], other.state_dict()["classifier.weight"])


def test_random_weights_are_as_large_as_learned_ones() -> None:
    module = nn.Sequential(nn.Conv2d(3, 64, 5), nn.Flatten(), nn.Linear(4096, 10))
    module[0].bias.data = torch.linspace(3, 5, 64)
    net = cs.Network(module, input_size=12)
    made = randomized(net, weighted_layers(net), IMAGE).module
    for name in ("0.weight", "0.bias", "2.weight"):
        old, new = net.module.state_dict()[name], made.state_dict()[name]
        assert new.square().mean().sqrt() == pytest.approx(old.square().mean().sqrt().item(), rel=0.3)
    assert made.state_dict()["0.bias"].mean() == pytest.approx(4, abs=0.3)


def test_batch_norms_take_their_statistics_from_the_image() -> None:
    net = normed()
    layers = weighted_layers(net)
    made = randomized(net, layers, IMAGE)
    seen = made.capture(torch.stack([IMAGE, IMAGE.flip(-1), IMAGE.flip(-2), IMAGE.flip(-1, -2)]), ["convolution"])
    norm = made.module.get_submodule("norm")
    torch.testing.assert_close(norm.running_mean, seen["convolution"].mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, seen["convolution"].transpose(0, 1).flatten(1).var(1))
    # One that isn't random keeps its own, whatever is random above it.
    own = randomized(net, layers[:1], IMAGE).module.get_submodule("norm")
    assert torch.equal(own.running_mean, net.module.get_submodule("norm").running_mean)  # type: ignore[arg-type]


def test_the_randomized_network_is_fed_and_read_alike() -> None:
    net = cs.Network(normed().module, input_size=12, mean=(0.5,) * 3, std=(0.2,) * 3, labels=["a", "b", "c"])
    made = randomized(net, ["classifier"], IMAGE)
    assert made.feeding == net.feeding
    assert made.predict(IMAGE, top=1)[0].label in "abc"
    assert made.weights_sha256 != net.weights_sha256


# --- The cascade ---


def test_maps_change_as_the_weights_go() -> None:
    seen = planted()
    image = seen.images[0]
    result = cs.randomization(seen.network, cs.integrated_gradients(seen.network, image, seen.target), stages=3)
    assert result.layers == weighted_layers(seen.network)
    assert result.counts == (1, 2, 3)
    assert result.signed.abs().max() < 0.7
    last = randomized(seen.network, weighted_layers(seen.network), image)
    assert torch.equal(result.maps[-1].values, cs.integrated_gradients(last, image, seen.target).values)


def test_correlations_are_those_of_the_maps() -> None:
    stats = pytest.importorskip("scipy.stats")
    net = normed()
    result = cs.randomization(net, cs.saliency(net, IMAGE, 1), stages=2, seed=3)
    for each, absolute, signed in zip(result.maps, result.absolute, result.signed, strict=True):
        one, other = result.original.values, each.values
        expected = stats.spearmanr(one.abs().amax(0).flatten(), other.abs().amax(0).flatten()).statistic
        assert absolute == pytest.approx(expected, abs=1e-6)
        assert signed == pytest.approx(
            stats.spearmanr(one.sum(0).flatten(), other.sum(0).flatten()).statistic, abs=1e-6
        )


def test_guided_backpropagation_outlives_the_classifier_on_a_real_network(lite0: cs.Network) -> None:
    image = lite0.prepare(cs.read_image("chelsea"))
    forgetful = randomized(lite0, weighted_layers(lite0)[:16], image)
    maps = [[cs.saliency(net, image, 282, rule=rule).heatmap for net in (lite0, forgetful)] for rule in get_args(Rule)]
    found = dict(zip(get_args(Rule), (spearman(*each) for each in maps), strict=True))
    guided, plain = found["guided"], found["gradient"]
    assert guided > 0.9 > 0.7 > plain


def test_it_can_be_seen_told_and_stopped() -> None:
    net = normed()
    attribution = cs.saliency(net, IMAGE, 0)
    seen: list[Progress] = []
    result = cs.randomization(net, attribution, stages=9, progress=seen.append)
    assert [each.done for each in seen] == [1, 2, 3]
    assert np.ptp(np.asarray(result.picture())) > 100
    assert "convolution" in str(result)
    assert result.recipe.parameters["stages"] == 9
    with pytest.raises(cs.Cancelled, match="after 1 of 3"):
        cs.randomization(net, attribution, stages=9, progress=lambda progress: False)
    with pytest.raises(cs.ImageError, match="stages=0"):
        cs.randomization(net, attribution, stages=0)
