# SPDX-License-Identifier: Apache-2.0
"""A `cfine serve` under test: started on a free port of the loopback, asked over HTTP, ended."""
import contextlib
import http.client
import json
import os
import random
import re
import ssl
import subprocess
import tempfile
import threading
import time


SUPPRESSED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli", "lsan.supp")


def picture(seed, width=200, height=150):
    """A PPM file with some rectangles."""
    r = random.Random(seed)
    pixels = bytearray(bytes(r.choices(range(256), k=3)) * (width * height))
    for _ in range(6):
        colour, x, y = bytes(r.choices(range(256), k=3)), r.randrange(width - 60), r.randrange(height - 60)
        for row in range(y, y + r.randrange(20, 60)):
            pixels[3 * (row * width + x):3 * (row * width + x + 50)] = colour * 50
    return b"P6 %d %d 255\n" % (width, height) + bytes(pixels)


class Server:
    def __init__(self, cfine, model, *words, cafile=None):
        self.over = False
        self.notes = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([cfine, "serve", "--model", model, "--port", "0", *words],
                                        stderr=self.notes, stdout=subprocess.PIPE,
                                        env=dict(os.environ, LSAN_OPTIONS="suppressions=" + SUPPRESSED,
                                                 ASAN_OPTIONS="quarantine_size_mb=4"))  # memory is measured
        try:
            self.port = int(self.wait_for(r"Serving .*:(\d+)$").group(1))
        except BaseException:
            self.process.kill()
            raise
        self.tls = ssl.create_default_context(cafile=cafile) if cafile else None
        self.address = "%s://127.0.0.1:%d/" % ("https" if cafile else "http", self.port)

    def has_ended(self):
        """To be called by who has ended it."""
        self.over = True
        self.process.stdout.close()

    def said(self):
        self.notes.seek(0)
        return self.notes.read()

    def wait_for(self, pattern, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, self.said(), re.M)
            if found:
                return found
            assert self.process.poll() is None, self.said()
            time.sleep(0.02)
        raise AssertionError(pattern + " not in: " + self.said())

    def connect(self, timeout=60):
        if self.tls:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None):
        """Status, headers, body."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read()
        finally:
            connection.close()

    def detect(self, body, query="", headers=None):
        status, _, answer = self.ask("POST", "/v1/detect" + query, body, headers)
        assert status == 200, (status, answer)
        return json.loads(answer)["detections"]

    def refused(self, status, method, path, body=None, headers=None):
        got, head, answer = self.ask(method, path, body, headers)
        assert got == status, (got, status, path, answer)
        error = json.loads(answer)["error"]
        assert error and "\n" not in error
        return head, error

    def metric(self, name):
        text = self.ask("GET", "/metrics")[2].decode()
        found = re.search("^" + re.escape(name) + r" (\S+)$", text, re.M)
        return float(found.group(1)) if found else 0.0

    def wait_for_nothing(self, seconds=15):
        """Until the server holds nothing for anybody but who asks for the metrics."""
        names = ("cfine_connections", "cfine_requests_in_flight", "cfine_queue_requests", "cfine_body_bytes")
        for _ in range(int(seconds / 0.1)):
            held = [self.metric(name) for name in names]
            if held[0] <= 1 and held[1] <= 1 and held[2:] == [0, 0]:
                return
            time.sleep(0.1)
        raise AssertionError(dict(zip(names, held)))

    def end(self, signal=15):
        self.process.send_signal(signal)
        status = self.process.wait(60)
        self.process.stdout.close()
        return status


@contextlib.contextmanager
def serving(cfine, model, *words, cafile=None):
    """With cafile the server speaks TLS with a certificate in there."""
    server = Server(cfine, model, *words, cafile=cafile)
    try:
        yield server
        if not server.over:
            assert server.process.poll() is None, server.said()
            assert server.end() == 0, server.said()
    except BaseException:
        print(server.said())
        raise
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        notes = server.said()
        server.notes.close()
    assert "Sanitizer" not in notes and "runtime error" not in notes, notes


def detected(cfine, model, files, *words):
    """What `cfine detect` finds, a list for each file."""
    done = subprocess.run([cfine, "detect", "--model", model, "--json", *words, *files], capture_output=True, text=True,
                          check=True)
    return [json.loads(line)["detections"] for line in done.stdout.splitlines()]


def same_detections(got, wanted):
    """Up to what another place in a batch changes."""
    return len(got) == len(wanted) and all(
        a["label"] == b["label"] and abs(a["score"] - b["score"]) < 2e-5 and
        max(abs(x - y) for x, y in zip(a["box"], b["box"])) < 0.02 for a, b in zip(got, wanted))


def form(parts, boundary="----edge"):
    """Body and headers of a multipart form: (name, file name or None, bytes) each."""
    body = b""
    for name, file, data in parts:
        head = 'Content-Disposition: form-data; name="%s"' % name + ('; filename="%s"' % file if file else "")
        body += b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary.encode(), head.encode(), data)
    return body + b"--%s--\r\n" % boundary.encode(), {"Content-Type": "multipart/form-data; boundary=" + boundary}


def in_threads(count, work):
    """Runs work(i) in threads and raises what one of them raised."""
    failures = []

    def run(i):
        try:
            work(i)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def resident(process):
    """KiB of memory in use."""
    with open("/proc/%d/status" % process.pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
