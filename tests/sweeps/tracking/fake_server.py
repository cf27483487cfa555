"""A stand-in for W&B's server on 127.0.0.1, in one of several tempers.

It speaks as much of the protocol as wandb-core needs to open, stream and finish a run,
and remembers what it was sent.
"""

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

KEY = "0" * 40
"""An API key of the length that wandb accepts."""


class Server:
    """A server that can be made to refuse, or to fall silent.

    Attributes:
      url: Its address.
      asked: Names of the GraphQL operations that reached it.
      streamed: Lines of history by run.
      refusal: Status and message with which every request is answered, if any.
      silent: Whether requests are accepted and never answered.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.queries: list[tuple[str, dict[str, Any]]] = []
        self.streamed: dict[str, list[str]] = {}
        self.refusal: tuple[int, str] | None = None
        self.silent = False
        self._gone = threading.Event()
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # clients that were ended
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops listening, and lets go of those that wait for an answer."""
        self._gone.set()
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if server.silent:
                    server._gone.wait()
                    self.close_connection = True
                    return
                status, answer = 200, {}
                if server.refusal:
                    status, message = server.refusal
                    answer = {"errors": [{"message": message}]}
                elif self.path == "/graphql":
                    answer = server._answer(json.loads(body))
                elif self.path.endswith("/file_stream"):
                    server._stream(self.path.split("/")[-2], json.loads(body))
                encoded = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            do_GET = do_PUT = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def _stream(self, run: str, body: dict[str, Any]) -> None:
        lines = body.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
        self.streamed.setdefault(run, []).extend(lines)

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        query, given = body["query"], body.get("variables") or {}
        words = query.replace("(", " ").replace("{", " ").split()
        name = words[1] if len(words) > 1 else ""
        self.asked.append(name)
        self.queries.append((query, given))
        if "upsertBucket" in query:
            owner = {"id": "e", "name": given.get("entity") or "someone"}
            project = {"id": "p", "name": given.get("project"), "entity": owner}
            bucket = {
                "id": "b",
                "name": given.get("name"),
                "displayName": given.get("displayName"),
                "description": "",
                "config": "{}",
                "sweepName": given.get("sweep"),
                "historyLineCount": 0,
                "project": project,
            }
            return {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}
        if "createRunFiles" in query:
            files = [
                {"name": file, "uploadUrl": f"{self.url}/upload"}
                for file in given.get("files", [])
            ]
            made = {"runID": "b", "uploadHeaders": [], "files": files}
            return {"data": {"createRunFiles": made}}
        if name == "ArtifactType":
            return {"data": {"project": None}}
        if "createArtifact(" in query:
            made = {"id": "a", "state": "COMMITTED", "artifactSequence": {"id": "s"}}
            return {"data": {"createArtifact": {"artifact": made}}}
        if "viewer" in query:
            account = {"id": "u", "entity": "someone", "username": "someone"}
            more = {"email": "", "admin": False, "flags": "{}", "teams": {"edges": []}}
            return {"data": {"viewer": account | more}}
        return {"data": {}}


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server for a while."""
    server = Server()
    try:
        yield server
    finally:
        server.close()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
