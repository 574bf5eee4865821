"""`serve`: a trained network on a port, until a signal stops it."""

from __future__ import annotations

import contextlib
import logging
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.errors import RunError, UsageError, import_extra, public
from resnets.serving.limits import Limits

if TYPE_CHECKING:
    from resnets.inference.model import Model

EXTRA = "serve"
BACKLOG = 2_048  # connections that wait to be accepted, as uvicorn has it
CLOSING_SECONDS = 5.0  # after the last request's time is up


@public
def serve(
    path: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    name: str | None = None,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int = 32,
    max_wait: float = 2.0,
    max_images: int = 32,
    max_body: float = 32.0,
    max_pixels: float = 50.0,
    timeout: float = 30.0,
    queue: int = 64,
    log: bool = True,
) -> None:
    """Serve a trained network over HTTP until SIGTERM or SIGINT; what was accepted by then is answered.

    Args:
        path: a run folder or a weights file.
        host, port: where to listen; port 0 is any that is free.
        name: the model's name in answers and addresses, the last part of `path` unless given.
        engine: `auto`, the fastest here, or as in `optimize`.
        device: `auto` is the first GPU, else the CPU.
        precision: `fp32`, `bf16` or `auto`.
        batch_size: most images that are computed at once.
        max_wait: milliseconds to wait for more images, when fewer are there.
        max_images: most images in a request.
        max_body: most megabytes of a request.
        max_pixels: most megapixels of an image.
        timeout: most seconds of a request.
        queue: most requests at once; the next ones are refused with 503.
        log: whether each request is a line on standard error.

    Raises: WeightsError, as `load`; UsageError, for an impossible setting, a network whose input is neither RGB nor
        grey, or where the extra `serve` is not installed; RunError, if the port is taken.
    """
    for package in ("starlette", "uvicorn", "python_multipart", "prometheus_client"):
        import_extra(package, EXTRA)
    limits = Limits(
        batch_size=batch_size,
        max_wait=max_wait,
        max_images=max_images,
        max_body=max_body,
        max_pixels=max_pixels,
        timeout=timeout,
        queue=queue,
    )
    name = _name_for(path) if name is None else name
    if not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        raise UsageError(f"name is {name!r}; it must be of letters, digits, dots, hyphens and underscores")
    with bound(host, port) as listener:
        model = _prepared(path, engine, device, precision, batch_size)
        _run(model, name, limits, listener, log)


def _name_for(path: str | Path) -> str:
    last = Path(path).absolute().name.removesuffix(".safetensors")
    return re.sub(r"[^\w.-]+", "-", last, flags=re.ASCII).strip("-.") or "model"


@contextlib.contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """Give a socket that listens at an address: what connects before the server runs waits, and is then answered.

    Raises: RunError, if that is not possible; UsageError, for what is no host or port.
    """
    with contextlib.ExitStack() as opened:
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            listener = opened.enter_context(socket.socket(family))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)  # at once: until a socket listens, another one may be bound to its port
        except OSError as error:
            raise RunError(f"{host}:{port}: failed to listen ({error.strerror}); --port sets another port") from None
        except OverflowError:
            raise UsageError(f"port is {port}; it must be from 0 to 65,535") from None
        except ValueError:  # what no name of a host can be
            raise UsageError(f"host is {host!r}; it must be a name or an address, such as 127.0.0.1") from None
        yield listener


def _prepared(path: str | Path, engine: str, device: str, precision: str, batch_size: int) -> Model:
    from resnets.data.given_images import require_colours
    from resnets.inference.engine import require_engine
    from resnets.inference.model import load
    from resnets.inference.optimize import optimize

    require_engine(engine)
    model = load(path, device=device)
    require_colours(model.classes_and_input()[1].channels, path)
    print(f"preparing engine {engine}")
    return optimize(model, engine=engine, precision=precision, batch_size=batch_size)


def _run(model: Model, name: str, limits: Limits, listener: socket.socket, log: bool) -> None:
    import uvicorn

    from resnets.runtime.device import keep_freed_memory
    from resnets.serving.app import make_app
    from resnets.serving.protocol import Protocol

    class Connection(Protocol):
        head_seconds = limits.timeout

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            host, port = listener.getsockname()[:2]
            address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            print(f"serving {name} at {address} ({_engine(model)}); SIGTERM or Ctrl+C stops it", flush=True)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Stop on a signal as uvicorn does, and do not raise it again at the end: a stop is no failure."""
            signals = (signal.SIGINT, signal.SIGTERM)
            before = [signal.signal(signum, self.handle_exit) for signum in signals]
            try:
                yield
            finally:
                for signum, handler in zip(signals, before, strict=True):
                    signal.signal(signum, handler)

    for logger in ("uvicorn.error", "python_multipart"):
        logging.getLogger(logger).setLevel(logging.ERROR)  # only failures; requests have lines of their own
    if model.device.type == "cpu":
        keep_freed_memory()
    config = uvicorn.Config(
        make_app(model, name=name, limits=limits, log=log),
        http=Connection,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(limits.timeout + CLOSING_SECONDS) + 1,
    )
    Server(config).run([listener])


def _engine(model: Model) -> str:
    found = model.engine
    assert found is not None
    return f"engine {found.name}, {found.precision} on {found.device}"
