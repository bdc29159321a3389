"""The promises of safety, by raw requests: a client library would tidy them up.

Where each of the 22 is held, over HTTP and, where there is anything to hold there, web sockets (ws); here unless a file
is named:

 1  binds loopback, another address is warned of       test_server: it_binds_loopback, another_address_is_warned_of;
                                                       cli/test_explore: another_address_is_warned_of_in_words
 2  a token of 128 bits on every route                 a_token_has_128_bits, the_token_is_asked_for_everywhere (ws),
                                                       every_route_is_behind_it; test_served: pages_and_assets_need_…
 3  it leaves the address at the first load            the_token_leaves_the_address_at_the_first_load (ws)
 4  a foreign host is refused                          another_host_is_refused (ws), another_host_can_be_allowed;
                                                       test_served: behind_a_proxy_…, pages_and_assets_need_…
 5  [::1] works                                        another_host_is_refused (ws); test_server: the_sixth_version_…
 6  a foreign origin is refused                        another_origin_is_refused (ws)
 7  a page of another site is refused                  a_page_of_another_site_is_refused (ws); test_served
 8  nothing changes on GET; bodies are JSON or forms   nothing_changes_on_get_and_bodies_are_json_or_forms_…;
                                                       test_served: nothing_is_changed_at_a_page
 9  no CORS                                            headers_of_all_answers
10  ids, never paths                                   no_way_leads_out, a_target_names_no_file,
                                                       a_network_is_no_file_and_no_address (ws);
                                                       test_images: ids_are_the_same_at_each_start_and_tell_nothing
11  no way leads out of a folder                       no_way_leads_out; test_served: nothing_else_is_there
12  nor does a link                                    links_that_lead_out_are_not_there, a_file_that_becomes_a_link_…
13  a large body is refused before it is read          a_large_body_…, a_body_without_a_length_…;
                                                       test_sockets: a_message_over_the_limit_closes_the_socket (ws)
14  too many pixels, before they are decoded           test_images: too_many_pixels_…;
                                                       test_sockets: what_is_no_frame_is_told_… (ws)
15  PNG, JPEG, WebP by content; SVG is never served    test_images: what_is_no_picture_is_refused; test_served:
                                                       nothing_else_is_there; test_sockets: what_is_no_frame_… (ws)
16  nosniff, and a policy for content                  headers_of_all_answers; test_served: every_page_is_the_index,
                                                       assets_are_kept_by_the_browser, the_built_pages_are_whole_…
17  a malicious file of weights runs nothing           weights_that_would_run_something_run_nothing (ws);
                                                       network/zoo/test_weights
18  fetched weights: https, hash, whole or not at all  network/zoo/test_fetching: an_index_without_https_is_not_asked,
                                                       another_file_than_the_published_one_is_refused,
                                                       what_is_cut_off_while_it_is_written_is_not_there
19  no request to an address that a client names       a_network_is_no_file_and_no_address (ws)
20  a bounded queue; cancel within a step              test_api: when_the_line_is_full_it_says_so; test_jobs:
                                                       so_many_wait_and_no_more, cancel_stops_…, memory_returns;
                                                       test_sockets: old_frames_are_dropped_and_never_queued (ws)
21  a closed page, a stopped server end their jobs     test_sockets: a_closed_page_…, a_page_whose_connection_…,
                                                       a_broken_camera_ends_its_stream (ws); test_jobs: a_stop_ends_…;
                                                       test_server: ctrl_c_ends_it_and_its_jobs_within_three_seconds
22  no traceback, path or token in answers or the log  answers_and_log_tell_nothing, a_socket_that_fails_tells_nothing
                                                       (ws), paths_are_taken_out_of_messages; test_jobs: errors_are_…
"""

import json
import logging
import os
import pickle
import re
import socket
import time
from pathlib import Path
from urllib.parse import quote

import pytest
import torch
from tests.explorer.conftest import explorer_of
from tests.explorer.serving import BOUNDARY, Client, form, received, serving
from websockets.exceptions import ConnectionClosedError

from convscope.explorer.cache import Cache
from convscope.explorer.explorer import Explorer
from convscope.explorer.guard import Policy, new_token, without_paths

SOCKETS = ("/api/events", "/api/camera")


def _cookie(client: Client) -> dict[str, str]:
    return {"Cookie": f"{client.explorer.policy.cookie}={client.token}"}


def _both(client: Client, headers: dict[str, str], host: str | None = None) -> int:
    """How the API answers; both web sockets are taken where it is 200, and refused where it is not."""
    status = client.ask("/api/networks", headers=headers, host=host).status
    for path in SOCKETS:
        assert client.handshake(path, headers, host) == (101 if status == 200 else 403)
    return status


def test_a_token_has_128_bits_and_is_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 22 for token in tokens)  # six bits a character


def test_the_token_is_asked_for_everywhere(client: Client) -> None:
    assert _both(client, client.bearer) == 200
    assert _both(client, _cookie(client)) == 200
    near = client.token[:-1] + ("A" if client.token[-1] != "A" else "B")
    wrong = [
        {}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {near}"}, {"Authorization": client.token},
        {"Authorization": f"Basic {client.token}"}, {"Cookie": f"other={client.token}"},
        {"Cookie": f"{client.explorer.policy.cookie}={near}"}, {**_cookie(client), "Authorization": "Bearer no"},
        {"Cookie": f"{client.explorer.policy.cookie}={client.token}é"},
    ]  # fmt: skip
    for headers in wrong:
        assert _both(client, headers) == 401, headers


def test_every_route_is_behind_it(client: Client) -> None:
    paths = client.ask("/api/openapi.json").json["paths"]
    assert len(paths) > 12
    for path in [*paths, "/api/openapi.json", "/", "/docs", "/index.html"]:
        for method in ("GET", "POST", "DELETE", "PUT", "OPTIONS", "HEAD"):
            assert client.ask(path.replace("{", "").replace("}", ""), method=method, headers={}).status == 401


def test_the_token_leaves_the_address_at_the_first_load(client: Client) -> None:
    answer = client.ask(f"/look?image=a%20b&token={client.token}&unit=3", headers={})
    assert answer.status == 303
    assert answer.headers["location"] == "/look?image=a+b&unit=3"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.ask("/api/networks", headers={"Cookie": cookie.partition(";")[0]}).status == 200
    assert client.ask("/look?token=wrong", headers={}).status == 401
    # The API takes it in a header or as the cookie only, and nobody is sent elsewhere.
    assert client.ask(f"/api/networks?token={client.token}", headers={}).status == 401
    assert client.handshake(f"/api/events?token={client.token}", {}) == 403
    assert client.ask(f"//elsewhere.example/?token={client.token}", headers={}).status != 303


def test_another_host_is_refused(client: Client) -> None:
    ours = [
        f"localhost:{client.port}",
        "LOCALHOST",
        "127.0.0.1",
        "[::1]:9000",
        "localhost:9000",
        "[0:0:0:0:0:0:0:1]:80",
    ]
    for host in ours:
        assert _both(client, client.bearer, host) == 200, host
    foreign = [
        "evil.example", f"evil.example:{client.port}", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0",
        "[::]", "localhost:", "localhost:8000:9000", "localhost@evil.example", "[::1", "a b", "localhost.",
    ]  # fmt: skip
    for host in foreign:
        assert _both(client, client.bearer, host) == 403, host
    assert (
        client.raw(f"GET /api/networks HTTP/1.0\r\nAuthorization: Bearer {client.token}\r\n\r\n".encode()).status == 403
    )
    twice = f"Host: localhost\r\nHost: evil.example\r\nAuthorization: Bearer {client.token}\r\nConnection: close"
    assert client.raw(f"GET /api/networks HTTP/1.1\r\n{twice}\r\n\r\n".encode()).status in (400, 403)


def test_another_host_can_be_allowed(folder: Path, tmp_path: Path) -> None:
    policy = Policy(new_token(), hosts=frozenset({"lab.example"}), root_path="/lens")
    with serving(explorer_of(folder, tmp_path, policy=policy)) as client:
        assert client.ask("/api/networks", host="lab.example").status == 200
        assert client.ask("/lens/api/networks", host="lab.example").status == 200
        assert client.ask("/api/networks", host="other.example").status == 403
        answer = client.ask(f"/lens/look?token={policy.token}", headers={})
        assert answer.headers["location"] == "/lens/look"
        assert "Path=/lens" in answer.headers["set-cookie"]


def test_another_origin_is_refused(client: Client) -> None:
    host = f"localhost:{client.port}"
    for origin in (f"http://{host}", f"https://{host}", f"HTTP://LOCALHOST:{client.port}"):
        assert _both(client, {**client.bearer, "Origin": origin}, host) == 200, origin
    assert _both(client, {**client.bearer, "Origin": "http://localhost"}, "localhost:80") == 200
    foreign = [
        "null", "", "http://evil.example", f"http://127.0.0.1:{client.port}", "http://localhost:1", "http://localhost",
        f"http://localhost:{client.port}.evil.example", f"file://{host}", f"http://{host}/x", f"http://evil@{host}",
    ]  # fmt: skip
    for origin in foreign:
        assert _both(client, {**client.bearer, "Origin": origin}, host) == 403, origin


def test_a_page_of_another_site_is_refused(client: Client) -> None:
    for site in ("same-origin", "none"):
        assert _both(client, {**client.bearer, "Sec-Fetch-Site": site}) == 200
    # Another port of this machine is of the same site.
    for site in ("cross-site", "same-site"):
        assert _both(client, {**client.bearer, "Sec-Fetch-Site": site}) == 403
    link = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}
    assert client.ask(f"/?token={client.token}", headers=link).status == 303
    assert client.ask(f"/?token={client.token}", headers={**link, "Sec-Fetch-Site": "cross-site"}).status == 403


def test_nothing_changes_on_get_and_bodies_are_json_or_forms_with_the_header(client: Client) -> None:
    schema = client.ask("/api/openapi.json").json["paths"]
    changing = {(path, method) for path, methods in schema.items() for method in methods if method != "get"}
    assert changing == {("/api/images", "post"), ("/api/jobs", "post"), ("/api/jobs/{id}", "delete")}
    body = b'{"kind": "explain"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "text/json", None):
        headers = client.bearer if kind is None else {**client.bearer, "Content-Type": kind}
        assert client.ask("/api/jobs", method="POST", headers=headers, body=body).status == 415
    assert client.ask("/api/jobs", method="POST", headers=client.bearer).status == 415
    # With the cookie alone a form of any page would be as good as ours.
    assert client.upload(b"", headers=_cookie(client)).status == 403
    session = client.ask("/api/session", headers=_cookie(client)).json
    assert session["write_token"] != client.token
    assert (
        client.upload(b"", headers={**_cookie(client), session["write_header"]: session["write_token"]}).status == 422
    )
    assert client.upload(b"", headers={**_cookie(client), session["write_header"]: "0" * 64}).status == 403


def test_headers_of_all_answers(client: Client) -> None:
    png = "/api/images/sample-chelsea/thumbnail"
    for path, headers in (("/api/networks", None), (png, None), ("/nowhere", None), ("/", {}), ("/api/jobs/x", None)):
        answer = client.ask(path, headers=headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["script-src"] == "'self'"
        assert policy["default-src"] == "'none'"
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
        assert answer.headers["cache-control"].startswith(("no-store", "private"))
    preflight = {**client.bearer, "Origin": f"http://127.0.0.1:{client.port}", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.ask("/api/jobs", method="OPTIONS", headers=preflight).headers


@pytest.mark.parametrize(
    "way",
    [
        "..", "../secret.png", "..%2fsecret.png", "%2e%2e/secret.png", "%2e%2e%2fsecret.png", "..%5csecret.png",
        "..\\secret.png", "....//secret.png", "%252e%252e%252fsecret.png", "C:%5cWindows%5cwin.ini",
        "C:/Windows/win.ini",
        "%5c%5chost%5cshare%5cx.png", "//host/share/x.png", "../photos-private/class%200/00000.png",
        "out.png",
        "private/class%200/00000.png", "within.png%00", "%00", "%c0%ae%c0%ae/secret.png", "/etc/passwd",
        "%2fetc%2fpasswd",
        "sample-..%2f..%2fx", "class%200/00000.png", "00000.png", "file-../secret.png",
    ],
)  # fmt: skip
def test_no_way_leads_out(client: Client, way: str) -> None:
    for path in (f"/api/images/{way}", f"/api/images/{way}/thumbnail", f"/{way}", f"/api/results/{way}/{way}"):
        answer = client.ask(path)
        assert answer.status == 404, path
        assert b"PNG" not in answer.body
    assert client.ask(f"/api/prepared?network={_network(client)}&image={way}").status == 404
    assert client.ask(f"/api/networks/{way}").status == 404


def test_links_that_lead_out_are_not_there(client: Client, folder: Path) -> None:
    names = sorted(each["name"] for each in client.ask("/api/images?kind=file").json["images"])
    assert names == [f"{at:05}.png" for at in range(6)] + ["within.png"]
    assert client.explorer.images._inside("out.png") is None
    assert client.explorer.images._inside("private/class 0/00000.png") is None
    assert client.explorer.images._inside("../photos-private/class 0/00000.png") is None
    assert client.explorer.images._inside("within.png") is not None
    assert str(folder) not in client.ask("/api/images").body.decode()


def test_a_file_that_becomes_a_link_is_gone(client: Client, folder: Path) -> None:
    found = next(each for each in client.ask("/api/images?kind=file").json["images"] if each["name"] == "00005.png")
    file = next(folder.rglob("00005.png"))
    data = file.read_bytes()
    file.unlink()
    file.symlink_to(folder.parent / "secret.png")
    try:
        assert client.ask(f"/api/images/{found['id']}/thumbnail").status == 404
    finally:
        file.unlink()
        file.write_bytes(data)
    assert client.ask(f"/api/images/{found['id']}/thumbnail").status == 200


def test_a_target_names_no_file(client: Client) -> None:
    for mask in ("/etc/passwd", "../secret.png", "chelsea"):
        asked = {
            "kind": "explain", "network": _network(client), "image": "sample-chelsea", "method": "saliency",
            "target": f"class:3@{mask}",
        }  # fmt: skip
        answer = client.post("/api/jobs", asked)
        assert answer.status == 422
        assert "masks are files" in answer.json["error"]


def _told(client: Client, network: str) -> str:
    """What the camera's web socket says of such a network."""
    with client.socket("/api/camera") as camera:
        camera.send(json.dumps({"network": network}))
        camera.send(b"a frame")
        answer = camera.recv(timeout=60)
    assert isinstance(answer, bytes)
    return str(json.loads(answer[4 : 4 + int.from_bytes(answer[:4], "big")])["error"])


def test_a_network_is_no_file_and_no_address(client: Client, folder: Path, tmp_path: Path) -> None:
    """Nor is a picture, a scan or a target; nobody is asked anywhere."""
    (tmp_path / "net.toml").write_text('network = "torchvision:resnet18"')
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.2)
        place = f"127.0.0.1:{elsewhere.getsockname()[1]}"
        named = [
            f"http://{place}/x.png", f"https://{place}/", f"ftp://{place}/x", f"//{place}/x", f"\\\\{place}\\x", place,
            str(tmp_path / "net.toml"), str(folder / "within.png"), "os:getcwd", "torchvision:resnet18", "net.toml",
            f"s3://{place}/x", f"file://{folder}/within.png",
        ]  # fmt: skip
        ours = _network(client)
        for name in named:
            told = quote(name, safe="")
            asked = [
                f"/api/predictions?network={told}&image=sample-chelsea", f"/api/prepared?network={ours}&image={told}",
                f"/api/networks/{told}", f"/api/images/{told}/thumbnail",
                f"/api/unit?network={ours}&image=sample-chelsea&layer=1&channel=0&scan={told}",
            ]  # fmt: skip
            for path in asked:
                assert client.ask(path).status == 404, path
            job = {"kind": "explain", "network": ours, "image": "sample-chelsea", "method": "saliency", "target": "1"}
            for change in ({"network": name}, {"image": name}, {"target": name}, {"target": f"class:1@{name}"}):
                assert client.post("/api/jobs", job | change).status in (404, 422), change
            assert "no such network" in _told(client, name)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


class _Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_weights_that_would_run_something_run_nothing(tmp_path: Path) -> None:
    evil, marker = tmp_path / "evil.pth", tmp_path / "it ran"
    torch.save({"conv.weight": _Trap(marker)}, evil)
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps(_Trap(marker)))
    policy = Policy(new_token())
    explorer = Explorer.of(networks=[str(evil), str(bare)], policy=policy, cache=Cache(tmp_path / "cache"))
    explorer.warm()
    with serving(explorer) as client:
        for network in client.ask("/api/networks").json:
            id = network["id"]
            job = {"kind": "explain", "network": id, "image": "sample-chelsea", "method": "saliency", "target": "1"}
            answers = [
                client.ask(f"/api/networks/{id}"), client.ask(f"/api/networks/{id}/layers"),
                client.ask(f"/api/predictions?network={id}&image=sample-chelsea"), client.post("/api/jobs", job),
            ]  # fmt: skip
            for answer in answers:
                assert answer.status == 422
            for words in (*(answer.json["error"] for answer in answers), _told(client, id)):
                assert network["name"] in words
                assert re.search("would run code from the file|a pickle that torch.save didn't write", words)
                assert str(tmp_path) not in words
    assert not marker.exists()


def test_a_large_body_is_refused_before_it_is_read(client: Client) -> None:
    head = (
        f"POST /api/images HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.token}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    )
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        connection.sendall(f"{head}Content-Length: {10**12}\r\nExpect: 100-continue\r\n\r\n".encode())
        answer = received(connection)
    assert answer.status == 413
    assert "at most 100000 bytes" in answer.json["error"]
    for limit, kind in ((4096, "application/json"), (100_000, f"multipart/form-data; boundary={BOUNDARY}")):
        headers = {**client.bearer, "Content-Type": kind}
        path = "/api/jobs" if limit == 4096 else "/api/images"
        assert client.ask(path, method="POST", headers=headers, body=b" " * (limit + 1)).status == 413
        assert client.ask(path, method="POST", headers=headers, body=b" " * limit).status in (400, 422)


def test_a_body_without_a_length_is_cut_off_at_the_limit(client: Client) -> None:
    """Its sender goes on for as long as it is let."""
    head = (
        f"POST /api/images HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.token}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    start = form(b"", "x.png").split(b"\r\n\r\n")[0] + b"\r\n\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"%x\r\n%b\r\n" % (len(start), start))
        try:
            while sent < 50_000_000:
                connection.sendall(b"2000\r\n" + b"x" * 8192 + b"\r\n")
                sent += 8192
        except (ConnectionError, TimeoutError):
            pass
    assert sent < 20_000_000  # what the limit and the buffers between hold
    assert client.ask("/api/networks").status == 200


def test_answers_and_log_tell_nothing(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(f"at {folder}/secret.png with {client.token}")

    capfd.readouterr()
    monkeypatch.setattr(client.explorer.images, "thumbnail", fail)
    answer = client.ask("/api/images/sample-chelsea/thumbnail")
    assert answer.status == 500
    logger = logging.getLogger("uvicorn.error")
    try:
        fail()
    except RuntimeError:
        logger.exception("at %s/secret.png with %s", folder, client.token)
    line = "".join(handler.format(record) for handler, record in _records(client, folder))
    for told in (answer.body.decode(), capfd.readouterr().err, line):
        assert "Traceback" not in told
        assert str(folder) not in told
        assert client.token not in told


def test_a_socket_that_fails_tells_nothing(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ValueError(f"at {folder}/secret.png with {client.token}")

    capfd.readouterr()
    monkeypatch.setattr(client.explorer.networks, "lens", fail)
    with client.socket("/api/camera") as camera:
        camera.send(json.dumps({"network": _network(client)}))
        camera.send(b"a frame")
        with pytest.raises(ConnectionClosedError) as closed:
            camera.recv(timeout=60)
    assert closed.value.rcvd is not None
    for told in (closed.value.rcvd.reason, capfd.readouterr().err):
        assert "Traceback" not in told
        assert str(folder) not in told
        assert client.token not in told


def _records(client: Client, folder: Path) -> list[tuple[logging.Handler, logging.LogRecord]]:
    """A line about a path and the token, as the server's handlers take it."""
    record = logging.LogRecord("uvicorn", logging.ERROR, "x", 1, f"{folder}/a.png {client.token}", (), None)
    handlers = [each for each in logging.getLogger("uvicorn").handlers if type(each) is logging.StreamHandler]
    assert len(handlers) == 1
    return [(handler, record) for handler in handlers]


def test_paths_are_taken_out_of_messages() -> None:
    assert without_paths("can't read 'C:\\Users\\ada\\x y.png': gone") == "can't read 'x y.png': gone"
    assert without_paths("no folder /home/ada") == "no folder ada"
    assert without_paths("expected 1/2, and (C, H, W) / N") == "expected 1/2, and (C, H, W) / N"


def test_it_goes_on_after_nonsense(client: Client) -> None:
    for sent in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100):
        with socket.create_connection(("127.0.0.1", client.port), timeout=5) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.05)
    assert client.ask("/api/networks").status == 200
    deep = {**client.bearer, "Content-Type": "application/json"}
    assert client.ask("/api/jobs", method="POST", headers=deep, body=b"[" * 4000).status == 400


def _network(client: Client) -> str:
    return client.explorer.networks.all()[0].id
