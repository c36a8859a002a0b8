"""Tracking servers that are no good: each yields its port on the loopback address."""

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Failing(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(500)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def refusing():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@contextlib.contextmanager
def hanging():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


@contextlib.contextmanager
def failing():
    server = HTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
