import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from convscope.errors import WeightsError
from convscope.network.zoo.matching import load_weights, match_weights


def network(classes: int = 5) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, classes))


def state_of(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + key: value.clone() for key, value in module.state_dict().items()}


def assert_equal(module: nn.Module, other: nn.Module) -> None:
    for key, value in other.state_dict().items():
        assert torch.equal(module.state_dict()[key], value), key


@given(st.lists(st.sampled_from(["module.", "_orig_mod.", "model.", "net.", "backbone."]), max_size=4).map("".join))
def test_no_wrapper_changes_what_is_loaded(prefix: str) -> None:
    source, target = network(), network()
    match = load_weights(target, state_of(source, prefix))
    assert_equal(target, source)
    assert match.prefix == prefix


def test_the_summary_counts_and_names_the_prefix() -> None:
    assert load_weights(network(), state_of(network())).summary == "9 of 9 keys"
    assert load_weights(network(), state_of(network(), "module.")).summary == "9 of 9 keys, prefix `module.` removed"


def test_what_lies_outside_the_prefix_is_left_out_and_said() -> None:
    match = load_weights(network(), state_of(network(), "model.") | {"criterion.weight": torch.ones(5)})
    assert match.summary.endswith("prefix `model.` removed, 1 outside it left out (criterion.weight)")


def test_step_counts_may_be_missing() -> None:
    state = {key: value for key, value in state_of(network()).items() if "num_batches" not in key}
    assert load_weights(network(), state).summary == "8 of 8 keys"


@pytest.mark.parametrize("without_counts", [True, False])
def test_a_module_on_the_meta_device_becomes_real(without_counts: bool) -> None:
    source = network()
    with torch.device("meta"):
        target = network()
    state = state_of(source)
    if without_counts:
        del state["1.num_batches_tracked"]
    load_weights(target, state)
    assert_equal(target, source)
    assert all(parameter.requires_grad for parameter in target.parameters())


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_module_keeps_its_own_type(device: str) -> None:
    source = network()
    with torch.device(device):
        target = network()
    load_weights(
        target, {key: value.half() if value.is_floating_point() else value for key, value in state_of(source).items()}
    )
    assert all(parameter.dtype == torch.float32 for parameter in target.parameters())


def test_tied_weights_stay_tied() -> None:
    target = network()
    target.add_module("again", target[4])  # type: ignore[index]
    source = copy.deepcopy(target)
    nn.init.zeros_(source[4].weight)  # type: ignore[index]
    load_weights(target, state_of(source))
    assert target[4] is target.again  # type: ignore[index]
    assert_equal(target, source)


def test_a_misfit_names_what_is_wrong_and_loads_nothing() -> None:
    target = network()
    before = copy.deepcopy(target)
    state = state_of(network(classes=7))
    state["other.weight"] = state.pop("0.weight")
    with pytest.raises(WeightsError) as caught:
        load_weights(target, state)
    message = str(caught.value)
    assert "6 of 9 keys" in message
    assert "1 missing (0.weight)" in message
    assert "1 unexpected (other.weight)" in message
    assert "2 of another shape (4.weight: (7, 16), expected (5, 16), 4.bias: (7,), expected (5,))" in message
    assert_equal(target, before)


def test_long_lists_of_keys_are_cut() -> None:
    with pytest.raises(WeightsError, match=r"8 missing \(0.weight, 0.bias, 1.weight, 1.bias, …\)"):
        load_weights(network(), {"x": torch.ones(1)})


def test_two_copies_under_different_names_are_not_guessed_at() -> None:
    both = state_of(network(), "student.") | state_of(network(), "teacher.")
    with pytest.raises(WeightsError, match="fit 2 times; name one as the weights key: student, teacher"):
        load_weights(network(), both)


def test_the_count_of_classes_is_read_off_the_last_layer() -> None:
    module = network(classes=5)
    assert match_weights(module, state_of(network(classes=9))).classes(5) == 9
    assert match_weights(module, state_of(network(classes=5))).classes(5) == 5
    assert match_weights(module, {"0.weight": torch.ones(9, 2, 3, 3)}).classes(5) == 5
