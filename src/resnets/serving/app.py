"""The routes of a server as a Starlette application."""

from __future__ import annotations

import asyncio
import contextlib
import http
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from resnets.data.stored_file import InMemoryFile
from resnets.errors import nearest
from resnets.files import to_json
from resnets.inference.model import Model
from resnets.networks.registry import name_of
from resnets.pages import environment
from resnets.quantities import megabytes, plural
from resnets.serving import kserve
from resnets.serving.bodies import image_files, read_body
from resnets.serving.limits import Limits
from resnets.serving.metrics import Observed
from resnets.serving.service import Service

Handler = Callable[[Request], Awaitable[Response]]
RETRY = {"Retry-After": "1"}  # seconds
POLICY = (  # of the page: it needs nothing else
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "img-src blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CLOSED_BY_CLIENT = 499  # nginx's; nobody reads it but the log


def make_app(model: Model, *, name: str, limits: Limits, log: bool = False) -> Starlette:
    """Return the application that serves a model under a name; it ends the model's threads when it is shut down.

    Raises: WeightsError, if the weights have no classes and input.
    """
    service = Service(model, name, limits)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        service.close()

    html = _page(service)

    async def index(_: Request) -> Response:
        return Response(html, media_type="text/html", headers={"Content-Security-Policy": POLICY})

    async def health(_: Request) -> Response:
        return answer({"status": "ok"} if service.is_ready else {"error": "the model's thread has ended"}, service)

    async def metrics(_: Request) -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    def fixed(content: Callable[[Service], dict[str, Any]]) -> Handler:
        async def handler(_: Request) -> Response:
            return answer(content(service), service)

        return handler

    model_path = f"/v2/models/{name}"
    routes = [
        Route("/", index),
        Route("/predict", limited(_predict, service), methods=["POST"]),
        Route("/healthz", health),
        Route("/metrics", metrics),
        Route("/v2", fixed(kserve.server)),
        Route("/v2/health/live", fixed(lambda _: {"live": True})),
        Route("/v2/health/ready", fixed(lambda _: {"ready": service.is_ready})),
        Route(model_path, fixed(kserve.metadata)),
        Route(f"{model_path}/ready", fixed(lambda _: {"name": name, "ready": service.is_ready})),
        Route(f"{model_path}/infer", limited(_infer, service), methods=["POST"]),
    ]
    handlers: dict[Any, Callable[..., Response]] = {HTTPException: _refused, Exception: _failed}
    observed = Middleware(Observed, metrics=service.metrics, paths=[route.path for route in routes], log=log)
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers, middleware=[observed])


def answer(content: Any, service: Service) -> Response:
    """Return a JSON response, 503 where the service cannot answer requests any more."""
    return Response(to_json(content), 200 if service.is_ready else 503, media_type="application/json")


def limited(handler: Callable[[Request, bytes, Service], Awaitable[Response]], service: Service) -> Handler:
    """Return a handler of requests and their bodies that takes a limited number at once, and a limited time for each.

    Raises: HTTPException, 503 with Retry-After, or 408 if the body took the time; and as `read_body`.
    """

    async def within(request: Request) -> Response:
        limits, body = service.limits, None
        if service.in_progress >= limits.queue:
            raise HTTPException(503, f"{plural(limits.queue, 'request')} are in progress already; try again", RETRY)
        service.in_progress += 1
        try:
            async with asyncio.timeout(limits.timeout):
                body = await read_body(request, limits.body_bytes)
                return await handler(request, body, service)
        except TimeoutError:
            if body is None:
                raise HTTPException(408, f"the body did not arrive within {limits.timeout:g} seconds") from None
            raise HTTPException(503, f"the answer took more than {limits.timeout:g} seconds", RETRY) from None
        except ClientDisconnect:
            return Response(status_code=CLOSED_BY_CLIENT)
        finally:
            service.in_progress -= 1

    return within


async def _infer(_: Request, body: bytes, service: Service) -> Response:
    return Response(await kserve.infer(body, service), media_type="application/json")


async def _predict(request: Request, body: bytes, service: Service) -> Response:
    top, explain = _options(request)
    content_type, most = request.headers.get("content-type", ""), service.limits.max_images
    files = await service.in_thread(service.threads.submit(image_files, body, content_type, most))

    async def one(file: InMemoryFile) -> dict[str, Any]:
        try:
            return await service.classify(file, top, explain)
        except HTTPException as error:
            if len(files) == 1:
                raise
            return {"image": str(file), "error": error.detail}

    found = await asyncio.gather(*map(one, files))
    return Response(to_json({"model": service.name, "predictions": found}), media_type="application/json")


def _options(request: Request) -> tuple[int, bool]:
    """Return `top` and `explain` of the query. Raises: HTTPException, 422, for a parameter that is not theirs."""
    known = {"top": "5", "explain": "0"}
    for name in request.query_params:
        if name not in known:
            raise HTTPException(422, f"there is no parameter {name}{nearest(name, known)}; known: {', '.join(known)}")
    top, explain = (request.query_params.get(name, default) for name, default in known.items())
    if not (top.isascii() and top.isdecimal() and len(top) < 10 and int(top)):
        raise HTTPException(422, f"top is {top!r}; it must be a whole number of 1 or more")
    if explain not in ("0", "1"):
        raise HTTPException(422, f"explain is {explain!r}; it must be 0 or 1")
    return int(top), explain == "1"


def _refused(request: Request, error: HTTPException) -> Response:
    """Return an error as all are: JSON of one field."""
    detail, path = error.detail, request.scope["path"]
    if detail == http.HTTPStatus(error.status_code).phrase:  # Starlette's own
        match error.status_code:
            case 404:
                detail = f"there is nothing at {path}"
            case 405:
                detail = f"{request.method} {path} is not allowed; use {(error.headers or {}).get('Allow', 'another')}"
    return Response(to_json({"error": detail}), error.status_code, error.headers, "application/json")


def _failed(_: Request, error: Exception) -> Response:
    return Response(to_json({"error": f"internal error: {type(error).__name__}"}), 500, None, "application/json")


def _page(service: Service) -> str:
    """Return the page on which one tries the model, in the report's style."""
    return (
        environment("resnets.serving")
        .get_template("serve.html")
        .render(
            name=service.name,
            network=name_of(service.model.network),
            classes=service.classes,
            expected=service.input_spec,
            explains=service.explainer is not None,
            most_bytes=service.limits.body_bytes,
            most=megabytes(service.limits.body_bytes),
        )
    )
