import gc
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from convscope.image import provenance
from convscope.image.provenance import checksum, recall, remember
from convscope.image.recipe import Input

ORIGIN = Input("dog.jpg", "ab" * 32, 512)


def test_a_remembered_tensor_is_recalled() -> None:
    image = torch.rand(3, 4, 5)
    assert remember(image, ORIGIN) is image
    assert recall(image) is ORIGIN


def test_an_equal_tensor_is_not_the_same() -> None:
    image = remember(torch.rand(3, 4, 5), ORIGIN)
    assert recall(image.clone()) == Input(None, checksum(image))


def test_the_last_origin_counts() -> None:
    image = remember(remember(torch.rand(3, 4, 5), Input("other.png", "cd")), ORIGIN)
    assert recall(image) is ORIGIN


def test_a_change_in_place_is_forgotten() -> None:
    image = remember(torch.rand(3, 4, 5), ORIGIN)
    image[0, 0, 0] += 1
    assert recall(image) == Input(None, checksum(image))
    assert recall(remember(image, ORIGIN)) is ORIGIN


def test_tensors_of_inference_mode() -> None:
    with torch.inference_mode():
        image = remember(torch.rand(3, 4, 5), ORIGIN)
        assert recall(image) is ORIGIN
        image.add_(1)
        assert recall(image).name is None


def test_the_table_does_not_keep_tensors() -> None:
    image = remember(torch.rand(3, 4, 5), ORIGIN)
    before = len(provenance._origins)
    del image
    gc.collect()
    assert len(provenance._origins) < before


def test_checksum_follows_its_definition() -> None:
    image = torch.arange(6, dtype=torch.float32).reshape(1, 2, 3)
    header = b"torch.float32 (1, 2, 3)\n"
    assert checksum(image) == hashlib.sha256(header + image.numpy().tobytes()).hexdigest()


def test_checksum_tells_shape_type_and_values_apart() -> None:
    zeros = torch.zeros(2, 6)
    others = [zeros.reshape(3, 4), zeros.double(), zeros.to(torch.int32), zeros + 1, -zeros, torch.zeros(0, 6)]
    assert len({checksum(each) for each in [zeros, *others]}) == 7


def test_checksum_does_not_depend_on_the_layout() -> None:
    image = torch.rand(2, 3, 4, 5)
    assert checksum(image.contiguous(memory_format=torch.channels_last)) == checksum(image)
    assert checksum(image[:, :, ::2]) == checksum(image[:, :, ::2].clone())
    assert checksum(image.requires_grad_()) == checksum(image.detach())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64, torch.uint8, torch.bool])
def test_checksum_takes_any_type(kind: torch.dtype) -> None:
    assert len(checksum(torch.zeros(3, 4, dtype=kind))) == 64
    assert len(checksum(torch.tensor(1, dtype=kind))) == 64


def test_threads_recall_what_they_remembered() -> None:
    def remember_and_recall(number: int) -> bool:
        origins = [Input(f"{number}-{each}.png", "ab") for each in range(50)]
        images = [remember(torch.zeros(1, 1, 1), origin) for origin in origins]
        return all(recall(image) is origin for image, origin in zip(images, origins, strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(remember_and_recall, range(40)))
