"""Folders, lists, Parquet files, addresses and data sets as `open_source` opens them."""

import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from convscope.errors import ImageError, MissingExtra
from convscope.image.preparation import Preparation
from convscope.image.read import read_image
from convscope.image.source.parquet import ParquetSource
from convscope.image.sources import Entry, Source, open_source, read_folder

SMALL = Preparation(input_size=(16, 16))
LEVELS = {"cat/a.png": 10, "cat/b.png": 20, "dog/c.png": 30}


def png(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (6, 4), (level,) * 3).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, level in LEVELS.items():
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(level))
    return tmp_path / "photos"


def told(source: Source) -> list[tuple[str, str | None, int | None]]:
    return [(each.name, each.label, each.index) for each in source.entries()]


def levels(source: Source) -> list[int]:
    """The grey that each of its pictures is painted in."""
    opened = [source.open(each.name, SMALL) for each in source.entries()]
    assert all(size == (4, 6) == tuple(image.shape[1:]) for image, size in opened)
    return [round(float(image.mean()) * 255) for image, _ in opened]


def reopened(source: Source) -> Source:
    return Source.from_spec(json.loads(json.dumps(source.spec)))


def as_folder(photos: Path) -> Any:
    return photos


def as_paths(photos: Path) -> Any:
    return [photos / name for name in reversed(LEVELS)]


def as_text(photos: Path) -> Any:
    (photos.parent / "list.txt").write_text("\n".join(f"photos/{name}" for name in LEVELS) + "\n\n")
    return photos.parent / "list.txt"


def as_table(photos: Path) -> Any:
    rows = "".join(f"{name};{name[:3]}\n" for name in LEVELS)
    (photos / "list.csv").write_text(f"path;class\n{rows}")
    return str(photos / "list.csv")


def as_file_address(photos: Path) -> Any:
    return photos.as_uri()


def as_memory(photos: Path) -> Any:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").store.clear()
    for name in LEVELS:
        fsspec.filesystem("memory").pipe(f"/photos/{name}", (photos / name).read_bytes())
    return "memory://photos"


@pytest.mark.parametrize("given", [as_folder, as_paths, as_text, as_table, as_file_address, as_memory])
def test_the_same_pictures_wherever_they_are_named(photos: Path, given: Callable[[Path], Any]) -> None:
    source = open_source(given(photos))
    expected = [(name, name[:3], None) for name in LEVELS]
    assert told(source) == expected
    assert source.labels_from == ("list.csv" if given is as_table else "the folders' names")
    assert levels(source) == [*LEVELS.values()]
    assert source.unreadable in ((), [])
    assert open_source(source) is source
    if given is as_memory:
        assert source.spec is None
    else:
        assert told(reopened(source)) == expected
        assert levels(reopened(source)) == [*LEVELS.values()]
        assert Path(source.where("cat/a.png").removeprefix("file://")) == photos / "cat" / "a.png"


@pytest.mark.parametrize("given", [as_folder, as_paths, as_file_address])
def test_a_changed_file_has_another_stamp(photos: Path, given: Callable[[Path], Any]) -> None:
    before = open_source(given(photos)).entries()
    os.utime(photos / "cat" / "a.png", (1, 1))
    after = open_source(given(photos)).entries()
    assert [one.stamp != other.stamp for one, other in zip(before, after, strict=True)] == [True, False, False]
    assert all(each.stamp for each in before)


def test_a_folder_source_tells_what_read_folder_tells(photos: Path) -> None:
    (photos / "empty.png").touch()
    (photos / "gone.jpg").symlink_to(photos / "nowhere")
    (photos / "around").symlink_to(photos)
    (photos / "notes").write_text("no picture")
    (photos / "unnamed").write_bytes(png(40))
    source, folder = open_source(photos), read_folder(photos)
    names = [each.path.relative_to(photos).as_posix() for each in folder.photographs]
    # What is called a picture is not looked into before it is read.
    assert [each.name for each in source.entries()] == [*sorted([*names, "empty.png"])]
    assert [(each.path.name, each.reason) for each in source.unreadable] == [("gone.jpg", "a link to nothing")]
    with pytest.raises(ImageError, match="it is empty; expected a PNG"):
        source.open("empty.png", SMALL)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system whose names are any bytes")
def test_names_that_are_no_text_are_told_of(photos: Path) -> None:
    (photos / os.fsdecode(b"\xff.png")).write_bytes(png(1))
    source = open_source(photos)
    assert len(source.entries()) == 3
    assert source.unreadable[0].reason == "its name is no text in UTF-8; rename it"
    str(source.unreadable[0].path).encode()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions hold back")
def test_a_file_that_may_not_be_read(photos: Path) -> None:
    (photos / "cat" / "a.png").chmod(0)
    with pytest.raises(ImageError, match="Permission denied"):
        open_source(photos).open("cat/a.png", SMALL)


def test_lists_keep_what_is_there_and_tell_of_the_rest(photos: Path) -> None:
    source = open_source([photos / "cat" / "a.png", photos / "cat" / ".." / "cat" / "a.png", photos / "nothing.png"])
    assert told(source) == [("cat/a.png", "cat", None)]
    assert [(each.path.name, each.reason) for each in source.unreadable] == [
        ("nothing.png", "No such file or directory")
    ]


def test_lists_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ImageError, match=r"empty\.txt names no picture"):
        open_source(tmp_path / "empty.txt")
    with pytest.raises(ImageError, match="no column of files"):
        open_source(tmp_path / "other.csv")
    with pytest.raises(ImageError, match=r"the list: .*nothing\.png: No such file"):
        open_source([tmp_path / "nothing.png"]).entries()


def test_bundled_photographs_by_their_names() -> None:
    source = open_source(["chelsea", "camera"])
    image, size = source.open("chelsea.png", SMALL)
    assert torch.equal(image, read_image("chelsea"))
    assert size == (300, 451)


# Parquet


def tables(folder: Path, *, classes: Any = None, rows_a_group: int = 4) -> Path:
    """Two files as Hugging Face's library writes them, of ten rows each."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder.mkdir()
    pictures = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"label": {"names": ["ant", "bee"], "_type": "ClassLabel"}}
    for number in range(2):
        rows = [{"bytes": png(10 * number + at), "path": f"{at}.png"} for at in range(10)]
        columns = {"image": pa.array(rows, pictures), "label": classes or [at % 2 for at in range(10)]}
        table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        parquet.write_table(table, folder / f"part-{number}.parquet", row_group_size=rows_a_group)
    return folder


@pytest.mark.parametrize("rows_a_group", [1, 4, 100])
def test_rows_of_parquet_files(tmp_path: Path, rows_a_group: int) -> None:
    source = open_source(tables(tmp_path / "tables", rows_a_group=rows_a_group))
    assert told(source)[:2] == [("part-0.parquet/0", "ant", 0), ("part-0.parquet/1", "bee", 1)]
    assert (len(source.entries()), source.labels_from) == (20, "the tables")
    assert levels(source) == levels(reopened(source)) == [*range(20)]
    names = [each.name for each in source.entries()]
    for at in np.random.default_rng(0).permutation(20):
        assert source.bytes(names[at]) == png(int(at))
    assert all(each.stamp for each in source.entries())


def test_more_rows_than_are_held_at_once(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"picture": [png(at) for at in range(100)]}), tmp_path / "all.parquet")
    source = open_source(tmp_path / "all.parquet")
    assert isinstance(source, ParquetSource)
    assert (source.root, source.labels_from) == (str(tmp_path), None)
    assert levels(source) == [*range(100)]
    assert source.bytes("all.parquet/3") == png(3)


def test_classes_of_rows_by_name(tmp_path: Path) -> None:
    source = open_source(tables(tmp_path / "tables", classes=["cat"] * 9 + [None]))
    assert [label for _, label, _ in told(source)[8:10]] == ["cat", None]


def test_parquet_at_an_address(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    folder = tables(tmp_path / "tables")
    fsspec.filesystem("memory").pipe("/tables/one.parquet", (folder / "part-1.parquet").read_bytes())
    for address in ("memory://tables/one.parquet", (folder / "part-1.parquet").as_uri()):
        assert levels(open_source(address)) == [*range(10, 20)]


def test_what_is_wrong_with_tables_is_told(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "numbers.parquet")
    with pytest.raises(ImageError, match="columns a, b, expected one of pictures' bytes"):
        open_source(tmp_path / "numbers.parquet").entries()
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "numbers.parquet").read_bytes()[:100])
    with pytest.raises(ImageError, match=r"can't read 'torn\.parquet'"):
        open_source(tmp_path / "torn.parquet").entries()
    pictures = pa.array([{"bytes": None, "path": "a.png"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    parquet.write_table(pa.table({"image": pictures}), tmp_path / "paths.parquet")
    source = open_source(tmp_path / "paths.parquet")
    with pytest.raises(ImageError, match="no bytes of it"):
        source.bytes(source.entries()[0].name)
    with pytest.raises(ImageError, match="there is no row"):
        source.bytes("paths.parquet/1")


# Addresses


def test_addresses_that_lead_nowhere(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(ImageError, match=r"can.t open .nope://x.*expected an address"):
        open_source("nope://x")
    with pytest.raises(ImageError, match="no picture at 'memory://nowhere'"):
        open_source("memory://nowhere").entries()
    with pytest.raises(ImageError, match=r"gone\.png"):
        open_source(tmp_path.as_uri()).open("gone.png", SMALL)


@pytest.mark.parametrize(("package", "given"), [("fsspec", "memory://x"), ("pyarrow", "x.parquet")])
def test_missing_packages_are_told_of(
    package: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [package, *(each for each in sys.modules if each.startswith(package + "."))]:
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "x.parquet").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingExtra, match=r"convscope\[scan\]"):
        open_source(given).entries()


# Data sets


class Pictures(Dataset[Any]):
    """Twelve items of any kind."""

    classes = ("ant", "bee")

    def __init__(self, item: Callable[[int], Any]) -> None:
        self.item = item

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        return self.item(index)


GREY = torch.full((3, 4, 6), 0.2)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (lambda at: GREY, (None, None)),
        (lambda at: (GREY, at % 2), ("bee", 1)),
        (lambda at: (GREY, torch.tensor(at % 2)), ("bee", 1)),
        (lambda at: (GREY, 7, "more"), (None, 7)),
        (lambda at: [GREY, "wasp"], ("wasp", None)),
        (lambda at: {"image": GREY, "label": np.int64(0)}, ("ant", 0)),
        (lambda at: ((GREY * 255).to(torch.uint8), None), (None, None)),
        (lambda at: (GREY[:1], 1), ("bee", 1)),
        (lambda at: (GREY.double()[0], 1), ("bee", 1)),
        (lambda at: (Image.new("RGB", (6, 4), (51, 51, 51)), 1), ("bee", 1)),
        (lambda at: (Image.new("L", (6, 4), 51), 1), ("bee", 1)),
        (lambda at: (Image.new("I;16", (6, 4), 13107), 1), ("bee", 1)),
    ],
)
def test_items_of_data_sets(item: Callable[[int], Any], expected: tuple[str | None, int | None]) -> None:
    source = open_source(Pictures(item))
    assert [each.name for each in source.entries()] == [f"{at:02d}" for at in range(12)]
    image, size, classes = source.item("11", SMALL)  # type: ignore[attr-defined]
    torch.testing.assert_close(image, GREY)
    assert (size, classes, source.spec) == ((4, 6), expected, None)
    assert source.where("03") == "item 3 of the data set"


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (GREY * 10, "its values go from 2 to 2, expected 0 to 1: leave normalization to the network"),
        (GREY * torch.nan, "its values go from nan"),
        (GREY[None], "got a batch"),
        (None, "got an item of NoneType"),
        ((), "got an item of NoneType"),
        (GREY.long(), "expected an image of floats"),
    ],
)
def test_items_that_are_no_images(item: Any, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        open_source(Pictures(lambda at: item)).open("00", SMALL)


def test_targets_tell_classes_before_anything_is_read() -> None:
    pictures = Pictures(lambda at: pytest.fail("it was read"))
    pictures.targets = [0, 1] * 6  # type: ignore[attr-defined]
    source = open_source(pictures)
    assert source.entries()[1] == Entry("01", "bee", 1)
    assert source.labels_from == "the data set"


def test_what_is_no_source() -> None:
    class Stream(IterableDataset[Tensor]):
        def __iter__(self) -> Iterator[Tensor]:
            return iter([GREY])

    for given in (Stream(), 5):
        with pytest.raises(ImageError, match="expected a Dataset with a length"):
            open_source(given)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="is empty"):
        open_source(TensorDataset(torch.zeros(0, 3, 4, 4))).entries()
    with pytest.raises(ImageError, match="kind 'tape'"):
        Source.from_spec({"kind": "tape"})


def test_the_photographs_beside_the_checkout(photographs: Path, tmp_path: Path) -> None:
    source = open_source(photographs / "photos")
    assert (len(source.entries()), source.labels_from) == (259, "photos.tsv")
    assert (source.entries()[0].label, source.entries()[0].index) == ("goldfish", 1)
    shutil.copy(photographs / "photos.tsv", tmp_path)
    (tmp_path / "photos.tsv").write_text((photographs / "photos.tsv").read_text().replace("\nn", "\nphotos/n"))
    (tmp_path / "photos").symlink_to(photographs / "photos")
    listed = open_source(tmp_path / "photos.tsv")
    assert [each.label for each in listed.entries()] == [each.label for each in source.entries()]
