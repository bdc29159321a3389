"""Training to stylize: the loss is its definition, a stop changes nothing, and what was learned before stays."""

import errno
import functools
import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image
from tests.synthesis.networks import small
from torch import Tensor, nn

import convscope as cs
from convscope.errors import Cancelled, ConvscopeError, MissingExtra, NetworkError, StepFailed, WeightsError
from convscope.progress import Progress
from convscope.synthesis.fast_style.files import read_network
from convscope.synthesis.fast_style.losses import PerceptualLoss, Weights
from convscope.synthesis.fast_style.style_network import StyleNetwork
from convscope.synthesis.objectives import gram
from convscope.synthesis.train_style import Training, train_style


def image(seed: int, rows: int = 24, columns: int = 32) -> Tensor:
    patches = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(patches, (rows, columns))[0]


WAVES, DOTS, NEW = image(1), 0.5 * image(2), 1 - image(3)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(5):
        pixels = (image(10 + seed, 36, 48) * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


def train(photographs: Path, out: Path, *, styles: dict[str, Tensor] | None = None, **options: Any) -> Training:
    usual = {
        "width": 4, "blocks": 1, "kernel": 3, "size": 16, "batch": 2, "steps": 7, "save_every": 3, "seed": 5,
        "content_layers": "4", "style_layers": ["0", "4"],
    }  # fmt: skip
    chosen = {"waves": WAVES, "dots": DOTS} if styles is None else styles
    return train_style(small(), chosen, photographs, out, **{**usual, **options})


def added(photographs: Path, out: Path, base: Path, **options: Any) -> Training:
    styles = {"new": NEW}
    own: dict[str, Any] = {"width": None, "blocks": None, "kernel": None}
    return train(photographs, out, styles=styles, add_to=base, **{**own, **options})


def state(path: Path) -> dict[str, Tensor]:
    return read_network(path)[0].state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_loss_is_its_definition() -> None:
    network, images, stylized = small(), torch.rand(3, 3, 16, 16), torch.rand(3, 3, 16, 16)
    weights = Weights(content_layers={"4": 1.0}, style_layers={"0": 0.3, "4": 0.7}, content=2.0, style=5.0, tv=0.5)
    loss = PerceptualLoss(network, weights, [WAVES, DOTS], 16)
    terms = loss(stylized, images, [1, 0, 1])
    content, style, tv = 0.0, 0.0, 0.0
    for number, (made, was) in enumerate(zip(stylized, images, strict=True)):
        code, own = network.capture(made, ["0", "4"]), network.capture(was, ["4"])["4"]
        content += float((code["4"] - own).square().sum() / own.square().sum()) / 3
        for name, features in network.capture([DOTS, WAVES, DOTS][number], ["0", "4"]).items():
            wanted = gram(features[None])
            apart = (gram(code[name][None]) - wanted).square().sum() / wanted.square().sum()
            style += weights.style_layers[name] * float(apart) / 3
        down, right = made.diff(dim=1, append=made[:, -1:]), made.diff(dim=2, append=made[:, :, -1:])
        tv += float((down.square() + right.square()).mean()) / 3
    assert [float(terms[name]) for name in ("content", "style", "tv")] == pytest.approx([content, style, tv], rel=1e-4)
    assert float(loss.total(terms)) == pytest.approx(2 * content + 5 * style + 0.5 * tv, rel=1e-4)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_it_learns(photographs: Path, tmp_path: Path, norm: str) -> None:
    made = train(photographs, tmp_path / "both.safetensors", norm=norm, steps=60, rate=1e-2)
    style = made.curves["style"]
    assert len(style) == 60
    assert style[-10:].mean() < 0.5 * style[:5].mean()
    assert made.network.architecture.norm == norm
    made.save(tmp_path / "curves.png")
    assert cs.read_image(tmp_path / "curves.png").shape[2] == 480


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_stopped_and_called_again_it_ends_with_the_same_weights(photographs: Path, tmp_path: Path, stop: int) -> None:
    whole = train(photographs, tmp_path / "whole.safetensors", schedule="cosine")
    out = tmp_path / "cut.safetensors"
    with pytest.raises(Cancelled, match=f"stopped after {stop} of 7"):
        train(photographs, out, schedule="cosine", progress=lambda progress: progress.done < stop)
    assert [path.name for path in tmp_path.iterdir() if "cut" in path.name] == ["cut.checkpoint.safetensors"]
    cut = train(photographs, out, schedule="cosine")
    assert same(state(out), state(tmp_path / "whole.safetensors"))
    assert all(torch.equal(cut.curves[name], whole.curves[name]) for name in whole.curves)
    assert not (tmp_path / "cut.checkpoint.safetensors").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from tests.synthesis.test_train_style import train
torch.set_num_threads(int(sys.argv[3]))
def watch(progress):
    if progress.done == 5:
        os.kill(os.getpid(), signal.SIGKILL)
train(Path(sys.argv[1]), Path(sys.argv[2]), progress=watch)
"""


def test_killed_and_called_again_it_ends_with_the_same_weights(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed.safetensors"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, str(photographs), str(out), str(torch.get_num_threads())]
    ended = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=False)
    assert ended.returncode == -signal.SIGKILL
    checkpoint = tmp_path / "killed.checkpoint.safetensors"
    assert read_network(checkpoint)[1]["step"] == 3
    train(photographs, out)
    train(photographs, tmp_path / "whole.safetensors")
    assert same(state(out), state(tmp_path / "whole.safetensors"))


def test_a_style_learned_by_its_own_numbers_leaves_the_others_bit_for_bit(photographs: Path, tmp_path: Path) -> None:
    base, grown = tmp_path / "base.safetensors", tmp_path / "grown.safetensors"
    before = train(photographs, base).network
    after = added(photographs, grown, base, steps=40, rate=2e-2)
    assert after.network.styles == ("waves", "dots", "new")
    picture = torch.rand(2, 3, 20, 28)
    for style in before.styles:
        shown = [each(picture, each.mix({style: 1}).expand(2, -1)) for each in (before, after.network)]
        assert torch.equal(*shown)
    assert after.curves["style"][-5:].mean() < 0.8 * after.curves["style"][:3].mean()
    old, new = before.state_dict(), after.network.state_dict()
    assert all(
        torch.equal(old[name], new[name][:2] if name.endswith((".gamma", ".beta")) else new[name]) for name in old
    )


def test_adding_goes_on_after_a_stop_too(photographs: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.safetensors"
    train(photographs, base, norm="batch")
    added(photographs, tmp_path / "whole.safetensors", base)
    with pytest.raises(Cancelled):
        added(photographs, tmp_path / "cut.safetensors", base, progress=lambda progress: progress.done < 4)
    added(photographs, tmp_path / "cut.safetensors", base)
    assert same(state(tmp_path / "cut.safetensors"), state(tmp_path / "whole.safetensors"))


SHARED = """
import sys
from pathlib import Path
import torch
from tests.synthesis.test_train_style import train
from convscope.synthesis.fast_style.files import write_network
from convscope.synthesis.fast_style.sharing import together
with together("cpu") as (place, leads):
    made = train(Path(sys.argv[1]), Path(sys.argv[2]))
    write_network(f"{sys.argv[2]}-{torch.distributed.get_rank()}.safetensors", made.network)
    torch.save(made.curves, f"{sys.argv[2]}-{torch.distributed.get_rank()}.pt")
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_does(photographs: Path, tmp_path: Path) -> None:
    script, out, root = tmp_path / "shared.py", tmp_path / "shared.safetensors", Path(__file__).parents[2]
    script.write_text(SHARED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(photographs), str(out)], cwd=root, env=environment, check=True, capture_output=True)
    first, second = (state(Path(f"{out}-{rank}.safetensors")) for rank in (0, 1))
    assert same(first, second)
    assert same(first, state(out))
    alone = train(photographs, tmp_path / "alone.safetensors")
    # Not the weights: a shift that the next normalization takes away has no gradient but rounding, which Adam enlarges.
    picture, mix = torch.rand(1, 3, 16, 16), alone.network.mix({"dots": 1})
    torch.testing.assert_close(read_network(out)[0](picture, mix), alone.network(picture, mix), rtol=0, atol=1e-4)
    curves = torch.load(f"{out}-1.pt")
    torch.testing.assert_close(curves["style"], alone.curves["style"], rtol=1e-4, atol=1e-6)


def test_progress_shows_each_style_at_checkpoints(photographs: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    train(photographs, tmp_path / "one.safetensors", progress=told.append)
    assert [each.done for each in told] == list(range(1, 8))
    assert [each.done for each in told if each.preview is not None] == [3, 6, 7]
    assert told[2].preview.shape == (2, 3, 16, 16)


def test_a_failed_step_leaves_the_checkpoint_before_it(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"step \d+ gave no numbers; take a lower rate than 1e\+30"):
        train(photographs, tmp_path / "high.safetensors", rate=1e30, save_every=1)
    assert read_network(tmp_path / "high.checkpoint.safetensors")[1]["step"] >= 1


def test_a_full_disk_leaves_the_checkpoint_before_it(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "full.safetensors"
    with pytest.raises(Cancelled):
        train(photographs, out, progress=lambda progress: progress.done < 2)
    whole = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        whole(self, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(ConvscopeError, match="No space left on device"):
            train(photographs, out)
    assert [path.name for path in tmp_path.iterdir()] == ["full.checkpoint.safetensors"]
    train(photographs, out)
    train(photographs, tmp_path / "whole.safetensors")
    assert same(state(out), state(tmp_path / "whole.safetensors"))


def test_a_checkpoint_of_another_training_is_refused_and_stays(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.safetensors"
    with pytest.raises(Cancelled):
        train(photographs, out, progress=lambda progress: progress.done < 2)
    before = (tmp_path / "one.checkpoint.safetensors").read_bytes()
    for options, said in [
        ({"width": 8}, "width 4 and not 8"),
        ({"rate": 0.5}, "rate 0.001 and not 0.5"),
        ({"styles": {"waves": WAVES, "other": DOTS}}, "styles"),
    ]:
        with pytest.raises(WeightsError, match=said):
            train(photographs, out, **options)  # type: ignore[arg-type]
    assert (tmp_path / "one.checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"styles": {}}, "got no style"),
        ({"styles": {"grey": torch.zeros(1, 8, 8)}}, "channels"),
        ({"size": 18}, "size=18, expected a multiple of 4"),
        ({"batch": 0}, "batch=0, expected 1 or more"),
        ({"rate": float("nan")}, "rate=nan"),
        ({"norm": "layer"}, "no norm 'layer'"),
        ({"width": 0}, "width 0"),
        ({"style_layers": ["nowhere"]}, "nowhere"),
        ({"statistics": "gramm"}, "nearest: gram"),
        ({"schedule": "cosin"}, "nearest: cosine"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(
    photographs: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConvscopeError, match=said):
        train(photographs, tmp_path / "one.safetensors", **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_pictures_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConvscopeError, match=r"(?i)no picture"):
        train(tmp_path, tmp_path / "one.safetensors")


def test_what_is_there_is_not_written_over(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.safetensors"
    train(photographs, out)
    with pytest.raises(WeightsError, match="is there already"):
        train(photographs, out)
    with pytest.raises(WeightsError, match=r"name it \.safetensors"):
        train(photographs, tmp_path / "one.pth")
    with pytest.raises(WeightsError, match="has width 4, got 8"):
        added(photographs, tmp_path / "two.safetensors", out, width=8)
    with pytest.raises(WeightsError, match="has a style 'waves' already"):
        train(photographs, tmp_path / "two.safetensors", add_to=out, width=None, blocks=None, kernel=None)
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="holds no style network"):
        added(photographs, tmp_path / "two.safetensors", tmp_path / "other.safetensors")


def test_a_grey_network_can_not_judge(photographs: Path, tmp_path: Path) -> None:
    grey = cs.Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), channels=1, input_size=16, head="none")
    with pytest.raises(NetworkError, match="expected 3"):
        train_style(grey, {"waves": WAVES}, photographs, tmp_path / "one.safetensors")


def test_numbers_are_logged_where_tensorboard_is(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtra, match="tensorboard"):
        train(photographs, tmp_path / "one.safetensors", log=tmp_path / "log")
    written: list[tuple[str, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path / "log")

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, step))

        close = functools.partial(written.append, ("closed", 0))

    fake = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    train(photographs, tmp_path / "one.safetensors", log=tmp_path / "log", steps=2)
    names = ["content", "style", "tv", "total"]
    assert written == [(f"loss/{name}", step) for step in (1, 2) for name in names] + [("closed", 0)]


def test_the_seed_is_what_weights_begin_with(photographs: Path, tmp_path: Path) -> None:
    one, other, third = (
        train(photographs, tmp_path / f"{index}.safetensors", seed=seed, steps=1).network
        for index, seed in enumerate([1, 1, 2])
    )
    assert same(one.state_dict(), other.state_dict())
    assert not same(one.state_dict(), third.state_dict())
    assert isinstance(one, StyleNetwork)
