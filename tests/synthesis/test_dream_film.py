"""Dreams as films: what is carried over, and that a stop costs no more than the frame that was being dreamt."""

import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.synthesis.networks import small
from torch import Generator, Tensor

import convscope as cs
from convscope.errors import Cancelled, ImageError, LayerError
from convscope.image.film import open_film, read_film_recipe, write_film
from convscope.image.write import read_recipe
from convscope.progress import Progress
from convscope.synthesis.dream import dream
from convscope.synthesis.dream_film import dream_film
from convscope.synthesis.filming import DreamFilm
from convscope.synthesis.zoom_dream import nearer, zoom_dream

BRIEF: dict[str, Any] = {"octaves": 2, "steps": 2, "jitter": 3}


def photograph(rows: int = 20, columns: int = 28, *, channels: int = 3, seed: int = 0) -> Tensor:
    coarse = torch.rand(1, channels, 5, 7, generator=Generator().manual_seed(seed))
    return F.interpolate(coarse, size=(rows, columns), mode="bilinear")[0]


def zoomed(out: Path | None = None, **options: Any) -> DreamFilm:
    return zoom_dream(small(), photograph(), "2", **{"frames": 4, "out": out, **BRIEF, **options})


def frames_of(folder: Path) -> list[Tensor]:
    return list(open_film(folder))


def bytes_of(folder: Path) -> list[bytes]:
    return [each.read_bytes() for each in sorted(folder.iterdir())]


@functools.cache
def moving(tmp: Path) -> Path:
    """A film of a wide picture, from left to right."""
    wide = photograph(20, 40)
    write_film(tmp / "moving", (wide[:, :, at : at + 28] for at in range(4)))
    return tmp / "moving"


def followed(film: Path, out: Path | None = None, **options: Any) -> DreamFilm:
    return dream_film(small(), film, "2", **{"out": out, **BRIEF, **options})


# Zooming


def test_each_frame_is_a_dream_of_the_last_one_nearer(tmp_path: Path) -> None:
    zoomed(tmp_path / "zoom", zoom=1.2, rotate=5)
    expected = dream(small(), photograph(), "2", rate=1 / 255, **BRIEF).image
    for number, frame in enumerate(frames_of(tmp_path / "zoom")):
        assert frame.equal(expected), number
        expected = dream(small(), nearer(frame, 1.2, 5), "2", rate=1 / 255, seed=number + 1, **BRIEF).image


def test_nearer_shows_the_middle_larger() -> None:
    """A cosine about the middle has a longer wave by the zoom."""
    rows, columns = torch.meshgrid(torch.arange(40) - 19.5, torch.arange(60) - 29.5, indexing="ij")

    def waves(length: float, degrees: float = 0.0) -> Tensor:
        turned = math.radians(degrees)
        along = columns * math.cos(turned) - rows * math.sin(turned)
        return (0.5 + 0.4 * torch.cos(2 * math.pi * along / length))[None]

    inside = slice(10, -10)
    for zoom, degrees in ((1.3, 0), (1.0, 20), (1.2, -10)):
        shown = nearer(waves(16), zoom, degrees)[..., inside, inside]
        torch.testing.assert_close(shown, waves(16 * zoom, degrees)[..., inside, inside], atol=0.01, rtol=0)
    assert nearer(waves(16), 1, 0).allclose(waves(16), atol=1e-5)


@pytest.mark.parametrize(
    "change", [{"zoom": 1.3}, {"rotate": 9.0}, {"seed": 3}, {"steps": 1}, {"guide": photograph(24, 24, seed=4)}]
)
def test_every_option_of_a_zoom_counts(change: dict[str, Any]) -> None:
    assert not zoomed(**change).image.equal(zoomed().image)


def test_frames_can_be_made_again_by_their_recipes(tmp_path: Path) -> None:
    made = zoomed(tmp_path / "zoom")
    recipe = read_recipe(tmp_path / "zoom" / "frame-00003.png")
    assert recipe.method == "zoom_dream"
    assert recipe.parameters["frames"] == 3
    again = zoom_dream(small(), photograph(), **recipe.parameters, seed=recipe.seed)  # type: ignore[arg-type]
    assert again.image.equal(frames_of(tmp_path / "zoom")[2])
    assert again.recipe == recipe
    again.save(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "zoom" / "frame-00003.png").read_bytes()
    assert made.frames == 4
    assert made.path == str(tmp_path / "zoom")
    assert made.recipe.parameters["frames"] == 4


# Stopped and gone on with


@pytest.mark.parametrize("done", [1, 4, 5, 9])
def test_a_stop_costs_the_frame_that_was_being_dreamt(tmp_path: Path, done: int) -> None:
    """Stopped after so many of 4 · 4 steps; then it is the same film, byte for byte, with no frame dreamt twice."""
    zoomed(tmp_path / "whole")
    with pytest.raises(Cancelled) as stopped:
        zoomed(tmp_path / "parts", progress=lambda progress: progress.done < done)
    assert stopped.value.so_far.shape == (1, 3, 20, 28)
    # The stop comes after a step, so that a frame whose last step it was is lost, too.
    kept = (done - 1) // 4
    assert len(list((tmp_path / "parts").glob("*"))) == kept
    seen: list[Progress] = []
    zoomed(tmp_path / "parts", progress=seen.append)
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")
    assert len(seen) == seen[0].total == 16 - 4 * kept


def test_what_a_kill_leaves_half_written_is_not_taken_for_a_frame(tmp_path: Path) -> None:
    zoomed(tmp_path / "whole")
    zoomed(tmp_path / "parts", frames=2)
    (tmp_path / "parts" / ".convscope-0123.png").write_bytes(b"half")
    zoomed(tmp_path / "parts")
    (tmp_path / "parts" / ".convscope-0123.png").unlink()
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")


def test_a_film_is_assembled_from_its_frames(tmp_path: Path) -> None:
    """Also when it was stopped; until it is whole its frames lie beside it."""
    zoomed(tmp_path / "plain")
    with pytest.raises(Cancelled):
        zoomed(tmp_path / "zoom.gif", frames_per_second=10, progress=lambda progress: progress.done < 9)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["plain", "zoom-frames"]
    assert len(list((tmp_path / "zoom-frames").iterdir())) == 2
    made = zoomed(tmp_path / "zoom.gif", frames_per_second=10)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["plain", "zoom.gif"]
    film = open_film(tmp_path / "zoom.gif")
    assert film.frames == 4
    assert film.frames_per_second == pytest.approx(10)
    for frame, plain in zip(film, frames_of(tmp_path / "plain"), strict=True):
        assert float((frame - plain).abs().mean()) < 0.03  # a GIF's 256 colours
    assert read_film_recipe(tmp_path / "zoom.gif") == made.recipe


def test_frames_of_something_else_are_left_alone(tmp_path: Path) -> None:
    zoomed(tmp_path / "zoom", frames=2)
    before = bytes_of(tmp_path / "zoom")
    with pytest.raises(ImageError, match=r"frame-00001\.png was made with other parameters"):
        zoomed(tmp_path / "zoom", zoom=1.2)
    with pytest.raises(ImageError, match=r"frame-00002\.png lies beyond the last frame"):
        zoomed(tmp_path / "zoom", frames=1)
    assert bytes_of(tmp_path / "zoom") == before
    write_film(tmp_path / "mine", [photograph()])
    with pytest.raises(ImageError, match="remove the frames"):
        zoomed(tmp_path / "mine")


def test_what_else_lies_beside_frames_stays(tmp_path: Path) -> None:
    (tmp_path / "zoom-frames").mkdir()
    (tmp_path / "zoom-frames" / "notes.txt").write_text("mine")
    zoomed(tmp_path / "zoom.webp", frames=2)
    assert [each.name for each in (tmp_path / "zoom-frames").iterdir()] == ["notes.txt"]


def test_a_film_that_cant_be_written_is_refused_before_it_is_dreamt(tmp_path: Path) -> None:
    seen: list[Progress] = []
    with pytest.raises(ImageError, match=r"suffix \.avi"):
        zoomed(tmp_path / "zoom.avi", progress=seen.append)
    assert not seen


# Films


def test_frames_are_dreamt_from_themselves_and_what_was_added_before(tmp_path: Path) -> None:
    film = moving(tmp_path)
    made = followed(film, tmp_path / "dream", keep=0.6)
    sources, dreams = frames_of(film), frames_of(tmp_path / "dream")
    assert made.frames == 4
    assert len(dreams) == 4
    for number, (source, dreamt) in enumerate(zip(sources, dreams, strict=True)):
        carried = 0.6 * (dreams[number - 1] - sources[number - 1]) if number else 0
        expected = dream(small(), (source + carried).clamp(0, 1), "2", **BRIEF).image
        assert dreamt.equal(expected), number


def test_what_is_kept_doesnt_flicker(tmp_path: Path, lite0: cs.Network) -> None:
    """Of a film that hardly changes, what is added changes less from frame to frame, measured by how much it is."""
    still = cs.read_image("china", 96)
    noise = (0.03 * torch.randn(still.shape, generator=Generator().manual_seed(at)) for at in range(6))
    write_film(tmp_path / "noisy", (still + each for each in noise))
    flicker = []
    for keep in (0.0, 0.7):
        dream_film(lite0, tmp_path / "noisy", keep=keep, out=tmp_path / f"dream{keep:.0%}", octaves=1, steps=3)
        pairs = zip(frames_of(tmp_path / f"dream{keep:.0%}"), frames_of(tmp_path / "noisy"), strict=True)
        added = torch.stack([dreamt - source for dreamt, source in pairs][3:])
        flicker.append(float(added.diff(dim=0).abs().mean() / added.abs().mean()))
    assert flicker[1] < 0.75 * flicker[0]


def test_a_film_that_was_stopped_goes_on(tmp_path: Path) -> None:
    film = moving(tmp_path)
    whole = followed(film, tmp_path / "whole")
    with pytest.raises(Cancelled):
        followed(film, tmp_path / "parts", progress=lambda progress: progress.done < 10)
    again = followed(film, tmp_path / "parts")
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")
    assert whole.image.equal(again.image)
    write_film(tmp_path / "other", [photograph(seed=at) for at in range(3)])
    with pytest.raises(ImageError, match="other parameters, inputs"):
        followed(tmp_path / "other", tmp_path / "parts")


def test_a_films_recipe_makes_it_again(tmp_path: Path) -> None:
    film = moving(tmp_path)
    made = followed(film, frames=3, guide=photograph(24, 24, seed=4))
    assert made.recipe.inputs[0].name == "moving"
    assert made.recipe.parameters["guide"] == "image"
    told = {**made.recipe.parameters, "guide": photograph(24, 24, seed=4)}
    again = dream_film(small(), film, **told, seed=made.recipe.seed)  # type: ignore[arg-type]
    assert again.image.equal(made.image)
    assert again.recipe == made.recipe
    assert again.path is None


def test_rates_and_lengths(tmp_path: Path) -> None:
    write_film(tmp_path / "film.gif", [photograph(seed=at) for at in range(3)], frames_per_second=5)
    assert followed(tmp_path / "film.gif", tmp_path / "same.gif").frames == 3
    assert open_film(tmp_path / "same.gif").frames_per_second == pytest.approx(5)
    followed(tmp_path / "film.gif", tmp_path / "faster.gif", frames_per_second=10, frames=2)
    faster = open_film(tmp_path / "faster.gif")
    assert faster.frames == 2
    assert faster.frames_per_second == pytest.approx(10)
    assert followed(tmp_path / "film.gif", frames=99).frames == 3
    with open_film(tmp_path / "film.gif") as opened:
        assert dream_film(small(), opened, "2", frames=1, **BRIEF).frames == 1


def test_grey_networks_dream_grey_films(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU())
    grey = cs.Network(module, input_size=16, channels=1)
    made = zoom_dream(grey, photograph(channels=1), "1", frames=3, out=tmp_path / "grey", **BRIEF)
    assert made.image.shape == (1, 20, 28)
    (tmp_path / "grey" / "frame-00003.png").unlink()
    again = zoom_dream(grey, photograph(channels=1), "1", frames=3, out=tmp_path / "grey", **BRIEF)
    assert again.image.equal(made.image)
    assert dream_film(grey, moving(tmp_path), "1", frames=2, **BRIEF).image.shape == (1, 20, 28)


@pytest.mark.parametrize("options", [{"frames": 0}, {"zoom": 0.9}, {"zoom": float("nan")}, {"octaves": 9}])
def test_zooms_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ImageError):
        zoomed(**options)


@pytest.mark.parametrize("options", [{"frames": 0}, {"keep": 1.1}, {"keep": -0.1}, {"rate": 0}])
def test_films_out_of_range_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ImageError):
        followed(moving(tmp_path), **options)


def test_networks_of_many_bands_have_no_films() -> None:
    bands = cs.Network(torch.nn.Conv2d(5, 2, 3), input_size=16, channels=5)
    with pytest.raises(ImageError, match="5 channels"):
        zoom_dream(bands, torch.rand(5, 20, 28), frames=1)


def test_unknown_layers_and_batches_are_refused() -> None:
    with pytest.raises(LayerError):
        zoom_dream(small(), photograph(), "7", guide=photograph())
    with pytest.raises(ImageError, match="one image"):
        zoom_dream(small(), photograph()[None], "2")


def test_a_video_has_all_frames(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs the extra video")
    zoomed(tmp_path / "zoom.mp4", frames=3)
    assert sum(1 for _ in open_film(tmp_path / "zoom.mp4")) == 3
    made = followed(tmp_path / "zoom.mp4", tmp_path / "again.webm")
    assert made.frames == 3
    assert read_film_recipe(tmp_path / "again.webm") == made.recipe
