#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A hub for the tests of `cfine pull`, on a free port of the loopback interface.

    hub_server.py MODEL_DIR LOG PORT_FILE

/{owner}/{name}/resolve/{revision}/{file} answers as the real one: small files directly, weights by a redirect to
another port, with the SHA-256 and size in X-Linked-* headers. The revision chooses what goes wrong:

    main      nothing                         cut       the first answer ends half-way
    cut3      every answer ends early         norange   as cut, and ranges are ignored
    badsum    the weights have a wrong byte   sumonce   only in the first answer
    busy      503 twice, then as main         down      503 always
    private   401 without the token "secret"  garbage   weights that are no safetensors, and no checksum
    short     the weights end early, and the size says so

LOG gets one line a request: which port, method, path, range, whether a token came along, status.
"""
import hashlib
import http.server
import os
import sys
import threading

MODEL, LOG, PORT_FILE = sys.argv[1:]
SMALL_FILES = ("config.json", "preprocessor_config.json")
counts = {}
log_lock = threading.Lock()


def file_bytes(name, revision):
    if name == "model.safetensors" and revision == "garbage":
        return b"this is no model"
    with open(os.path.join(MODEL, name), "rb") as file:
        return file.read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def note(self, status):
        token = "token" if self.headers.get("Authorization") else "-"
        line = f"{self.server.role} {self.path} {self.headers.get('Range', '-')} {token} {status}\n"
        with log_lock, open(LOG, "a") as log:
            log.write(line)

    def answer(self, status, body=b"", headers=(), sent=None):
        self.note(status)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if sent is None else body[:sent])
        if sent is not None:  # the promised length never comes
            self.close_connection = True

    def do_GET(self):
        parts = self.path.strip("/").split("/")
        if self.server.role == "cdn":
            return self.serve_weights(parts[1])
        if len(parts) != 5 or parts[2] != "resolve":
            return self.answer(404, b"no such page")
        _, name, _, revision, file = parts
        key = (revision, file)
        counts[key] = counts.get(key, 0) + 1
        if name == "absent" or (name == "plain" and file == "preprocessor_config.json"):
            return self.answer(404, b"Entry not found")
        if revision == "down" or (revision == "busy" and counts[key] <= 2):
            return self.answer(503, b"busy")
        if revision == "private" and self.headers.get("Authorization") != "Bearer secret":
            return self.answer(401, b"Invalid credentials")
        if file in SMALL_FILES:
            body = file_bytes(file, revision)
            return self.answer(200, body, [("ETag", '"%s"' % hashlib.sha1(body).hexdigest())])
        if file != "model.safetensors":
            return self.answer(404, b"Entry not found")
        body = file_bytes(file, revision)
        headers = [("Location", f"http://127.0.0.1:{cdn.server_port}/weights/{revision}")]
        if revision != "garbage":
            headers += [("X-Linked-ETag", '"%s"' % hashlib.sha256(body).hexdigest()), ("X-Linked-Size", str(len(body)))]
        return self.answer(302, b"Found", headers)

    def serve_weights(self, revision):
        body = file_bytes("model.safetensors", revision)
        key = ("weights", revision)
        counts[key] = counts.get(key, 0) + 1
        first = counts[key] == 1
        if revision == "badsum" or (revision == "sumonce" and first):
            body = body[:-1] + bytes([body[-1] ^ 1])
        if revision == "short":
            body = body[: len(body) // 2]
        begin = 0
        wanted = self.headers.get("Range")
        if wanted and revision != "norange":
            begin = int(wanted.split("=")[1].split("-")[0])
        if begin >= len(body):
            return self.answer(416, b"", [("Content-Range", f"bytes */{len(body)}")])
        rest = body[begin:]
        sent = None
        if revision in ("cut", "norange") and first:
            sent = len(rest) // 2
        if revision == "cut3" and counts[key] <= 3:
            sent = len(rest) // 2
        if begin:
            return self.answer(206, rest, [("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")], sent)
        return self.answer(200, rest, [], sent)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, role):
        super().__init__(("127.0.0.1", 0), Handler)
        self.role = role

    def handle_error(self, *_):  # a client that hangs up is part of the tests
        pass


cdn = Server("cdn")
hub = Server("hub")
threading.Thread(target=cdn.serve_forever, daemon=True).start()
with open(PORT_FILE + ".tmp", "w") as port_file:
    port_file.write(str(hub.server_port))
os.rename(PORT_FILE + ".tmp", PORT_FILE)
hub.serve_forever()
