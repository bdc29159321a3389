import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import TensorDataset

from convscope.errors import ConvscopeError, ImageError
from convscope.image.bundled import photograph
from convscope.image.preparation import Preparation
from convscope.image.read import read_image
from convscope.image.recipe import JSON
from convscope.image.sources import Entry, Source, open_source
from convscope.scanning import reader
from convscope.scanning.picture import thumbnail_of
from convscope.scanning.reading import Readers, Reading

PREPARATION = Preparation(input_size=(48, 64))
processes = pytest.mark.skipif(os.name == "nt", reason="reader processes are not used on Windows")


def jpeg(picture: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen pictures: pieces of a photograph, JPEG and PNG, of many sizes."""
    folder = tmp_path_factory.mktemp("photos")
    with Image.open(photograph("chelsea")) as whole:
        for at in range(14):
            piece = whole.convert("RGB").crop((at * 5, at * 3, at * 5 + 90 + 10 * at, at * 3 + 80 + 7 * at))
            piece.save(folder / f"{at:02d}.{'png' if at % 3 else 'jpg'}")
    return folder


def readings(source: Source, workers: int, **options: Any) -> list[Reading]:
    with Readers(source, PREPARATION, workers=workers, **options) as readers:
        return list(readers.read(source.entries()))


def same(one: Reading, other: Reading) -> bool:
    if (one.entry, one.size, one.reason) != (other.entry, other.size, other.reason):
        return False
    if one.image is None or other.image is None or one.thumbnail is None or other.thumbnail is None:
        return one.image is other.image and one.thumbnail is other.thumbnail
    return torch.equal(one.image, other.image) and torch.equal(one.thumbnail, other.thumbnail)


@processes
@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_bits_in_the_same_order_however_many_read(photos: Path, workers: int) -> None:
    source = open_source(photos)
    here, there = readings(source, 0), readings(source, workers)
    assert [each.entry for each in there] == [*source.entries()]
    assert all(same(one, other) for one, other in zip(here, there, strict=True))
    for each in there:
        exact = PREPARATION.read(photos / each.entry.name)
        assert each.image is not None
        assert torch.equal(each.image, exact)
        assert each.size == tuple(read_image(photos / each.entry.name).shape[1:])


@processes
def test_rows_of_tables_are_read_by_processes_and_what_is_in_memory_by_threads(photos: Path, tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.store.clear()
    files = sorted(photos.iterdir())
    parquet.write_table(pa.table({"image": [file.read_bytes() for file in files]}), tmp_path / "all.parquet")
    memory.pipe({f"/photos/{file.name}": file.read_bytes() for file in files})
    here = readings(open_source(photos), 0)
    for source in (open_source(tmp_path / "all.parquet"), open_source("memory://photos")):
        there = readings(source, 2)
        assert [each.entry for each in there] == [*source.entries()]
        for one, other in zip(here, there, strict=True):
            assert same(one, replace(other, entry=one.entry))


def test_thumbnails_are_means_over_areas() -> None:
    picture = torch.rand(3, 64, 96)
    expected = picture.reshape(3, 32, 2, 32, 3).mean(dim=(2, 4)) * 255
    assert (thumbnail_of(picture, 32).float() - expected).abs().max() <= 0.5001
    assert thumbnail_of(picture, 32).dtype == torch.uint8
    assert torch.equal(thumbnail_of(picture[:1], 4), thumbnail_of(picture[:1].expand(3, -1, -1), 4))
    assert thumbnail_of(torch.rand(5, 3, 2), 4).shape == (3, 4, 4)


def bad_files(folder: Path) -> dict[str, str]:
    """Files of which none can be read as a picture for a network of three channels, and what is wrong with each."""
    whole = jpeg(Image.open(photograph("chelsea")).convert("RGB"))
    files = {
        "cut.jpg": (whole[: len(whole) // 2], "the file ends too early"),
        "empty.png": (b"", "it is empty"),
        "half.jpg": (whole[: len(whole) // 2] + b"\xff\xd9", "its pixels are fewer"),
        "huge.png": (huge(), "expected at most 100 million"),
        "long.png": (png(Image.new("RGB", (2000, 2))), "too long and narrow to crop"),
        "page.jpg": (b"<html>404</html>", "it is a web page"),
        "text.jpg": (b"Dear Sir,", "it is text"),
        "torn.png": (png(Image.open(photograph("chelsea")))[:2000], "the file ends too early"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    return {name: reason for name, (_, reason) in files.items()}


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def huge() -> bytes:
    """A PNG that says it has 400 million pixels."""
    from zlib import crc32

    data = png(Image.new("L", (1, 1)))
    header = b"IHDR" + (20_000).to_bytes(4, "big") * 2 + data[24:29]
    return data[:12] + header + crc32(header).to_bytes(4, "big") + data[33:]


@processes
@pytest.mark.parametrize("workers", [0, 2])
def test_what_can_not_be_read_is_told_of_and_the_rest_is_read(tmp_path: Path, workers: int) -> None:
    reasons = bad_files(tmp_path)
    Image.open(photograph("chelsea")).convert("CMYK").crop((0, 0, 200, 150)).save(tmp_path / "ink.jpg")
    Image.fromarray(np.full((60, 80), 40000, np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "really.jpg").write_bytes(png(Image.new("RGBA", (80, 60), (255, 0, 0, 128))))
    (tmp_path / "loop").symlink_to(tmp_path)
    read = {each.entry.name: each for each in readings(open_source(tmp_path), workers)}
    assert [*read] == sorted([*reasons, "ink.jpg", "deep.png", "really.jpg"])
    for name, reason in reasons.items():
        assert reason in (read[name].reason or ""), name
        assert read[name].image is None
    assert {read[name].size for name in ("deep.png", "really.jpg")} == {(60, 80)}
    for name in ("ink.jpg", "deep.png", "really.jpg"):
        image = read[name].image
        assert image is not None, read[name].reason
        assert torch.equal(image, PREPARATION.read(tmp_path / name))


def test_large_jpegs_are_read_at_a_fraction_of_their_size(tmp_path: Path) -> None:
    with Image.open(photograph("chelsea")) as picture:
        picture.convert("RGB").resize((1200, 900)).save(tmp_path / "large.jpg", quality=95)
    [reading] = readings(open_source(tmp_path), 0)
    assert reading.size == (900, 1200)
    assert reading.image is not None
    difference = (reading.image - PREPARATION.read(tmp_path / "large.jpg")).abs()
    assert 0 < difference.mean() < 2 / 255


class Murderous(Source):
    """Of small grey pictures; those called so end the process that opens them, or take for ever."""

    root = "murderous"

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @property
    def spec(self) -> dict[str, JSON]:
        return {"kind": "murderous", "folder": self._folder}

    def entries(self) -> list[Entry]:
        return [Entry(f"{at:02d}") for at in range(20)]

    def bytes(self, name: str) -> bytes:
        sign = Path(self._folder, name)
        if sign.exists():
            match sign.read_text():
                case "always":
                    os.kill(os.getpid(), signal.SIGSEGV)
                case "once":
                    sign.unlink()
                    os.kill(os.getpid(), signal.SIGKILL)
                case "sleep":
                    time.sleep(60)
                case "memory":
                    raise MemoryError
        return png(Image.new("L", (8, 6), int(name)))


@pytest.fixture
def murderous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Murderous:
    """Known to reader processes, too."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "def told(spec):\n"
        "    from test_reading import Murderous\n"
        "    return Murderous(spec['folder'])\n"
    )
    program = (
        "import sys; import convscope.image.sources as sources; "
        f"sys.path.insert(0, {str(tmp_path)!r}); from sitecustomize import told; sources.source_from = told; "
    )
    head, main = reader._PROGRAM.rsplit("from convscope", 1)
    monkeypatch.setattr(reader, "_PROGRAM", f"{head}{program}from convscope{main}")
    return Murderous(str(tmp_path))


@processes
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_reader_that_dies_costs_the_picture_it_was_at(murderous: Murderous, workers: int) -> None:
    folder = Path(murderous._folder)
    for name, how in {"03": "always", "11": "once", "12": "memory"}.items():
        (folder / name).write_text(how)
    read = readings(murderous, workers)
    assert [each.entry.name for each in read] == [f"{at:02d}" for at in range(20)]
    lost = {each.entry.name: each.reason for each in read if each.reason is not None}
    assert lost == {
        "03": "reading it ended the reader (killed by SIGSEGV)",
        "12": "it takes more memory than there is",
    }
    for at, each in enumerate(read):
        assert each.image is None or each.thumbnail is None or set(each.thumbnail.flatten().tolist()) == {at}


@processes
@pytest.mark.slow
def test_a_picture_that_takes_too_long_is_given_up(murderous: Murderous, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path(murderous._folder) / "02").write_text("sleep")
    monkeypatch.setattr(reader, "SECONDS", 1.0)
    read = readings(murderous, 2)
    assert {each.entry.name: each.reason for each in read if each.reason} == {
        "02": "reading it took more than 1 seconds; it was given up"
    }


@processes
@pytest.mark.slow
def test_a_reader_killed_by_another_costs_nothing(photos: Path) -> None:
    source = open_source(photos)
    with Readers(source, PREPARATION, workers=2) as readers:
        read = readers.read(source.entries())
        got = [next(read)]
        for each in readers._readers:
            os.kill(_process_of(each), signal.SIGKILL)
        got += read
    assert all(same(one, other) for one, other in zip(got, readings(source, 0), strict=True))


@processes
def test_an_iterator_that_is_dropped_leaves_nothing_to_the_next(photos: Path) -> None:
    source = open_source(photos)
    with Readers(source, PREPARATION, workers=2) as readers:
        next(readers.read(source.entries()))
        again = list(readers.read(source.entries()[3:5]))
        assert [each.entry for each in again] == source.entries()[3:5]
        assert [*readers.read([])] == []


@processes
def test_a_source_that_is_gone_ends_the_reading(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").symlink_to(photos)
    source = open_source(tmp_path / "photos")
    entries = source.entries()
    (tmp_path / "photos").unlink()
    with pytest.raises(ImageError, match="there is no folder"), Readers(source, PREPARATION, workers=1) as readers:
        list(readers.read(entries))


@processes
def test_readers_that_do_not_start_say_why(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_PROGRAM", "raise RuntimeError('no such luck')")
    source = open_source(photos)
    with pytest.raises(ConvscopeError, match="did not start: RuntimeError: no such luck"):
        readings(source, 2)


_UNGUARDED = """
import sys, time
from convscope.image.preparation import Preparation
from convscope.image.sources import open_source
from convscope.scanning.reading import Readers
source = open_source(sys.argv[1])
with Readers(source, Preparation(input_size=(48, 64)), workers=2) as readers:
    read = readers.read(source.entries())
    next(read)
    print(*(each._process.pid for each in readers._readers), flush=True)
    time.sleep(60)
"""


@processes
@pytest.mark.slow
def test_nothing_outlives_a_parent_that_is_killed(photos: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # without `if __name__ == "__main__"`
    script.write_text(_UNGUARDED)
    with subprocess.Popen([sys.executable, script, photos], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(each) for each in parent.stdout.readline().split()]
        assert len(children) == 2
        parent.kill()
    until = time.monotonic() + 20
    while any(map(_runs, children)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(_runs, children))


def _process_of(one: reader.Reader) -> int:
    assert one._process is not None
    return one._process.pid


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")  # a zombie has ended, though nobody has asked after it yet
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@processes
def test_pictures_of_more_than_shared_memory_holds(monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    monkeypatch.setattr("convscope.scanning.slots._SHARED_MEMORY", "/proc")
    source = open_source(photos)
    assert all(each.reason is None for each in readings(source, 1))


# In threads


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_reads_here(photos: Path, workers: int) -> None:
    def loader(path: str) -> Tensor:
        match Path(path).stem:
            case "03":
                raise RuntimeError("not\nthis one")
            case "04":
                raise MemoryError
            case "05":
                return torch.zeros(1, 3, 4, 4)
            case "06":
                return "no image"  # type: ignore[return-value]
        return torch.full((3, 5, 7), int(Path(path).stem) / 20)

    source = open_source(photos)
    read = readings(source, workers, loader=loader)
    assert [each.entry for each in read] == [*source.entries()]
    reasons = {int(each.entry.name[:2]): each.reason for each in read if each.reason}
    assert reasons[3] == "RuntimeError: not this one"
    assert reasons[4] == "it takes more memory than there is"
    assert "expected an image (C, H, W)" in reasons[5]
    assert "got str" in reasons[6]
    assert len(reasons) == 4
    assert read[10].image is not None
    assert read[10].size == (5, 7)
    assert float(read[10].image.mean()) == pytest.approx(0.5)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_set_reads_here_and_tells_classes_as_it_goes(workers: int) -> None:
    images, classes = torch.rand(9, 3, 48, 64), torch.arange(9)
    read = readings(open_source(TensorDataset(images, classes)), workers)
    assert [each.entry.index for each in read] == [*range(9)]
    for each, image in zip(read, images, strict=True):
        assert each.image is not None
        assert torch.equal(each.image, image)


def test_a_loader_needs_files() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(ImageError, match="expected a folder or a list of files"):
        Readers(open_source("memory://photos"), PREPARATION, workers=0, loader=read_image)


def test_no_more_is_read_ahead_than_needed(photos: Path) -> None:
    def asked() -> Iterator[Entry]:
        for entry in source.entries():
            seen.append(entry)
            yield entry

    source, seen = open_source(photos), list[Entry]()
    large = Preparation(input_size=(1500, 1500))  # of which memory holds a few
    for workers, most in ((0, 1), (1, 5)):
        seen.clear()
        with Readers(source, large, workers=workers) as readers:
            next(readers.read(asked()))
            assert len(seen) == most
