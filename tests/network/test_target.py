"""Targets: every form of the grammar against indexing by hand, the laws of their gradients, and every error."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import convscope as cs
from convscope.errors import ImageError, NetworkError, TargetError

LABELS = ("tabby", "tiger cat", "Golden Retriever", "crane", "crane")


def classifier() -> nn.Module:
    """Named as VGG is, so that its layers have aliases and containers."""
    torch.manual_seed(1)
    features = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU()
    )  # fmt: skip
    parts = {"features": features, "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": nn.Linear(8, 5)}
    return nn.Sequential(OrderedDict(parts)).double()


MODULE = classifier()
NET = cs.Network(MODULE, input_size=16, labels=LABELS)
BATCH = torch.rand(3, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def value(target: Any, net: cs.Network = NET, batch: Tensor = BATCH) -> Tensor:
    """The target's value for each image."""
    asked = net.target(target, batch)
    return asked.score(net.logits(batch), net.capture(batch, asked.layers))


def maps(index: int) -> Tensor:
    """The maps after so many of the features' modules."""
    features: Tensor = MODULE.get_submodule("features")[: index + 1](BATCH)  # type: ignore[index]
    return features.detach()


def logit(index: int) -> Tensor:
    with torch.no_grad():
        logits: Tensor = MODULE(BATCH)
    return logits[:, index]


# --- What each form means ---

MEANINGS: dict[Any, Callable[[], Tensor]] = {
    "tabby": lambda: logit(0),
    "TaBBy": lambda: logit(0),
    "  golden retriever ": lambda: logit(2),
    "class:3": lambda: logit(3),
    4: lambda: logit(4),
    0: lambda: logit(0),
    "class:2 - class:0": lambda: logit(2) - logit(0),
    "tiger cat - TABBY": lambda: logit(1) - logit(0),
    "tabby + class:1  -  golden retriever": lambda: logit(0) + logit(1) - logit(2),
    "class:1 - class:1": lambda: torch.zeros(3, dtype=torch.float64),
    "features.1": lambda: maps(1).mean((1, 2, 3)),
    "features.3:4": lambda: maps(3)[:, 4].mean((1, 2)),
    "features.3:4@2,5": lambda: maps(3)[:, 4, 2, 5],
    "features.3:0@0, 0": lambda: maps(3)[:, 0, 0, 0],
    "features:7": lambda: maps(4)[:, 7].mean((1, 2)),
    "relu1_1:2@15,15": lambda: maps(1)[:, 2, 15, 15],
    "conv2_1": lambda: maps(3).mean((1, 2, 3)),
    "pool:1@0,0": lambda: maps(4)[:, 1].mean((1, 2)),
    "head:2": lambda: logit(2),
    "class:0 - features.4:3@1,1": lambda: logit(0) - maps(4)[:, 3, 1, 1],
    "features.1:0 - features.1:1 + features.1:0": lambda: (2 * maps(1)[:, 0] - maps(1)[:, 1]).mean((1, 2)),
}


@pytest.mark.parametrize("target", MEANINGS)
def test_each_form_means_what_indexing_by_hand_gives(target: Any) -> None:
    torch.testing.assert_close(value(target), MEANINGS[target]())
    for image, expected in zip(BATCH, MEANINGS[target](), strict=True):
        torch.testing.assert_close(value(target, batch=image[None]), expected[None])


def test_layers_asked_for_are_named_once_by_their_own_names() -> None:
    asked = NET.target("features:1 - conv2_1:1 + relu2_1:0 - tabby")
    assert asked.layers == ("features.4", "features.3")
    assert asked.needs_output
    assert not NET.target("conv2_1:1").needs_output
    assert NET.target("  tiger cat - TABBY ").text == "tiger cat - TABBY"


def test_a_target_stands_for_itself() -> None:
    asked = NET.target("features.3:4@2,5")
    assert NET.target(asked) is asked
    assert torch.equal(NET.gradient(BATCH, asked), NET.gradient(BATCH, "features.3:4@2,5"))


@pytest.mark.parametrize("kind", [int, np.int64, torch.tensor])
def test_any_whole_number_is_a_class(kind: Callable[[int], Any]) -> None:
    torch.testing.assert_close(value(kind(3)), logit(3))


def test_positions_belong_to_the_size_of_the_image() -> None:
    large = torch.rand(3, 24, 20, dtype=torch.float64)
    assert NET.gradient(large, "features.0:1@23,19").abs().max() > 0
    with pytest.raises(TargetError, match="rows 0 to 15"):
        NET.target("features.0:1@23,19")


def test_a_class_of_a_dense_output_is_the_mean_of_its_map() -> None:
    module = nn.Conv2d(3, 4, 3).double()
    net = cs.Network(module, input_size=16, labels=["road", "sky", "tree", "car"])
    torch.testing.assert_close(value("tree", net), module(BATCH)[:, 2].mean((1, 2)).detach())


def test_a_label_is_meant_before_a_layer_of_the_same_name() -> None:
    net = cs.Network(MODULE, input_size=16, labels=["head", "features", "c", "d", "e"])
    torch.testing.assert_close(value("features", net), logit(1))
    torch.testing.assert_close(value("features:2", net), maps(4)[:, 2].mean((1, 2)))


# --- Functions ---


class Margin:
    """A target with a state: by how much the likeliest class leads."""

    def __call__(self, logits: Tensor) -> Tensor:
        leading = logits.topk(2, dim=1).values
        return leading[:, 0] - leading[:, 1]


@pytest.mark.parametrize(
    "function", [Margin(), Margin().__call__, lambda logits: logits.logsumexp(1), lambda logits: logits[:, 2]]
)
def test_a_function_is_given_the_logits(function: Callable[[Tensor], Tensor]) -> None:
    image = BATCH.clone().requires_grad_()
    (expected,) = torch.autograd.grad(function(MODULE(image)).sum(), image)
    torch.testing.assert_close(NET.gradient(BATCH, function), expected, rtol=0, atol=1e-12)
    assert NET.target(function).needs_output


class TwoHeads(nn.Module):
    """Returns its two answers as it is told to."""

    def __init__(self, together: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.one, self.two, self.together = nn.Linear(12, 2), nn.Linear(12, 3), together

    def forward(self, x: Tensor) -> Any:
        return self.together(self.one(x.flatten(1)), self.two(x.flatten(1)))


TOGETHER: dict[str, tuple[Callable[[Tensor, Tensor], Any], Callable[[Any], Tensor]]] = {
    "a dict": (lambda one, two: {"one": one, "two": two}, lambda out: out["two"]),
    "a tuple": (lambda one, two: (one, two), lambda out: out[1]),
    "a dict, first the loss": (lambda one, two: {"loss": one.sum(), "two": two, "one": one}, lambda out: out["two"]),
    "an object": (lambda one, two: SimpleNamespace(one=one, two=two), lambda out: out.two),
}


@pytest.mark.parametrize("name", TOGETHER)
@pytest.mark.parametrize("size", [1, 3])
def test_a_function_is_given_all_where_the_logits_can_not_be_told(name: str, size: int) -> None:
    together, second = TOGETHER[name]
    module = TwoHeads(together)
    batch = torch.rand(size, 3, 2, 2)
    for net in (cs.Network(module, input_size=2), cs.Network(module, input_size=2, output=second)):
        asked = (lambda out: second(out)[:, 0]) if net.output is None else (lambda out: out[:, 0])
        for weights in net.gradient(batch, asked).flatten(1):
            torch.testing.assert_close(weights, module.two.weight[0])
    with pytest.raises(NetworkError, match="say which are the logits"):
        cs.Network(module, input_size=2).gradient(batch, 0)


WRONG: dict[str, Callable[[Tensor], Any]] = {
    "one number in all": lambda logits: logits.sum(),
    "a number a class": lambda logits: logits,
    "a number a class, of the first image": lambda logits: logits[0],
    "one number too many": lambda logits: torch.cat([logits[:, 0], logits[:1, 0]]),
    "a plain number": lambda logits: float(logits.detach().sum()),
    "nothing": lambda logits: None,
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("size", [1, 3])
def test_a_function_must_give_a_number_an_image(name: str, size: int) -> None:
    with pytest.raises(TargetError, match=r"\(N,\)"):
        NET.gradient(BATCH[:size], WRONG[name])


def test_a_target_that_ignores_the_image_is_an_error() -> None:
    with pytest.raises(TargetError, match="doesn't depend on the image"):
        NET.gradient(BATCH, lambda logits: torch.ones(3))


# --- Laws ---

TERMS = ["tabby", "class:1", "golden retriever", "features.1", "features.3:4", "conv2_1:4@2,5", "head:0"]
LEGAL = st.sampled_from(TERMS)


@given(LEGAL, LEGAL)
@settings(max_examples=12, deadline=None)
def test_the_gradient_of_a_difference_is_the_difference_of_gradients(one: str, other: str) -> None:
    first, second = NET.gradient(BATCH, one), NET.gradient(BATCH, other)
    torch.testing.assert_close(NET.gradient(BATCH, f"{one} - {other}"), first - second, rtol=0, atol=1e-12)
    torch.testing.assert_close(NET.gradient(BATCH, f"{one} + {other}"), first + second, rtol=0, atol=1e-12)


@given(st.integers(0, 4), st.floats(-1e3, 1e3))
@settings(max_examples=8, deadline=None)
def test_a_constant_added_to_a_logit_changes_no_saliency(index: int, constant: float) -> None:
    shifted = copy.deepcopy(MODULE)
    with torch.no_grad():
        shifted.get_parameter("head.bias")[index] += constant
    after = cs.Network(shifted, input_size=16, labels=LABELS)
    for target in (f"class:{index}", f"class:{index} - class:0"):
        assert torch.equal(
            cs.saliency(after, BATCH, target).values,
            cs.saliency(NET, BATCH, target).values,
        )


def test_a_layer_is_the_mean_of_its_channels_and_a_channel_of_its_units() -> None:
    units = [NET.gradient(BATCH, f"features.3:4@{row},{column}") for row in range(6) for column in range(6)]
    torch.testing.assert_close(NET.gradient(BATCH, "features.3:4"), torch.stack(units).mean(0), rtol=0, atol=1e-12)
    channels = [NET.gradient(BATCH, f"features.3:{channel}") for channel in range(8)]
    torch.testing.assert_close(NET.gradient(BATCH, "features.3"), torch.stack(channels).mean(0), rtol=0, atol=1e-12)


def test_labels_of_a_real_network(lite0: cs.Network) -> None:
    assert lite0.labels is not None
    for label in ("golden retriever", "GOLDEN RETRIEVER", "class:207"):
        (term,) = lite0.target(label).terms
        assert (term.sign, term.layer, term.channel) == (1, None, 207)
    assert len([label for label in lite0.labels if label == "crane"]) == 2
    with pytest.raises(TargetError, match=r"class:134.*class:517"):
        lite0.target("crane")


# --- What can't be understood ---

REFUSED = {
    "": "can't understand",
    "   ": "can't understand",
    "tabbi": "nearest: tabby",
    "tigercat": "nearest: tiger cat",
    "features.33": r"nearest: .*features\.3\b",
    "features.33:1": r"no layer 'features\.33'; nearest: .*features\.3\b",
    "tabby:1": "no layer 'tabby'",
    "crane": "class:3, class:4",
    "CRANE - tabby": "class:3, class:4",
    "class:5": "classes 0 to 4",
    "class:0 - class:5": "classes 0 to 4",
    "class:": "can't understand",
    "class:-1": "can't understand",
    "class:1.5": "can't understand",
    "class:one": "can't understand",
    "features.3:8": "channels 0 to 7",
    "head:5": "channels 0 to 4",
    "features.3:x": "can't understand",
    "features.3@2,5": "can't understand",
    "features.3:4@6,0": "rows 0 to 5",
    "features.3:4@0,6": "columns 0 to 5",
    "head:1@0,0": "no space",
    "tabby -tiger cat": "no class or layer",
    "tabby - ": "no class or layer",
    "- tabby": "no class or layer",
    "class:" + "9" * 12: "classes 0 to 4",
}


@pytest.mark.parametrize("text", REFUSED)
def test_bad_text(text: str) -> None:
    with pytest.raises(TargetError, match=REFUSED[text]):
        NET.target(text)


@pytest.mark.parametrize("place", ["2", "2,x", "2,5,1", "-1,0", ""])
def test_a_place_is_a_row_and_a_column_or_a_mask(place: str) -> None:
    with pytest.raises((TargetError, ImageError)):
        NET.target(f"features.3:4@{place}")


@pytest.mark.parametrize("index", [-1, 5, 10**9])
def test_an_index_must_be_a_classs(index: int) -> None:
    with pytest.raises(TargetError, match="classes 0 to 4"):
        NET.target(index)


@pytest.mark.parametrize("target", [None, 1.5, ["tabby"], torch.rand(2), b"tabby"])
def test_other_things_are_no_targets(target: Any) -> None:
    with pytest.raises(TargetError):
        NET.target(target)


def test_a_network_of_maps_has_no_classes() -> None:
    net = cs.Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), input_size=16)
    for target in ("class:0", 0):
        with pytest.raises(TargetError, match="has none; ask for a layer"):
            net.target(target)
    assert net.target("1:3@0,0").layers == ("1",)


def test_a_layer_of_one_number_has_no_channels() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).mean((1, 2, 3))  # type: ignore[no-any-return]

    net = cs.Network(Mean(), input_size=8)
    image = torch.rand(3, 8, 8)
    torch.testing.assert_close(net.gradient(image, "mean"), net.gradient(image, 0))
    with pytest.raises(TargetError):
        net.target("mean:0")
