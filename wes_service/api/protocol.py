"""HTTP/1.1 as uvicorn speaks it, with the one shape of errors for what is no HTTP at all."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wes_service.api.errors import Answer


class JsonErrorsProtocol(HttpToolsProtocol):
    """Answers what can't be read as HTTP in JSON too."""

    def send_400_response(self, msg: str) -> None:
        body = Answer(status=400, message=msg).body
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        transport: asyncio.Transport = self.transport
        transport.write(head.encode() + body)
        transport.close()
