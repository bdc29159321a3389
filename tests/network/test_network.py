"""Network: what it gives, and that it leaves the user's module as it was."""

import copy
import threading
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import convscope as cs
from convscope.errors import ImageError, LayerError, NetworkError, TargetError
from convscope.network.heads import Head
from convscope.network.rules import Rule

# --- What it gives ---


def test_image_and_batch_keep_their_shapes(tiny: nn.Module) -> None:
    net = cs.Network(tiny, input_size=16, labels=list("abcde"))
    image, batch = torch.rand(3, 16, 16), torch.rand(4, 3, 16, 16)
    assert net.logits(image).shape == (5,)
    assert net.logits(batch).shape == (4, 5)
    assert net.capture(image, ["3", "7"])["3"].shape == (8, 6, 6)
    assert net.capture(batch, ["3", "7"])["7"].shape == (4, 5)
    assert net.gradient(image, "b").shape == image.shape
    assert net.gradient(batch, 3).shape == batch.shape
    assert len(net.predict(image, top=3)) == 3
    assert [len(each) for each in net.predict(batch, top=9)] == [5] * 4


@given(size=st.integers(1, 5))
@settings(max_examples=5, deadline=None)
def test_a_batch_is_its_images(size: int) -> None:
    torch.manual_seed(size)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).double()
    net = cs.Network(module, input_size=8)
    batch = torch.rand(size, 3, 8, 8, dtype=torch.float64)
    for each, logits, gradient in zip(batch, net.logits(batch), net.gradient(batch, 1), strict=True):
        torch.testing.assert_close(net.logits(each), logits)
        torch.testing.assert_close(net.gradient(each, 1), gradient)


def test_normalization_is_inside(tiny: nn.Module) -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)
    image = torch.rand(3, 16, 16)
    fed = (image - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    expected = copy.deepcopy(tiny).eval()(fed[None])[0]
    torch.testing.assert_close(cs.Network(tiny, input_size=16, mean=mean, std=std).logits(image), expected)
    own = cs.Network(
        tiny,
        input_size=16,
        normalize=lambda x: (x - x.new_tensor(mean)[:, None, None]) / x.new_tensor(std)[:, None, None],
    )
    torch.testing.assert_close(own.logits(image), expected)


def test_heads(tiny: nn.Module) -> None:
    image = torch.rand(3, 16, 16)
    logits = cs.Network(tiny, input_size=16).logits(image)
    heads: dict[Head, Tensor] = {"softmax": logits.softmax(0), "sigmoid": logits.sigmoid(), "none": logits}
    for head, expected in heads.items():
        first = cs.Network(tiny, input_size=16, head=head).predict(image, top=1)[0]
        assert first.index == int(logits.argmax())
        assert first.probability == pytest.approx(float(expected.max()))


def test_float_types_are_kept(tiny: nn.Module) -> None:
    image = torch.rand(3, 16, 16)
    assert cs.Network(tiny, input_size=16).gradient(image.double(), 0).dtype == torch.float64
    assert cs.Network(copy.deepcopy(tiny).double(), input_size=16).gradient(image, 0).dtype == torch.float32
    assert cs.Network(copy.deepcopy(tiny).to(torch.bfloat16), input_size=16).logits(image).dtype == torch.bfloat16


def test_prepare_returns_what_has_the_size_already(tiny: nn.Module) -> None:
    net = cs.Network(tiny, input_size=(16, 16))
    image = torch.rand(3, 16, 16)
    assert net.prepare(image) is image
    assert net.prepare(torch.rand(3, 40, 20)).shape == (3, 16, 16)
    assert net.prepare(torch.rand(2, 3, 40, 20)).shape == (2, 3, 16, 16)


def test_grey_networks_take_colour_pictures() -> None:
    net = cs.Network(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), input_size=8, channels=1)
    assert net.prepare(torch.ones(3, 30, 20)).shape == (1, 8, 8)
    torch.testing.assert_close(net.prepare(torch.ones(3, 30, 20)), torch.ones(1, 8, 8))


@pytest.mark.parametrize("fit", ["crop", "resize", "pad"])
def test_to_original_puts_a_map_where_it_was_seen(tiny: nn.Module, fit: Any) -> None:
    net = cs.Network(tiny, input_size=(64, 48), fit=fit)
    picture = torch.zeros(3, 121, 177)
    picture[:, 50:70, 80:110] = 1
    back = net.to_original(net.prepare(picture)[0], (121, 177))
    assert back.shape == (121, 177)
    rows, columns = (back > 0.5).nonzero().T
    edges = np.array([rows.min(), rows.max() + 1, columns.min(), columns.max() + 1])
    assert np.abs(edges - [50, 70, 80, 110]).max() <= 3


@pytest.mark.parametrize("fit", ["crop", "resize", "pad"])
def test_a_picture_of_the_input_size_was_seen_as_it_is(tiny: nn.Module, fit: Any) -> None:
    net = cs.Network(tiny, input_size=(64, 48), fit=fit)
    picture = torch.rand(3, 64, 48)
    torch.testing.assert_close(net.to_original(net.prepare(picture), (64, 48)), picture)


def test_other_sizes_and_batches_are_traced_anew(tiny: nn.Module) -> None:
    net = cs.Network(tiny, input_size=16)
    expected = copy.deepcopy(tiny).eval()
    for shape in [(1, 3, 16, 16), (5, 3, 16, 16), (2, 3, 31, 20), (3, 3, 16, 16)]:
        batch = torch.rand(shape)
        torch.testing.assert_close(net.logits(batch), expected(batch))


def test_capture_stops_early() -> None:
    calls = []

    class Late(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            return x

    net = cs.Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Late()), input_size=8)
    net.capture(torch.rand(3, 8, 8), ["1"])
    traced = len(calls)
    net.capture(torch.rand(3, 8, 8), ["1"])
    assert len(calls) == traced


# --- The user's module is only read ---


def watch(module: nn.Module) -> tuple[Any, ...]:
    """Everything about a module that a careless tool would change."""
    hooks = [(name, key, id(hook)) for each in module.modules() for name, value in vars(each).items()
             if name.endswith("_hooks") and isinstance(value, dict) for key, hook in value.items()]  # fmt: skip
    return (
        hooks,
        [each.training for each in module.modules()],
        [sorted(name for name in vars(each)) for each in module.modules()],
        [
            (name, id(each), each.data_ptr(), each.requires_grad, each.grad, each._version)
            for name, each in module.named_parameters()
        ],
        [(name, id(each), each.data_ptr(), each._version, each.sum().item()) for name, each in module.named_buffers()],
    )


class Busy(nn.Module):
    """Counts its calls in a buffer, has a hook, a frozen part, dropout and batch norm."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout2d()
        self.fc = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.fc.weight.requires_grad_(False)
        self.heard: list[Any] = []
        self.conv.register_forward_hook(lambda module, args, result: self.heard.append(result))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.fc(self.drop(F.relu(self.norm(self.conv(x)), inplace=True)).mean((2, 3)))  # type: ignore[no-any-return]


CALLS: list[Callable[[cs.Network], object]] = [
    lambda net: net.logits(torch.rand(3, 8, 8)),
    lambda net: net.predict(torch.rand(2, 3, 8, 8)),
    lambda net: net.capture(torch.rand(3, 8, 8), ["conv", "fc"]),
    lambda net: net.gradient(torch.rand(3, 8, 8), 0),
    lambda net: net.gradient(torch.rand(3, 8, 8), "fc:1", rule="guided"),
    lambda net: net.gradient(torch.rand(3, 8, 8), "conv:1@2,2 - fc:1", rule="deconvnet"),
    lambda net: net.layers["conv"].receptive_field,
    lambda net: net.weights_sha256,
]
FAULTS: list[Callable[[cs.Network], object]] = [
    lambda net: net.capture(torch.rand(3, 8, 8), ["nowhere"]),
    lambda net: net.gradient(torch.rand(3, 8, 8), "class:9"),
    lambda net: net.gradient(torch.rand(3, 8, 8), lambda out: out / (1 // 0), rule="guided"),
    lambda net: net.gradient(torch.rand(3, 8, 8), "conv:0", rule="guided"),
    lambda net: net.logits(torch.rand(3, 2, 2)),
    lambda net: net.logits(torch.rand(4, 8, 8)),
]


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_left_behind(training: bool) -> None:
    module = Busy().train(training)
    before = watch(module)
    net = cs.Network(module, input_size=8)
    for call in CALLS:
        call(net)
        assert watch(module) == before
    for fault in FAULTS:
        with pytest.raises((cs.ConvscopeError, ZeroDivisionError)):
            fault(net)
        assert watch(module) == before
    assert module.heard == []
    assert "hooks on the module are not run: 1 found" in net.notes


def test_dropout_and_batch_norm_are_evaluated_whatever_the_mode() -> None:
    module = Busy()
    image = torch.rand(3, 8, 8)
    one = cs.Network(module.train(), input_size=8).logits(image)
    two = cs.Network(module.eval(), input_size=8).logits(image)
    torch.testing.assert_close(one, two)


def test_two_threads_at_once(tiny: nn.Module) -> None:
    before = watch(tiny)
    net = cs.Network(tiny, input_size=16)
    images = torch.rand(8, 3, 16, 16)
    rules: list[Rule] = ["gradient", "guided", "deconvnet", "guided"]
    expected = [[cs.Network(tiny, input_size=16).gradient(image, 1, rule=rule) for rule in rules] for image in images]
    failures: list[str] = []

    def work(index: int) -> None:
        for _ in range(5):
            for rule, right in zip(rules, expected[index], strict=True):
                if not torch.equal(net.gradient(images[index], 1, rule=rule), right):
                    failures.append(f"{index} {rule}")
            net.capture(images[index], ["1"])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert watch(tiny) == before


def test_weights_are_seen_as_they_are_now(tiny: nn.Module) -> None:
    net = cs.Network(tiny, input_size=16)
    image = torch.rand(3, 16, 16)
    before, checksum = net.logits(image), net.weights_sha256
    with torch.no_grad():
        for parameter in tiny.parameters():
            parameter.mul_(1.5)
    assert not torch.allclose(net.logits(image), before)
    torch.testing.assert_close(net.logits(image), tiny(image[None])[0])
    assert net.weights_sha256 != checksum


def test_a_module_that_moves_is_followed(tiny: nn.Module) -> None:
    net = cs.Network(tiny, input_size=16)
    image = torch.rand(3, 16, 16)
    single = net.logits(image)
    tiny.double()
    assert net.logits(image).dtype == torch.float64
    torch.testing.assert_close(net.logits(image).float(), single)


def test_normalized_weights_are_followed_too() -> None:
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.ReLU(), nn.Flatten())
    net = cs.Network(module, input_size=8)
    image = torch.rand(3, 8, 8)
    net.logits(image)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)
        torch.testing.assert_close(net.logits(image), module(image[None])[0])


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_inside_no_grad(tiny: nn.Module, context: Callable[[], Any]) -> None:
    net = cs.Network(tiny, input_size=16)
    with context():
        image = torch.rand(3, 16, 16)
        gradient = net.gradient(image, 0, rule="guided")
        logits = net.logits(image)
    torch.testing.assert_close(net.gradient(image.clone(), 0, rule="guided"), gradient)
    torch.testing.assert_close(net.logits(image.clone()), logits)


# --- Modules of every kind ---


class ValueDependent(nn.Module):
    """Its path depends on what it sees, so that it can't be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.other, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv if x.mean() > 0.5 else self.other
        return self.fc(F.relu(conv(x)).mean((2, 3)))  # type: ignore[no-any-return]


def test_what_cannot_be_traced_runs_and_says_so() -> None:
    module = ValueDependent()
    before = watch(module)
    net = cs.Network(module, input_size=8)
    assert "can't be traced" in net.notes[0]
    assert "reads the values" in net.notes[0]
    assert list(net.layers) == ["other", "fc"]
    assert net.layers["other"].parameters == 4 * 27 + 4
    assert net.layers["other"].multiply_adds == 4 * 36 * 27
    assert net.layers["other"].receptive_field is None
    bright, dark = torch.full((3, 8, 8), 0.9), torch.full((3, 8, 8), 0.1)
    for image in (bright, dark):
        torch.testing.assert_close(net.logits(image), module(image[None])[0])
        assert net.gradient(image, 0, rule="guided").shape == (3, 8, 8)
    assert net.capture(dark, ["other"])["other"].shape == (4, 6, 6)
    assert net.gradient(dark, "other:1@2,2").abs().max() > 0
    with pytest.raises(LayerError, match="not run for this image"):
        net.capture(bright, ["other"])
    with pytest.raises(TargetError, match="not run for this image"):
        net.gradient(bright, "other:1")
    assert watch(module) == before


class Stateful(nn.Module):
    """Writes what it sees into a buffer."""

    last: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.register_buffer("last", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        self.last.copy_(x.detach().mean())
        return x.mean((2, 3))


class Holder(nn.Module):
    """Holds what can't be copied, and a computed tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.lock = threading.Lock()
        self.scale = self.conv.weight.sum() * 2

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            return (self.conv(x) * self.scale).mean((2, 3))  # type: ignore[no-any-return]


class BatchArithmetic(nn.Module):
    """Uses the batch's size in every way there is, and a buffer made in the pass."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.rand(1, 1, 4))
        self.conv = nn.Conv2d(3, 4, 2, 2)
        self.scripted_number = 7

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        x = self.conv(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(batch, -1, -1), x], dim=1)
        frame = torch.zeros(len(x), x.size(1) + 1, x.shape[-1])
        frame[:, 1:] = x
        frame += torch.arange(frame.shape[1])[None, :, None] / (height + width)
        heads = frame.reshape(batch * 2, -1, 2).softmax(-1)
        return heads.view(batch, -1)[:, 8:13].contiguous()


@pytest.mark.parametrize("make", [Stateful, Holder, BatchArithmetic])
def test_strange_modules(make: type[nn.Module]) -> None:
    module = make()
    before = watch(module)
    net = cs.Network(module, input_size=8)
    for size in (1, 3, 4):
        batch = torch.rand(size, 3, 8, 8)
        torch.testing.assert_close(
            net.logits(batch), copy.deepcopy(module)(batch) if make is not Holder else module(batch)
        )
        assert net.gradient(batch, 1).abs().max() > 0
    assert watch(module) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet26d", "convnext_atto", "vit_tiny_patch16_224", "tf_efficientnet_lite0", "mixer_s32_224"]
)
def test_timms_networks_are_traced(name: str) -> None:
    timm = pytest.importorskip("timm")
    module = timm.create_model(name, pretrained=False)
    net = cs.Network(module)
    assert net.notes == ()
    batch = torch.rand(3, 3, 224, 224)
    with torch.no_grad():
        expected = copy.deepcopy(module).eval()(batch)
    torch.testing.assert_close(net.logits(batch), expected, rtol=1e-4, atol=1e-5)


def test_wrappers_are_seen_through(tiny: nn.Module) -> None:
    net = cs.Network(nn.DataParallel(tiny), input_size=16)
    assert "0" in net.layers


def test_outputs_are_unwrapped_or_their_keys_listed() -> None:
    class Returns(nn.Module):
        def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
            super().__init__()
            self.fc, self.wrap = nn.Linear(12, 2), wrap

        def forward(self, x: Tensor) -> Any:
            return self.wrap(self.fc(x.flatten(1)))

    image = torch.rand(3, 2, 2)
    for wrap in (lambda y: {"logits": y, "aux": y + 1}, lambda y: (y,), lambda y: {"only": y}):
        assert cs.Network(Returns(wrap), input_size=2).logits(image).shape == (2,)
    with pytest.raises(NetworkError, match="keys a, b; say which are the logits"):
        cs.Network(Returns(lambda y: {"a": y, "b": y}), input_size=2).logits(image)
    assert cs.Network(Returns(lambda y: {"a": y, "b": y}), input_size=2, output=lambda out: out["b"]).logits(
        image
    ).shape == (2,)


# --- Bad input ---


def test_bad_input(tiny: nn.Module) -> None:
    net = cs.Network(tiny, input_size=16, labels=list("abcde"))
    with pytest.raises(ImageError, match="expected 3"):
        net.logits(torch.rand(1, 16, 16))
    with pytest.raises(ImageError, match=r"\.float\(\) / 255"):
        net.logits(torch.zeros(3, 16, 16, dtype=torch.uint8))
    with pytest.raises(NetworkError, match="can't run on an image of shape"):
        net.logits(torch.rand(3, 2, 2))
    with pytest.raises(NetworkError, match="got 4 labels for a network with 5 outputs"):
        cs.Network(tiny, input_size=16, labels=list("abcd")).predict(torch.rand(3, 16, 16))
    with pytest.raises(NetworkError, match="expected a torch"):
        cs.Network("resnet50")  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match="one or the other"):
        cs.Network(tiny, mean=(0, 0, 0), normalize=lambda x: x)
    with pytest.raises(NetworkError, match="2 numbers for 3 channels"):
        cs.Network(tiny, mean=(0, 0))
    with pytest.raises(NetworkError, match="unknown head"):
        cs.Network(tiny, head="argmax")  # type: ignore[arg-type]
    with pytest.raises(TargetError, match="no classes"):
        cs.Network(nn.Conv2d(3, 2, 3), input_size=8).predict(torch.rand(3, 8, 8))
    with pytest.raises(LayerError, match="no layer"):
        net.capture(torch.rand(3, 16, 16), ["nowhere"])


def test_buffers_that_changed_before_the_first_look_are_followed() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    net = cs.Network(module, input_size=8)
    cast("Tensor", module[1].running_mean).fill_(3)
    image = torch.rand(3, 8, 8)
    assert net.notes == ()
    torch.testing.assert_close(net.logits(image), module(image[None])[0])
