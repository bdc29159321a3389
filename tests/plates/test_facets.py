"""Facets: two kinds of pictures that were taught as one class are found again, and each has its own image."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.planted import trained
from torch import Tensor

import convscope as cs
from convscope.errors import Cancelled, ConvscopeError, ImageError, LayerError, NetworkError, TargetError
from convscope.image.write import to_picture
from convscope.plates.facets import Facets, facets
from convscope.progress import Progress

PICTURES = 30
"""Of each of the two kinds."""


@functools.cache
def taught() -> tuple[cs.Network, Tensor, Tensor]:
    """A network to which a 7 is a 1, and digits `(N, 1, 16, 16)` that it hasn't seen, with what they are `(N,)`."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images = F.interpolate(torch.from_numpy(loaded.images).float()[:, None] / 16, size=16, mode="bilinear")
    digits = torch.from_numpy(loaded.target).long()
    network = trained(images[:1200], torch.where(digits == 7, 1, digits)[:1200])
    return network, images[1200:], digits[1200:]


@functools.cache
def kinds() -> Tensor:
    """Thirty ones and thirty sevens by turns."""
    _, images, digits = taught()
    both = torch.stack([images[digits == digit][:PICTURES] for digit in (1, 7)], dim=1)
    return both.flatten(0, 1)


def made(source: Any = None, target: Any = "class:1", **options: Any) -> Facets:
    given = {"facets": 2, "steps": 2, "transforms": "none", **options}
    return facets(taught()[0], target, kinds() if source is None else source, **given)


def folder_of(images: Tensor, folder: Path) -> Path:
    folder.mkdir()
    for index, image in enumerate(images):
        to_picture(image).save(folder / f"{index:03}.png")
    return folder


def seven(found: Facets) -> int:
    """Which of two facets is nearer to the sevens: these were every other picture."""
    means = kinds()[0::2].mean(0), kinds()[1::2].mean(0)
    return int(
        (found.facets[1].mean * (means[1] - means[0])).sum() > (found.facets[0].mean * (means[1] - means[0])).sum()
    )


@pytest.mark.parametrize("preset", ["lucid", "simonyan", "yosinski"])
def test_two_kinds_of_one_class_are_told_apart(preset: str) -> None:
    found = made(preset=preset, steps=60)
    for at, facet in enumerate(found.facets):
        sevens = sum(bool((facet.pictures == picture).flatten(1).all(1).any()) for picture in kinds()[1::2])
        expected = PICTURES if at == seven(found) else 0
        assert abs(sevens - expected) <= 2
        assert facet.score > float(facet.scores.max())
    one, two = found.facets
    # What tells the two images apart is what tells the two kinds of pictures apart.
    pair = torch.stack([(one.image - two.image).flatten(), (one.mean - two.mean).flatten()])
    assert float(torch.corrcoef(pair)[0, 1]) > 0.1


def test_it_climbs_from_the_mean_of_those_in_the_middle() -> None:
    found = made(steps=3, seed=5)
    means = torch.stack([facet.mean for facet in found.facets])
    for facet in found.facets:
        torch.testing.assert_close(facet.mean, facet.pictures[:15].mean(0))
    climbed = cs.maximize(taught()[0], ["class:1"] * 2, start=means, steps=3, seed=5, transforms="none")
    assert torch.equal(climbed.images, found.made.images)
    assert torch.equal(climbed.images[1], found.facets[1].image)


def test_the_strongest_are_taken() -> None:
    network, images, _ = taught()
    found = made(images, top=20, target="class:3")
    expected = network.score(images, "class:3").sort(descending=True).values[:20]
    scores = torch.cat([facet.scores for facet in found.facets]).sort(descending=True).values
    torch.testing.assert_close(scores, expected)
    assert sum(len(facet.pictures) for facet in found.facets) == 20
    for facet in found.facets:
        torch.testing.assert_close(network.score(facet.pictures, "class:3"), facet.scores)


def test_how_many_facets() -> None:
    assert len(made(facets=None).facets) == 5
    assert len(made(kinds()[:3], facets=None).facets) == 1
    assert len(made(kinds()[:2], facets=5).facets) == 2
    assert len(made(kinds()[:1]).facets) == 1
    sizes = [len(facet.pictures) for facet in made(facets=4).facets]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == 2 * PICTURES


def test_every_option_counts() -> None:
    plain = made()
    changed: list[dict[str, Any]] = [{"seed": 1}, {"steps": 5}, {"preset": "yosinski"}, {"layer": "0"}, {"top": 10}]
    for options in changed:
        assert not torch.equal(made(**options).facets[0].image, plain.facets[0].image), options
    assert torch.equal(made().made.images, plain.made.images)
    torch.testing.assert_close(made(batch=1).made.images, plain.made.images, atol=1.5 / 255, rtol=0)


def test_targets_and_layers_of_any_kind() -> None:
    for target in ("0:3", "3:1@2,2", "0", "class:1 - class:2", 1, lambda output: output[:, 1]):
        assert len(made(target=target).facets) == 2


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    folder = folder_of(kinds()[:20], tmp_path / "digits")
    (folder / "broken.png").write_bytes(b"no picture")
    found = made(folder)
    names = [name for facet in found.facets for name in facet.names]
    assert sorted(map(str, names)) == [f"{index:03}.png" for index in range(20)]
    assert {given.name for given in found.recipe.inputs} == set(names)
    assert all(given.prepared is False for given in found.recipe.inputs)
    # What the recipe names is enough to make it again.
    images = [cs.read_image(folder / str(given.name), channels=1) for given in found.recipe.inputs]
    parameters = dict(found.recipe.parameters)
    again = facets(taught()[0], parameters.pop("target"), images, seed=0, batch=8, **parameters)  # type: ignore[arg-type]
    found.save(tmp_path / "first.png")
    again.save(tmp_path / "again.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "again.png").read_bytes()


@pytest.mark.parametrize("target", ["class:1", "3:2", "3", "3:2@1,1"])
def test_pictures_of_a_scan(target: str, tmp_path: Path) -> None:
    network, images, _ = taught()
    folder = folder_of(images[:80], tmp_path / "digits")
    scan = cs.scan(network, folder, layers=["3"], out=tmp_path / "digits.scan", engine="torch", workers=0)
    found = facets(network, target, scan, facets=2, top=6, steps=2)
    scores = network.score(torch.stack([network.read(folder / f"{index:03}.png") for index in range(80)]), target)
    strongest = torch.cat([facet.scores for facet in found.facets]).sort(descending=True).values
    assert len(strongest) == 6
    if target == "class:1":
        # Those that the network takes for it, the most certain first.
        assert float(strongest.min()) > float(scores.median())
    else:
        torch.testing.assert_close(strongest, scores.sort(descending=True).values[:6])
    other = trained(images[:50], torch.arange(50) % 2, rounds=1)
    with pytest.raises(NetworkError, match="the scan was made with"):
        facets(other, "class:1", scan)


def test_the_picture(tmp_path: Path) -> None:
    found = made()
    few, many = found.picture(shown=0), found.picture(shown=6)
    assert few.width < many.width
    assert found.picture(cell=32).height < found.picture(cell=64).height
    assert np.asarray(made(kinds()[:1]).picture()).std() > 0
    with pytest.raises(ImageError, match="shown=-1"):
        found.picture(shown=-1)


@pytest.mark.parametrize(
    ("source", "options", "kind", "message"),
    [
        (None, {"facets": 0}, ImageError, "facets=0"),
        (None, {"top": 0}, ImageError, "top=0"),
        (None, {"target": "class:10"}, TargetError, "classes 0 to 9"),
        (None, {"layer": "9"}, LayerError, "9"),
        (None, {"preset": "plain"}, ImageError, "preset"),
        ("nowhere", {}, ImageError, "nowhere"),
        (torch.zeros(0, 1, 16, 16), {}, ImageError, "no picture"),
        (5, {}, ImageError, "int"),
    ],
)
def test_errors(source: Any, options: Any, kind: type[ConvscopeError], message: str) -> None:
    with pytest.raises(kind, match=message):
        made(source, **options)


def test_pictures_of_one_pixel() -> None:
    assert made([torch.full((1, 1, 1), value / 4) for value in range(4)]).made.images.shape[1:] == (1, 16, 16)


def test_it_stops_while_reading_and_while_climbing() -> None:
    seen: list[Progress] = []

    def watch(progress: Progress, last: float) -> bool:
        seen.append(progress)
        return progress.done / progress.total < last

    with pytest.raises(Cancelled):
        made(progress=lambda progress: watch(progress, 0.3))
    with pytest.raises(Cancelled) as climbing:
        made(progress=lambda progress: watch(progress, 0.7))
    assert climbing.value.so_far.shape == (2, 1, 16, 16)
    assert seen[-1].done < seen[-1].total
