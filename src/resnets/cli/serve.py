"""`resnets serve`."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from resnets.cli import options


def serve(
    weights: options.Trained,
    host: Annotated[str, Option(help="Address to listen on; 0.0.0.0 is all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, Option(help="Port to listen on; 0 is any that is free.", min=0, max=65535)] = 8000,
    name: Annotated[
        str | None, Option(help="The model's name in answers and addresses.", show_default="the folder's or file's")
    ] = None,
    engine: Annotated[
        str, Option(help="auto (the fastest here, found by measurement), eager, openvino or compile.")
    ] = "auto",
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    batch_size: Annotated[int, Option(help="Most images that are computed at once.", min=1)] = 32,
    max_wait: Annotated[float, Option(help="Milliseconds to wait for more images, when fewer are there.", min=0)] = 2.0,
    max_images: Annotated[int, Option(help="Most images in a request.", min=1)] = 32,
    max_body: Annotated[float, Option(help="Most megabytes of a request.")] = 32.0,
    max_pixels: Annotated[float, Option(help="Most megapixels of an image.")] = 50.0,
    timeout: Annotated[float, Option(help="Most seconds of a request.")] = 30.0,
    queue: Annotated[int, Option(help="Most requests at once; the next ones are refused with 503.", min=1)] = 64,
    log: Annotated[bool, Option("--log/--no-log", help="A line on standard error for each request.")] = True,
) -> None:
    """Serve a trained network over HTTP: a page to try it, JSON, KServe's protocol v2 and Prometheus metrics.

    SIGTERM and Ctrl+C stop it after the answers to the requests that it has accepted.
    """
    settings = dict(locals())  # each option is a setting of the same name
    from resnets.serving.server import serve as run

    run(settings.pop("weights"), **settings)
