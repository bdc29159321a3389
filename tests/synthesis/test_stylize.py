"""Stylizing: as the network itself; blends; colours; files of networks; what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.synthesis.fast_style.styles import small_styles
from torch import Tensor

import convscope as cs
from convscope.errors import Cancelled, ConvscopeError, ImageError, NetworkError, WeightsError
from convscope.network import memory
from convscope.progress import Progress
from convscope.synthesis.colour_kept import luminance
from convscope.synthesis.fast_style import loading, stylizing
from convscope.synthesis.fast_style.files import write_network
from convscope.synthesis.fast_style.loading import checksum_of

NETWORK = small_styles()


def photograph(*shape: int) -> Tensor:
    return torch.rand(shape or (3, 24, 36), generator=torch.Generator().manual_seed(2))


def made(image: Tensor | None = None, style: Any = None, **options: Any) -> cs.Stylized:
    return cs.stylize(photograph() if image is None else image, style, **{"network": NETWORK, **options})


def test_it_is_the_network_by_the_wanted_scales_and_shifts() -> None:
    """The slow twin: one style's own γ and β, the weighted sums, in a network that has no other style."""
    alone = small_styles("mixed")
    state = NETWORK.state_dict()
    shares = torch.tensor([0.25, 0.75, 0.0])
    for name, value in state.items():
        state[name] = (shares @ value)[None] if name.endswith((".gamma", ".beta")) else value
    alone.load_state_dict(state)
    with torch.no_grad():
        expected = alone(photograph()[None], torch.ones(1, 1))
    result = made(style={"waves": 1, "dots": 3}, engine="torch")
    torch.testing.assert_close(result.images, (expected * 255).round() / 255, rtol=0, atol=1.01 / 255)
    assert result.style == {"waves": 0.25, "dots": 0.75}


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(["waves", "dots", "lines"]), st.floats(1e-3, 1e3))
def test_all_weight_on_one_style_is_that_style(name: str, weight: float) -> None:
    mixed = {"waves": 0.0, "dots": 0.0, "lines": 0.0, name: weight}
    assert made(style=mixed).image.equal(made(style=name).image)


def test_the_first_style_is_the_default_and_styles_differ() -> None:
    assert made().image.equal(made(style="waves").image)
    assert not made().image.allclose(made(style="dots").image, atol=0.05)


def test_a_batch_is_its_images_one_by_one() -> None:
    batch = photograph(3, 3, 17, 30)
    for engine in ("torch", "auto"):
        together = made(batch, "dots", engine=engine).images
        assert together.shape == batch.shape
        for image, one in zip(batch, together, strict=True):
            assert made(image, "dots", engine=engine).image.equal(one)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 2, 70), (3, 33, 17)])
def test_every_size_is_kept(shape: tuple[int, ...]) -> None:
    assert made(photograph(*shape)).image.shape == shape


def test_results_are_as_files_hold_them(tmp_path: Path) -> None:
    result = made()
    result.save(tmp_path / "made.png")
    assert cs.read_image(tmp_path / "made.png").equal(result.image)
    several = made(photograph(2, 3, 24, 36))
    several.save(tmp_path / "one.png", which=1)
    assert cs.read_image(tmp_path / "one.png").equal(several.images[1])
    assert several.picture(columns=1).height > 48
    with pytest.raises(ImageError, match="which=2"):
        several.picture(which=2)


def test_colours_can_be_kept() -> None:
    image = photograph() * 0.2 + 0.4
    kept = made(image, colour="luminance").image
    assert (kept - luminance(kept)).allclose(image - luminance(image), atol=2 / 255)
    assert not kept.allclose(image, atol=0.05)


def test_networks_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_network(tmp_path / "mine.safetensors", NETWORK)
    write_network(tmp_path / "same.safetensors", NETWORK, training={"step": 3}, more={"adam": torch.ones(2)})
    loaded = cs.load_styles(tmp_path / "mine.safetensors")
    assert loaded.styles == ("waves", "dots", "lines")
    for network in (tmp_path / "mine.safetensors", str(tmp_path / "mine.safetensors"), loaded):
        result = made(network=network)
        assert result.image.equal(made().image)
        assert (result.recipe.network, result.recipe.weights) == ("mine.safetensors", checksum_of(NETWORK))
    assert checksum_of(cs.load_styles(tmp_path / "same.safetensors")) == checksum_of(NETWORK)
    assert made().recipe.network is None
    monkeypatch.setattr(loading, "BUNDLED", tmp_path / "same.safetensors")
    loading._bundled.cache_clear()
    try:
        assert cs.load_styles() is cs.load_styles()
        result = cs.stylize(photograph())
        assert result.recipe.network == "bundled styles"
        assert result.image.equal(made().image)
    finally:
        loading._bundled.cache_clear()


def test_a_checksum_tells_weights_names_and_architecture() -> None:
    known = {checksum_of(each) for each in (
        small_styles(), small_styles(seed=1), small_styles("a", "b", "c"), small_styles(norm="batch"),
    )}  # fmt: skip
    assert len(known) == 4
    changed = small_styles()
    before = checksum_of(changed)
    with torch.no_grad():
        next(changed.parameters()).mul_(2)
    assert checksum_of(changed) != before


def test_progress_and_a_stop() -> None:
    seen: list[Progress] = []
    made(photograph(2, 3, 16, 16), progress=seen.append)
    assert [(each.done, each.total) for each in seen] == [(1, 2), (2, 2)]
    assert seen[0].preview.shape == (3, 16, 16)
    with pytest.raises(Cancelled):
        made(progress=lambda progress: False)


def test_memory_is_known_before_it_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.bytes_free(torch.device("cpu"))
    monkeypatch.setattr(stylizing, "bytes_free", lambda device: 100_000)
    with pytest.raises(NetworkError, match=r"24 × 36 in the style network needs about .* take at most \d+ × \d+"):
        made()
    monkeypatch.setattr(stylizing, "bytes_free", lambda device: None)
    assert made().image.shape == (3, 24, 36)


@pytest.mark.parametrize(
    ("image", "options", "says"),
    [
        (photograph(), {"style": "wave"}, "no style 'wave'; nearest: waves"),
        (photograph(), {"style": {"dots": 1, "line": 1}}, "no style 'line'; nearest: lines"),
        (photograph(), {"style": {"dots": -1, "lines": 2}}, "expected none below 0"),
        (photograph(), {"style": {"dots": 0}}, "and some above"),
        (photograph(), {"style": {}}, "and some above"),
        (photograph(), {"style": {"dots": float("nan")}}, "and some above"),
        (photograph(), {"colour": "luminence"}, "nearest: luminance"),
        (photograph(1, 24, 36), {}, "1 channels"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), {}, "torch.uint8"),
        (torch.zeros(3, 0, 8), {}, "without pixels"),
    ],
)
def test_bad_input_is_one_clear_error(image: Tensor, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConvscopeError, match=says):
        made(image, **options)


def test_files_that_hold_no_style_network(tmp_path: Path) -> None:
    write_network(tmp_path / "whole.safetensors", NETWORK)
    whole = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "other.safetensors").write_bytes(b"a text")
    for name in ("cut", "other", "none"):
        with pytest.raises(WeightsError, match=rf"{name}\.safetensors"):
            made(network=tmp_path / f"{name}.safetensors")
    with pytest.raises(ImageError, match="can't write"):
        cs.export_onnx(tmp_path / "whole.safetensors" / "styles.onnx", NETWORK)
