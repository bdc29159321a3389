"""The result of an attack: what is said of it is true of the file."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.fooling.attacked import SIDE, curved, pictures

import convscope as cs
from convscope.errors import ImageError


def test_success_is_what_is_answered_to_the_file(tmp_path: Path) -> None:
    network, images = curved(), pictures(6).float()
    results = [
        cs.fgsm(network, images, epsilon=0.1),
        cs.pgd(network, images, epsilon=0.05, steps=5, step=0.02),
        cs.deep_fool(network, images),
        cs.carlini_wagner(network, images, searches=2, steps=15, weight=1, rate=0.05),
        cs.universal(network, images, epsilon=0.3, steps=5),
    ]
    outcomes = set()
    for result in results:
        for number in range(len(images)):
            result.save(tmp_path / "one.png", which=number)
            read = network.read(tmp_path / "one.png")
            assert torch.equal(read, result.images[number])
            answer = network.predict(read, top=5)
            assert answer == list(result.after[number])
            success = answer[0].label != result.labels[number]
            assert success == bool(result.successes[number])
            outcomes.add(success)
    assert outcomes == {True, False}


def test_norms_are_those_of_the_change() -> None:
    images = pictures(3)
    result = cs.pgd(curved(), images, epsilon=0.1, steps=3)
    change = result.images - images
    torch.testing.assert_close(result.perturbation, change)
    for number in range(3):
        flat = change[number].flatten()
        assert float(result.norms.l2[number]) == pytest.approx(float((flat**2).sum() ** 0.5))
        assert float(result.norms.linf[number]) == float(flat.abs().max())
        relative = float((flat**2).sum() ** 0.5 / (images[number] ** 2).sum() ** 0.5)
        assert float(result.norms.relative[number]) == pytest.approx(relative)


def test_queries_and_gradients_are_counted() -> None:
    images = pictures(3)
    result = cs.bim(curved(), images, epsilon=0.4, steps=7)
    # One more query sees that rounding has lost nothing.
    assert result.gradients.tolist() == [7] * 3
    assert result.queries.tolist() == [8] * 3
    early = cs.deep_fool(curved(), images, candidates=4)
    assert int(early.gradients.max()) % 3 == 0 or int(early.queries.max()) > 3


def test_pictures(tmp_path: Path) -> None:
    result = cs.pgd(curved(), pictures(2), epsilon=0.02, steps=2)
    assert result.picture(which=1).size == (SIDE, SIDE)
    assert result.picture(figure=True, which=0).width > 3 * SIDE
    assert result.picture(figure=True).height > result.picture(figure=True, which=0).height
    assert result.picture().width > SIDE
    with pytest.raises(ImageError, match="which=2, expected 0 to 1"):
        result.picture(which=2)
    with pytest.raises(ImageError, match="magnify=0"):
        result.picture(figure=True, magnify=0)
    assert result._repr_png_()[1:4] == b"PNG"
    single = cs.pgd(curved(), pictures(2)[0], epsilon=0.02, steps=2)
    single.save(tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.size == (SIDE, SIDE)


def test_the_difference_is_magnified_as_far_as_there_is_room() -> None:
    result = cs.fgsm(curved(), pictures(1)[0].mul(0.5).add(0.25), epsilon=0.01)
    shown, times = result.magnified()
    largest = float(result.perturbation.abs().max())
    assert times == int(0.45 / largest)
    torch.testing.assert_close(shown - 0.5, times * (result.images - result.originals))
    assert result.magnified(3.0)[1] == 3
    same = cs.fgsm(curved(), torch.zeros(3, SIDE, SIDE, dtype=torch.float64), epsilon=0)
    assert same.magnified()[1] == 1
