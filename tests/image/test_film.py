import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from convscope.errors import RecipeError
from convscope.image.film import open_film, read_film_recipe, write_film
from convscope.image.read import read_image
from convscope.image.recipe import Recipe
from convscope.image.write import to_picture, write_png

RECIPE = Recipe(
    method="dream",
    parameters={"target": "Bärenspinner", "note": "long " * 200},
    network="efficientnet-lite0",
    weights="ab" * 32,
    threads=2,
    version="0.4.0",
)
COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "grey": (0.5, 0.5, 0.5), "white": (1, 1, 1)}

# Names of files, and how far a frame may be from what was written, in the mean over its pixels.
VIDEOS = [("film.mp4", 0.02), ("film.webm", 0.02)]
OTHERS = [("film.gif", 0.02), ("film.webp", 0.02), ("film", 1e-7)]


@pytest.fixture(params=VIDEOS + OTHERS, ids=lambda each: each[0])
def container(request: pytest.FixtureRequest) -> tuple[str, float]:
    """One of each kind; those that need PyAV are passed over without it."""
    found: tuple[str, float] = request.param
    if found in VIDEOS:
        pytest.importorskip("av", reason="videos need PyAV: pip install 'convscope[video]'")
    return found


def frames(count: int = 7, size: tuple[int, int] = (40, 60)) -> list[Tensor]:
    """Different photographs of these rows and columns, in 8 bits."""
    whole = (read_image("chelsea", 200) * 255).round() / 255
    return [whole[:, 2 * k : 2 * k + size[0], 3 * k : 3 * k + size[1]].clone() for k in range(count)]


def flat(*colours: tuple[float, ...]) -> list[Tensor]:
    return [torch.tensor(each, dtype=torch.float32)[:, None, None].expand(3, 16, 24).clone() for each in colours]


# Round trips


@pytest.mark.parametrize("rate", [25.0, 30000 / 1001, 12.5])
def test_a_film_comes_back(tmp_path: Path, container: tuple[str, float], rate: float) -> None:
    name, tolerance = container
    written = frames()
    write_film(tmp_path / name, iter(written), frames_per_second=rate)
    with open_film(tmp_path / name, frames_per_second=rate if name == "film" else None) as film:
        assert film.size == (40, 60)
        assert film.frames == (None if name == "film.webm" else 7)
        # A GIF counts hundredths of a second, a WebP thousandths.
        assert film.frames_per_second == pytest.approx(rate, rel={"film.gif": 0.03, "film.webp": 0.004}.get(name, 1e-6))
        for passed in (list(film), list(film)):
            assert len(passed) == 7
            for before, after in zip(written, passed, strict=True):
                assert after.dtype == torch.float32
                assert after.is_contiguous()
                assert (after - before).abs().mean() <= tolerance
    assert os.listdir(tmp_path) == [name]


def test_a_folder_keeps_8_bits_as_they_are(tmp_path: Path) -> None:
    write_film(tmp_path / "film", frames(3))
    assert all(torch.equal(*pair) for pair in zip(open_film(tmp_path / "film"), frames(3), strict=True))
    assert sorted(os.listdir(tmp_path / "film")) == ["frame-00001.png", "frame-00002.png", "frame-00003.png"]


@pytest.mark.parametrize("name", COLOURS)
def test_colours_are_right(tmp_path: Path, container: tuple[str, float], name: str) -> None:
    write_film(tmp_path / container[0], flat(COLOURS[name]))
    [frame] = open_film(tmp_path / container[0])
    assert (frame - flat(COLOURS[name])[0]).abs().max() <= 3 / 255


def test_an_mp4_says_what_its_colours_are_and_plays_while_it_loads(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs PyAV")
    write_film(tmp_path / "film.mp4", frames(2))
    with av.open(str(tmp_path / "film.mp4")) as file:
        video = file.streams.video[0]
        decoded = next(file.decode(video))
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
    # The numbers of BT.709 in ITU-T H.273, and that of 16 … 235.
    assert (decoded.colorspace, decoded.color_primaries, decoded.color_trc, decoded.color_range) == (1, 1, 1, 1)
    data = (tmp_path / "film.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("name", [name for name, _ in VIDEOS])
def test_odd_sides_of_a_video_grow_by_a_pixel(tmp_path: Path, name: str) -> None:
    pytest.importorskip("av", reason="needs PyAV")
    ramp = torch.linspace(0, 1, 33).expand(3, 21, 33)
    write_film(tmp_path / name, [ramp], quality=100)
    film = open_film(tmp_path / name)
    assert film.size == (22, 34)
    [frame] = film
    assert (frame[:, :21, :33] - ramp).abs().max() < 0.03
    assert (frame[:, -1, -1] - 1).abs().max() < 0.03


@pytest.mark.parametrize(("name", "tolerance"), OTHERS)
def test_odd_sides_of_others_stay(tmp_path: Path, name: str, tolerance: float) -> None:
    write_film(tmp_path / name, frames(2, (1, 1)))
    assert open_film(tmp_path / name).size == (1, 1)


def test_grey_and_many_channels(tmp_path: Path, container: tuple[str, float]) -> None:
    grey = torch.linspace(0, 1, 60).expand(1, 40, 60)
    write_film(tmp_path / container[0], [grey, grey.expand(5, 40, 60)])
    for frame in open_film(tmp_path / container[0]):
        assert (frame - grey).abs().max() < 0.04


def test_colours_after_grey(tmp_path: Path, container: tuple[str, float]) -> None:
    grey = torch.linspace(0, 1, 60).expand(1, 40, 60)
    write_film(tmp_path / container[0], [grey, *frames(1), grey])
    assert (list(open_film(tmp_path / container[0]))[1] - frames(1)[0]).abs().mean() <= container[1]


def test_few_colours_are_exact_in_a_gif(tmp_path: Path) -> None:
    write_film(tmp_path / "film.gif", flat(*COLOURS.values(), (0.2, 0.4, 0.6)))
    write_film(tmp_path / "film", flat(*COLOURS.values(), (0.2, 0.4, 0.6)))
    for one, other in zip(open_film(tmp_path / "film.gif"), open_film(tmp_path / "film"), strict=True):
        assert torch.equal(one, other)


def test_equal_frames_are_kept(tmp_path: Path, container: tuple[str, float]) -> None:
    write_film(tmp_path / container[0], frames(1) * 5)
    assert len(list(open_film(tmp_path / container[0]))) == 5


@pytest.mark.parametrize(("name", "forever"), [("film.gif", 0), ("film.webp", 0)])
@pytest.mark.parametrize("loop", [True, False])
def test_loops(tmp_path: Path, name: str, forever: int, loop: bool) -> None:
    write_film(tmp_path / name, frames(2), loop=loop)
    with Image.open(tmp_path / name) as picture:
        assert picture.info.get("loop", 1) == (forever if loop else 1)


@pytest.mark.parametrize("name", ["film.webp", "film.mp4", "film.webm"])
def test_a_lower_quality_is_smaller(tmp_path: Path, name: str) -> None:
    if name != "film.webp":
        pytest.importorskip("av", reason="needs PyAV")
    sizes = []
    for quality in (90, 40):
        write_film(tmp_path / name, frames(), quality=quality)
        sizes.append((tmp_path / name).stat().st_size)
    assert sizes[1] < 0.8 * sizes[0]


@pytest.mark.skipif(os.name == "nt", reason="needs colons in names")
def test_a_name_that_looks_like_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av", reason="needs PyAV")
    monkeypatch.chdir(tmp_path)
    write_film("take:1.mp4", frames(2))
    assert len(list(open_film("take:1.mp4"))) == 2


# Streaming


def test_frames_are_taken_and_let_go_one_at_a_time(tmp_path: Path, container: tuple[str, float]) -> None:
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()

    def made() -> Iterator[Tensor]:
        for frame in frames(12):
            own = frame.clone()
            alive.add(own)
            assert len(alive) <= 2
            yield own

    write_film(tmp_path / container[0], made())
    alive.clear()
    for frame in open_film(tmp_path / container[0]):
        alive.add(frame)
        assert len(alive) <= 2


def test_writing_goes_along_with_making(tmp_path: Path) -> None:
    seen = []

    def made() -> Iterator[Tensor]:
        for frame in frames(4):
            seen.append(len(list((tmp_path / "film").iterdir())))
            yield frame

    write_film(tmp_path / "film", made())
    assert seen == [0, 1, 2, 3]


def test_leaving_a_film_closes_its_file(tmp_path: Path, container: tuple[str, float]) -> None:
    write_film(tmp_path / container[0], frames())
    with open_film(tmp_path / container[0]) as film:
        begun = iter(film)
        assert next(begun).shape == (3, 40, 60)
    assert list(begun) == []


# Films of others


def stored(path: Path, frame: Tensor, prepare: Callable[[Any], None], format: str = "yuv420p") -> None:
    av = pytest.importorskip("av", reason="needs PyAV")
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.height, stream.width, stream.pix_fmt = *frame.shape[1:], format
        prepare(stream)
        decoded = av.VideoFrame.from_image(to_picture(frame))
        file.mux(stream.encode(decoded.reformat(format=format)))
        file.mux(stream.encode(None))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_phones_video_comes_upright(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    frame = torch.zeros(1, 32, 48)
    frame[:, :8, :16] = 1
    stored(tmp_path / "phone.mp4", frame, lambda stream: stream.set_display_rotation(degrees, hflip=mirrored))
    # The matrix is made of a rotation, counterclockwise, whose first column is then negated.
    turned = torch.rot90(frame, degrees // 90, (1, 2))
    expected = turned.flip(2) if mirrored else turned
    film = open_film(tmp_path / "phone.mp4")
    assert film.size == tuple(expected.shape[1:])
    [upright] = film
    assert (upright - expected).abs().mean() < 0.02


@pytest.mark.parametrize(("rows", "matrix"), [(720, 1), (480, 5)])
def test_a_video_without_notes_on_colour_is_taken_as_players_do(tmp_path: Path, rows: int, matrix: int) -> None:
    av = pytest.importorskip("av", reason="needs PyAV")
    red = np.zeros((rows, 64, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    with av.open(str(tmp_path / "film.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = rows, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(red, format="rgb24")
        file.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=matrix)))
        file.mux(stream.encode(None))
    [read] = open_film(tmp_path / "film.mp4")
    assert (read.mean((1, 2)) - torch.tensor([1.0, 0, 0])).abs().max() <= 4 / 255


def test_pillows_animations_and_what_is_transparent(tmp_path: Path) -> None:
    clear, half = Image.new("RGBA", (6, 4), (255, 0, 0, 0)), Image.new("RGBA", (6, 4), (0, 0, 0, 128))
    for name in ("film.png", "film.webp"):
        clear.save(tmp_path / name, save_all=True, append_images=[half], duration=[40, 120], lossless=True)
        film = open_film(tmp_path / name)
        assert (film.frames, film.size) == (2, (4, 6))
        assert film.frames_per_second == pytest.approx(12.5)
        first, second = film
        assert torch.equal(first, torch.ones(3, 4, 6))
        assert (second - 0.5).abs().max() < 0.01


def test_a_pngs_still_for_other_programs_is_no_frame(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    pictures[0].save(tmp_path / "film.png", save_all=True, append_images=pictures[1:], default_image=True)
    film = open_film(tmp_path / "film.png")
    assert film.frames == 2
    assert [frame[:, 0, 0].tolist() for frame in film] == [[0, 1, 0], [0, 0, 1]]
    assert film.frames_per_second == 10


def test_a_folder_is_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for number, name in enumerate(["a1.png", "a2.png", "a10.png", "a010b.png", "b.png"]):
        write_png(tmp_path / name, Image.new("L", (3, 2), 10 * number))
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.png").touch()
    film = open_film(tmp_path, frames_per_second=12)
    assert (film.frames, film.size, film.frames_per_second) == (5, (2, 3), 12)
    levels = [round(frame[0, 0, 0].item() * 255) for frame in film]
    assert levels == [0, 10, 20, 30, 40]
    assert open_film(tmp_path).frames_per_second == 25


# Recipes


def test_the_recipe_comes_back(tmp_path: Path, container: tuple[str, float]) -> None:
    write_film(tmp_path / container[0], frames(2), recipe=RECIPE)
    assert read_film_recipe(tmp_path / container[0]) == RECIPE
    assert len(list(open_film(tmp_path / container[0]))) == 2


def test_films_without_a_recipe(tmp_path: Path, container: tuple[str, float]) -> None:
    with pytest.raises(RecipeError, match="No such file"):
        read_film_recipe(tmp_path / container[0])
    write_film(tmp_path / container[0], frames(2))
    with pytest.raises(RecipeError, match=r"holds no recipe; expected a (film|PNG) as convscope wrote it"):
        read_film_recipe(tmp_path / container[0])


def test_comments_of_others_and_damaged_ones(tmp_path: Path) -> None:
    for comment, message in ((b"made with love", "no recipe"), (b'convscope {"a', "the recipe is damaged")):
        Image.new("L", (3, 3)).save(tmp_path / "film.gif", comment=comment)
        with pytest.raises(RecipeError, match=message):
            read_film_recipe(tmp_path / "film.gif")
    (tmp_path / "film.gif").write_bytes(b"GIF89a")
    with pytest.raises(RecipeError, match=r"film\.gif"):
        read_film_recipe(tmp_path / "film.gif")
