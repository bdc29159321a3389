import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.errors import ImageError, RecipeError
from convscope.image.recipe import Input, Recipe
from convscope.image.write import png_bytes, read_recipe
from convscope.render.heatmap import heatmap
from convscope.render.result import Pictured

RECIPE = Recipe(
    method="occlusion",
    parameters={"window": 32, "target": "golden retriever → 207"},
    network="efficientnet-lite0",
    weights="ab" * 32,
    inputs=(Input("dog.jpg", "cd" * 32, prepared=True),),
    threads=2,
    version="0.1.0",
)


@dataclass(frozen=True)
class Occlusion(Pictured):
    values: list[list[float]]
    recipe: Recipe

    def picture(self, *, smooth: bool = False, size: tuple[int, int] = (40, 60)) -> Image.Image:
        return heatmap(self.values, size=size, smooth=smooth)


RESULT = Occlusion([[0.0, 1.0], [2.0, 3.0]], RECIPE)


def test_a_saved_picture_carries_its_recipe_and_options(tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    RESULT.save(path, smooth=True, size=(50, 70))
    assert read_recipe(path) == RECIPE.with_picture(smooth=True, size=(50, 70))
    with Image.open(path) as saved:
        assert np.array_equal(np.asarray(saved), np.asarray(RESULT.picture(smooth=True, size=(50, 70))))
    RESULT.save(path)
    assert read_recipe(path) == RECIPE


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        RESULT.save(tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes() == RESULT._repr_png_()


def test_bytes_without_a_recipe_hold_none(tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    path.write_bytes(png_bytes(RESULT.picture()))
    with pytest.raises(RecipeError, match="holds no recipe"):
        read_recipe(path)


def test_what_can_not_be_saved_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"\.png"):
        RESULT.save(tmp_path / "map.jpg")
    with pytest.raises(RecipeError):
        RESULT.save(tmp_path / "map.png", size=object())
    with pytest.raises(TypeError):
        RESULT.save(tmp_path / "map.png", unknown=1)
    assert list(tmp_path.iterdir()) == []


def test_a_result_needs_a_picture() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Pictured()  # type: ignore[abstract]


def test_rendering_does_without_torch() -> None:
    names = ("channels", "colours", "grid", "heatmap", "legend", "overlay", "page", "result", "text")
    imports = "; ".join(f"import convscope.render.{name}" for name in names)
    subprocess.run([sys.executable, "-c", f"import sys; {imports}; assert 'torch' not in sys.modules"], check=True)
