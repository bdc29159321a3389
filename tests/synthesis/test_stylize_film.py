"""Stylized films: steady where nothing moves, no ghosts where something does, and nothing lost by a stop."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.synthesis.fast_style.styles import small_styles
from torch import Generator, Tensor

import convscope as cs
from convscope.errors import Cancelled, ImageError, NetworkError
from convscope.image.film import open_film, read_film_recipe, write_film
from convscope.image.write import read_recipe, write_png
from convscope.progress import Progress
from convscope.synthesis import filming
from convscope.synthesis.fast_style import stylizing
from convscope.synthesis.stylize_film import _steadied

NETWORK = small_styles()
ROWS, COLUMNS, SIDE = 48, 96, 12


def backdrop() -> Tensor:
    coarse = torch.rand(1, 3, 6, 12, generator=Generator().manual_seed(0))
    return 0.2 + 0.6 * F.interpolate(coarse, size=(ROWS, COLUMNS), mode="bilinear")[0]


def square_at(frame: int, pace: int = 4) -> slice:
    return slice(8 + pace * frame, 8 + SIDE + pace * frame)


def planted(*, noise: float, moves: bool, count: int = 8) -> list[Tensor]:
    """A still backdrop, a square that moves over it, and noise that is another in each frame."""
    frames = []
    for number in range(count):
        frame = backdrop()
        if moves:
            frame[:, 18 : 18 + SIDE, square_at(number)] = torch.tensor([0.95, 0.1, 0.1])[:, None, None]
        drawn = torch.randn(frame.shape, generator=Generator().manual_seed(number))
        frames.append((frame + noise * drawn).clamp(0, 1))
    return frames


def stylized(frames: list[Tensor] | Path, out: Path, **options: Any) -> list[Tensor]:
    if isinstance(frames, list):
        source = out.with_name(f"{out.name}-source")
        write_film(source, frames)
    else:
        source = frames
    cs.stylize_film(source, network=NETWORK, out=out, **options)
    return list(open_film(out))


def bytes_of(folder: Path) -> list[bytes]:
    return [each.read_bytes() for each in sorted(folder.iterdir())]


def flicker(frames: list[Tensor]) -> float:
    return float(torch.stack(frames[3:]).diff(dim=0).abs().mean())


# Steadied


def test_noise_flickers_less(tmp_path: Path) -> None:
    noisy = planted(noise=0.03, moves=False)
    steady = stylized(noisy, tmp_path / "steady")
    plain = stylized(noisy, tmp_path / "plain", steady=0)
    assert flicker(steady) < 0.35 * flicker(plain)
    # And it is still the same picture.
    clean = cs.stylize(backdrop(), network=NETWORK).image
    assert (steady[-1] - clean).abs().mean() < (plain[-1] - clean).abs().mean()


def test_what_moves_leaves_no_ghost(tmp_path: Path) -> None:
    """Where the square has just been it is as near to the picture without noise as each frame by itself."""
    moving = planted(noise=0.003, moves=True)
    steady = stylized(moving, tmp_path / "steady")
    plain = stylized(moving, tmp_path / "plain", steady=0)
    naive = plain[0]
    for number, clean in enumerate(planted(noise=0, moves=True)):
        naive = torch.lerp(plain[number], naive, 0.7)
        if number:
            left = slice(square_at(number - 1).start, square_at(number).start)
            expected = cs.stylize(clean, network=NETWORK).image
            ghosts = [
                float((each - expected)[:, 18 : 18 + SIDE, left].abs().mean())
                for each in (steady[number], plain[number], naive)
            ]
            assert ghosts[0] < 1.2 * ghosts[1], number
            assert ghosts[0] < 0.3 * ghosts[2], number
    # Elsewhere it is steady all the same.
    beyond = (slice(None), slice(0, 8), slice(None))
    assert flicker([each[beyond] for each in steady]) < 0.6 * flicker([each[beyond] for each in plain])


def test_what_moves_slowly_leaves_none_either() -> None:
    """Its change from frame to frame is little, that from the blend isn't: what is shown never lags by more."""
    frames = [backdrop() * 0.5 + 0.004 * number for number in range(60)]
    lags = [float((seen - frame).abs().max()) for frame, (seen, _) in zip(frames, _steadied(frames, 0.95), strict=True)]
    assert 0.004 < max(lags) < 0.06
    running = frames[0]
    for frame in frames[1:]:
        running = torch.lerp(frame, running, 0.95)
    assert float((running - frames[-1]).abs().max()) > 0.07


def test_a_cut_is_a_cut() -> None:
    frames = [backdrop(), 1 - backdrop(), 1 - backdrop()]
    seen = [each for each, _ in _steadied(frames, 0.9)]
    away = (backdrop() - 0.5).abs().amin(dim=0) > 0.1
    assert float((seen[1] - frames[1]).abs().mean(dim=0)[away].mean()) < 0.01


def test_steady_0_is_each_frame_by_itself(tmp_path: Path) -> None:
    noisy = planted(noise=0.02, moves=True, count=3)
    made = stylized(noisy, tmp_path / "made", steady=0, style={"dots": 1, "lines": 1}, colour="luminance")
    for frame, one in zip(open_film(tmp_path / "made-source"), made, strict=True):
        expected = cs.stylize(frame, {"dots": 1, "lines": 1}, network=NETWORK, colour="luminance").image
        assert one.equal(expected)


# Stopped and gone on with


@pytest.fixture
def film(tmp_path: Path) -> Path:
    write_film(tmp_path / "film", planted(noise=0.02, moves=True, count=5))
    return tmp_path / "film"


@pytest.mark.parametrize("done", [1, 3])
def test_a_film_that_was_stopped_goes_on(tmp_path: Path, film: Path, done: int) -> None:
    stylized(film, tmp_path / "whole")
    with pytest.raises(Cancelled):
        stylized(film, tmp_path / "parts", progress=lambda progress: progress.done < done)
    assert len(bytes_of(tmp_path / "parts")) == done
    seen: list[Progress] = []
    stylized(film, tmp_path / "parts", progress=seen.append)
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")
    assert len(seen) == seen[0].total == 5 - done
    with pytest.raises(ImageError, match="made with other parameters"):
        stylized(film, tmp_path / "parts", steady=0.1)
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")


def test_a_full_disk_loses_nothing(tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stylized(film, tmp_path / "whole.gif")
    written = 0

    def filling(*given: Any) -> None:
        nonlocal written
        written += 1
        if written > 3:
            raise ImageError(f"can't write {str(given[0])!r}: No space left on device")
        write_png(*given)

    with monkeypatch.context() as patch:
        patch.setattr(filming, "write_png", filling)
        with pytest.raises(ImageError, match="No space left"):
            stylized(film, tmp_path / "parts.gif")
    assert not (tmp_path / "parts.gif").exists()
    assert len(bytes_of(tmp_path / "parts-frames")) == 3
    stylized(film, tmp_path / "parts.gif")
    assert (tmp_path / "parts.gif").read_bytes() == (tmp_path / "whole.gif").read_bytes()
    assert not (tmp_path / "parts-frames").exists()


def test_a_frame_that_cant_be_read_keeps_those_before(tmp_path: Path, film: Path) -> None:
    (film / "frame-00004.png").write_bytes((film / "frame-00004.png").read_bytes()[:400])
    with pytest.raises(ImageError, match="frame 4"):
        stylized(film, tmp_path / "made")
    assert len(bytes_of(tmp_path / "made")) == 3


# Options


def test_recipes_sizes_rates_and_lengths(tmp_path: Path, film: Path) -> None:
    made = cs.stylize_film(film, network=NETWORK, size=40, frames=3, frames_per_second=10, out=tmp_path / "made.gif")
    opened = open_film(tmp_path / "made.gif")
    assert (opened.frames, opened.size, made.frames, made.image.shape) == (3, (20, 40), 3, (3, 20, 40))
    assert opened.frames_per_second == pytest.approx(10)
    assert read_film_recipe(tmp_path / "made.gif") == made.recipe
    assert made.recipe.inputs[0].name == "film"
    assert made.recipe.parameters["steady"] == 0.7
    nowhere = cs.stylize_film(film, network=NETWORK, frames=99)
    assert (nowhere.frames, nowhere.path) == (5, None)
    nowhere.save(tmp_path / "last.png")
    assert read_recipe(tmp_path / "last.png") == nowhere.recipe
    with open_film(film) as given:
        assert cs.stylize_film(given, network=NETWORK, frames=1).frames == 1


@pytest.mark.parametrize("options", [{"steady": 1.0}, {"steady": -0.1}, {"frames": 0}, {"size": 0}, {"style": "wave"}])
def test_options_out_of_range_are_refused(film: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ImageError):
        cs.stylize_film(film, network=NETWORK, **options)


def test_no_film_and_no_memory(tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    for name in ("text.mp4", "nowhere.mp4"):
        with pytest.raises(ImageError, match=name):
            cs.stylize_film(tmp_path / name, network=NETWORK)
    monkeypatch.setattr(stylizing, "bytes_free", lambda device: 1000)
    with pytest.raises(NetworkError, match="take at most"):
        cs.stylize_film(film, network=NETWORK)
