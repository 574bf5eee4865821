"""The body of a request: read within limits, and split into image files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

from resnets.data.stored_file import InMemoryFile
from resnets.quantities import megabytes, plural

MULTIPART = b"multipart/form-data"
MOST_PARTS = 1_000
EXTENDED_NAME = re.compile(rb";\s*filename\*[^=;]*=([^;]*)", re.IGNORECASE)
"""As some clients send a name that is not ASCII, though a form must not have it: filename*=utf-8''%C3%BC.png."""


async def read_body(request: Request, most: int) -> bytes:
    """Return a request's body of at most `most` bytes.

    Raises: HTTPException, 413 if it is larger, 415 if it is compressed, 400 if it is empty.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "the body is compressed; send it as it is")
    length = request.headers.get("content-length", "0")
    body = bytearray()
    if length.isdecimal() and len(length) < 20 and int(length) <= most:
        async for part in request.stream():
            body += part
            if len(body) > most:
                break
        else:
            if not body:
                raise HTTPException(400, "the body is empty; send an image, or a form with images")
            return bytes(body)
    raise HTTPException(413, f"the body is larger than {megabytes(most)}, the most that this server takes")


def image_files(body: bytes, content_type: str, most: int) -> list[InMemoryFile]:
    """Return the image files of a body: those of a form, else the body itself, whatever its type is said to be.

    Raises: HTTPException, 400 if a form is malformed or has no file, 413 if it has more than `most` files.
    """
    kind, options = parse_options_header(content_type)
    if not kind.startswith(b"multipart/"):
        return [InMemoryFile("image", body)]
    if kind != MULTIPART:
        raise HTTPException(415, f"the body is {kind.decode('latin-1')}; send a form as multipart/form-data")
    form = _Form(most)
    try:
        parser = MultipartParser(options.get(b"boundary", b""), form.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise HTTPException(400, f"the form is malformed: {error}") from None
    if not form.ended:
        raise HTTPException(400, "the form is malformed: it ends before its last boundary")
    if not form.files:
        raise HTTPException(400, "the form has no file; send images as files, such as curl -F image=@photo.jpg")
    return form.files


@dataclass
class _Form:
    """The files of a form, in the order of its parts, while it is parsed."""

    most: int
    files: list[InMemoryFile] = field(default_factory=list)
    ended: bool = False
    parts: int = 0
    name: bytes = b""  # of a header of the part that is being read
    value: bytes = b""
    filename: bytes | None = None
    content: bytearray = field(default_factory=bytearray)

    def callbacks(self) -> dict[str, Callable[..., Any]]:
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end", "end")
        return {f"on_{name}": getattr(self, name) for name in names}

    def part_begin(self) -> None:
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise HTTPException(413, f"the form has more than {plural(MOST_PARTS, 'part')}")
        self.filename, self.content = None, bytearray()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        if self.name.lower() == b"content-disposition":
            self.filename = parse_options_header(self.value)[1].get(b"filename")
            if self.filename is None and (extended := EXTENDED_NAME.search(self.value)):
                self.filename = unquote_to_bytes(extended[1].rpartition(b"'")[2].strip(b' "'))
        self.name, self.value = b"", b""

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.content += data[start:end]

    def part_end(self) -> None:
        if self.filename is None:  # a field that is no file
            return
        if len(self.files) == self.most:
            raise HTTPException(413, f"more than {plural(self.most, 'image')}, the most that this server takes at once")
        name = self.filename.decode(errors="backslashreplace") or f"image {len(self.files) + 1}"
        self.files.append(InMemoryFile(name, bytes(self.content)))

    def end(self) -> None:
        self.ended = True
