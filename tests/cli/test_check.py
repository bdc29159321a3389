import json
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from convscope.cli.check import check
from convscope.errors import ImageError

FACTORY = """
import torch
from torch import nn

import convscope as cs


def build():
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    module[0].weight.data = torch.tensor([[9.0, 0, 0], [0, 0, 9], [0, 9, 0]]).view(3, 3, 1, 1)
    module[0].bias.data.zero_()
    return cs.Network(module, input_size=8, labels=["red", "blue", "green"], channel_order="BGR", name="colours")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "colours.py").write_text(FACTORY)
    for name, colour in (("red", (200, 40, 30)), ("blue", (30, 40, 200)), ("green", (30, 200, 40))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (8, 8), colour).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def _run(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(check)
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_prints_the_table_the_verdict_and_the_line_for_net_toml(folder: Path) -> None:
    text = _run("colours:build", str(folder))
    head, first, *_, line = text.splitlines()
    assert head.split() == [
        "feeding", "photographs", "accuracy", "±", "better", "by", "(points)", "95%", "interval",
    ]  # fmt: skip
    assert first.startswith("as now ")
    assert "colours is not fed as it was trained: “as now but RGB” is right on 100.0% of 30 photographs" in text
    assert line.strip() == 'channel_order = "RGB"'


def test_json_is_for_other_programs(folder: Path) -> None:
    found = json.loads(_run("colours:build", str(folder), "--json", "--limit", "12"))
    assert found["fed_as_trained"] is False
    assert found["current"]["photographs"] == 12


def test_a_folder_that_is_not_there_is_an_error_of_the_input(folder: Path) -> None:
    with pytest.raises(ImageError, match="no folder"):
        _run("colours:build", str(folder / "nowhere"))
