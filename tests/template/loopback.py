"""HTTP servers on loopback for the tests, and Lambda's Runtime API of one instance of a function."""

import contextlib
import http.server
import sys
import threading

HOST = "127.0.0.1"


class Quiet(http.server.BaseHTTPRequestHandler):
    """A handler that writes nothing about the requests to the output."""

    def body(self):
        if self.headers["transfer-encoding"] != "chunked":
            return self.rfile.read(int(self.headers["content-length"]))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "content-length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client may leave, as a function does that ends while it waits for an invocation."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def serving(handler):
    """The address of a server on loopback, which ends with the context."""
    with Server((HOST, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{HOST}:{server.server_port}"
        server.shutdown()


def runtime_api(next_invocation, take_answer):
    """Lambda's Runtime API. `next_invocation` gives the bytes of the next event and a dictionary of the headers whose
    names begin with `Lambda-Runtime-`, without that. `take_answer` gets whether the invocation succeeded, and its
    answer."""

    class Handler(Quiet):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            assert self.path == "/2018-06-01/runtime/invocation/next", self.path
            event, headers = next_invocation()
            self.answer(200, event, {f"Lambda-Runtime-{name}": value for name, value in headers.items()})

        def do_POST(self):
            take_answer(self.path.endswith("/response"), self.body())
            self.answer(202, b"{}")

    return Handler
