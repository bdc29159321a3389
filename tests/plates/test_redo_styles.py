"""Redo of stylized pictures: by the file beside them, or the one that is given."""

from pathlib import Path

import pytest
from tests.synthesis.fast_style.styles import small_styles

import convscope as cs
from convscope.errors import RecipeError
from convscope.synthesis.fast_style import loading
from convscope.synthesis.fast_style.files import write_network


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of a blend, beside the file of its network."""
    write_network(tmp_path / "mine.safetensors", small_styles())
    made = cs.stylize(
        cs.read_image("coffee", 50), {"dots": 0.7, "lines": 0.3}, network=tmp_path / "mine.safetensors",
        colour="luminance",
    )  # fmt: skip
    made.save(tmp_path / "cup.png")
    return tmp_path / "cup.png"


def test_by_the_file_beside_it(picture: Path) -> None:
    assert cs.redo(picture, picture.with_name("again.png")) == ()
    assert picture.with_name("again.png").read_bytes() == picture.read_bytes()


def test_by_a_file_that_is_given(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").rename(tmp_path / "moved.safetensors")
    with pytest.raises(RecipeError, match=r"'mine\.safetensors' .* say where it is with --weights FILE"):
        cs.redo(picture, picture.with_name("again.png"))
    cs.redo(picture, picture.with_name("again.png"), weights=str(tmp_path / "moved.safetensors"))
    assert picture.with_name("again.png").exists()


def test_another_network_is_refused(picture: Path, tmp_path: Path) -> None:
    write_network(tmp_path / "mine.safetensors", small_styles(seed=1))
    with pytest.raises(RecipeError, match=r"mine\.safetensors is another"):
        cs.redo(picture, picture.with_name("again.png"), weights=str(tmp_path / "mine.safetensors"))
    assert not picture.with_name("again.png").exists()


def test_networks_in_memory_and_bundled_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cs.stylize(cs.read_image("coffee", 40), network=small_styles()).save(tmp_path / "memory.png")
    with pytest.raises(RecipeError, match="a style network in memory"):
        cs.redo(tmp_path / "memory.png", tmp_path / "again.png")
    write_network(tmp_path / "kept.safetensors", small_styles())
    cs.redo(tmp_path / "memory.png", tmp_path / "again.png", weights=str(tmp_path / "kept.safetensors"))
    monkeypatch.setattr(loading, "BUNDLED", tmp_path / "kept.safetensors")
    loading._bundled.cache_clear()
    try:
        cs.stylize(cs.read_image("coffee", 40)).save(tmp_path / "bundled.png")
        cs.redo(tmp_path / "bundled.png", tmp_path / "again.png")
        assert (tmp_path / "again.png").read_bytes() == (tmp_path / "bundled.png").read_bytes()
    finally:
        loading._bundled.cache_clear()
