"""What Look is told of values that are none."""

import torch

from convscope.explorer.looking import layer_shown


def test_a_channel_without_numbers_has_no_largest() -> None:
    maps = torch.rand(3, 4, 5)
    maps[0] = torch.nan
    maps[1, 0, 0] = torch.nan
    maps[2, 1, 2] = torch.inf
    shown, _ = layer_shown("conv", maps, shared=False, cell=8)
    assert shown.largest[0] is None
    assert shown.largest[1] == float(maps[1].nan_to_num(nan=-1).max())
    assert shown.places[2] == (1, 2)
    assert shown.order == [2, 1, 0]
    assert '"largest":[null,' in shown.model_dump_json()
