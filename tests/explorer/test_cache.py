import os
from pathlib import Path
from typing import Any

from convscope.explorer.cache import Cache, Outcome, key_of

KEYS = [key_of("test", {"number": at}) for at in range(6)]


def _outcome(size: int) -> Outcome:
    return Outcome({"size": size}, {"a.png": bytes(size)})


def test_what_is_put_in_comes_out_also_of_another(tmp_path: Path) -> None:
    Cache(tmp_path / "new").put(KEYS[0], _outcome(5))
    cache = Cache(tmp_path / "new")
    assert cache.get(KEYS[0]) == _outcome(5)
    assert KEYS[0] in cache
    assert cache.get(KEYS[1]) is None
    assert KEYS[1] not in cache


def test_the_one_that_was_not_asked_for_longest_goes(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=3500)
    for at, key in enumerate(KEYS[:3]):
        cache.put(key, _outcome(800))
        os.utime(tmp_path / f"{key}.zip", (at, at))
    assert cache.get(KEYS[0]) is not None  # and so it was asked for last
    cache.put(KEYS[3], _outcome(800))
    assert [key in cache for key in KEYS[:4]] == [True, False, True, True]
    cache.put(KEYS[4], _outcome(10_000))
    assert [key in cache for key in KEYS[:5]] == [False, False, False, False, True]


def test_what_is_damaged_is_not_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for damage in (b"", b"PK\x03\x04 and nothing more"):
        cache.put(KEYS[0], _outcome(500))
        (tmp_path / f"{KEYS[0]}.zip").write_bytes(damage)
        assert cache.get(KEYS[0]) is None
        assert KEYS[0] not in cache
    cache.put(KEYS[0], _outcome(500))
    path = tmp_path / f"{KEYS[0]}.zip"
    data = bytearray(path.read_bytes())
    data[data.index(b"a.png") + 20] ^= 1  # in the picture, of which the checksum tells
    path.write_bytes(data)
    assert cache.get(KEYS[0]) is None


def test_keys_tell_all_that_differs() -> None:
    fields: dict[str, Any] = {"method": "occlusion", "image": "aa", "window": 3}
    assert key_of("explain", fields) == key_of("explain", dict(reversed(fields.items())))
    others = [{**fields, "window": 4}, {**fields, "image": "ab"}, {"method": "occlusion", "image": "aa"}]
    assert len({key_of("explain", each) for each in [fields, *others]} | {key_of("patches", fields)}) == 5
