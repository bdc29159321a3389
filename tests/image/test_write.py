import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from convscope.errors import ImageError, RecipeError
from convscope.image.read import read_image
from convscope.image.recipe import Input, Recipe
from convscope.image.write import atomic_path, check_place, read_recipe, to_picture, write_png

RECIPE = Recipe(
    method="saliency",
    parameters={"target": "Bärenspinner", "rule": "guided"},
    network="efficientnet-lite0",
    weights="ab" * 32,
    inputs=(Input("dog.jpg", "cd" * 32, 512, True),),
    threads=2,
    version="0.1.0",
)


def picture() -> Image.Image:
    return to_picture(read_image("chelsea", 60))


def test_atomic_path_renames_when_all_went_well(tmp_path: Path) -> None:
    target = tmp_path / "notes.txt"
    target.write_text("old")
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "notes.txt"
    target.write_text("old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("ha")
            raise error

    with pytest.raises(error):
        write_half()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_full_disk_is_an_error_of_ours(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_path(tmp_path / "notes.txt") as temporary:
            temporary.write_text("ha")
            raise OSError(28, "No space left on device")

    with pytest.raises(ImageError, match=r"can't write '.*notes\.txt': No space left on device"):
        fill()
    assert os.listdir(tmp_path) == []


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_png(tmp_path / "a" / "b" / "cat.png", picture())
    assert read_image(tmp_path / "a" / "b" / "cat.png").shape == (3, 40, 60)


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(ImageError, match=r"can't write .*cat\.png"):
        write_png(tmp_path / "a" / "cat.png", picture())


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "cat.png").mkdir()
    with pytest.raises(ImageError, match=r"can't write .*cat\.png"):
        write_png(tmp_path / "cat.png", picture())
    assert os.listdir(tmp_path) == ["cat.png"]


@pytest.mark.skipif(os.name == "nt", reason="needs file modes")
def test_files_have_the_usual_permissions(tmp_path: Path) -> None:
    write_png(tmp_path / "cat.png", picture())
    (tmp_path / "usual").touch()
    assert stat.S_IMODE(os.stat(tmp_path / "cat.png").st_mode) == stat.S_IMODE(os.stat(tmp_path / "usual").st_mode)


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "cat.png")
    write_png(tmp_path / "link.png", picture())
    assert (tmp_path / "link.png").is_symlink()
    assert read_image(tmp_path / "cat.png").shape == (3, 40, 60)


def test_threads_may_write_the_same_file(tmp_path: Path) -> None:
    def write(number: int) -> None:
        write_png(tmp_path / "cat.png", Image.new("RGB", (50, 50), (number, 0, 0)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(64)))
    assert len(set(read_image(tmp_path / "cat.png").flatten().tolist())) <= 2
    assert os.listdir(tmp_path) == ["cat.png"]


def test_the_recipe_comes_back(tmp_path: Path) -> None:
    write_png(tmp_path / "cat.PNG", picture(), RECIPE)
    assert read_recipe(tmp_path / "cat.PNG") == RECIPE
    with Image.open(tmp_path / "cat.PNG") as written:
        assert written.info["convscope"] == RECIPE.to_json()
        assert written.tobytes() == picture().tobytes()


def test_the_same_picture_and_recipe_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name, picture(), Recipe.from_json(RECIPE.to_json()))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("name", ["cat.jpg", "cat", "png", "cat.png.gz"])
def test_only_png_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=r"writes PNG, since it carries the recipe; .* ending in \.png"):
        write_png(tmp_path / name, picture())
    assert os.listdir(tmp_path) == []


def test_a_mode_that_png_lacks(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot write mode F as PNG"):
        write_png(tmp_path / "cat.png", Image.new("F", (2, 2)))
    assert os.listdir(tmp_path) == []


def test_files_without_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    with pytest.raises(RecipeError, match="No such file"):
        read_recipe(path)
    path.write_text("no picture")
    with pytest.raises(RecipeError, match="it is not a PNG; expected a PNG as convscope wrote it"):
        read_recipe(path)
    write_png(path, picture())
    with pytest.raises(RecipeError, match="holds no recipe"):
        read_recipe(path)
    write_png(path, picture(), RECIPE)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RecipeError, match="ends too early"):
        read_recipe(path)
    text = PngInfo()
    text.add_text("convscope", RECIPE.to_json()[:-1])
    picture().save(path, pnginfo=text)
    with pytest.raises(RecipeError, match=r"cat\.png': the recipe is damaged: not JSON"):
        read_recipe(path)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_to_picture_rounds_and_clips(kind: torch.dtype) -> None:
    levels = torch.tensor([-0.2, 0, 0.25, 0.5, 1, 1.5], dtype=kind)
    expected = [0, 0, 64, 128, 255, 255]
    assert list(to_picture(levels[None, None]).tobytes()) == expected
    colours = to_picture(torch.stack([levels, levels.flip(0), levels])[:, None])
    assert colours.mode == "RGB"
    assert colours.size == (6, 1)
    assert list(colours.tobytes())[1::3] == expected[::-1]


def test_eight_bits_survive_the_way_there_and_back(tmp_path: Path) -> None:
    image = read_image("chelsea")
    write_png(tmp_path / "cat.png", to_picture(image.requires_grad_()))
    assert torch.equal(read_image(tmp_path / "cat.png"), image)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(2, 3, 4, 4), r"batch of shape \(2, 3, 4, 4\), expected one image \(C, H, W\)"),
        (torch.full((3, 4, 4), torch.nan), "NaN"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), r"/ 255"),
    ],
)
def test_to_picture_of_what_is_none(image: torch.Tensor, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        to_picture(image)


def test_it_is_known_beforehand_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    check_place(tmp_path / "new" / "folders" / "one.png")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder.png"]
    with pytest.raises(ImageError, match="it is a folder"):
        check_place(tmp_path / "folder.png")
    with pytest.raises(ImageError, match="file is a file, not a folder"):
        check_place(tmp_path / "file" / "one.png")


def test_a_folder_where_nothing_may_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ImageError, match="nothing may be written in"):
        check_place(tmp_path / "one.png")
