"""Networks as people have them, each through every command from a net.toml."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from convscope.cli.app import app

MODELS = """
import torch
from torch import nn

def grey():
    return nn.Sequential(nn.Conv2d(1, 4, 7, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))

def bands():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))

class Dict(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.main, self.auxiliary = nn.Conv2d(3, 6, 3), nn.Linear(6, 4), nn.Linear(6, 2)
    def forward(self, x):
        x = torch.relu(self.conv(x)).mean((2, 3))
        return {"main": self.main(x), "auxiliary": self.auxiliary(x)}

def single():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 1))

class Depends(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.bright, self.dark, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 6, 3), nn.Linear(6, 2)
    def forward(self, x):
        conv = self.bright if x.mean() > 0 else self.dark
        return self.head(torch.relu(conv(x)).mean((2, 3)))
"""


def lightning(folder: Path) -> str:
    """A training checkpoint as Lightning writes it, of a module that was trained in DataParallel; 16-bit pictures."""
    scope: dict[str, Callable[[], nn.Module]] = {}
    exec(MODELS, scope)
    module = scope["grey"]()
    state = {f"module.{name}": value for name, value in module.state_dict().items()}
    checkpoint = {"epoch": 3, "state_dict": state, "hyper_parameters": {"lr": 0.1}, "optimizer_states": [{"state": {}}]}
    torch.save(checkpoint, folder / "last.ckpt")
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 65535, (512, 512), dtype=np.uint16)).save(folder / "pictures" / f"{name}.png")
    return (
        'factory = "models:grey"\nweights = "last.ckpt"\nchannels = 1\ninput_size = 512\nmean = [0.5]\nstd = [0.25]\n'
        'labels = ["crack", "dent", "rust"]\nhead = "sigmoid"\n'
    )


def four_bands(folder: Path) -> str:
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        np.save(folder / "pictures" / f"{name}.npy", rng.random((4, 40, 30), dtype=np.float32))
    return 'factory = "models:bands"\nchannels = 4\ninput_size = [32, 24]\nlabels = ["field", "wood"]\n'


def colour(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(folder / "pictures" / f"{name}.png")


def dictionary(folder: Path) -> str:
    colour(folder)
    return 'factory = "models:Dict"\ninput_size = 32\noutput = "main"\nlabels = ["a", "b", "c", "d"]\n'


def single_logit(folder: Path) -> str:
    colour(folder)
    return 'factory = "models:single"\ninput_size = 32\nhead = "single-logit"\nlabels = ["sound", "cracked"]\n'


def untraceable(folder: Path) -> str:
    colour(folder)
    return 'factory = "models:Depends"\ninput_size = 32\nlabels = ["a", "b"]\n'


@pytest.fixture(params=[lightning, four_bands, dictionary, single_logit, untraceable], ids=lambda make: make.__name__)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a net.toml, the code and weights that it names, and pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "net.toml").write_text(request.param(tmp_path))
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_command(folder: Path) -> None:
    picture = str(next(iter(sorted((folder / "pictures").iterdir()))))
    answer = json.loads(run("predict", picture, "-n", "net.toml", "--json"))
    assert len(answer["predictions"]) >= 2
    table = json.loads(run("anatomy", "-n", "net.toml", "--json"))
    assert table["layers"]
    traced = "can't be traced" not in " ".join(table["notes"])
    assert not traced or table["parameters"] == sum(layer["parameters"] for layer in table["layers"])
    run("explain", picture, "-n", "net.toml", "-o", "figure.png")
    assert (folder / "figure.png").exists()
    run("report", picture, "-n", "net.toml", "-o", "report.html")
    assert answer["predictions"][0]["label"] in (folder / "report.html").read_text()
    run("redo", "figure.png", "--input", picture, "--network", "net.toml")
    assert (folder / "figure-again.png").read_bytes() == (folder / "figure.png").read_bytes()
    run("check", "net.toml", "pictures")
