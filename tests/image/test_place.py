"""Paths as they are shown, against where the file system leads."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convscope.image.preparation import Preparation
from convscope.image.source.place import tidy
from convscope.image.sources import open_source, read_folder

STEPS = st.lists(st.sampled_from(["..", ".", "a", "b", "link", "up"]), max_size=8)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders in which `link` leads to another branch and `up` to the top."""
    top = tmp_path_factory.mktemp("tree")
    for place in ("a/a", "a/b", "b/a", "b/b"):
        (top / place).mkdir(parents=True)
    (top / "a" / "link").symlink_to(top / "b" / "b")
    (top / "b" / "b" / "up").symlink_to(top)
    (top / "link").symlink_to("a")
    return top


@given(steps=STEPS)
@settings(deadline=None)
def test_it_leads_where_the_path_leads_with_no_more_steps(tree: Path, steps: list[str]) -> None:
    given_ = tree.joinpath(*steps)
    found = tidy(given_)
    assert tidy(found) == found
    assert len(found.parts) <= len(given_.parts)
    if given_.exists():
        assert os.path.samefile(given_, found)
    if not any(each in steps for each in ("link", "up")):
        assert found == Path(os.path.normpath(given_))


def test_links_keep_their_names(tree: Path) -> None:
    assert tidy(tree / "b" / ".." / "link" / "b") == tree / "link" / "b"
    assert tidy(tree / "link" / ".." / "b") == tree / "link" / ".." / "b"


def test_pictures_are_shown_without_detours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, beside = tmp_path / "photos", tmp_path / "beside"
    for folder in (photos / "cat", beside):
        folder.mkdir(parents=True)
    Image.new("L", (5, 5), 90).save(photos / "cat" / "a.png")
    (beside / "list.txt").write_text("../photos/cat/a.png\n")
    monkeypatch.chdir(beside)
    expected = str(photos / "cat" / "a.png")
    for given_ in ("../photos", Path("..") / "beside" / ".." / "photos", "../beside/list.txt", ["../photos/cat/a.png"]):
        source = open_source(given_)
        (entry,) = source.entries()
        assert source.where(entry.name) == expected
        assert ".." not in source.root
        assert ".." not in str(source.spec)
        preparation = Preparation(input_size=(8, 8), channels=1)
        assert source.open(entry.name, preparation)[1] == (5, 5)


def test_a_folder_that_a_step_up_leads_to_is_called_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    (photos / "raw").mkdir(parents=True)
    Image.new("L", (5, 5), 90).save(photos / "a.png")
    (tmp_path / "photos.csv").write_text("file,label\nphotos/a.png,cat\n")
    monkeypatch.chdir(photos / "raw")
    assert read_folder("..").photographs[0].label == "cat"
