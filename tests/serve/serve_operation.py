#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`cfine serve` as who runs it meets it: secrets, limits, slow clients, reload, end. serve_operation.py CFINE MODEL"""
import base64
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings

from server import in_threads, picture, same_detections, serving

CFINE, MODEL = sys.argv[1:3]
LOCAL = "127.0.0.1"


def check_token(folder):
    with open(folder + "/token", "w") as f:
        f.write("secret\n")
    with serving(CFINE, MODEL, "--token-file", folder + "/token") as server:
        server.refused(401, "POST", "/v1/detect", picture(1))
        for wrong in ("Bearer secres", "Bearer secre", "Bearer secrets", "Bearer ", "Bearer", "Basic secret", "secret"):
            server.refused(401, "POST", "/v1/detect", picture(1), {"Authorization": wrong})
        assert server.refused(401, "GET", "/metrics")[0]["WWW-Authenticate"] == "Bearer"
        server.refused(401, "POST", "/v2/models/cfine/infer", b"{}")
        assert server.ask("GET", "/v2/health/ready")[0] == 200 and server.ask("GET", "/")[0] == 200
        server.detect(picture(1), "", {"Authorization": "Bearer secret"})


def make_certificate(folder, name):
    """A certificate that signs itself; False without openssl."""
    if not shutil.which("openssl"):
        return False
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", folder + "/%s.key" % name, "-out", folder + "/%s.crt" % name],
                   check=True, capture_output=True)
    return True


def check_tls(folder):
    if not make_certificate(folder, "one") or not make_certificate(folder, "other"):
        print("left out: TLS (there is no openssl to make a certificate)")
        return
    certificate, key = folder + "/one.crt", folder + "/one.key"
    words = ["--tls-cert", certificate, "--tls-key", key, "--patience", "2"]
    with serving(CFINE, MODEL, *words, cafile=certificate) as server:
        plain = picture(1)
        wanted = server.detect(plain)
        assert wanted
        in_threads(6, lambda _: [server.detect(plain) for _ in range(4)])
        server.refused(400, "POST", "/v1/detect", b"no picture")
        with socket.create_connection((LOCAL, server.port)) as s:
            with server.tls.wrap_socket(s, server_hostname=LOCAL) as wrapped:
                assert wrapped.version() in ("TLSv1.2", "TLSv1.3"), wrapped.version()
        try:
            stranger = http.client.HTTPSConnection(LOCAL, server.port, timeout=20,
                                                   context=ssl.create_default_context(cafile=folder + "/other.crt"))
            stranger.request("GET", "/")
        except ssl.SSLCertVerificationError:
            pass
        else:
            raise AssertionError("another certificate was taken for this one")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # these versions are obsolete: that is why
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 500, os.urandom(3000)):
            with socket.create_connection((LOCAL, server.port)) as s:
                s.sendall(garbage)
        try:
            with socket.create_connection((LOCAL, server.port)) as s, old.wrap_socket(s):
                raise AssertionError("TLS 1.1 was accepted")
        except (ssl.SSLError, ConnectionError):
            pass
        with socket.create_connection((LOCAL, server.port), timeout=20) as s:  # says nothing
            start = time.monotonic()
            assert s.recv(10) == b"" and time.monotonic() - start < 6
        assert server.detect(plain) == wanted
        done = subprocess.run([CFINE, "load", server.address, "--ca-file", certificate, "--clients", "2", "--seconds", "2",
                               "--warmup", "0", "--json"], capture_output=True, text=True)
        point = json.loads(done.stdout)
        assert done.returncode == 0 and point["good"] > 0 and point["lost"] == 0, (done.stderr, point)
        done = subprocess.run([CFINE, "load", server.address], capture_output=True, text=True)
        assert done.returncode == 1 and "cert" in done.stderr.lower(), done.stderr
    for words in (["--tls-cert", certificate, "--tls-key", folder + "/other.key"], ["--tls-cert", key, "--tls-key", key],
                  ["--tls-cert", folder + "/none", "--tls-key", key]):
        done = subprocess.run([CFINE, "serve", "--model", MODEL, "--port", "0", *words], capture_output=True, text=True)
        assert done.returncode == 1 and done.stderr.startswith("cfine: "), done.stderr


def check_full_queue():
    statuses = []
    with serving(CFINE, MODEL, "--queue", "1", "--max-batch", "1", "--decoders", "1") as server:
        big = picture(1, 1600, 1200)

        def one(_):
            for _ in range(4):
                status, headers, _ = server.ask("POST", "/v1/detect", big, {})
                assert status == 200 or status == 503 and headers["Retry-After"], status
                statuses.append(status)
        in_threads(8, one)
    assert 200 in statuses and 503 in statuses, statuses


def check_full_memory():
    """All bodies together have their bound: who comes beyond it is told to come again."""
    head = b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n"
    with serving(CFINE, MODEL, "--max-body-mb", "1", "--patience", "4") as server:
        half = [socket.create_connection((LOCAL, server.port)) for _ in range(16)]
        for s in half:
            s.sendall(head + bytes(1000000))
        end = time.monotonic() + 3
        while server.metric("cfine_body_bytes") < 15 << 20 and time.monotonic() < end:
            time.sleep(0.05)
        headers, error = server.refused(503, "POST", "/v1/detect", picture(1, 500, 500))
        assert headers["Retry-After"] == "1" and "no room" in error
        for s in half:
            s.close()
        server.wait_for_nothing()
        server.detect(picture(1, 500, 500))


def check_deadline():
    with serving(CFINE, MODEL, "--max-delay-ms", "400", "--deadline", "0.1") as server:
        server.refused(504, "POST", "/v1/detect", picture(1))
    with serving(CFINE, MODEL, "--max-delay-ms", "400") as server:
        for timeout, status in ((50000, 504), (20000000, 200)):
            body = {"parameters": {"timeout": timeout}, "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1, 1], "data":
                                                                   [base64.b64encode(picture(1)).decode()]}]}
            assert server.ask("POST", "/v2/models/cfine/infer", json.dumps(body))[0] == status
        start = time.monotonic()
        server.detect(picture(1))  # alone, it waits for others, but no longer than it should
        assert time.monotonic() - start >= 0.4


def check_slow_clients():
    """Who sends or reads too slowly is ended, and what was held for him is freed."""
    with serving(CFINE, MODEL, "--patience", "2") as server:
        def drip(text):
            start = time.monotonic()
            with socket.create_connection((LOCAL, server.port)) as s:
                s.sendall(text)
                got = b""
                try:
                    while not got and time.monotonic() - start < 20:
                        s.sendall(b"x")
                        s.settimeout(0.3)
                        try:
                            got = s.recv(100) or b"closed"
                        except TimeoutError:
                            pass
                except OSError:
                    got = b"closed"
                assert got.startswith((b"HTTP/1.1 408", b"closed")), got
                assert 1 < time.monotonic() - start < 10

        def read_nothing(_):
            noise = b"P6 1800 1800 255\n" + os.urandom(3 * 1800 * 1800)
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                s.connect((LOCAL, server.port))
                s.sendall(b"POST /v1/detect?format=jpeg HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(noise) + noise)
                assert s.recv(100).startswith(b"HTTP/1.1 200")
                time.sleep(5)
                s.settimeout(5)
                total = 0
                try:
                    while True:
                        got = s.recv(1 << 20)
                        if not got:
                            break
                        total += len(got)
                except ConnectionError:
                    pass
                assert total < 6 << 20  # what the kernel had buffered; the rest was given up
        texts = (b"", b"GET / HTTP/1.1\r\nHost: x\r\nA: ", b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
                 b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5000\r\n")
        in_threads(len(texts) + 1, lambda i: drip(texts[i]) if i < len(texts) else read_nothing(i))
        server.wait_for_nothing()
        server.detect(picture(1))


def check_half_requests():
    """Who sends a part of a request and hangs up is forgotten at once, however patient the server is with others."""
    head = b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n"
    with serving(CFINE, MODEL, "--patience", "100") as server:
        def come_and_go(i):
            r = random.Random(i)
            for _ in range(100):
                with socket.create_connection((LOCAL, server.port)) as s:
                    s.sendall(head + bytes(r.randrange(80000)))
        in_threads(6, come_and_go)
        server.wait_for_nothing()


def check_gone_clients():
    """For who has hung up, nothing is decoded or run: others do not wait for it."""
    with serving(CFINE, MODEL, "--max-delay-ms", "200") as server:
        big = picture(1)
        request = b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(big) + big
        for reset in (0, 1):
            for _ in range(20):
                with socket.create_connection((LOCAL, server.port)) as s:
                    s.sendall(request)
                    if reset:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert server.detect(picture(1))
        server.wait_for_nothing()
        gone, run = server.metric('cfine_requests_total{route="detect",code="499"}'), server.metric("cfine_images_total")
        assert gone >= 20 and run <= 3, (gone, run)


def build(folder, name, *words):
    path = folder + "/" + name
    subprocess.run([CFINE, "build", "--model", MODEL, "--batch", "4", "-o", path, *words], check=True, capture_output=True)
    return path


def check_reload(folder):
    """A plan that was replaced while requests come: none is lost, each is answered by the old one or by the new one."""
    one, other, model = build(folder, "one.plan"), build(folder, "other.plan", "--decoder-layers", "1"), folder + "/live.plan"
    image, answers, done, stop = picture(2), {}, [], threading.Event()
    for plan in (one, other):
        with serving(CFINE, plan) as server:
            answers[plan] = server.detect(image, "?threshold=0.2")
    assert answers[one] != answers[other]
    shutil.copy(one, model)
    with serving(CFINE, model) as server:
        def load(_):
            while not stop.is_set():
                got = server.detect(image, "?threshold=0.2")
                assert any(same_detections(got, wanted) for wanted in answers.values()), got
                done.append(1)

        def replace(n, plan, says):
            shutil.copy(plan, model + ".new")
            os.replace(model + ".new", model)
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("(?s)" + (says + ".*") * n)

        def control():
            try:
                for n, plan in enumerate((other, one, other)):
                    replace(n + 1, plan, "opened anew")
                    for _ in range(3):
                        assert same_detections(server.detect(image, "?threshold=0.2"), answers[plan])
                with open(folder + "/broken.plan", "wb") as f:
                    f.write(open(one, "rb").read()[:5000])
                replace(1, folder + "/broken.plan", "stays as it was")
                os.unlink(model)
                server.process.send_signal(signal.SIGHUP)
                server.wait_for("(?s)stays as it was.*stays as it was")
                assert same_detections(server.detect(image, "?threshold=0.2"), answers[other])
            finally:
                stop.set()
        in_threads(5, lambda i: control() if i == 4 else load(i))
        assert server.metric('cfine_reloads_total{result="ok"}') == 3
        assert server.metric('cfine_reloads_total{result="failed"}') == 2
        server.wait_for_nothing() # an answer is counted when it has been sent
        assert server.metric('cfine_requests_total{route="detect",code="200"}') == len(done) + 10


def check_plan_spoilt(folder):
    """The file of a plan that is being served is cut short or overwritten in place: nobody notices, until SIGHUP."""
    plan, image = build(folder, "spoilt.plan"), picture(2)
    with open(plan, "rb") as f:
        size = len(f.read())
    for spoil in (b"", os.urandom(size)):
        with serving(CFINE, plan) as server:
            answer = server.detect(image, "?threshold=0.2")
            with open(plan, "r+b") as f:
                good = f.read()
                f.seek(0)
                f.truncate(len(spoil))
                f.write(spoil)
            assert server.detect(image, "?threshold=0.2") == answer
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("stays as it was")
            assert server.detect(image, "?threshold=0.2") == answer
        with open(plan, "wb") as f:
            f.write(good)


def check_same_port():
    """A second server on a port that is taken says so and ends; the first goes on."""
    with serving(CFINE, MODEL) as server:
        second = subprocess.run([CFINE, "serve", "--model", MODEL, "--port", str(server.port)], capture_output=True, text=True)
        assert second.returncode == 1 and second.stderr.count("\n") == 1, second
        assert re.search("port %d: Address already in use; .*--port" % server.port, second.stderr), second
        server.detect(picture(1))


def check_end(folder):
    """SIGTERM under load: every request that reached the server is answered, kept connections are told to close."""
    log, answered, refused = folder + "/access.jsonl", [], []
    with serving(CFINE, MODEL, "--access-log", log) as server:
        ended = threading.Event()

        def client(i):
            connection = server.connect()
            while True:
                try:
                    connection.connect() if connection.sock is None else None
                except ConnectionRefusedError:
                    assert ended.is_set()
                    refused.append(i)
                    return
                connection.request("POST", "/v1/detect", picture(i % 3))
                reply = connection.getresponse()  # a closed connection here is a lost request
                reply.read()
                assert reply.status == 200, reply.status
                answered.append(1)
                if i % 2:
                    connection.close()

        def control():
            time.sleep(0.7)
            ended.set()
            server.process.send_signal(signal.SIGTERM)
        in_threads(9, lambda i: control() if i == 8 else client(i))
        assert server.process.wait(30) == 0 and len(refused) == 8
        with open(log) as f:
            lines = [json.loads(line) for line in f]
        assert len([x for x in lines if x["status"] == 200]) == len(lines) == len(answered) > 8, (len(lines), len(answered))
        assert {"time", "client", "ms", "queue_ms", "compute_ms", "batch", "bytes_in"} <= set(lines[0])
        server.has_ended()


def check_end_newcomers():
    """SIGTERM while clients connect anew all the time: whoever was let in is answered, none is cut off with the door."""
    def client(port):
        while True:
            with socket.socket() as connection:
                try:
                    connection.connect((LOCAL, port))
                except ConnectionRefusedError:
                    return
                connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                reply = b""
                while more := connection.recv(4096):
                    reply += more
                assert reply.startswith(b"HTTP/1.1 200"), reply

    for _ in range(12):
        with serving(CFINE, MODEL) as server:
            def control():
                time.sleep(0.2)
                server.process.send_signal(signal.SIGTERM)
            in_threads(13, lambda i: control() if i == 12 else client(server.port))
            assert server.process.wait(30) == 0
            server.has_ended()


def check_log_anew(folder):
    """SIGHUP opens the access log anew, as logrotate wants it."""
    log = folder + "/rotated.jsonl"

    def wait_for_line(path):  # it is written after the answer was sent
        for _ in range(200):
            if os.path.exists(path) and len(open(path).readlines()) == 1:
                return
            time.sleep(0.05)
        raise AssertionError(open(path).read())
    with serving(CFINE, MODEL, "--access-log", log) as server:
        server.detect(picture(1))
        wait_for_line(log)
        os.rename(log, log + ".1")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("opened anew")
        server.detect(picture(1))
        wait_for_line(log)
        wait_for_line(log + ".1")


def check_log_fails(folder):
    """An access log that cannot be written or opened anew is said once, and nobody waits for it."""
    with serving(CFINE, MODEL, "--access-log", "/dev/full") as server:
        for _ in range(3):
            server.detect(picture(1))
        server.wait_for("/dev/full: the access log cannot be written: No space left on device")
        assert server.said().count("access log") == 1, server.said()
    log = folder + "/logs/access.jsonl"
    os.mkdir(folder + "/logs")
    with serving(CFINE, MODEL, "--access-log", log) as server:
        os.rename(folder + "/logs", folder + "/moved")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("access.jsonl: the access log cannot be opened anew: No such file or directory")
        server.detect(picture(1))
    with open(folder + "/moved/access.jsonl") as f:
        assert len(f.readlines()) == 1


def main():
    with tempfile.TemporaryDirectory() as folder:
        check_token(folder)
        check_tls(folder)
        check_full_queue()
        check_full_memory()
        check_deadline()
        check_slow_clients()
        check_half_requests()
        check_gone_clients()
        check_reload(folder)
        check_plan_spoilt(folder)
        check_same_port()
        check_end(folder)
        check_end_newcomers()
        check_log_anew(folder)
        check_log_fails(folder)


main()
