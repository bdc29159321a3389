"""Sizes and costs against the frameworks' own: torch is the twin."""

import subprocess
import sys
from fractions import Fraction
from math import prod

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from convscope.anatomy.arithmetic import Arithmetic, convolution, linear, pooling
from convscope.errors import LayerError

sizes = st.tuples(st.integers(1, 19), st.integers(1, 19))
kernels = st.tuples(st.integers(1, 5), st.integers(1, 5))
strides = st.tuples(st.integers(1, 6), st.integers(1, 6))
paddings = st.tuples(st.integers(0, 4), st.integers(0, 4))
dilations = st.tuples(st.integers(1, 3), st.integers(1, 3))


def unread(image: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """Which pixels (rows, columns) nothing of the output depends on."""
    (gradient,) = torch.autograd.grad(output.sum(), image)
    return gradient[0, 0] == 0


def assert_unread_pixels_are(unread: torch.Tensor, found: Arithmetic) -> None:
    # Where rows are all read from the padding, the gradient has nothing left to say about columns.
    assume(not unread.all())
    for axis, line in ((found.rows, unread.all(1)), (found.columns, unread.all(0))):
        flags = line.tolist()
        at_the_edge = next((count for count, flag in enumerate(reversed(flags)) if not flag), len(flags))
        assert (axis.unseen, axis.skipped) == (at_the_edge, sum(flags) - at_the_edge)


def test_the_lectures_layers() -> None:
    first = convolution(input=(39, 31), kernel=4, channels=1, filters=20)
    assert (first.output, first.channels) == ((36, 28), 20)
    assert (first.weights, first.biases, first.parameters) == (320, 20, 340)
    assert first.multiply_adds == 36 * 28 * 320
    assert first.fits
    assert first.unseen == (0, 0)
    second = pooling(first.output, 2, channels=first.channels)
    assert (second.output, second.channels, second.parameters) == ((18, 14), 20, 0)
    assert "nothing is learned" in second.explain()
    last = linear(prod(second.output) * second.channels, 10, bias=False)
    assert (last.weights, last.parameters, last.multiply_adds) == (50_400, 50_400, 50_400)
    assert last.explain() == "weights: 5,040 · 10 = 50,400, no biases"


def test_importing_it_needs_no_torch() -> None:
    code = "import sys, convscope.anatomy.arithmetic; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


@settings(max_examples=150, deadline=None)
@given(sizes, kernels, strides, paddings, dilations)
def test_a_convolution_is_as_large_as_torchs_and_reads_the_same_pixels(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    image = torch.ones(1, 1, *size, requires_grad=True)
    try:
        output = F.conv2d(image, torch.ones(1, 1, *kernel), stride=stride, padding=padding, dilation=dilation)
    except RuntimeError:
        with pytest.raises(LayerError, match="expected it to fit inside"):
            convolution(size, kernel, stride=stride, padding=padding, dilation=dilation)
        return
    found = convolution(size, kernel, stride=stride, padding=padding, dilation=dilation)
    assert found.output == tuple(output.shape[2:])
    assert_unread_pixels_are(unread(image, output), found)


@settings(max_examples=150, deadline=None)
@given(sizes, kernels, strides, paddings, dilations, st.booleans())
def test_a_pooling_is_as_large_as_torchs(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    ceil: bool,
) -> None:
    try:
        output = F.max_pool2d(torch.ones(1, 1, *size), kernel, stride, padding, dilation, ceil_mode=ceil)
    except RuntimeError:
        with pytest.raises(LayerError):
            pooling(size, kernel, stride=stride, padding=padding, dilation=dilation, ceil=ceil)
        return
    found = pooling(size, kernel, stride=stride, padding=padding, dilation=dilation, ceil=ceil)
    assert found.output == tuple(output.shape[2:])


@settings(max_examples=100, deadline=None)
@given(sizes, kernels, strides, st.booleans())
def test_a_pooling_reads_the_same_pixels_as_torchs(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], ceil: bool
) -> None:
    image = torch.ones(1, 1, *size, requires_grad=True)
    try:
        # The average, unlike the largest, sends a gradient to every pixel that it reads.
        output = F.avg_pool2d(image, kernel, stride, ceil_mode=ceil)
    except RuntimeError:
        with pytest.raises(LayerError):
            pooling(size, kernel, stride=stride, ceil=ceil)
        return
    assert_unread_pixels_are(unread(image, output), pooling(size, kernel, stride=stride, ceil=ceil))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@settings(max_examples=40, deadline=None)
@given(sizes, kernels, dilations)
def test_same_padding_keeps_the_size(size: tuple[int, int], kernel: tuple[int, int], dilation: tuple[int, int]) -> None:
    found = convolution(size, kernel, padding="same", dilation=dilation)
    assert found.output == size
    image = torch.ones(1, 1, *size)
    same = F.conv2d(image, torch.ones(1, 1, *kernel), padding="same", dilation=dilation)
    before = [axis.padding[0] for axis in (found.rows, found.columns)]
    after = [axis.padding[1] for axis in (found.rows, found.columns)]
    padded = F.pad(image, (before[1], after[1], before[0], after[0]))
    torch.testing.assert_close(F.conv2d(padded, torch.ones(1, 1, *kernel), dilation=dilation), same)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_parameters_are_those_of_torchs_layer(groups: int, bias: bool) -> None:
    layer = torch.nn.Conv2d(8, 12, (3, 5), groups=groups, bias=bias)
    found = convolution(16, (3, 5), channels=8, filters=12, groups=groups, bias=bias)
    assert found.weights == layer.weight.numel()
    assert found.parameters == sum(each.numel() for each in layer.parameters())


def test_the_stem_of_a_resnet_rounds_down_and_still_sees_every_pixel() -> None:
    stem = convolution(224, 7, stride=2, padding=3, channels=3, filters=64, bias=False)
    assert stem.exact == (Fraction(225, 2), Fraction(225, 2))
    assert not stem.fits
    assert stem.output == (112, 112)
    assert stem.unseen == (0, 0)
    lines = stem.explain().splitlines()
    assert lines[0] == "rows: (224 + 2·3 − 7)/2 + 1 = 112.5, rounded down to 112"
    assert lines[1] == "  the 1 row left over: padding only, so every pixel at the edge is read"


def test_what_goes_unseen_is_told() -> None:
    text = convolution((10, 12), 3, stride=3, dilation=2).explain()
    assert "rows: (10 + 2·0 − 2·(3 − 1) − 1)/3 + 1 = 2 2/3, rounded down to 2" in text
    assert "the last 2 rows of the input: never read" in text
    shortcut = convolution(56, 1, stride=2)
    assert (shortcut.unseen, shortcut.skipped) == ((1, 1), (27, 27))
    assert "27 rows between the windows' pixels: never read" in shortcut.explain()
    assert "the last window hangs over the edge by 1 row" in pooling(5, 2, ceil=True).explain()


def test_strict_names_what_would_fit() -> None:
    with pytest.raises(LayerError) as caught:
        convolution(227, 11, stride=5, strict=True)
    message = str(caught.value)
    assert "strides that fit: 3, 4, 6; paddings that fit: 2, 7" in message
    for stride in (3, 4, 6):
        assert convolution(227, 11, stride=stride, strict=True).fits
    for padding in (2, 7):
        assert convolution(227, 11, stride=5, padding=padding, strict=True).fits
    with pytest.raises(LayerError, match=r"columns: .* rounds up"):
        pooling((4, 5), 2, ceil=True, strict=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": 40}, "rows: a window of 40 pixels on 39"),
        ({"kernel": (2, 3, 4)}, "expected one number, or two"),
        ({"stride": 0}, "stride=0; expected a whole number of at least 1"),
        ({"padding": -1}, "padding=-1"),
        ({"padding": 0.5}, "padding=0.5"),
        ({"padding": "valid"}, '"same"'),
        ({"padding": "same", "stride": 2}, "defined for stride 1"),
        ({"channels": 3, "groups": 2}, "divides both"),
        ({"filters": True}, "filters=True"),
    ],
)
def test_what_cannot_be_is_an_error(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(LayerError, match=message):
        convolution(**arguments)  # type: ignore[arg-type]
