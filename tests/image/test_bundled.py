import importlib.machinery
import sys
from pathlib import Path

import pytest
from PIL import Image

from convscope.errors import ImageError, MissingExtra
from convscope.image import bundled
from convscope.image.bundled import PHOTOGRAPHS, photograph


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_every_photograph_is_there(name: str) -> None:
    with Image.open(photograph(name)) as picture:
        assert min(picture.size) > 100


def test_the_names_are_sorted_and_hold_the_well_known_ones() -> None:
    assert list(PHOTOGRAPHS) == sorted(PHOTOGRAPHS)
    assert {"astronaut", "chelsea", "china", "coffee", "flower", "hubble", "ihc", "rocket"} <= set(PHOTOGRAPHS)


def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(ImageError, match="no bundled photograph 'chelsae'; nearest: chelsea"):
        photograph("chelsae")


def test_a_missing_package_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"bundled photograph 'chelsea' needs .* 'convscope\[photos\]'"):
        photograph("chelsea")


def test_a_package_without_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = importlib.machinery.ModuleSpec("skimage", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(bundled, "find_spec", lambda name: spec)
    with pytest.raises(ImageError, match=r"installed skimage has no chelsea\.png: upgrade"):
        photograph("chelsea")


def test_no_package_is_imported() -> None:
    before = set(sys.modules)
    photograph("china")
    assert not {"sklearn.datasets", "skimage.data"} & (set(sys.modules) - before)
