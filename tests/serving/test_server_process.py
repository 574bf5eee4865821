"""`resnets serve` in a process of its own: how it starts, stops, and stands what is no request."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import fuzzing
import httpx
import pytest
from noise_images import png

Start = Callable[..., Any]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_was_accepted(start_server: Start, signum: int) -> None:
    """A request that waits for its batch is answered, an idle connection is closed, and the exit code is 0.

    The log has a line for each request, and nothing else.
    """
    server = start_server("--max-wait", "1500")
    found: list[int] = []
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as idle:
        assert idle.get("/healthz").status_code == 200  # and the connection is kept
        url = f"http://127.0.0.1:{server.port}/predict"
        request = threading.Thread(target=lambda: found.append(httpx.post(url, content=png()).status_code))
        request.start()
        while "resnets_requests_in_progress 1.0" not in idle.get("/metrics").text:
            assert request.is_alive()
            time.sleep(0.01)
        code, log = server.stop(signum)
    request.join()
    assert (code, found) == (0, [200])
    lines = log.splitlines()
    assert " GET /healthz 200 " in lines[0] and " POST /predict 200 " in lines[-1]
    assert all(" 127.0.0.1 " in line for line in lines)


CRLF = "\r\n"


def http(path: str, body: bytes, *headers: str) -> bytes:
    """Return a request."""
    lines = [f"POST {path} HTTP/1.1", "Host: here", f"Content-Length: {len(body)}", *headers]
    return CRLF.join([*lines, "", ""]).encode() + body


def malformed(count: int) -> list[bytes]:
    """Return requests of which the head, the form or an image is damaged, the rest then fitting it."""
    image = png()
    tensor = {"name": "images", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": [7] * 64}
    infer, wanted = "/v2/models/{name}/infer", json.dumps({"id": "1", "inputs": [tensor]}).encode()

    def form(*images: bytes) -> bytes:
        head = f'--x{CRLF}Content-Disposition: form-data; name="i"; filename="a"{CRLF}{CRLF}'.encode()
        return b"".join(head + one + CRLF.encode() for one in images) + b"--x--" + CRLF.encode()

    multipart = "Content-Type: multipart/form-data; boundary=x"
    part = count // 5
    whole = [*fuzzing.variants(http("/predict", form(image), multipart)[:260], part, seed=1)]
    forms = [http("/predict", body, multipart) for body in fuzzing.variants(form(image, image), part, seed=2)]
    images = [http("/predict?explain=1", body) for body in fuzzing.variants(image, part, seed=3)]
    tensors = [http(infer, body) for body in fuzzing.variants(wanted, part, seed=4, text=True)]
    both = [http("/predict", form(image, body), multipart) for body in fuzzing.variants(image, part, seed=5)]
    return [*whole, *forms, *images, *tensors, *both]


async def send(port: int, content: bytes) -> bytes:
    """Return what a server answers to some bytes; nothing, if it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(content)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        return head + await reader.readexactly(int(length.split(b":")[1]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("count", [200, pytest.param(1_000, marks=pytest.mark.slow)])
def test_malformed_requests(count: int, start_server: Start) -> None:
    """Each is answered by what its client did wrong, or closed if its head does not end; none is a 500.

    A good request is answered after them, and the log is empty.
    """
    server = start_server("--no-log", "--queue", "1000", "--name", "digits", "--timeout", "2")
    requests = [one.replace(b"{name}", b"digits") for one in malformed(count)]
    random.Random(0).shuffle(requests)

    async def main() -> list[bytes]:
        at_once = asyncio.Semaphore(100)

        async def one(content: bytes) -> bytes:
            async with at_once:
                return await send(server.port, content)

        return await asyncio.gather(*map(one, requests))

    answers = [answer for answer in asyncio.run(main()) if answer]
    codes = [int(answer.split()[1]) for answer in answers]
    assert set(codes) <= {200, 400, 404, 405, 408, 413, 415, 422, 503}, codes  # 503: on a machine that is busy
    assert {200, 400, 415, 422} <= set(codes) and len(answers) > 0.8 * count
    for code, answer in zip(codes, answers, strict=True):
        content = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert code == 200 or list(content) == ["error"]
    good = httpx.post(f"http://127.0.0.1:{server.port}/predict", content=png())
    assert good.status_code == 200
    assert server.stop(signal.SIGTERM) == (0, "")
