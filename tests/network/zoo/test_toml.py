import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from convscope.errors import NetworkError, WeightsError
from convscope.network.zoo import load
from convscope.network.zoo.toml_keys import KEYS
from convscope.network.zoo.toml_template import template

CODE = """
from torch import nn
from convscope.network.network import Network

class Two(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(channels, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        features = self.conv(x).relu().mean((2, 3))
        return {"features": features, "scores": self.fc(features)}

class Plain(Two):
    def forward(self, x):
        return super().forward(x)["scores"]

class Pair(Two):
    def forward(self, x):
        return tuple(super().forward(x).values())

def scores(out):
    return out["scores"]

def halved(batch):
    return batch / 2

def read(path):
    import torch
    return torch.full((3, 20, 30), 0.25)

def ready():
    return Network(Plain(), input_size=(8, 8), name="mine")

def failing(channels=3):
    raise RuntimeError("no such dataset")
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a net.toml in a folder of its own, beside code, and works elsewhere."""
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (folder / "models_under_test.py").write_text(CODE)

    def write(text: str, name: str = "net.toml") -> Path:
        (folder / name).write_text(text)
        return folder / name

    return write


def factory(name: str) -> str:
    return f'factory = "models_under_test:{name}"\n'


PLAIN = 'factory = "models_under_test:Plain"\ninput_size = 8\n'


def test_a_file_says_all_that_a_network_needs(write: Write) -> None:
    path = write(
        'factory = "models_under_test:Plain"\nweights = "runs/best.ckpt"\nweights_key = "ema"\nchannels = 1\n'
        'input_size = [8, 12]\nfit = "pad"\ninterpolation = "bilinear"\nvalue_range = [-1, 1]\nmean = [0.5]\n'
        'std = [0.25]\nwindow = [0, 4095]\nlabels = ["a", "b"]\nhead = "sigmoid"\n[factory_options]\nchannels = 1\n'
    )
    (path.parent / "runs").mkdir()
    state = {"conv.weight": torch.ones(4, 1, 3, 3), "conv.bias": torch.ones(4), "fc.weight": torch.ones(2, 4)}
    state |= {"fc.bias": torch.ones(2)}
    wrapped = {f"module.{key}": value for key, value in state.items()}
    torch.save(
        {"model": {key: -value for key, value in wrapped.items()}, "ema": wrapped}, path.parent / "runs/best.ckpt"
    )
    lines: list[str] = []
    net = load(path, on_line=lines.append)
    assert lines == ["4 of 4 keys, prefix `module.` removed"]
    assert (net.name, net.channels, net.input_size, net.fit, net.interpolation) == (
        "net.toml", 1, (8, 12), "pad", "bilinear",
    )  # fmt: skip
    assert (net.window, net.labels, net.head) == ((0, 4095), ("a", "b"), "sigmoid")
    assert net.normalize(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)).flatten().tolist() == [-6, 2]
    assert torch.equal(net.module.state_dict()["fc.weight"], state["fc.weight"])


def test_functions_are_the_users_own(write: Write) -> None:
    net = load(
        write(PLAIN + 'normalize = "models_under_test:halved"\nloader = "models_under_test:read"\nfit = "resize"')
    )
    assert float(net.normalize(torch.ones(1, 3, 8, 8)).max()) == 0.5
    assert float(net.read("whatever").max()) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("factory", "output"),
    [("Two", '"scores"'), ("Two", '"models_under_test:scores"'), ("Pair", "1"), ("Pair", "-1")],
)
def test_the_logits_are_taken_out(write: Write, factory: str, output: str) -> None:
    net = load(write(f'factory = "models_under_test:{factory}"\ninput_size = 8\noutput = {output}'))
    assert net.logits(torch.rand(3, 8, 8)).shape == (2,)


@pytest.mark.parametrize(
    ("value", "name", "content"),
    [
        ('"names.txt"', "names.txt", "cat\ndog\n\n"),
        ('"names.json"', "names.json", '["cat", "dog"]'),
        ('"names.json"', "names.json", '{"1": "dog", "0": "cat"}'),
        ('"names.json"', "names.json", '{"dog": 1, "cat": 0}'),
        ('{ 0 = "cat", 1 = "dog" }', None, ""),
        ('"train"', None, ""),
    ],
)
def test_labels_come_as_users_keep_them(write: Write, value: str, name: str | None, content: str) -> None:
    path = write(PLAIN + f"labels = {value}")
    if name is not None:
        (path.parent / name).write_text(content)
    for each in ("dog", "cat"):
        (path.parent / "train" / each).mkdir(parents=True)
    (path.parent / "train" / "notes.txt").write_text("no class")
    assert load(path).labels == ("cat", "dog")


def test_another_network_is_a_base_whose_settings_are_overridden(write: Write) -> None:
    net = load(write('network = "efficientnet-lite0"\nfit = "resize"\n'))
    assert (net.fit, net.interpolation, net.name, net.classes) == ("resize", "bicubic", "net.toml", 1000)
    assert net.labels is not None


def test_keyword_arguments_override_the_file(write: Write, tmp_path: Path) -> None:
    path = write(PLAIN + 'labels = ["a", "b"]\nweights = "gone.pth"')
    state = load(write(PLAIN, "other.toml")).module.state_dict()
    safetensors.torch.save_file(state, tmp_path / "mine.safetensors")
    net = load(path, weights=tmp_path / "mine.safetensors", labels=["c", "d"], name="mine")
    assert (net.labels, net.name) == (("c", "d"), "mine")
    with pytest.raises(NetworkError, match=r"net.toml: got 3 labels for a network with 2 outputs"):
        load(path, weights=tmp_path / "mine.safetensors", labels=["c", "d", "e"])


def test_a_factory_may_return_a_network(write: Write) -> None:
    assert load(write('factory = "models_under_test:ready"')).name == "mine"
    with pytest.raises(NetworkError, match=r"net.toml, line 2: net.toml returned a Network; set fit there"):
        load(write('factory = "models_under_test:ready"\nfit = "pad"'))


def test_folders_may_have_modules_of_the_same_name(write: Write, tmp_path: Path) -> None:
    first = load(write(PLAIN))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "models_under_test.py").write_text(CODE.replace("nn.Linear(4, 2)", "nn.Linear(4, 7)"))
    (tmp_path / "other" / "net.toml").write_text(PLAIN)
    assert load(tmp_path / "other" / "net.toml").classes == 7
    assert (load(tmp_path / "project" / "net.toml").classes, first.classes) == (2, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("factory = models:build", "line 1: Invalid value; expected key = value, with text in quotes"),
        (PLAIN + "head =", r"line 3: Invalid value"),
        (PLAIN + 'weights = "C:\\Users\\me"', r"line 3: .*write paths with / or in 'single quotes'"),
        (PLAIN + "fit = 'pad'\nfit = 'crop'", "line 4: Cannot overwrite a value"),
        (PLAIN + "imput_size = 8", "line 3: unknown key 'imput_size'; nearest: input_size"),
        (PLAIN + "[preprocessing]\nmean = [0.5]", r"line 3: unknown key 'preprocessing'"),
        (PLAIN + "channels = true", "line 3: channels = True; expected a whole number of at least 1"),
        (PLAIN + "channels = '1'", "line 3: channels = '1'; expected a whole number"),
        (factory("Plain") + "input_size = [8]", r"line 2: input_size = \[8\]; expected a number of pix"),
        (PLAIN + "mean = 0.5", "line 3: mean = 0.5; expected a list of numbers, one for each channel"),
        (PLAIN + "mean = [0.5, 0.5]", "line 3: mean has 2 numbers for 3 channels"),
        (PLAIN + "# std = [1]\nstd = [0]", r"line 4: std=\(0,\) holds a 0"),
        (PLAIN + "value_range = [1, 1]", "line 3: value_range = .*expected two different numbers"),
        (PLAIN + "crop_fraction = 2", "line 3: crop_fraction = 2; expected a number above 0 and at most 1"),
        (PLAIN + 'channel_order = "bgr"', "line 3: channel_order = 'bgr'; expected one of RGB, BGR; nearest: BGR"),
        (PLAIN + 'head = "sofmax"', "line 3: head = 'sofmax'; expected one of softmax, .*nearest: softmax"),
        (PLAIN + 'normalize = "halved"', 'line 3: normalize = .* expected text such as "package.module:function"'),
        (PLAIN + 'normalize = "models_under_test:havled"', "line 3: models_under_test has no function 'havled'; near"),
        (PLAIN + 'normalize = "models_under_test:halved"\nmean = [0.5]', "line 3: got normalize= beside mean="),
        (PLAIN + 'weights = "gone.pth"', "line 3: .*gone.pth can't be read: No such file"),
        (PLAIN + 'weights_key = "ema"', "line 3: names a part of a file of weights, but there is none"),
        (PLAIN + 'labels = ["a", "b", "c"]', "line 3: got 3 labels for a network with 2 outputs"),
        (PLAIN + 'labels = "lables.txt"', "line 3: .*lables.txt can't be read: No such file.*"),
        (PLAIN + 'labels = "net.toml.d"', "line 3: .* can't be read: .*nearest: net.toml"),
        (PLAIN + 'output = "scores"', "a plain tensor, which needs no output"),
        (
            factory("Two") + 'input_size = 8\noutput = "score"',
            "line 3: the network returns a dict with the keys features, scores; expected its logits under output",
        ),
        (PLAIN + "channels = 1", "line 3: .* can't run on an image of shape"),
        ("channels = 3\n" + factory("Plian"), "line 2: models_under_test has no function 'Plian'; nearest: Plain"),
        ('factory = "modells:Plain"', "line 1: no module 'modells', neither installed nor in .*project or .*elsewhere"),
        (factory("failing"), r"line 1: models_under_test:failing\(\) raised RuntimeError: no such dataset"),
        (PLAIN + "[factory_options]\nwidth = 3", r"line 1: .* raised TypeError: .*unexpected keyword argument 'width'"),
        ('network = "efficientnet-lite0"\nfactory = "a:b"', "line 1: names a network beside the factory"),
        ('network = "efficientnet-lite9"', "line 1: no network 'efficientnet-lite9'; nearest: efficientnet-lite"),
        ('network = "efficientnet-lite0"\n[factory_options]\na = 1', "line 2: options for a factory, but there is no"),
        ("", "net.toml: names no network; add factory"),
    ],
)
def test_an_error_names_the_file_and_the_line(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(NetworkError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))


def test_weights_that_do_not_fit_are_an_error_of_their_own_kind(write: Write) -> None:
    path = write(PLAIN + 'weights = "other.safetensors"')
    safetensors.torch.save_file({"x": torch.ones(2)}, path.parent / "other.safetensors")
    with pytest.raises(WeightsError, match=r"net.toml, line 3: the weights don't fit Plain: 0 of 4 keys"):
        load(path)


def test_a_missing_file_is_named_with_its_neighbours(write: Write) -> None:
    path = write(PLAIN)
    with pytest.raises(NetworkError, match=r"nett.toml can't be read: No such file or directory; nearest: net.toml"):
        load(path.with_name("nett.toml"))
    with pytest.raises(NetworkError, match="convscope networks --new writes one"):
        load("none.toml")


def test_text_in_another_encoding_is_named(write: Write) -> None:
    path = write("")
    path.write_bytes('labels = ["Käse"]'.encode("latin-1"))
    with pytest.raises(NetworkError, match="is not text in UTF-8"):
        load(path)
    path.write_bytes(b"\xef\xbb\xbf" + PLAIN.encode())
    assert load(path).input_size == (8, 8)


@pytest.mark.parametrize("content", ["cat\n\ndog", "[1, 2]", '{"0": "cat", "2": "dog"}', "{", "[]"])
def test_files_of_labels_that_hold_something_else_are_refused(write: Write, content: str) -> None:
    name = "names.txt" if content.startswith("cat") else "names.json"
    path = write(PLAIN + f'labels = "{name}"')
    (path.parent / name).write_text(content)
    with pytest.raises(NetworkError, match=r"net.toml, line 3: .*names"):
        load(path)


def test_every_example_is_of_the_right_kind_and_the_template_round_trips(write: Write) -> None:
    assert all(key.kind.accepts(key.example) for key in KEYS.values())
    values = {"factory": "models_under_test:Plain", "input_size": [8, 8], "labels": ["Käse", 'a "b" \\'], "mean": [0.5]}
    net = load(write(template({**values, "factory_options": {"channels": 3}})))
    assert (net.input_size, net.labels) == ((8, 8), ("Käse", 'a "b" \\'))
    with pytest.raises(NetworkError, match=r"net.toml: names no network"):
        load(write(template({})))
    with pytest.raises(NetworkError, match="head = 'x'; expected one of"):
        template({"head": "x"})


def test_json_of_labels_is_read_as_text(write: Write) -> None:
    path = write(PLAIN + 'labels = "names.json"')
    (path.parent / "names.json").write_text(json.dumps(["Käse", "dog"], ensure_ascii=False), encoding="utf-8")
    net = load(path)
    image: Tensor = torch.rand(3, 8, 8)
    assert {each.label for each in net.predict(image)} == {"Käse", "dog"}
