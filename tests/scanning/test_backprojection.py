"""Units passed back by the lean graph against the network itself, whatever the network is built from."""

import pytest
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from tests.random_networks import Made, modules

import convscope as cs
from convscope.errors import ConvscopeError
from convscope.network.rules import RULES, Rule
from convscope.scanning.backprojection import Projector, Unit


@given(modules(), st.sampled_from(RULES), st.sampled_from([None, "positive"]), st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
def test_each_unit_as_the_network_passes_it_back(
    made: Made, rule: Rule, smooth: str | None, data: st.DataObject
) -> None:
    module, size = made
    net = cs.Network(module, input_size=size, head="none")
    images = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shapes = {name: layer.shape for name, layer in net.layers.items() if len(layer.shape) in (1, 3)}
    name = data.draw(st.sampled_from(sorted(shapes)))
    channels, *space = shapes[name]
    height, width = space or (1, 1)
    places = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    units = [Unit(data.draw(st.integers(0, channels - 1)), data.draw(places)) for _ in images]
    texts = [f"{name}:{each.channel}" + (f"@{each.place[0]},{each.place[1]}" if space else "") for each in units]
    pairs = list(zip(images, texts, strict=True))
    try:
        expected = [net.gradient(image, text, rule=rule, smooth=smooth) for image, text in pairs]
    except ConvscopeError as error:
        with pytest.raises(type(error)):
            Projector(net, name)(images, units, rule=rule, smooth=smooth)
        return
    except RuntimeError:  # overwrites what PyTorch needs to go back; without writes there may be a way
        reject()
    found = Projector(net, name)(images, units, rule=rule, smooth=smooth)
    assert found.shape == images.shape
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9 * max(1.0, float(other.abs().max())))
