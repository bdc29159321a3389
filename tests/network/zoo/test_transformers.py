import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers as hf

from convscope.errors import MissingExtra, NetworkError, WeightsError
from convscope.image.read import read_image
from convscope.image.write import to_picture
from convscope.network.zoo import load

NAMES = {0: "cat", 1: "dog", 2: "owl"}
transformers: Any = hf


@pytest.fixture(autouse=True)
def _no_bars() -> None:
    transformers.utils.logging.disable_progress_bar()


def resnet(**options: Any) -> Any:
    names = {"id2label": NAMES, "label2id": {name: index for index, name in NAMES.items()}}
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], **(names | options))
    return transformers.ResNetForImageClassification(config)


def saved(folder: Path, module: Any, processor: Any) -> str:
    module.save_pretrained(folder)
    processor.save_pretrained(folder)
    return f"transformers:{folder}"


def convnext_processor(**options: Any) -> Any:
    return transformers.ConvNextImageProcessor(**({"size": {"shortest_edge": 64}, "crop_pct": 0.875} | options))


@pytest.mark.parametrize(
    "processor",
    [
        convnext_processor(),
        convnext_processor(size={"shortest_edge": 64}, crop_pct=0.93, resample=2),
        convnext_processor(size={"shortest_edge": 384}),
        transformers.ViTImageProcessor(size={"height": 48, "width": 64}),
        transformers.ViTImageProcessor(size={"height": 64, "width": 64}, do_normalize=False),
        transformers.ViTImageProcessor(size={"height": 64, "width": 64}, do_rescale=False, do_normalize=False),
        transformers.BitImageProcessor(size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}),
        transformers.MobileNetV2ImageProcessor(),
        transformers.MobileViTImageProcessor(size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}),
        transformers.LevitImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
        transformers.PoolFormerImageProcessor(size={"shortest_edge": 54}, crop_size={"height": 54, "width": 54}),
        transformers.EfficientNetImageProcessor(
            size={"height": 64, "width": 64}, rescale_factor=1 / 127.5, rescale_offset=True, resample=2
        ),
    ],
    ids=lambda processor: type(processor).__name__,
)
def test_a_photograph_is_fed_as_the_processor_feeds_it(tmp_path: Path, processor: Any) -> None:
    net = load(saved(tmp_path, resnet(), processor))
    # Of a size whose scaled sides leave an even margin, so that both crops have the same middle.
    photograph = read_image("chelsea")[:, :, :400]
    expected = processor(to_picture(photograph), return_tensors="pt")["pixel_values"]
    fed = net.normalize(net.prepare(photograph)[None])
    assert fed.shape == expected.shape
    # The processor rounds to 8 bits after it has scaled rows and again after columns: a level or two, in its own units.
    level = float((net.normalize(torch.ones(1, 3, 1, 1)) - net.normalize(torch.zeros(1, 3, 1, 1))).max()) / 255
    difference = (fed - expected).abs()
    assert float(difference.max()) <= 2.5 * level
    assert float(difference.mean()) <= 0.5 * level


def test_labels_and_logits_are_the_networks_own(tmp_path: Path) -> None:
    module = resnet().eval()
    net = load(saved(tmp_path, module, convnext_processor()))
    assert (net.labels, net.head, net.input_size, net.name) == (
        ("cat", "dog", "owl"), "softmax", (64, 64), f"transformers:{tmp_path.name}",
    )  # fmt: skip
    image = torch.rand(3, 64, 64)
    with torch.no_grad():
        expected = module(net.normalize(image[None])).logits[0]
    torch.testing.assert_close(net.logits(image), expected)
    assert not net.module.training


def test_the_usual_families_can_be_looked_into(tmp_path: Path) -> None:
    convnext = transformers.ConvNextForImageClassification(
        transformers.ConvNextConfig(hidden_sizes=[4, 8, 8, 8], depths=[1, 1, 1, 1])
    )
    vit = transformers.ViTForImageClassification(
        transformers.ViTConfig(
            hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=64
        )
    )
    for family, module in {"convnext": convnext, "vit": vit}.items():
        net = load(saved(tmp_path / family, module, convnext_processor()))
        assert net.labels is None
        assert net.logits(torch.rand(3, 64, 64)).shape == (2,)
        assert net.gradient(torch.rand(3, 64, 64), 1).shape == (3, 64, 64)


def test_a_grey_network_of_many_labels(tmp_path: Path) -> None:
    module = resnet(num_channels=1, problem_type="multi_label_classification")
    processor = convnext_processor(image_mean=[0.4], image_std=[0.2])
    net = load(saved(tmp_path, module, processor))
    assert (net.channels, net.head) == (1, "sigmoid")
    assert net.prepare(read_image("chelsea")).shape == (1, 64, 64)


def test_a_network_of_timms_brings_timms_preprocessing(tmp_path: Path) -> None:
    published = {"input_size": [3, 96, 96], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.2], "crop_pct": 0.75,
                 "interpolation": "bilinear", "num_classes": 1000}  # fmt: skip
    config = transformers.TimmWrapperConfig(architecture="test_efficientnet", pretrained_cfg=published)
    transformers.TimmWrapperForImageClassification(config).save_pretrained(tmp_path)
    net = load(f"transformers:{tmp_path}")
    assert (net.input_size, net.crop_fraction, net.interpolation) == ((96, 96), 0.75, "bilinear")
    assert net.logits(torch.rand(3, 96, 96)).shape == (config.num_labels,)


def test_a_regression_has_no_classes(tmp_path: Path) -> None:
    net = load(saved(tmp_path, resnet(id2label={0: "age"}, label2id={"age": 0}), convnext_processor()))
    assert (net.head, net.labels) == ("none", ("age",))


def test_a_file_decides_how_many_classes_there_are(tmp_path: Path) -> None:
    spec = saved(tmp_path, resnet(), convnext_processor())
    mine = resnet(id2label={index: f"class {index}" for index in range(5)}, label2id=None)
    safetensors.torch.save_file(mine.state_dict(), tmp_path / "mine.safetensors")
    lines: list[str] = []
    net = load(spec, weights=tmp_path / "mine.safetensors", on_line=lines.append)
    assert (net.classes, net.labels) == (5, None)
    assert lines[0].startswith(f"{len(mine.state_dict())} of ")


def test_half_precision_is_not_taken_over_from_the_file(tmp_path: Path) -> None:
    assert load(saved(tmp_path, resnet().half(), convnext_processor())).dtype == torch.float32


def test_a_backbone_without_a_classifier_is_refused(tmp_path: Path) -> None:
    spec = saved(tmp_path, resnet().resnet, convnext_processor())
    with pytest.raises(WeightsError, match=r"without classifier.1.bias, classifier.1.weight: it is no image class"):
        load(spec)


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="holds no image classifier of transformers"):
        load(f"transformers:{tmp_path}")


def test_without_a_connection_it_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(self: object, name: str, **options: Any) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(importlib.import_module("huggingface_hub").HfApi, "model_info", offline)
    with pytest.raises(NetworkError, match=r"transformers:owner/none couldn't be fetched \(Name or service not known"):
        load("transformers:owner/none")


def test_missing_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"convscope\[transformers\]"):
        load("transformers:owner/none")
