"""Each rule against a slow twin that multiplies Jacobians, on a network that mixes every form of rectifier."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convscope as cs
from convscope.errors import RuleError, RuleMatchedNothing
from convscope.network.rules import RULES, Rule

# --- Springenberg et al. 2014, figure 1 ---

FORWARD = torch.tensor([[1.0, -1, 5], [2, -5, -7], [-3, 2, 4]])
ARRIVING = torch.tensor([[-2.0, 3, -1], [6, -3, 1], [2, -1, 3]])
PASSED_BACK = {
    "gradient": [[-2, 0, -1], [6, 0, 0], [0, -1, 3]],
    "deconvnet": [[0, 3, 0], [6, 0, 1], [2, 0, 3]],
    "guided": [[0, 0, 0], [6, 0, 0], [0, 0, 3]],
}


class JustRectifier(nn.Module):
    def __init__(self, rectify: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.rectify = rectify

    def forward(self, x: Tensor) -> Tensor:
        return self.rectify(x * 1.0)


def discarded(z: Tensor) -> Tensor:
    z.relu_()
    return z


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda z: F.relu(z, inplace=True),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda z: z.relu(),
    "discarded in place": discarded,
    "clamp": lambda z: z.clamp(min=0),
    "torch.clamp": lambda z: torch.clamp(z, 0),
    "clip": lambda z: z.clip(0),
    "clamp_min": lambda z: z.clamp_min(0),
    "clamp_": lambda z: z.clamp_(min=0),
    "threshold": lambda z: F.threshold(z, 0, 0),
    "relu6 far below 6": lambda z: F.relu6(z / 100) * 100,
    "hardtanh": lambda z: F.hardtanh(z, 0, 100),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", RULES)
def test_worked_example(rule: Rule, form: str) -> None:
    net = cs.Network(JustRectifier(FORMS[form]), input_size=3, channels=1)
    arriving = ARRIVING.expand(1, 3, 3)
    gradient = net.gradient(FORWARD.expand(1, 3, 3).clone(), lambda out: (out * arriving).sum((1, 2, 3)), rule=rule)
    torch.testing.assert_close(gradient[0], torch.tensor(PASSED_BACK[rule], dtype=torch.float32))


def test_above_six_guided_masks_and_deconvnet_does_not() -> None:
    net = cs.Network(JustRectifier(F.relu6), input_size=(1, 3), channels=1)
    image = torch.tensor([[[-1.0, 3, 7]]])
    gradients = {rule: net.gradient(image, lambda out: out.sum((1, 2, 3)), rule=rule).flatten() for rule in RULES}
    assert gradients["gradient"].tolist() == gradients["guided"].tolist() == [0, 1, 0]
    assert gradients["deconvnet"].tolist() == [1, 1, 1]


# --- A network that mixes them, and its twin ---


class Mixed(nn.Module):
    """Module, functional, in-place (used, discarded, aliased), reused and ReLU6 rectifiers, and a skip beside one."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(2, 2, 3, padding=1) for _ in range(7))
        self.reused, self.relu6, self.in_place = nn.ReLU(), nn.ReLU6(), nn.ReLU(inplace=True)
        self.fc = nn.Linear(2 * 4 * 4, 3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.1, 0.4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reused(self.convs[0](x))
        z = self.convs[1](x)
        x = self.convs[2](F.relu(z)) + z
        x = self.in_place(x)
        z = self.convs[3](x)
        z.relu_()
        z = self.convs[4](z)
        alias = z.view(z.size(0), 2, 16)
        z.clamp_(min=0)
        x = self.relu6(self.convs[5](z) * 8 + 2)
        x = self.reused(self.convs[6](x)) + alias.view_as(z)
        return self.fc(F.hardtanh(x, 0.0, 6.0).flatten(1))  # type: ignore[no-any-return]


Linear = tuple[Tensor, Tensor]


def twin(net: Mixed, image: Tensor, index: int, rule: Rule) -> Tensor:
    """The same network as matrices and rectifiers, the rule applied at each rectifier by its formula."""

    def matrix(function: Callable[[Tensor], Tensor]) -> Linear:
        """An affine map of 2×4×4 images as a matrix and an offset, by trying every unit vector."""
        zero = torch.zeros(32, dtype=torch.float64)
        offset = function(zero)
        return torch.stack([function(unit) - offset for unit in torch.eye(32, dtype=torch.float64)], 1), offset

    def conv(which: int) -> Linear:
        return matrix(lambda x: net.convs[which](x.reshape(1, 2, 4, 4)).flatten())

    def rectify(z: Tensor, high: float = torch.inf) -> Tensor:
        return torch.stack([min(max(value, value * 0), value * 0 + high) for value in z])

    def back(g: Tensor, z: Tensor, high: float = torch.inf) -> Tensor:
        open_ = torch.tensor([float(0 < value < high) for value in z], dtype=torch.float64)
        positive = torch.tensor([max(float(value), 0.0) for value in g], dtype=torch.float64)
        return {"gradient": g * open_, "guided": positive * open_, "deconvnet": positive}[rule]

    m = [conv(which) for which in range(7)]
    x = image.flatten()
    z0 = m[0][0] @ x + m[0][1]
    z1 = m[1][0] @ rectify(z0) + m[1][1]
    z2 = m[2][0] @ rectify(z1) + m[2][1] + z1
    z3 = m[3][0] @ rectify(z2) + m[3][1]
    z4 = m[4][0] @ rectify(z3) + m[4][1]
    z5 = 8 * (m[5][0] @ rectify(z4) + m[5][1]) + 2
    z6 = m[6][0] @ rectify(z5, 6.0) + m[6][1]
    z7 = rectify(z6) + rectify(z4)
    out = net.fc.weight.double() @ rectify(z7, 6.0) + net.fc.bias
    torch.testing.assert_close(out, net(image[None])[0])
    g7 = back(net.fc.weight[index], z7, 6.0)
    g5 = back(m[6][0].T @ back(g7, z6), z5, 6.0)
    g3 = back(m[4][0].T @ back(8 * m[5][0].T @ g5 + g7, z4), z3)
    g2 = back(m[3][0].T @ g3, z2)
    g1 = back(m[2][0].T @ g2, z1) + g2
    return (m[0][0].T @ back(m[1][0].T @ g1, z0)).reshape(image.shape)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 6])  # those with a class that no dead rectifier cuts off
def test_mixed_network_equals_its_twin(rule: Rule, seed: int) -> None:
    torch.manual_seed(seed)
    module = Mixed().double()
    image = torch.rand(2, 4, 4, dtype=torch.float64)
    net = cs.Network(module, input_size=4, channels=2)
    for index in range(3):
        with torch.no_grad():
            expected = twin(module, image, index, rule)
        assert expected.abs().max() > 0
        assert (net.gradient(image, index, rule=rule) - expected).abs().max() <= 1e-10


def test_rules_differ_on_it() -> None:
    torch.manual_seed(1)
    net = cs.Network(Mixed().double(), input_size=4, channels=2)
    image = torch.rand(2, 4, 4, dtype=torch.float64)
    one, two, three = (net.gradient(image, 0, rule=rule) for rule in RULES)
    assert not torch.allclose(one, two)
    assert not torch.allclose(two, three)


# --- Captum, where it is right: module rectifiers, none of whose inputs feeds a skip ---


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
@pytest.mark.filterwarnings("ignore:Setting backward hooks:UserWarning")
def test_captum_agrees(name: str) -> None:
    captum = pytest.importorskip("captum.attr")
    models = pytest.importorskip("torchvision.models")
    module = models.get_model(name, weights=None).double().eval()
    for submodule in module.modules():
        if isinstance(submodule, nn.ReLU):
            submodule.inplace = False
    peers = {"guided": captum.GuidedBackprop, "deconvnet": captum.Deconvolution, "gradient": captum.Saliency}
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    net = cs.Network(module, input_size=64)
    for rule in RULES:
        options: dict[str, Any] = {"abs": False} if rule == "gradient" else {}
        # Captum's hooks need a module of their own for each call of a rectifier.
        expected = peers[rule](_without_reuse(module)).attribute(image.clone().requires_grad_(), target=7, **options)
        ours = net.gradient(image, 7, rule=rule)
        assert (ours - expected).abs().max() <= 1e-6 * expected.abs().max()


def _without_reuse(module: nn.Module) -> nn.Module:
    """ResNet's blocks use one ReLU twice, which hooks on modules can't tell apart; give the second call its own."""
    blocks = pytest.importorskip("torchvision.models.resnet").BasicBlock

    def forward(self: Any, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu_out(out + (x if self.downsample is None else self.downsample(x)))  # type: ignore[no-any-return]

    for submodule in module.modules():
        if isinstance(submodule, blocks):
            submodule.relu_out = nn.ReLU()
            submodule.forward = forward.__get__(submodule)
    return module


# --- What has no rule ---

UNRULED: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "leaky_relu": F.leaky_relu,
    "leaky_relu_": lambda z: F.leaky_relu(z, inplace=True),
    "elu": F.elu,
    "selu": F.selu,
    "softplus": F.softplus,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softsign": F.softsign,
    "prelu": nn.PReLU(),
    "rrelu": nn.RReLU(),
    "hardtanh to -1": F.hardtanh,
    "maximum": lambda z: torch.maximum(z, torch.zeros_like(z)),
    "where": lambda z: torch.where(z > 0, z, 0.0),
    "threshold 1": lambda z: F.threshold(z, 1.0, 0.0),
    "abs": torch.abs,
    "swish written out": lambda z: z * torch.sigmoid(z),
    "hard swish written out": lambda z: z * F.relu6(z + 3) / 6,
}


class Activated(nn.Module):
    """A rectifier, and then something that is none."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.two, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.one(x))
        return self.fc(self.activation(self.two(x))).mean((2, 3))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", UNRULED)
def test_no_rule_is_an_error_though_others_matched(name: str) -> None:
    net = cs.Network(Activated(UNRULED[name]), input_size=8)
    image = torch.rand(3, 8, 8)
    assert net.gradient(image, 0).shape == image.shape
    for rule in ("guided", "deconvnet"):
        with pytest.raises(RuleError, match="smooth='positive'"):
            net.gradient(image, 0, rule=rule)


POSITIVE = ["silu", "gelu", "leaky_relu", "leaky_relu_", "elu", "selu", "softplus", "tanh", "prelu", "sigmoid"]


@pytest.mark.parametrize("name", POSITIVE)
@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_smooth_positive_keeps_positive_gradients_and_the_derivative(name: str, rule: Rule) -> None:
    module = Activated(UNRULED[name]).double()
    net = cs.Network(module, input_size=8)
    image = torch.rand(3, 8, 8, dtype=torch.float64)
    arriving = (module.fc.weight[0, :, 0, 0] / 16)[:, None, None].expand(4, 4, 4).clamp(min=0)
    z1 = module.one(image[None])
    z2 = module.two(F.relu(z1)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(module.activation(z2.clone()).sum(), z2)
    through = F.conv_transpose2d(arriving[None] * slope, module.two.weight).clamp(min=0)
    through = through * (z1 > 0) if rule == "guided" else through
    expected = F.conv_transpose2d(through, module.one.weight)[0]
    torch.testing.assert_close(net.gradient(image, 0, rule=rule, smooth="positive"), expected, rtol=1e-10, atol=1e-12)


class Gated(nn.Module):
    """Squeeze and excite, with either form of gate, behind a rectifier."""

    def __init__(self, gate: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.squeeze, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        return self.fc((x * self.gate(self.squeeze(x.mean((2, 3), keepdim=True)))).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("gate", [torch.sigmoid, lambda z: F.relu6(z + 3) / 6], ids=["sigmoid", "hard sigmoid"])
def test_gates_are_ordinary_operations(gate: Callable[[Tensor], Tensor]) -> None:
    module = Gated(gate).double()
    net = cs.Network(module, input_size=8)
    image = torch.rand(3, 8, 8, dtype=torch.float64)
    z = module.conv(image[None]).detach().requires_grad_()
    x = F.relu(z)
    x.retain_grad()
    scale = module.gate(module.squeeze(x.mean((2, 3), keepdim=True)))
    module.fc((x * scale).mean((2, 3)))[0, 1].backward()
    assert x.grad is not None
    expected = F.conv_transpose2d(x.grad.clamp(min=0) * (z > 0), module.conv.weight)[0]
    for smooth in (None, "positive"):
        torch.testing.assert_close(net.gradient(image, 1, rule="guided", smooth=smooth), expected)


def test_a_sigmoid_head_is_no_activation() -> None:
    net = cs.Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2), nn.Sigmoid()),
                     input_size=8, head="none")  # fmt: skip
    assert net.gradient(torch.rand(3, 8, 8), 1, rule="guided").abs().max() > 0


def test_matched_nothing() -> None:
    net = cs.Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)), input_size=8)
    with pytest.raises(RuleMatchedNothing, match="no rectifier"):
        net.gradient(torch.rand(3, 8, 8), 0, rule="guided")


def test_rectifiers_behind_the_target_do_not_count(tiny: nn.Module) -> None:
    net = cs.Network(tiny, input_size=16)
    with pytest.raises(RuleMatchedNothing):
        net.gradient(torch.rand(3, 16, 16), "0:1", rule="deconvnet")
    assert net.gradient(torch.rand(3, 16, 16), "1:1", rule="deconvnet").abs().max() > 0


def test_torchscript_is_refused_by_name(tiny: nn.Module) -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        scripted = torch.jit.script(tiny)
    net = cs.Network(scripted, input_size=16)
    image = torch.rand(3, 16, 16)
    for _ in range(3):  # TorchScript's autograd graph changes once it has profiled
        assert net.gradient(image, 0).abs().max() > 0
        with pytest.raises(RuleError, match="TorchScript"):
            net.gradient(image, 0, rule="guided")


class OwnFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        return z.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0]


def test_a_custom_autograd_function_is_refused_by_name() -> None:
    module = Activated(lambda z: OwnFunction.apply(z))  # type: ignore[no-untyped-call]
    net = cs.Network(module, input_size=8)
    with pytest.raises(RuleError, match="OwnFunction"):
        net.gradient(torch.rand(3, 8, 8), 0, rule="guided")


@pytest.mark.parametrize("options", [{"rule": "guide"}, {"rule": "guided", "smooth": "negative"}])
def test_unknown_rules(tiny: nn.Module, options: dict[str, Any]) -> None:
    with pytest.raises(RuleError, match="expected"):
        cs.Network(tiny, input_size=16).gradient(torch.rand(3, 16, 16), 0, **options)
