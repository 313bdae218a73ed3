#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`cfine load` against servers of known behaviour, and against `cfine serve`: load_verb.py CFINE MODEL"""
import contextlib
import csv
import http.server
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

from server import SUPPRESSED, picture, serving

CFINE, MODEL = sys.argv[1:3]


class Slow(http.server.BaseHTTPRequestHandler):
    """Answers after 20 ms, with what the path asks for."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    stall_until = 0
    seen = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Slow.seen.append((self.path, dict(self.headers), body))
        time.sleep(max(0.02, Slow.stall_until - time.monotonic()))
        if self.path == "/late" or (self.path == "/uneven" and len(Slow.seen) % 2):
            time.sleep(0.7)
        if self.path == "/close":
            self.close_connection = len(Slow.seen) > 1
            if self.close_connection:
                return
        status = int(self.path[1:]) if self.path[1:].isdigit() and len(Slow.seen) > 1 else 200
        answer = b'{"error": "as asked"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


@contextlib.contextmanager
def slow():
    Slow.seen, Slow.stall_until = [], 0
    with Quiet(("127.0.0.1", 0), Slow) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield "http://127.0.0.1:%d" % server.server_port
        finally:
            server.shutdown()
            thread.join()


def load(*words, status=0):
    done = subprocess.run([CFINE, "load", *(() if "--warmup" in words else ("--warmup", "0.1")), *words],
                          capture_output=True, text=True, timeout=120,
                          env=dict(os.environ, LSAN_OPTIONS="suppressions=%s:print_suppressions=0" % SUPPRESSED))
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def points(*words, status=0):
    return [json.loads(line) for line in load("--json", *words, status=status)[0].splitlines()]


def is_ordered(p):
    return 0 < p["p50_ms"] <= p["p90_ms"] <= p["p95_ms"] <= p["p99_ms"] <= p["p99_9_ms"] <= p["max_ms"]


def check_figures():
    """A server that takes 20 ms; bounds are wide, as the machine may be busy."""
    with slow() as url:
        one, four = points(url, "--clients", "1,4", "--seconds", "1.5", "--warmup", "0.2")
        for p, clients in ((one, 1), (four, 4)):
            assert p["clients"] == clients and is_ordered(p) and 20 <= p["p50_ms"] < 60, p
            assert abs(p["requests_per_s"] * p["mean_ms"] / 1000 - clients) < 0.15 * clients + 0.1, p  # Little's law
            assert p["busy"] == p["refused"] == p["lost"] == p["unsent"] == 0
        assert four["images_per_s"] > 2 * one["images_per_s"]
        for arrivals in ((), ("--even",)):
            p, = points(url, "--rate", "40", "--seconds", "2", "--warmup", "0", *arrivals)
            assert abs(p["good"] - 80) <= (3 if arrivals else 36), p
            assert p["rate"] == 40 and is_ordered(p) and p["p50_ms"] >= 20, p

        # Times of an open loop count from when a request was due: a stall shows in all that it held up.
        def stall():
            Slow.stall_until = time.monotonic() + 0.8
        for words in ((), ("--most-in-flight", "2")):
            timer = threading.Timer(0.6, stall)
            timer.start()
            p, = points(url, "--rate", "50", "--even", "--seconds", "2", "--warmup", "0", *words)
            timer.join()
            assert p["max_ms"] > 500 and (p["p90_ms"] > 200 if not words else p["unsent"] > 10), p


def check_troubles():
    with slow() as url:
        p, = points(url + "/503", "--clients", "2", "--seconds", "1", status=1)
        assert p["busy"] > 0 and p["good"] == 0 and "answered with 503" in p["first_problem"], p
    with slow() as url:
        p, = points(url + "/404", "--clients", "1", "--seconds", "1", status=1)
        assert p["refused"] > 0 and "as asked" in p["first_problem"], p
    with slow() as url:
        p, = points(url + "/close", "--clients", "1", "--seconds", "1", "--warmup", "0", status=1)
        assert p["lost"] > 0, p
    with slow() as url:
        Slow.seen = [None]
        assert "answered with 404" in load(url + "/404", status=1)[1]
    with slow() as url:
        p, = points(url, "--clients", "1", "--seconds", "1", "--warmup", "0", "--timeout", "5")
        assert p["lost"] == 0
    with slow() as url:  # good answers, but none within so short a time
        text, _ = load(url + "/late", "--clients", "1", "--seconds", "0.2", status=1)
        assert "no good answer" not in text and "0.2 s, which is shorter than an answer (" in text and "--seconds" in text, text
        p, = points(url + "/late", "--clients", "2", "--seconds", "0.2", status=1)
        assert p["good"] == p["lost"] == 0 and "shorter than an answer" in p["first_problem"], p
        p, = points(url, "--rate", "1", "--even", "--seconds", "0.2", status=1)
        assert p["good"] == 0 and "no request was due" in p["first_problem"] and "--seconds" in p["first_problem"], p
        p, = points(url + "/uneven", "--clients", "2", "--seconds", "0.3", "--warmup", "0")
        assert p["good"] > 0 and "only quick ones count" in p["first_problem"], p
        p, = points(url + "/late", "--clients", "1", "--seconds", "2")
        assert p["good"] > 0 and "first_problem" not in p, p
    assert "does the server run?" in load(url, status=1)[1]
    for words in (("ftp://x",), (url, "--clients", "1", "--rate", "1"), (url, "--json", "--csv"), (url, "--batch", "2"),
                  (url, "--clients", "0"), (url, "--picture", "a.gif"), ()):
        load(*words, status=2)
    assert "/nothing" in load(url, "--images", "/nothing", status=1)[1]
    assert load(url, "--token-file", "/nothing", status=1)[1].startswith("cfine: /nothing")


def check_what_is_sent(folder):
    for i in range(3):
        with open("%s/%d.ppm" % (folder, i), "wb") as f:
            f.write(picture(i))
    with open(folder + "/token", "w") as f:
        f.write("secret\nmore\n")
    with slow() as url:
        load(url, "--clients", "1", "--seconds", "1", "--warmup", "0", "--images", folder, "--token-file", folder + "/token")
        assert [body for _, _, body in Slow.seen[:4]] == [picture(0), picture(1), picture(2), picture(0)]
        path, headers, _ = Slow.seen[0]
        assert path == "/v1/detect" and headers["Authorization"] == "Bearer secret" and "Expect" not in headers
    with slow() as url:
        load(url, "--clients", "1", "--seconds", "1", "--protocol", "kserve", "--name", "m", "--batch", "2", "--images", folder)
        path, headers, body = Slow.seen[1]
        size = int(headers["Inference-Header-Content-Length"])
        tensor = b"".join(struct.pack("<I", len(p)) + p for p in (picture(1), picture(2)))
        request = json.loads(body[:size])
        assert path == "/v2/models/m/infer" and body[size:] == tensor
        assert request["inputs"][0]["shape"] == [2, 1]
        assert request["inputs"][0]["parameters"]["binary_data_size"] == len(tensor)
    with slow() as url:  # without pictures it draws one
        load(url, "--clients", "1", "--seconds", "1")
        assert Slow.seen[0][2][:3] == b"\xff\xd8\xff" and 20000 < len(Slow.seen[0][2]) < 200000, len(Slow.seen[0][2])


def check_real_server(folder):
    with serving(CFINE, MODEL, "--queue", "64") as server:
        url = server.address
        detect = points(url, "--clients", "1,8", "--seconds", "2", "--warmup", "0.2")
        kserve = points(url, "--protocol", "kserve", "--batch", "2", "--clients", "3", "--seconds", "2")
        for p in detect + kserve:
            assert p["good"] > 0 and not p["refused"] and not p["lost"] and is_ordered(p), p
        assert kserve[0]["images_per_s"] > 1.9 * kserve[0]["requests_per_s"]
        assert server.metric('cfine_requests_total{route="detect",code="200"}') >= sum(p["good"] for p in detect)
        table = list(csv.DictReader(io.StringIO(load(url, "--rate", "5,10", "--seconds", "2", "--csv")[0])))
        assert [row["rate"] for row in table] == ["5", "10"] and all(float(row["p50_ms"]) > 0 for row in table)
        text, _ = load(url, "--clients", "2,4", "--seconds", "2", "--picture", folder + "/load.svg", "--picture", folder + "/load.png")
        words = [e.text for e in xml.etree.ElementTree.parse(folder + "/load.svg").iter() if e.text and e.text.strip()]
        assert {"p50", "p99.9", "2", "4", "latency, ms", "images"} <= set(words), words
        with open(folder + "/load.png", "rb") as f:
            assert f.read(4) == b"\x89PNG"
        assert "images/s" in text and text.splitlines()[2].split()[0] == "2"
    with serving(CFINE, MODEL, "--queue", "1", "--max-batch", "1") as server:
        p, = points(server.address, "--clients", "16", "--seconds", "2", status=0)
        assert p["busy"] > 0 and p["good"] > 0, p


def main():
    with tempfile.TemporaryDirectory() as folder:
        check_figures()
        check_troubles()
        check_what_is_sent(folder)
        check_real_server(folder)


main()
