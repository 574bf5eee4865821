"""The routes of a server: answers, errors, limits and metrics."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from noise_images import png
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient
from torch import nn

import resnets
from resnets.cli import run
from resnets.errors import UsageError
from resnets.inference.explain import overlay
from resnets.serving import kserve
from resnets.serving.app import make_app
from resnets.serving.limits import Limits
from resnets.serving.service import Service

MakeClient = Callable[..., TestClient]


def form(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    """Return files for a form, named 0, 1, ..."""
    return [("image", (str(number), content)) for number, content in enumerate(contents)]


def test_answers_are_those_of_predict(
    client: TestClient, digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For the same files `resnets predict --json` gives the same classes, to the probabilities' rounding."""
    files = [tmp_path / f"{number}.png" for number in range(5)]
    for number, file in enumerate(files):
        file.write_bytes(png(number))
    capsys.readouterr()
    assert run(["predict", str(digits_run), *map(str, files), "--json", "--top", "3"]) == 0
    expected = json.loads(capsys.readouterr().out)
    answer = client.post("/predict?top=3", files=[("image", (file.name, file.read_bytes())) for file in files])
    assert answer.status_code == 200
    for one, other in zip(answer.json()["predictions"], expected, strict=True):
        assert one["image"] == Path(other["image"]).name
        assert [found["name"] for found in one["classes"]] == [found["name"] for found in other["classes"]]
        probabilities = [found["probability"] for found in other["classes"]]
        assert [found["probability"] for found in one["classes"]] == pytest.approx(probabilities, abs=1e-5)
    raw = client.post("/predict?top=3", content=files[0].read_bytes()).json()["predictions"]
    first = answer.json()["predictions"][0]["classes"]
    assert [one["probability"] for one in raw[0]["classes"]] == pytest.approx([one["probability"] for one in first])


def test_an_image_that_fails_fails_alone(client: TestClient) -> None:
    """Among several its error is in its place; alone it is that of the request."""
    answer = client.post("/predict", files=form(png(), b"none", png(1)))
    assert answer.status_code == 200
    assert ["error" in one for one in answer.json()["predictions"]] == [False, True, False]
    assert client.post("/predict", files=form(b"none")).status_code == 415


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("filename*=utf-8''%C3%BC.png", "ü.png"),
        ("filename=u.png; filename*=utf-8''%C3%BC.png", "u.png"),
        ("FileName* = bogus", "bogus"),
        ('filename*0="a"; filename*1="b.png"', "a"),
        ("filename*=", "image 2"),
        ('filename=""', "image 2"),
    ],
)
def test_each_file_of_a_form_is_answered(client: TestClient, sent: str, name: str) -> None:
    """Also one whose name is sent as a form must not: none is left out without an error."""
    disposition = ["form-data; name=image; filename=first.png", f"form-data; name=image; {sent}"]
    parts = [f"--x\r\nContent-Disposition: {one}\r\n\r\n".encode() + png() + b"\r\n" for one in disposition]
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/predict?top=1", content=b"".join([*parts, b"--x--\r\n"]), headers=headers)
    assert [one["image"] for one in answer.json()["predictions"]] == ["first.png", name]


def test_an_explanation_is_the_map_of_the_first_class(client: TestClient, digits_run: Path, tmp_path: Path) -> None:
    """As a transparent PNG of the network's view with its place on the image, as `resnets.explain` gives it."""
    path = tmp_path / "image.png"
    path.write_bytes(png(3, (40, 20)))
    (expected,) = resnets.explain(digits_run, path)
    (answer,) = client.post("/predict?explain=1", content=path.read_bytes()).json()["predictions"]
    found = answer["explanation"]
    assert found["class"] == answer["classes"][0]["name"] == expected.class_name
    assert (found["region"], found["size"]) == (list(expected.region), [40, 20])
    kind, _, content = found["map"].partition(",")
    assert kind == "data:image/png;base64"
    picture = Image.open(BytesIO(base64.b64decode(content)))
    assert (picture.mode, picture.size) == ("RGBA", (8, 8))
    assert np.array_equal(np.asarray(picture), np.asarray(overlay(expected.map)))
    assert "explanation" not in client.post("/predict", content=path.read_bytes()).json()["predictions"][0]


def test_a_network_without_maps_explains_nothing(served: resnets.Model) -> None:
    """Its page does not ask for maps, and a request for one is refused."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    model = dataclasses.replace(served, network=network, engine=None)
    with TestClient(make_app(model, name="flat", limits=Limits())) as client:
        assert "Evidence" not in client.get("/").text
        assert client.post("/predict", content=png()).status_code == 200
        answer = client.post("/predict?explain=1", content=png())
        assert answer.status_code == 422 and "Sequential" in answer.json()["error"]


TENSOR = {"name": "images", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": [0] * 64}


def tensor(**changed: Any) -> str:
    return json.dumps({"inputs": [TENSOR | changed]})


INFER = "/v2/models/digits/infer"


@pytest.mark.parametrize(
    ("path", "content", "headers", "code"),
    [
        ("/predict", b"", {}, 400),
        ("/predict", b"text", {"content-type": "text/plain"}, 415),
        ("/predict", png()[:300], {}, 422),
        ("/predict", png(size=(400, 300)), {}, 413),
        ("/predict", bytes(200_000), {}, 413),
        ("/predict", png(), {"content-encoding": "gzip"}, 415),
        ("/predict?top=0", png(), {}, 422),
        ("/predict?top=many", png(), {}, 422),
        ("/predict?topk=1", png(), {}, 422),
        ("/predict?explain=yes", png(), {}, 422),
        ("/predict", b"no form", {"content-type": "multipart/form-data; boundary=x"}, 400),
        ("/predict", b"no form", {"content-type": "multipart/form-data"}, 400),
        ("/predict", b"--x\r\n\r\n\r\n--x--", {"content-type": "multipart/form-data; boundary=x"}, 400),
        ("/predict", b"--x\r\n\r\nab", {"content-type": "multipart/form-data; boundary=x"}, 400),
        ("/predict", b"--x--", {"content-type": "multipart/related; boundary=x"}, 415),
        (INFER, b"{", {}, 400),
        (INFER, b"\xff", {}, 400),
        (INFER, b'{"parameters": ' + b"[" * 50_000, {}, 400),
        (INFER, b"[]", {}, 422),
        (INFER, b'{"inputs": []}', {}, 422),
        (INFER, tensor(name="pixels"), {}, 422),
        (INFER, tensor(shape=[]), {}, 422),
        (INFER, tensor(shape=[-1, 8, 8, 1]), {}, 422),
        (INFER, tensor(shape=[9, 8, 8, 1]), {}, 413),
        (INFER, tensor(data=[0] * 63), {}, 422),
        (INFER, tensor(data=[256] * 64), {}, 422),
        (INFER, tensor(data=[0.5] * 64), {}, 422),
        (INFER, tensor(data=[-1] * 64), {}, 422),
        (INFER, tensor(data=[True] * 64), {}, 422),
        (INFER, tensor(data=["7"] * 64), {}, 422),
        (INFER, tensor(data=7), {}, 422),
        (INFER, tensor(data=[10**30] * 64), {}, 422),
        (INFER, tensor(data=[[1, 2], [3]]), {}, 422),
        (INFER, tensor(data=[list(range(31)), list(range(33))]), {}, 422),
        (INFER, tensor(data=[[]] * 64), {}, 422),
        (INFER, tensor(shape=[8, 8, 1]), {}, 422),
        (INFER, tensor(shape=[10**30, 8, 8, 1]), {}, 413),
        (INFER, json.dumps({"inputs": [TENSOR, TENSOR]}), {}, 422),
        ("/v2/models/other/infer", tensor(), {}, 404),
        ("/healthz", b"", {}, 405),
    ],
)
def test_every_refusal_is_json_of_one_field(
    make_client: MakeClient, path: str, content: bytes, headers: dict[str, str], code: int
) -> None:
    """A request that is malformed, too large or of another kind has its code and a message."""
    client = make_client(max_body=0.1, max_pixels=0.1, max_images=3)
    answer = client.post(path, content=content, headers=headers)
    assert answer.status_code == code, answer.text
    assert list(answer.json()) == ["error"]


def test_more_images_than_allowed_are_refused(make_client: MakeClient) -> None:
    """Before any of them is decoded."""
    client = make_client(max_images=2)
    assert client.post("/predict", files=form(b"a", b"b", b"c")).status_code == 413


def test_pixels_are_inferred_as_files_are(client: TestClient, served: resnets.Model) -> None:
    """KServe's tensors are the pixels of the prepared image; data may be nested or flat, and the id comes back."""
    metadata = client.get("/v2/models/digits").json()
    assert metadata["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 8, 8, 1]}]
    image = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8)
    expected = served.probabilities(image).numpy()
    for data in (image.tolist(), image.ravel().tolist()):
        request = {"id": "a", "inputs": [TENSOR | {"shape": [2, 8, 8, 1], "data": data}]}
        answer = client.post(INFER, json=request).json()
        assert (answer["model_name"], answer["id"]) == ("digits", "a")
        found = answer["outputs"][0]
        assert (found["name"], found["shape"]) == ("probabilities", [2, 10])
        assert np.allclose(np.reshape(found["data"], (2, 10)), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["images", "other"])
@pytest.mark.parametrize("item", [b"[]", b"{}", b"1.5", b"7", b'""'])
def test_data_of_another_size_is_not_decoded(served: resnets.Model, name: str, item: bytes) -> None:
    """Its lists would hold the whole server for seconds and take a hundred times the bytes of the request."""
    head = json.dumps({"inputs": [TENSOR | {"name": name, "data": []}]}).encode().removesuffix(b"]}]}")
    body = head + b",".join([item] * 300_000) + b"]}]}"
    service = Service(served, "digits", Limits())
    tracemalloc.start()
    try:
        with pytest.raises(HTTPException) as refused:
            asyncio.run(kserve.infer(body, service))
        assert refused.value.status_code == 422
        assert tracemalloc.get_traced_memory()[1] < 3 * len(body) + 100_000
    finally:
        tracemalloc.stop()
        service.close()


def test_health_and_metadata(client: TestClient) -> None:
    """The addresses that KServe and Kubernetes ask, and a HEAD of the page."""
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/digits/ready").json() == {"name": "digits", "ready": True}
    assert client.get("/v2").json()["name"] == "resnets"
    assert client.head("/").status_code == 200
    assert client.get("/v2/models/other").status_code == 404


def test_metrics_count_requests_by_route_and_code(client: TestClient) -> None:
    """Unknown paths are one route, so that nobody can make the metrics grow."""
    client.post("/predict", content=png())
    client.post("/predict", content=b"none")
    for number in range(3):
        client.get(f"/{number}")
    text = client.get("/metrics").text
    for line in (
        'resnets_requests_total{code="200",route="/predict"} 1.0',
        'resnets_requests_total{code="415",route="/predict"} 1.0',
        'resnets_requests_total{code="404",route="other"} 3.0',
        'resnets_request_seconds_count{route="/predict"} 2.0',
        "resnets_batch_images_count 1.0",
        "resnets_waiting_images 0.0",
        "resnets_requests_in_progress 0.0",
    ):
        assert line in text


def at_once(served: resnets.Model, limits: Limits, work: Callable[[httpx.AsyncClient], Any]) -> Any:
    """Return what some work with an asynchronous client of the application returns."""

    async def main() -> Any:
        app = make_app(served, name="digits", limits=limits)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
        ):
            return await work(client)

    return asyncio.run(main())


def test_overload_is_answered_by_503_and_recovered_from(served: resnets.Model) -> None:
    """What is above the queue's limit is refused at once and may be retried; what is in it is answered, in batches."""

    async def work(client: httpx.AsyncClient) -> None:
        answers = await asyncio.gather(*(client.post("/predict", content=png(number)) for number in range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] * 6 + [503] * 14
        for answer in answers:
            if answer.status_code == 503:
                assert int(answer.headers["retry-after"]) > 0 and list(answer.json()) == ["error"]
        assert (await client.post("/predict", content=png())).status_code == 200
        sizes = (await client.get("/metrics")).text
        assert "resnets_batch_images_sum 7.0" in sizes and "resnets_requests_in_progress 0.0" in sizes

    at_once(served, Limits(queue=6, max_wait=500), work)


def test_a_request_has_only_so_much_time(served: resnets.Model) -> None:
    """A body that does not arrive is the client's fault; an answer that takes too long may be retried."""

    async def slowly() -> AsyncIterator[bytes]:
        yield png()[:100]
        await asyncio.sleep(30)

    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.post("/predict", content=slowly())).status_code == 408
        late = await client.post("/predict", content=png())
        assert late.status_code == 503 and "retry-after" in late.headers

    at_once(served, Limits(timeout=0.2, max_wait=2000), work)


@pytest.mark.parametrize(
    "limits",
    [
        {"batch_size": 0},
        {"max_wait": -1},
        {"queue": 0},
        {"timeout": float("nan")},
        {"max_body": -1},
        {"timeout": float("inf")},
    ],
)
def test_impossible_limits_are_refused(limits: dict[str, float]) -> None:
    """Before anything is loaded, naming the limit."""
    with pytest.raises(UsageError, match=next(iter(limits))):
        resnets.serve("absent", **limits)  # type: ignore[arg-type]


def test_a_large_image_is_prepared_like_a_small_one(client: TestClient, digits_run: Path, tmp_path: Path) -> None:
    """A photo of another shape and mode is resized and cropped as `predict` does it."""
    path = tmp_path / "photo.jpg"
    Image.effect_noise((640, 480), 80).convert("CMYK").save(path)
    expected = resnets.predict(digits_run, path)[0]
    found = client.post("/predict", content=path.read_bytes()).json()["predictions"][0]["classes"]
    assert [one["probability"] for one in found] == pytest.approx(expected.probabilities, abs=1e-5)
