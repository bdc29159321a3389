import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from convscope.errors import ImageError
from convscope.image.lists import read_list
from convscope.image.sources import Folder, read_folder


def _pictures(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3)).save(file, "PNG")
    return folder


def _told(folder: Folder) -> dict[str, tuple[str | None, int | None]]:
    return {each.path.relative_to(folder.path).as_posix(): (each.label, each.index) for each in folder.photographs}


def test_photographs_below_the_folder_come_sorted_and_what_is_none_is_passed_over(tmp_path: Path) -> None:
    _pictures(tmp_path, "b.png", "a/z.jpg", "a/deep/er/y", "c.PNG", ".hidden.png", ".git/x.png")
    (tmp_path / "README.md").write_text("no picture")
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    (tmp_path / "empty.png").touch()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    folder = read_folder(tmp_path)
    assert [each.path.relative_to(tmp_path).as_posix() for each in folder.photographs] == [
        "a/deep/er/y", "a/z.jpg", "b.png", "c.PNG",
    ]  # fmt: skip
    reasons = {each.path.name: each.reason for each in folder.unreadable}
    assert reasons.keys() == {"page.jpg", "empty.png", "gone.png"}
    assert "a web page" in reasons["page.jpg"]
    assert reasons["gone.png"] == "a link to nothing"


def test_a_folder_that_links_lead_back_to_is_read_once(tmp_path: Path) -> None:
    _pictures(tmp_path / "in", "a.png", "sub/b.png")
    _pictures(tmp_path / "elsewhere", "c.png")
    (tmp_path / "in" / "sub" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "linked-again").symlink_to(tmp_path / "elsewhere")
    assert [each.path.name for each in read_folder(tmp_path / "in").photographs] == ["a.png", "c.png", "b.png"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions hold back")
def test_a_folder_that_can_not_be_entered_is_kept_with_the_reason(tmp_path: Path) -> None:
    _pictures(tmp_path, "a.png", "closed/b.png")
    (tmp_path / "closed").chmod(0)
    folder = read_folder(tmp_path)
    (tmp_path / "closed").chmod(0o755)
    assert [each.path.name for each in folder.unreadable] == ["closed"]


def test_with_every_file_the_content_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "scan.mat").write_bytes(b"\x01\x02")
    (tmp_path / "classes.csv").write_text("file,label\nscan.mat,cyst\n")
    assert _told(read_folder(tmp_path, every_file=True)) == {"scan.mat": ("cyst", None)}
    with pytest.raises(ImageError, match="no picture"):
        read_folder(tmp_path)


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(ImageError, match=r"no folder .*phtos'; folders there, nearest: photos"):
        read_folder(tmp_path / "phtos")
    with pytest.raises(ImageError, match=r"no picture in .*expected PNG"):
        read_folder(tmp_path / "photos")
    (tmp_path / "photos" / "a.jpg").write_text("not a picture")
    with pytest.raises(ImageError, match=r"a\.jpg: the file is text"):
        read_folder(tmp_path / "photos")
    with pytest.raises(ImageError, match="is a file; expected the folder"):
        read_folder(tmp_path / "photos" / "a.jpg")


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("photos.tsv", "file\timagenet_index\tlabel\na.png\t1\tgoldfish\nb.png\t\tgreat white shark\n"),
        ("any.csv", '\ufeffLabel,File Name,class index\ngoldfish,a.png,1\n"great white shark",sub\\b.png,\n'),
        ("de.csv", "path;class;class_index\nphotos/a.png;goldfish;1\nsub/b.png;great white shark;x\n"),
    ],
)
def test_a_list_in_the_folder_or_beside_it_tells_classes(tmp_path: Path, beside: bool, name: str, text: str) -> None:
    photos = _pictures(tmp_path / "photos", "a.png", "sub/b.png", "c.png")
    (tmp_path if beside else photos).joinpath(name).write_text(text, encoding="utf-8")
    folder = read_folder(photos)
    assert folder.labels_from == name
    assert _told(folder) == {
        "a.png": ("goldfish", 1), "sub/b.png": ("great white shark", None), "c.png": (None, None),
    }  # fmt: skip


def test_a_label_that_is_a_number_is_an_index(tmp_path: Path) -> None:
    _pictures(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_text("image,label\na.png,7\n")
    assert _told(read_folder(tmp_path)) == {"a.png": (None, 7)}


def test_a_name_that_two_files_have_tells_nothing_of_either(tmp_path: Path) -> None:
    _pictures(tmp_path, "one/a.png", "two/a.png", "two/b.png")
    (tmp_path / "list.csv").write_text("file,label\na.png,cat\none/a.png,dog\nb.png,cow\n")
    assert _told(read_folder(tmp_path)) == {
        "one/a.png": ("dog", None), "two/a.png": (None, None), "two/b.png": ("cow", None),
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "file\n", "a,b\n1,2\n", "label,index\nx,1\n", 'file,label\n"' + "x" * 200_000])
def test_tables_that_are_no_lists_of_classes_are_passed_over(tmp_path: Path, text: str) -> None:
    _pictures(tmp_path, "a.png")
    (tmp_path / "table.csv").write_text(text)
    assert read_folder(tmp_path).labels_from is None


def test_a_list_of_other_files_gives_way_to_the_next_source(tmp_path: Path) -> None:
    _pictures(tmp_path, "n01443537_goldfish.png", "n02099601/x.png", "other/n0209960.png")
    (tmp_path / "list.csv").write_text("file,label\nelsewhere.png,cat\n")
    folder = read_folder(tmp_path)
    assert folder.labels_from == "WordNet ids in the names"
    assert [each.label for each in folder.photographs] == ["n01443537", "n02099601", None]


def test_folders_names_are_classes_and_digits_indices(tmp_path: Path) -> None:
    folder = read_folder(_pictures(tmp_path, "train/cat/a.png", "10/b.png", "c.png"))
    assert folder.labels_from == "the folders' names"
    assert _told(folder) == {"train/cat/a.png": ("cat", None), "10/b.png": (None, 10), "c.png": (None, None)}


def test_a_flat_folder_without_a_list_tells_nothing(tmp_path: Path) -> None:
    folder = read_folder(_pictures(tmp_path, "a.png"))
    assert folder.labels_from is None
    assert _told(folder) == {"a.png": (None, None)}


def test_the_folder_may_be_named_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = _pictures(tmp_path / "photos", "a.png")
    (tmp_path / "photos.csv").write_text("file,label\nphotos/a.png,cat\n")
    monkeypatch.chdir(photos)
    assert read_folder(".").photographs[0].label == "cat"


def test_a_list_that_vanished_is_none(tmp_path: Path) -> None:
    assert read_list(tmp_path / "list.csv") is None


def test_the_photographs_beside_the_checkout(photographs: Path, tmp_path: Path) -> None:
    folder = read_folder(photographs / "photos")
    assert (len(folder.photographs), folder.labels_from) == (259, "photos.tsv")
    assert (folder.photographs[0].label, folder.photographs[0].index) == ("goldfish", 1)
    alone = shutil.copy(folder.photographs[0].path, tmp_path)
    assert read_folder(tmp_path).photographs[0].label == "n01443537", alone
