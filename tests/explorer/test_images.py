"""Uploads and pictures by id."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.explorer.serving import Client
from tests.scanning.little import little_network

import convscope as cs
from convscope.errors import ImageError
from convscope.explorer.images import Images, Unknown
from convscope.image.provenance import recall


def encoded(kind: str, size: tuple[int, int] = (30, 20), **options: object) -> bytes:
    """A picture as a file's bytes."""
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, kind, **options)
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header says so many pixels, of which there are none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_upload_can_be_looked_at(client: Client, kind: str) -> None:
    # By what it holds, whatever it is called.
    answer = client.upload(encoded(kind), "../../evil.svg")
    assert answer.status == 201
    assert answer.json["name"] == "evil.svg"
    id = answer.json["id"]
    assert client.ask(f"/api/images/{id}").json == answer.json
    assert answer.json in client.ask("/api/images?kind=upload").json["images"]
    thumbnail = client.ask(f"/api/images/{id}/thumbnail?side=16")
    assert thumbnail.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(thumbnail.body)).size == (16, 11)
    network = client.explorer.networks.all()[0].id
    assert client.ask(f"/api/predictions?network={network}&image={id}").status == 200


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "SVG"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"<!doctype html><script>alert(1)</script>", "web page"),
        (encoded("GIF"), "GIF"),
        (encoded("BMP"), "BMP"),
        (encoded("TIFF"), "TIFF"),
        (b"\x80\x04\x95 a pickle", "unknown"),
        (b"", "empty"),
        (encoded("PNG")[:60], "damaged"),
        (encoded("JPEG")[:300], "damaged"),
        (encoded("WEBP")[:40], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "damaged"),
    ],
)
def test_what_is_no_picture_is_refused(client: Client, data: bytes, words: str) -> None:
    answer = client.upload(data, "dog.png")
    assert answer.status == 422
    assert words in answer.json["error"]


def test_too_many_pixels_are_refused_before_they_are_decoded(client: Client) -> None:
    answer = client.upload(bomb(50_000, 50_000))
    assert answer.status == 422
    assert "pixels" in answer.json["error"]
    small = Images(upload_pixels=599)
    for kind in ("PNG", "JPEG", "WEBP"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ImageError, match="pixel"):
                small.add(encoded(kind), "x")
    assert small.all("upload") == []
    assert Images(upload_pixels=600).add(encoded("PNG"), "x").kind == "upload"


def test_a_form_without_a_file_is_refused(client: Client) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    body = b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\nabc\r\n--x--\r\n'
    answer = client.ask("/api/images", method="POST", headers={**client.bearer, **kind}, body=body)
    assert answer.status == 422
    assert "file" in answer.json["error"]


def test_the_oldest_uploads_go() -> None:
    sizes = [encoded("PNG", (10 + at, 10)) for at in range(4)]
    images = Images(upload_bytes=3 * max(map(len, sizes)))
    items = [images.add(data, f"{at}.png") for at, data in enumerate(sizes)]
    assert images.all("upload") == items[:0:-1]
    with pytest.raises(Unknown, match="upload it again"):
        images.item(items[0].id)
    assert images.add(sizes[1], "again.png").id == items[1].id


def test_pictures_come_to_the_network_as_it_reads_them(folder: Path) -> None:
    network, images = little_network(), Images(folder)
    item = next(each for each in images.all("file") if each.name == "00003.png")
    file = next(folder.rglob("00003.png"))
    prepared = images.prepared(item.id, network)
    torch.testing.assert_close(prepared, network.read(file), rtol=0, atol=0)
    # What a recipe tells of it is what it would be of the file.
    assert recall(prepared) == recall(network.read(file))
    assert images.prepared(item.id, network) is prepared
    assert item.label == "class 1"
    uploaded = images.add(file.read_bytes(), "00003.png")
    torch.testing.assert_close(images.prepared(uploaded.id, network), prepared, rtol=0, atol=0)
    torch.testing.assert_close(images.prepared("sample-camera", network), network.read("camera"), rtol=0, atol=0)


def test_ids_are_the_same_at_each_start_and_tell_nothing(folder: Path) -> None:
    items = Images(folder).all()
    assert items == Images(str(folder)).all()
    assert len({each.id for each in items}) == len(items)
    for each in items:
        assert each.kind == "sample" or each.name.partition(".")[0] not in each.id


def test_without_a_folder_there_are_samples() -> None:
    kinds = {each.kind for each in Images().all()}
    assert kinds == {"sample"}
    with pytest.raises(ImageError, match="there is no folder"):
        Images("no/such/folder")


def test_one_s_own_loader_reads_the_folder(folder: Path) -> None:
    seen: list[str] = []

    def loader(path: str) -> torch.Tensor:
        seen.append(Path(path).name)
        return cs.read_image(path)

    network = little_network()
    network.loader = loader
    images = Images(folder)
    images.prepared(images.all("file")[0].id, network)
    assert seen == [images.all("file")[0].name]
    with pytest.raises(Unknown):
        images.prepared("file-nothing", network)
