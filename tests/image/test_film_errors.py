import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError, MissingExtra
from convscope.image.film import film_writer, open_film, write_film
from convscope.image.write import write_png

CONTAINERS = ["film.mp4", "film.webm", "film.gif", "film.webp", "film"]
FILES = CONTAINERS[:-1]


def noise(count: int = 6, size: tuple[int, int] = (48, 64)) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        yield torch.rand(3, *size, generator=generator)


def needs(name: str) -> None:
    if name.endswith((".mp4", ".webm")):
        pytest.importorskip("av", reason="videos need PyAV: pip install 'convscope[video]'")


# Writing


@pytest.mark.parametrize("name", FILES)
def test_an_exception_leaves_the_old_film(tmp_path: Path, name: str) -> None:
    needs(name)
    (tmp_path / name).write_text("old")

    def stopped() -> Iterator[Tensor]:
        yield from noise(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_film(tmp_path / name, stopped())
    assert (tmp_path / name).read_text() == "old"
    assert os.listdir(tmp_path) == [name]


def test_an_exception_leaves_the_frames_of_a_folder(tmp_path: Path) -> None:
    def write_two() -> None:
        with film_writer(tmp_path / "film") as write:
            for frame in noise(2):
                write(frame)
            raise KeyError

    with pytest.raises(KeyError):
        write_two()
    assert len(list(open_film(tmp_path / "film"))) == 2


@pytest.mark.skipif(os.name == "nt", reason="needs limits on the size of files")
@pytest.mark.parametrize("name", CONTAINERS)
def test_a_full_disk(tmp_path: Path, name: str) -> None:
    needs(name)
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limit[1]))
    try:
        with pytest.raises(ImageError, match=r"can't write '.*film.*': File too large"):
            write_film(tmp_path / name, noise())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(tmp_path.rglob("*.*")) == []


@pytest.mark.parametrize("name", CONTAINERS)
def test_frames_of_one_size(tmp_path: Path, name: str) -> None:
    needs(name)
    message = r"frame 3 of '.*': it has 9 rows and 64 columns, expected 48 and 64 as the first has"
    with pytest.raises(ImageError, match=message):
        write_film(tmp_path / name, [*noise(2), torch.zeros(3, 9, 64)])
    assert os.listdir(tmp_path) == (["film"] if name == "film" else [])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (torch.full((3, 8, 8), torch.nan), "frame 2 of .*NaN"),
        (torch.zeros(2, 3, 8, 8), "frame 2 of .*batch"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "frame 2 of .*/ 255"),
    ],
)
def test_frames_that_are_no_images(tmp_path: Path, frame: Tensor, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        write_film(tmp_path / "film.gif", [torch.zeros(3, 8, 8), frame])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", CONTAINERS)
def test_no_frames(tmp_path: Path, name: str) -> None:
    needs(name)
    with pytest.raises(ImageError, match="got no frames, expected at least one"):
        write_film(tmp_path / name, [])
    assert list(tmp_path.glob("*.*")) == []


@pytest.mark.parametrize(("name", "side"), [("film.gif", 65536), ("film.webp", 16384), ("film.mp4", 20000)])
def test_frames_too_large_for_a_container(tmp_path: Path, name: str, side: int) -> None:
    needs(name)
    with pytest.raises(ImageError, match=r"frames"):
        write_film(tmp_path / name, [torch.zeros(1, 2, side)])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("film.avi", {}, r"got the suffix \.avi, expected \.mp4, \.webm, \.gif, \.webp, or a name without suffix"),
        ("film.gif", {"frames_per_second": 0}, "got frames_per_second=0, expected a number from 0.01 to 1000"),
        ("film.gif", {"frames_per_second": float("nan")}, "got frames_per_second=nan, expected a number"),
        ("film.gif", {"frames_per_second": 60}, r"got frames_per_second=60, expected at most 50, .* write \.mp4"),
        ("film.webp", {"frames_per_second": 120}, "expected at most 90"),
        ("film.webp", {"quality": 0}, r"got quality=0, expected 1 \(small\) to 100 \(good\)"),
    ],
)
def test_options_are_checked_before_any_frame_is_made(
    tmp_path: Path, name: str, options: dict[str, int], message: str
) -> None:
    frames = noise(1)
    with pytest.raises(ImageError, match=message):
        write_film(tmp_path / name, frames, **options)  # type: ignore[arg-type]
    assert len(list(frames)) == 1
    assert os.listdir(tmp_path) == []


def test_a_folder_that_holds_frames_is_left_alone(tmp_path: Path) -> None:
    write_film(tmp_path / "film", noise(3))
    with pytest.raises(ImageError, match=r"it holds frame-0000\d\.png; expected one without frames"):
        write_film(tmp_path / "film", noise(2))
    assert len(os.listdir(tmp_path / "film")) == 3


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "film").touch()
    with pytest.raises(ImageError, match=r"can't write to the folder .*film': File exists"):
        write_film(tmp_path / "film", noise(1))


@pytest.mark.parametrize("name", ["film.mp4", "film.webm"])
def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    frames = noise(1)
    with pytest.raises(MissingExtra, match=r"\.gif, \.webp and a folder .* need nothing more.*'convscope\[video\]'"):
        write_film(tmp_path / name, frames)
    assert len(list(frames)) == 1
    (tmp_path / name).write_bytes(b"\0\0\0\x20ftypisom")
    with pytest.raises(MissingExtra, match=r"reading 'film\..*' as a video needs .*'convscope\[video\]'"):
        open_film(tmp_path / name)
    for other in ("film.gif", "film.webp", "film"):
        write_film(tmp_path / other, noise(2))
        assert len(list(open_film(tmp_path / other))) == 2


def test_a_pyav_without_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av", reason="needs PyAV")
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(ImageError, match=r"lacks the encoder libx264; .* or write \.gif"):
        write_film(tmp_path / "film.mp4", noise(1))


# Reading


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Dear Sir,", "it is text; expected a video .* or a folder of pictures"),
        (b"", "it is empty"),
        (b"\xff\xd8\xff", "it is JPEG"),
        (b"#EXTM3U\nhttp://127.0.0.1/film.ts\n", "it is text"),
    ],
)
def test_what_is_no_film(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(ImageError, match=message):
        open_film(tmp_path / "film.mp4")


def test_what_ffmpeg_does_not_know_either(tmp_path: Path) -> None:
    needs("film.mp4")
    (tmp_path / "film.mp4").write_bytes(b"\x01\xfe\x80" * 2000)
    with pytest.raises(ImageError, match=r"as a film: Invalid data .*; expected a video that FFmpeg knows"):
        open_film(tmp_path / "film.mp4")


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs PyAV")
    with av.open(str(tmp_path / "song.mka"), "w", format="matroska") as file:
        stream = file.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
    with pytest.raises(ImageError, match="it holds no pictures; expected a video"):
        open_film(tmp_path / "song.mka")


def test_still_pictures_are_no_films(tmp_path: Path) -> None:
    for name in ("still.png", "still.webp"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
        with pytest.raises(ImageError, match="without animation; expected frames: read it with read_image"):
            open_film(tmp_path / name)


@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "film", "nul\0"])
def test_what_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=r"can't read .*(No such file|null)"):
        open_film(f"{tmp_path}/{name}")


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match=r"there is no picture right in .*; expected the frames of a film"):
        open_film(tmp_path)


def test_a_folder_of_several_sizes_or_with_a_damaged_picture(tmp_path: Path) -> None:
    for number, width in enumerate((4, 4, 5)):
        write_png(tmp_path / f"{number}.png", Image.new("L", (width, 3)))
    film = open_film(tmp_path)
    with pytest.raises(ImageError, match=r"frame 3 of '.*': it has 3 rows and 5 columns, expected 3 and 4"):
        list(film)
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageError, match=r"frame 2 of '.*1\.png'.*damaged"):
        list(open_film(tmp_path))


@pytest.mark.parametrize(
    ("name", "kept"), [("film.mp4", 0.8), ("film.webm", 0.95), ("film.gif", 0.8), ("film.gif", -1)]
)
def test_what_comes_before_the_end_of_a_cut_film_is_given(tmp_path: Path, name: str, kept: float) -> None:
    needs(name)
    write_film(tmp_path / name, noise(12))
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(kept * len(data))] if kept > 0 else data[:-1])
    given: list[Tensor] = []
    with pytest.raises(ImageError, match=r"the file is damaged .*; expected a whole one: get it anew") as got:
        given.extend(open_film(tmp_path / name))
    assert 5 < len(given) <= 12
    assert f"can't read frame {len(given) + 1} of" in str(got.value)


def test_a_cut_webp_has_no_first_frame(tmp_path: Path) -> None:
    write_film(tmp_path / "film.webp", noise())
    (tmp_path / "film.webp").write_bytes((tmp_path / "film.webp").read_bytes()[:-2000])
    with pytest.raises(ImageError, match=r"can't read frame 1 of .* the file is damaged"):
        open_film(tmp_path / "film.webp")


@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "film"])
def test_too_many_pixels(tmp_path: Path, name: str) -> None:
    needs(name)
    write_film(tmp_path / name, noise(1))
    with pytest.raises(ImageError, match=r"64 × 48 = .* raise pixel_limit"):
        open_film(tmp_path / name, pixel_limit=1000)
