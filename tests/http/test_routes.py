"""What all routes have in common, asked by whoever means no good; and what trains, and the log of a run."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from danlu.tests.http.asking import JSON, sent
from danlu.tests.http.graphs import training
from danlu.tests.server import Server

RUN = "0123456789abcdef01234567"
COMMAND = "/danlu/train/finish"
"""A POST like any other; nothing trains, so that a request that is taken is answered with 409."""
MEGABYTES = 2**20


def ask(server: Server, method: str, path: str, body: Any = None, headers: Any = None) -> tuple[int, dict[str, Any]]:
    """(status, JSON)"""
    status, found, told = sent(server, method, path, body, headers or {})
    return status, json.loads(found) if told.get("Content-Type", "").startswith("application/json") else {}


def post(server: Server, body: bytes, **headers: str) -> int:
    return ask(server, "POST", COMMAND, body, {**JSON, **{k.replace("_", "-"): v for k, v in headers.items()}})[0]


# Bodies


@pytest.mark.parametrize("body", [b"", b"{}", b'{"more": [1, 2]}'])
def test_a_body_that_is_taken(server: Server, body: bytes) -> None:
    status, found = ask(server, "POST", COMMAND, body, JSON)
    assert (status, found) == (409, {"error": "no training runs"})


@pytest.mark.parametrize(
    "body", [b"{", b"\xff\xfe{}", b"[]", b'"text"', b"null", b"[" * 100_000, b'{"n": ' + b"9" * 5000 + b"}"]
)
def test_a_body_that_is_no_json_object(server: Server, body: bytes) -> None:
    status, found = ask(server, "POST", COMMAND, body, JSON)
    assert status == 400 and "the body" in found["error"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_forms_of_other_pages(server: Server, kind: str) -> None:
    """What a browser sends across origins without asking first."""
    assert post(server, b"{}", Content_Type=kind) == 415


def test_a_hundred_megabytes_are_refused_before_they_are_sent(server: Server) -> None:
    with _raw(server, f"Content-Length: {100 * MEGABYTES}") as connection:
        assert b" 413 " in connection.recv(1000).split(b"\r\n")[0], "nothing of the body was sent"


def test_a_body_without_an_end_is_refused_after_a_few(server: Server) -> None:
    """In pieces, so that nobody knows how many there are to come."""
    with _raw(server, "Transfer-Encoding: chunked") as connection:
        sent, piece = 0, b"100000\r\n" + b" " * MEGABYTES + b"\r\n"
        connection.settimeout(0.2)
        while sent < 100:
            try:
                connection.sendall(piece)
                sent += 1
                if answer := connection.recv(1000):
                    break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                answer = b"HTTP/1.1 413 "
                break
    assert b" 413 " in answer.split(b"\r\n")[0] and sent < 20, "megabytes were taken"


def test_a_small_body_that_becomes_large(server: Server) -> None:
    assert post(server, gzip.compress(b" " * 100 * MEGABYTES), Content_Encoding="gzip") == 413


def _raw(server: Server, header: str) -> socket.socket:
    host = urlsplit(server.url).netloc
    connection = socket.create_connection((urlsplit(server.url).hostname or "", server.process.port), timeout=60)
    lines = [f"POST {COMMAND} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", header]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


# Origins


def test_pages_of_this_server(server: Server) -> None:
    for headers in ({"Origin": server.url, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert ask(server, "POST", COMMAND, b"{}", {**JSON, **headers})[0] == 409


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://"])
def test_pages_of_other_servers(server: Server, origin: str) -> None:
    assert post(server, b"{}", Origin=origin) == 403


def test_an_origin_that_is_no_address(server: Server) -> None:
    """The host itself stumbles over it, with 500, where it looks at origins."""
    assert post(server, b"{}", Origin="http://[") in (403, 500)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unheard-of"])
def test_what_the_browser_says_is_from_elsewhere(server: Server, site: str) -> None:
    assert post(server, b"{}", Sec_Fetch_Site=site) == 403
    assert post(server, b"{}", Sec_Fetch_Site=site, Origin=server.url) == 403


# Ids


@pytest.fixture(scope="module")
def logged(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of ten steps, and one elsewhere that a link leads to."""
    runs = server.base / "user" / "__danlu" / "runs"
    outside = tmp_path_factory.mktemp("outside")
    for folder in (runs / RUN, outside):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").write_text("{}", encoding="utf-8")
        lines = [json.dumps({"step": step, "loss": 1 / step, "learning_rate": 1e-4}) for step in range(1, 11)]
        (folder / "log.jsonl").write_text("\n".join(lines), encoding="utf-8")
    link = runs / RUN[::-1]
    link.symlink_to(outside, target_is_directory=True)
    yield runs / RUN
    link.unlink()


def log(server: Server, run: str, query: str = "") -> tuple[int, dict[str, Any]]:
    return ask(server, "GET", f"/danlu/runs/{run}/log{query}")


def test_the_log_of_a_run(server: Server, logged: Path) -> None:
    status, found = log(server, RUN)
    assert status == 200 and [point[0] for point in found["points"]] == list(range(1, 11)) and found["last"] == 10
    assert [point[0] for point in log(server, RUN, "?from=8")[1]["points"]] == [8, 9, 10]
    (logged / "log.jsonl").open("a", encoding="utf-8").write("\n".join(["", *_many_lines()]))
    assert len(log(server, RUN)[1]["points"]) <= 2000 and len(log(server, RUN, "?points=100")[1]["points"]) <= 100
    assert len(log(server, RUN, "?points=99999999")[1]["points"]) <= 4000, "as many as the page likes"


def _many_lines() -> list[str]:
    return [json.dumps({"step": step, "loss": 0.5, "learning_rate": 1e-4}) for step in range(11, 9000)]


@pytest.mark.parametrize(
    "run",
    [
        "..",
        "../runs/" + RUN,
        quote(f"../runs/{RUN}", safe=""),
        "%2e%2e%2f" + RUN,
        "..%5c" + RUN,
        f"{RUN}%00",
        f"{RUN}%0a",
        f"./{RUN}",
        quote("/etc", safe=""),
        "{absolute}",
        RUN[::-1],
        RUN.upper(),
        RUN[1:],
        "f" * 24,
        "%F0%9F%94%A5",
    ],
)
def test_ids_that_lead_elsewhere(server: Server, logged: Path, run: str) -> None:
    status, found = log(server, run.replace("{absolute}", quote(str(logged), safe="")))
    assert status == 404 and "points" not in found


def test_ids_and_numbers_without_measure(server: Server, logged: Path) -> None:
    assert log(server, "a" * 1000)[0] == 414
    assert log(server, RUN, f"?from={'9' * 1000}")[0] == 414
    for bad in ("from=one", "from=1.5", "points=%00", "points=1e3"):
        status, found = log(server, RUN, f"?{bad}")
        assert status == 400 and "whole number" in found["error"]
    assert log(server, RUN, "?from=-5&points=-5")[0] == 200


def test_other_methods_and_commands(server: Server, logged: Path) -> None:
    assert ask(server, "POST", f"/danlu/runs/{RUN}/log", b"{}", JSON)[0] == 405
    assert ask(server, "GET", COMMAND)[0] == 404, "the host looks for a file of this name"
    assert ask(server, "POST", "/danlu/train/explode", b"{}", JSON)[0] == 404
    assert ask(server, "DELETE", f"/danlu/runs/{RUN}/log")[0] == 405


# What trains


def test_what_trains_now_and_what_has_trained(studio: Server) -> None:
    """In the middle of a training, after it, and after the server was started again."""
    assert ask(studio, "GET", "/danlu/train") == (200, {"now": None})
    since = len(studio.messages)
    extra = {"extra_pnginfo": {"workflow": {"id": "a-workflow"}}}
    prompt = studio.queue(training("flux", seed=7001, steps=60, save_every=20, name="told"), extra_data=extra)
    studio.wait_for(lambda message: message.type == "danlu.step" and message.data["step"] > 2, 120, since)
    now = ask(studio, "GET", "/danlu/train")[1]["now"]
    assert (now["node"], now["prompt"], now["workflow"], now["steps"]) == ("train", prompt, "a-workflow", 60)
    assert now["step"] > 2 and now["memory"].startswith("RAM ")
    run = studio.wait(prompt, since=since)
    assert run.ok, run.explain()
    assert ask(studio, "GET", "/danlu/train")[1]["now"] is None

    events = [(message.type, message.data) for message in run.messages if message.type.startswith("danlu.")]
    assert [kind for kind, _ in events if kind != "danlu.step"] == ["danlu.run", *["danlu.checkpoint"] * 3, "danlu.end"]
    (id,) = run.outputs["train"]["danlu_run"]
    assert {data["run"] for _, data in events} == {id}
    told = [point[0] for kind, data in events if kind == "danlu.step" for point in data["points"]]
    assert told == sorted(set(told)) and told[-1] == 60
    found = log(studio, id)[1]
    assert [point[0] for point in found["points"]] == list(range(1, 61)) and found["checkpoints"] == [20, 40, 60]
    assert {step: (loss, mean) for step, loss, mean, _ in found["points"]}.items() >= {
        step: (loss, mean) for kind, data in events if kind == "danlu.step" for step, loss, mean in data["points"]
    }.items()
    assert [step for step, _ in found["validation"]["trained"]] == [0, 20, 40, 60]

    studio.restart()
    assert log(studio, id)[1] == found


def test_a_cancelled_training_trains_no_more(studio: Server) -> None:
    since = len(studio.messages)
    prompt = studio.queue(training("flux", seed=7002, steps=5000, name="told"))
    studio.wait_for(lambda message: message.type == "danlu.step", 120, since)
    studio.interrupt()
    run = studio.wait(prompt, since=since)
    assert run.interrupted and ask(studio, "GET", "/danlu/train")[1]["now"] is None
    kinds = [message.type for message in run.messages if message.type.startswith("danlu.")]
    assert kinds[-1] == "danlu.end"
