"""Redo: every picture made again byte for byte, and what is refused because it would be another."""

import dataclasses
import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

import convscope as cs
from convscope.errors import ConvscopeError, RecipeError
from convscope.image.bundled import photograph
from convscope.image.write import read_recipe, write_png
from convscope.network.zoo import again as loading
from convscope.network.zoo import load
from convscope.plates.redo import METHODS
from convscope.render.result import Pictured

load_once = functools.cache(load)


@pytest.fixture(autouse=True)
def _networks_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load", load_once)


@pytest.fixture(scope="module")
def net() -> cs.Network:
    return load_once("efficientnet-lite0", weights=None, device="cpu")


@pytest.fixture(scope="module")
def image(net: cs.Network) -> Tensor:
    return net.prepare(cs.read_image("chelsea"))


def again(picture: Path, **options: Any) -> Path:
    """The picture redone, in a folder of its own."""
    out = picture.parent / "again" / "out.png"
    assert cs.redo(picture, out, **options) == ()
    return out


def check_redo(result: Pictured, folder: Path, **options: Any) -> None:
    result.save(folder / "picture.png", **options)
    redone = again(folder / "picture.png")
    assert redone.read_bytes() == (folder / "picture.png").read_bytes()


# --- Every method ---

Make = Callable[[cs.Network, Tensor], Pictured]
SMALL: dict[str, Make] = {
    "activations": lambda net, image: cs.activations(net, image, "blocks.9"),
    "add_template": lambda net, image: cs.add_template(
        cs.linear_classifier("digits", regularization=0.1, seed=2), "3", cs.read_image("coins"), strength=0.5
    ),
    "compare_regularization": lambda net, image: cs.compare_regularization(
        [cs.read_image(name) for name in ("chelsea", "coffee", "rocket")],
        "pet",
        cs.read_image("coins"),
        labels=["pet", "thing", "thing"],
        regularizations=[0.01, 0.1],
        size=12,
        held_out=0,
    ),
    "adversarial_patch": lambda net, image: cs.adversarial_patch(
        net, [image, net.prepare(cs.read_image("coffee"))], "toaster", pixels=20, steps=2, tries=1, seed=3, batch=2
    ),
    "bim": lambda net, image: cs.bim(net, image, norm="l2", epsilon=0.5, steps=2, label="tabby"),
    "box_lbfgs": lambda net, image: cs.box_lbfgs(net, image, target="ostrich", searches=1, steps=2, weight=1),
    "carlini_wagner": lambda net, image: cs.carlini_wagner(net, image, searches=2, steps=2, weight=10),
    "deep_fool": lambda net, image: cs.deep_fool(net, image, candidates=3),
    "defences": lambda net, image: cs.defences(which=["negative class"], epochs=1, images=12, steps=2, seed=3),
    "drill_down": lambda net, image: cs.drill_down(net, image, "tiger cat", window=(96, 112), stride=64, seed=3),
    "dream": lambda net, image: cs.dream(
        net, cs.read_image("coffee", size=80), "blocks.4", guide=image, octaves=2, steps=1, tile=64, seed=1
    ),
    "efros_leung": lambda net, image: cs.efros_leung(cs.read_image("coins", size=20), size=(8, 10), window=5, seed=2),
    "explanation": lambda net, image: cs.explanation(
        net, image, ["tiger cat", "class:285 - blocks.9:3@2,2"], methods=["guided", "grad-cam"], verdicts=False
    ),
    "evolve": lambda net, image: cs.evolve(net, ["tabby", "bagel"], evaluations=6, batch=3, seed=4, engine="torch"),
    "facets": lambda net, image: cs.facets(
        net, "class:285", [cs.read_image(name) for name in ("chelsea", "coffee", "rocket")], facets=2, steps=1, seed=3
    ),
    "faithfulness": lambda net, image: cs.faithfulness(
        net, image, cs.saliency(net, image, "tiger cat"), steps=3, orders=2, seed=5
    ),
    "fgsm": lambda net, image: cs.fgsm(net, image, target="ostrich", epsilon=0.01),
    "filters": lambda net, image: cs.filters(net, "stem.conv", limit=4),
    "fool": lambda net, image: cs.fool(net, "random", start=image, probability=0.3, steps=4, seed=3),
    "grad_cam": lambda net, image: cs.grad_cam(net, image, "tiger cat - class:207", layer="blocks.9", signed=True),
    "guided_grad_cam": lambda net, image: cs.guided_grad_cam(net, image, "tiger cat"),
    "hog_twin": lambda net, image: cs.hog_twin(
        cs.read_image("coffee", size=64), start=cs.read_image("rocket"), other=cs.read_image("chelsea"), steps=3
    ),
    "identified": lambda net, image: cs.identified(
        net, [image, net.prepare(cs.read_image("coffee"))], "blocks.1", judge=net, judge_layer="blocks.2", steps=1
    ),
    "integrated_gradients": lambda net, image: cs.integrated_gradients(
        net, image, "tiger cat", baseline=net.prepare(cs.read_image("coffee")), steps=3, batch=2
    ),
    "inversions": lambda net, image: cs.inversions(net, image, ["blocks.0", "blocks.2"], steps=1, seed=2),
    "invert": lambda net, image: cs.invert(
        net, image, "blocks.1", start=net.prepare(cs.read_image("coffee")), regularizers="tv:3", steps=2
    ),
    "linear_classifier": lambda net, image: cs.linear_classifier(
        [cs.read_image(name) for name in ("chelsea", "coffee")], labels=["pet", "thing"], size=12, held_out=0
    ),
    "linear_example": lambda net, image: cs.linear_example(step=0.25),
    "linear_table": lambda net, image: cs.linear_table(regularization=0.1, seed=3),
    "matching": lambda net, image: cs.matching([[1.5, -1], [0, 0.1]], seed=5),
    "maximize": lambda net, image: cs.maximize(
        net, ["tiger cat", "blocks.3:2"], preset="yosinski", start=image, size=64, steps=2, seed=3, batch=1
    ),
    "natural_filters": lambda net, image: cs.natural_filters(
        "sparse",
        size=4,
        count=6,
        patches=200,
        photographs=[cs.read_image("coffee", size=64), cs.read_image("rocket")],
        seed=3,
    ),
    "occlusion": lambda net, image: cs.occlusion(
        net, image, "tiger cat", window=(96, 112), stride=96, fill=net.prepare(cs.read_image("coffee"))
    ),
    "pgd": lambda net, image: cs.pgd(
        net, [image, net.prepare(cs.read_image("coffee"))], target=["ostrich", 3], steps=2, seed=4, batch=2
    ),
    "pooling_compared": lambda net, image: cs.pooling_compared([[1, 3, 0, 0], [2, 9, 0, 8.5]], (2, 1), stride=(1, 2)),
    "preferred": lambda net, image: cs.preferred(net, ["blocks.0:1,3"], classes=["tabby"], steps=1, size=48, seed=2),
    "quilting": lambda net, image: cs.quilting(
        cs.read_image("brick", size=32), like=cs.read_image("coins", size=40), block=8, seed=3
    ),
    "randomization": lambda net, image: cs.randomization(net, cs.grad_cam(net, image, "tiger cat"), stages=2, seed=1),
    "robustness": lambda net, image: cs.robustness(
        net, [image], classes=["tiger cat"], epsilons=[0.2 / 255, 1 / 255], attacks=["pgd"], steps=1, seed=3
    ),
    "saliency": lambda net, image: cs.saliency(net, image, "tiger cat", rule="guided"),
    "segment": lambda net, image: cs.segment(
        cs.read_image("chelsea"), cs.saliency(net, image, "tiger cat", rule="guided"), network=net, seed=2
    ),
    "sheet": lambda net, image: cs.sheet(
        "maximize", net, image, target="blocks.1:3", start="image", grid={"steps": [1, 2], "tv.weight": [0, 1]}
    ),
    "sliding_product": lambda net, image: cs.sliding_product([[1, 0.5, 2], [0, 3, 1]], [[1, -1]], padding=1, at=(1, 2)),
    "style": lambda net, image: cs.style(
        net,
        cs.read_image("coffee", size=64),
        [cs.read_image("brick", size=40), image],
        weights=[2, 1],
        steps=1,
        masks=[cs.read_image("coffee", size=64)] * 2,
        dream="blocks.4",
        start=cs.read_image("chelsea", size=48),
    ),
    "targeted_gradient": lambda net, image: cs.targeted_gradient(net, image, "ostrich", rate=0.5, steps=3),
    "texture": lambda net, image: cs.texture(
        net, cs.read_image("brick", size=48), depth=2, size=(32, 40), start=cs.read_image("grass", size=40), steps=1
    ),
    "smooth_grad": lambda net, image: cs.smooth_grad(net, image, "tiger cat", samples=3, noise=0.2, seed=4, batch=2),
    "universal": lambda net, image: cs.universal(
        net, [image, net.prepare(cs.read_image("coffee"))], steps=2, seed=2, batch=1
    ),
    "zoom_dream": lambda net, image: cs.zoom_dream(
        net, cs.read_image("coffee", size=64), "blocks.2", frames=2, octaves=1, steps=1, seed=5
    ),
}
DEFAULTS: dict[str, Make] = {
    "filters": lambda net, image: cs.filters([net, net]),
    "grad_cam": lambda net, image: cs.grad_cam(net, image, "tiger cat"),
    "integrated_gradients": lambda net, image: cs.integrated_gradients(net, image, "tiger cat", steps=4),
    "matching": lambda net, image: cs.matching(),
    "natural_filters": lambda net, image: cs.natural_filters(size=4, count=6, patches=300),
    "pooling_compared": lambda net, image: cs.pooling_compared(),
    "sliding_product": lambda net, image: cs.sliding_product(),
    "smooth_grad": lambda net, image: cs.smooth_grad(net, image, "tiger cat", samples=2),
}


TRIED_ELSEWHERE = {"faithfulness_table"}


def test_every_method_is_tried_here_and_is_public() -> None:
    assert set(SMALL) | TRIED_ELSEWHERE == set(METHODS)
    assert set(METHODS) <= set(cs.__all__)


@pytest.mark.parametrize("method", SMALL)
def test_a_picture_is_made_again(method: str, net: cs.Network, image: Tensor, tmp_path: Path) -> None:
    check_redo(SMALL[method](net, image), tmp_path)


@pytest.mark.parametrize("method", DEFAULTS)
def test_so_is_one_made_by_default(method: str, net: cs.Network, image: Tensor, tmp_path: Path) -> None:
    check_redo(DEFAULTS[method](net, image), tmp_path)


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("saliency", {"style": "overlay", "reduction": "l2", "clip": 90}),
    ("saliency", {"style": "colour"}),
    ("saliency", {"style": "beside", "reduction": "signed"}),
    ("activations", {"shared": True, "strongest": 5, "beside": False}),
    ("explanation", {"style": "overlay", "reduction": "sum"}),
    ("filters", {"scale": "shared"}),
    ("segment", {"style": "cutout"}),
]


@pytest.mark.parametrize(("method", "options"), OPTIONS)
def test_how_it_was_drawn_is_kept(
    method: str, options: dict[str, Any], net: cs.Network, image: Tensor, tmp_path: Path
) -> None:
    result = SMALL[method](net, image)
    check_redo(result, tmp_path, **options)
    result.save(tmp_path / "plain.png")
    plain, drawn = ((tmp_path / name).read_bytes() for name in ("plain.png", "picture.png"))
    assert plain != drawn


# --- Its input ---


@pytest.fixture
def made(net: cs.Network, tmp_path: Path) -> Path:
    """A map of a photograph `cat.png` that lies beside it."""
    shutil.copy(photograph("chelsea"), tmp_path / "cat.png")
    cs.saliency(net, net.read(tmp_path / "cat.png"), "tiger cat").save(tmp_path / "map.png")
    return tmp_path / "map.png"


def other_bytes(path: Path) -> None:
    """Another file of the same pixels."""
    Image.open(path).save(path, compress_level=1)


def test_the_input_is_found_beside_the_picture(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert again(made).read_bytes() == made.read_bytes()


def test_the_input_is_where_one_says(made: Path) -> None:
    (made.parent / "deep").mkdir()
    moved = (made.parent / "cat.png").rename(made.parent / "deep" / "cat.png")
    with pytest.raises(RecipeError, match=r"'cat\.png'.*--input"):
        again(made)
    assert again(made, source=str(moved)).read_bytes() == made.read_bytes()


def test_the_input_may_be_called_otherwise_now(made: Path) -> None:
    renamed = (made.parent / "cat.png").rename(made.parent / "renamed.png")
    pictures = [Image.open(path).tobytes() for path in (made, again(made, source=str(renamed)))]
    assert pictures[0] == pictures[1]


def test_an_input_of_other_bytes_is_refused(made: Path) -> None:
    (made.parent / "kept").mkdir()
    kept = shutil.copy(made.parent / "cat.png", made.parent / "kept" / "cat.png")
    other_bytes(made.parent / "cat.png")
    with pytest.raises(RecipeError, match=r"cat\.png"):
        again(made)
    with pytest.raises(RecipeError, match="is another"):
        again(made, source=str(made.parent / "cat.png"))
    assert not (made.parent / "again").exists()
    assert again(made, source=str(kept)).read_bytes() == made.read_bytes()


def test_an_explanation_of_a_photograph_in_a_file(net: cs.Network, made: Path) -> None:
    image = net.read(made.parent / "cat.png")
    check_redo(cs.explanation(net, image, ["tiger cat"], methods=["saliency"]), made.parent, style="overlay")


def test_an_image_that_was_made_smaller_or_not_prepared(net: cs.Network, tmp_path: Path) -> None:
    small = cs.read_image("chelsea", size=200)
    check_redo(cs.saliency(net, net.prepare(small), 281), tmp_path)
    check_redo(cs.activations(net, cs.read_image("chelsea", size=100), "blocks.3"), tmp_path)


def test_a_tensor_from_memory_can_not_be_found(net: cs.Network, image: Tensor, tmp_path: Path) -> None:
    cs.activations(net, image + 0.0, "blocks.9").save(tmp_path / "map.png")
    with pytest.raises(RecipeError, match="memory"):
        again(tmp_path / "map.png")


# --- Its network ---


@pytest.fixture(scope="module")
def weights(net: cs.Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that differ from the published ones in one number."""
    state = {
        name: value.clone(memory_format=torch.contiguous_format) for name, value in net.module.state_dict().items()
    }
    state["classifier.bias"][281] += 1
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    safetensors.torch.save_file(state, path)
    return path


def test_other_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    mine = load_once("efficientnet-lite0", weights=str(weights), device="cpu")
    picture = tmp_path / "map.png"
    cs.saliency(mine, mine.prepare(cs.read_image("chelsea")), "tabby").save(picture)
    with pytest.raises(RecipeError, match="weights"):
        again(picture)
    assert again(picture, weights=str(weights)).read_bytes() == picture.read_bytes()


def test_a_network_named_by_its_weights_is_given_by_them(weights: Path, tmp_path: Path) -> None:
    mine = cs.load(weights)
    picture = tmp_path / "map.png"
    cs.saliency(mine, mine.prepare(cs.read_image("chelsea")), "class:281").save(picture)
    assert again(picture, weights=str(weights)).read_bytes() == picture.read_bytes()


def test_a_network_that_can_not_be_loaded_is_named(tiny: torch.nn.Module, tmp_path: Path) -> None:
    own = cs.Network(tiny, input_size=16)
    cs.saliency(own, own.prepare(cs.read_image("chelsea")), 0).save(tmp_path / "map.png")
    with pytest.raises(RecipeError, match="Sequential"):
        again(tmp_path / "map.png")


def loudly(picture: Path) -> None:
    """Redone, the picture is the same, or it is said that it may not be."""
    out = picture.with_name("out.png")
    try:
        warnings = cs.redo(picture, out)
    except ConvscopeError:
        return
    assert warnings or out.read_bytes() == picture.read_bytes()


def test_a_network_fed_otherwise_is_not_silently_taken_for_the_same(tmp_path: Path) -> None:
    fed: list[dict[str, Any]] = [{"input_size": 128}, {"mean": (0.4,) * 3}, {"fit": "resize"}]
    for number, options in enumerate(fed):
        own = cs.load("efficientnet-lite0", **options)
        picture = tmp_path / f"{number}.png"
        cs.saliency(own, own.prepare(cs.read_image("chelsea")), 281).save(picture)
        loudly(picture)


def tench(logits: Tensor) -> Tensor:
    """A function of the name of a class."""
    return -logits.logsumexp(1)


def test_a_function_is_not_taken_for_the_class_of_its_name(net: cs.Network, image: Tensor, tmp_path: Path) -> None:
    cs.saliency(net, image, tench).save(tmp_path / "map.png")
    loudly(tmp_path / "map.png")


def test_a_mask_is_an_input_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = load_once("efficientnet-lite0", weights=None, device="cpu")
    mask = Image.new("L", net.input_size)
    mask.paste(255, (0, 0, 100, 100))
    mask.save(tmp_path / "mask.png")
    image = net.prepare(cs.read_image("chelsea"))
    (tmp_path / "my masks").mkdir()
    mask.save(tmp_path / "my masks" / "left side.png")
    for path in (tmp_path / "mask.png", tmp_path / "my masks" / "left side.png"):
        recipe = cs.saliency(net, image, f"blocks.3:1@{path} - blocks.3:2").recipe
        assert str(tmp_path) not in recipe.to_json()
        assert recipe.parameters["target"] == f"blocks.3:1@{path.name} - blocks.3:2"
    monkeypatch.chdir(tmp_path)
    cs.saliency(net, image, "blocks.3:1@mask.png").save(tmp_path / "map.png")
    loudly(tmp_path / "map.png")
    mask.paste(255, (0, 100, 224, 224))
    mask.save(tmp_path / "mask.png")
    loudly(tmp_path / "map.png")


# --- Its recipe ---


def test_pictures_without_a_recipe_are_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "plain.png", Image.new("RGB", (4, 4)))
    (tmp_path / "text.png").write_text("hello")
    for name in ("plain.png", "text.png", "missing.png"):
        with pytest.raises(RecipeError, match=name):
            again(tmp_path / name)


DAMAGED: dict[str, dict[str, Any]] = {
    "unknown method": {"method": "salience"},
    "no inputs": {"inputs": ()},
    "no network": {"network": None},
    "no threads": {"threads": 0},
    "unknown parameter": {"parameters": {"target": "tabby", "colour": "red"}},
    "no parameter": {"parameters": {}},
    "no target": {"parameters": {"target": None}},
    "a list for a target": {"parameters": {"target": ["tabby"]}},
    "unknown target": {"parameters": {"target": "tabbi"}},
    "unknown rule": {"parameters": {"target": "tabby", "rule": "salience"}},
    "a seed that nothing takes": {"seed": 3},
    "networks that are none": {"method": "filters", "inputs": (), "parameters": {"beside": [{}]}},
    "unknown option": {"picture": {"colour": "red"}},
    "unknown style": {"picture": {"style": "salience"}},
    "a number for a style": {"picture": {"style": 3}},
    "unknown device": {"device": "abacus"},
    "unknown network": {"network": "efficientnet-lite99"},
    "no weights": {"weights": None},
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_recipes_that_can_not_be_followed(damage: str, net: cs.Network, image: Tensor, tmp_path: Path) -> None:
    recipe = dataclasses.replace(cs.saliency(net, image, "tabby").recipe, **DAMAGED[damage])
    write_png(tmp_path / "picture.png", Image.new("RGB", (4, 4)), recipe)
    threads = torch.get_num_threads()
    with pytest.raises(ConvscopeError):
        again(tmp_path / "picture.png")
    assert torch.get_num_threads() == threads
    assert not (tmp_path / "again").exists()


def test_an_unknown_method_lists_the_nearest(net: cs.Network, image: Tensor, tmp_path: Path) -> None:
    recipe = dataclasses.replace(cs.saliency(net, image, "tabby").recipe, method="salience")
    write_png(tmp_path / "picture.png", Image.new("RGB", (4, 4)), recipe)
    with pytest.raises(RecipeError, match=r"'salience'.*nearest: saliency"):
        again(tmp_path / "picture.png")


def test_what_is_not_as_it_was_then_is_said(net: cs.Network, image: Tensor, tmp_path: Path) -> None:
    result = cs.saliency(net, image, "tabby")
    recipe = dataclasses.replace(result.recipe, version="0.0.1", engine="torch 1.0")
    write_png(tmp_path / "picture.png", result.picture(), recipe)
    warnings = cs.redo(tmp_path / "picture.png", tmp_path / "out.png")
    assert len(warnings) == 2
    assert "0.0.1" in " ".join(warnings)
    assert "torch 1.0" in " ".join(warnings)
    assert read_recipe(tmp_path / "out.png").version == cs.__version__


def test_threads_are_those_of_the_recipe_while_it_is_followed(net: cs.Network, image: Tensor, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    recipe = dataclasses.replace(cs.filters(net).recipe, threads=before + 1)
    write_png(tmp_path / "picture.png", Image.new("RGB", (4, 4)), recipe)
    cs.redo(tmp_path / "picture.png", tmp_path / "out.png")
    assert read_recipe(tmp_path / "out.png").threads == before + 1
    assert torch.get_num_threads() == before
