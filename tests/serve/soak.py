#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server under good and bad clients at once: soak.py CFINE MODEL SECONDS [options of cfine serve]

More good clients than the server can serve at once, and as many that send garbage, halves, corrupt and huge pictures,
wrong tensors, hang up or reset. Every good request is answered right (or told to come again), every bad one with its
error, the process lives, and memory, connections and files stay what they were. Prints what was done.
"""
import json
import os
import random
import socket
import statistics
import struct
import sys
import threading
import time
import zlib

from server import form, in_threads, picture, resident, same_detections, serving

CFINE, MODEL, SECONDS, OPTIONS = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4:]
GOOD, BAD, THRESHOLD = 6, 4, 0.3
IMAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "images")
MOST_MEGAPIXELS = 2
PATIENCE = float(OPTIONS[OPTIONS.index("--patience") + 1]) if "--patience" in OPTIONS else 6  # seconds


def file(name):
    with open(os.path.join(IMAGES, name), "rb") as f:
        return f.read()


FILES = [file(name) for name in ("rgb_420.jpg", "progressive.jpg", "rgb8.png", "lossy.webp", "rgb24.bmp")]


def png_of_size(width, height):
    """A PNG that claims to be large."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (head, data, b"IEND"))


# ---------------------------------------------------------------------------------------------------------------------
# Good clients


def as_body(connection, data):
    connection.request("POST", "/v1/detect?threshold=%g" % THRESHOLD, data)


def as_form(connection, data):
    connection.request("POST", "/v1/detect", *form([("threshold", None, b"%g" % THRESHOLD), ("image", "a.ppm", data)]))


def as_tensor(connection, data):
    element = struct.pack("<I", len(data)) + data
    root = {"parameters": {"threshold": THRESHOLD, "binary_data_output": False}, "inputs": [
        {"name": "image", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": len(element)}}]}
    text = json.dumps(root).encode()
    connection.request("POST", "/v2/models/cfine/infer", text + element, {"Inference-Header-Content-Length": str(len(text))})


def read_tensors(answer):
    values = {o["name"]: o["data"] for o in answer["outputs"]}
    return [{"label": label, "score": score, "box": values["boxes"][4 * i:4 * i + 4]}
            for i, (label, score) in enumerate(zip(values["labels"], values["scores"]))]


def good_request(connection, way, data, wanted):
    """One request on a kept connection; False if it was told to come again."""
    way(connection, data)
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    if reply.status == 503:
        assert reply.headers["Retry-After"], answer
        return False
    assert reply.status == 200, (reply.status, answer)
    found = read_tensors(answer) if way is as_tensor else answer["detections"]
    assert same_detections(found, wanted), (way.__name__, found, wanted)
    return True


# ---------------------------------------------------------------------------------------------------------------------
# Bad clients


def rude(server, r, good):
    """One client that misbehaves on a socket of its own; whatever it hears is right as long as the server lives."""
    head = b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(good)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
        choice = r.randrange(8)
        if choice == 0:
            s.sendall(r.randbytes(r.randrange(2000)))
        elif choice == 1:
            s.sendall((head + good)[:r.randrange(len(head) + len(good))])
        elif choice == 2:  # whole, but gone before the answer; with a reset instead of a polite end
            s.sendall(head + good)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif choice == 3:  # the same, politely, after a while
            s.sendall(head + good)
            time.sleep(r.random() * 0.2)
        elif choice == 4:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        elif choice == 5:
            s.sendall(b"POST /v2/models/cfine/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc")
        elif choice == 6:
            s.sendall(b"GET /" + b"a" * r.randrange(100000) + b" HTTP/1.1\r\n")
        else:
            s.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n")


def tensors(*inputs, **more):
    return json.dumps(dict(inputs=list(inputs), **more)).encode()


def bad_request(r, good):
    """The status that a whole but wrong request must get, and the request."""
    infer, raw = "/v2/models/cfine/infer", "/v2/models/cfine_raw/infer"
    image = {"name": "image", "datatype": "BYTES", "shape": [1, 1], "data": ["AAAA"]}
    binary = {"name": "image", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": 8}}
    whole = r.choice(FILES)
    choice = r.randrange(14)
    if choice == 0:
        return 400, "/v1/detect", good[:r.randrange(1, len(good) - 1)]
    if choice == 1:
        return 400, "/v1/detect", r.randbytes(1000)
    if choice == 2:
        return 413, "/v1/detect", bytes(1 << 21)
    if choice == 3:
        return 400, "/v1/detect", whole[:r.randrange(1, len(whole) * 3 // 4)]
    if choice == 4:  # the checksum of the pixels does not fit
        broken = bytearray(FILES[2])
        broken[broken.index(b"IDAT") + 20] ^= 1 << r.randrange(8)
        return 400, "/v1/detect", bytes(broken)
    if choice == 5:
        return 400, "/v1/detect", r.choice((b"P6 60000 60000 255\n" + bytes(100), png_of_size(60000, 60000), png_of_size(2000, 1001)))
    if choice == 6:
        body, head = form([("image", "a", good)])
        return 400, "/v1/detect", body[:r.randrange(len(body) - 60)], head
    if choice == 7:
        return 400, infer, tensors(dict(image, shape=[r.choice((-9, 0, 2, 1 << 40)), 1]))
    if choice == 8:
        return 400, infer, tensors(r.choice((dict(image, datatype="FP32"), dict(image, name="x"), dict(image, data=["!"]),
                                             dict(image, shape=[1, 1, 1]), dict(image, data=[1]))))
    if choice == 9:
        text = tensors(r.choice((binary, dict(binary, parameters={"binary_data_size": r.randrange(9, 1 << 40)}))))
        return 400, infer, text + struct.pack("<I", r.choice((5, 3, 1 << 31))) + b"abcd", {
            "Inference-Header-Content-Length": str(len(text))}
    if choice == 10:
        return 400, raw, tensors(dict(name="pixel_values", datatype="FP32", shape=[1, 3, 8, r.randrange(1, 99)], data=[0.5] * 9))
    if choice == 11:
        return 400, raw, b'{"inputs":[]}' + r.randbytes(400), {"Inference-Header-Content-Length": "13"}
    if choice == 12:
        return 400, infer, r.choice((b"[" * 100000, b'{"a":"\xff"}', b'{"inputs":' * 3, b"null", b""))
    return 404, r.choice(("/v2/models/none/infer", "/v2/models//infer", "/v1/detects")), good


def refused(server, status, path, body, headers=None):
    got, _, answer = server.ask("POST", path, body, headers)
    assert got == 408 or got in (status, 503) and json.loads(answer)["error"], (got, status, path, body[:100], answer)
    return got == status


# ---------------------------------------------------------------------------------------------------------------------


def main():
    done = {"right": 0, "busy": 0, "refused": 0, "refused as busy": 0, "rude": 0}
    lock = threading.Lock()

    def count(what):
        with lock:
            done[what] += 1
    with serving(CFINE, MODEL, "--max-body-mb", "1", "--patience", str(PATIENCE), "--max-megapixels", str(MOST_MEGAPIXELS),
                 *OPTIONS) as server:
        pictures = [picture(i, 160 + 16 * i, 150) for i in range(8)]
        expected = [server.detect(p, "?threshold=%g" % THRESHOLD) for p in pictures]
        start, memory = time.monotonic(), []

        def good_client(i, r):
            connection = server.connect()
            while time.monotonic() < start + SECONDS:
                k = r.randrange(8)
                if good_request(connection, (as_body, as_form, as_tensor)[i % 3], pictures[k], expected[k]):
                    count("right")
                else:  # those who have left keep the queue full for a moment
                    count("busy")
                    time.sleep(0.05)
                if i == 0:
                    memory.append((time.monotonic() - start, resident(server.process)))
            connection.close()

        def bad_client(r):
            while time.monotonic() < start + SECONDS:
                good = pictures[r.randrange(8)]
                if r.random() < 0.6:
                    count("refused" if refused(server, *bad_request(r, good)) else "refused as busy")
                    continue
                try:
                    rude(server, r, good)
                except OSError:
                    pass  # the server hung up first, as it may
                count("rude")
        in_threads(GOOD + BAD, lambda i: good_client(i, random.Random(i)) if i < GOOD else bad_client(random.Random(i)))
        middle = statistics.median(kib for when, kib in memory if SECONDS / 3 < when < SECONDS * 2 / 3)
        last = statistics.median(kib for when, kib in memory if when > SECONDS * 2 / 3)
        print(done, "KiB in the second third: %d, in the last: %d, at most: %d" % (middle, last, max(k for _, k in memory)))
        assert done["right"] > SECONDS / 4 and done["refused"] > SECONDS / 2, done
        assert last < middle * 1.05 + 8192, memory[::max(1, len(memory) // 50)]
        server.wait_for_nothing(PATIENCE + 20)  # the slow ones are ended
        assert len(os.listdir("/proc/%d/fd" % server.process.pid)) < 40
        assert same_detections(server.detect(pictures[0], "?threshold=%g" % THRESHOLD), expected[0])


main()
