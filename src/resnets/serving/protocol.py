"""uvicorn's HTTP protocol, whose answer to what is not HTTP is JSON too, and counted."""

from __future__ import annotations

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from resnets.files import to_json


class Protocol(H11Protocol):
    """HTTP/1.1; what is none is answered by 400 with an error as JSON, if nothing has been answered yet."""

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = to_json({"error": "this is no HTTP/1.1 request"}).encode()
            headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
            for event in (
                h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
