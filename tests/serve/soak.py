#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server under good and bad clients at once: soak.py CFINE MODEL SECONDS

Every good request is answered right (or told to come again), every bad one with its error, and memory stays where it was after the first
third. Prints what was done.
"""
import json
import os
import random
import socket
import struct
import sys
import time

from server import in_threads, picture, resident, serving

CFINE, MODEL, SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])
GOOD, BAD = 4, 4


def rude(server, r, good):
    """One client that misbehaves on a socket of its own; whatever it hears is right as long as the server lives."""
    head = b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(good)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
        choice = r.randrange(6)
        if choice == 0:
            s.sendall(r.randbytes(r.randrange(2000)))
        elif choice == 1:
            s.sendall((head + good)[:r.randrange(len(head) + len(good))])
        elif choice == 2:  # whole, but gone before the answer; with a reset instead of a polite end
            s.sendall(head + good)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif choice == 3:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        elif choice == 4:
            s.sendall(b"POST /v2/models/cfine/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc")
        else:
            s.sendall(b"GET /" + b"a" * r.randrange(100000) + b" HTTP/1.1\r\n")


def refused(server, status, *request):
    got, _, answer = server.ask(*request)
    assert got == 408 or got in (status, 503) and json.loads(answer)["error"], (got, status, request[:2], answer)


def bad_request(server, r, good):
    """A whole request that must be refused."""
    data = bytearray(good)
    choice = r.randrange(6)
    if choice == 0:
        refused(server, 400, "POST", "/v1/detect", bytes(data[:r.randrange(1, len(data) - 1)]))
    elif choice == 1:
        refused(server, 400, "POST", "/v1/detect", r.randbytes(1000))
    elif choice == 2:
        refused(server, 413, "POST", "/v1/detect", bytes(1 << 21))
    elif choice == 3:
        refused(server, 400, "POST", "/v2/models/cfine/infer", b'{"inputs":[{"name":"image","datatype":"BYTES",'
                       b'"shape":[%d,1],"data":["%s"]}]}' % (r.randrange(-9, 1 << 40), b"A" * r.randrange(100)))
    elif choice == 4:
        refused(server, 400, "POST", "/v2/models/cfine_raw/infer", b'{"inputs":[]}' + r.randbytes(400),
                       {"Inference-Header-Content-Length": "13"})
    else:
        refused(server, 400, "POST", "/v1/detect", b"P6 60000 60000 255\n" + bytes(100))


def main():
    done = {"good": 0, "busy": 0, "refused": 0, "rude": 0}
    with serving(CFINE, MODEL, "--max-body-mb", "1", "--patience", "6") as server:
        pictures = [picture(i, 160 + 16 * i, 150) for i in range(8)]
        expected = [[d["label"] for d in server.detect(p, "?threshold=0.3")] for p in pictures]
        start, memory = time.monotonic(), []

        def client(i):
            r = random.Random(i)
            while time.monotonic() < start + SECONDS:
                k = r.randrange(8)
                if i == 0:
                    memory.append((time.monotonic() - start, resident(server.process)))
                if i < GOOD:
                    status, headers, answer = server.ask("POST", "/v1/detect?threshold=0.3", pictures[k])
                    if status == 503:  # those who have left keep the queue full for a moment
                        assert headers["Retry-After"]
                        done["busy"] += 1
                        time.sleep(0.05)
                        continue
                    assert status == 200, (status, answer)
                    assert [d["label"] for d in json.loads(answer)["detections"]] == expected[k]
                    done["good"] += 1
                elif r.random() < 0.5:
                    bad_request(server, r, pictures[k])
                    done["refused"] += 1
                else:
                    try:
                        rude(server, r, pictures[k])
                    except OSError:
                        pass  # the server hung up first, as it may
                    done["rude"] += 1
        in_threads(GOOD + BAD, client)
        early = [kib for when, kib in memory if when > SECONDS / 3]
        print(done, "KiB after a third: %d, at the end: %d" % (early[0], early[-1]))
        assert early[-1] < early[0] * 1.1 + 16384, memory[::max(1, len(memory) // 50)]
        time.sleep(9)  # the slow ones are ended
        assert server.metric("cfine_body_bytes") == 0 and server.metric("cfine_connections") <= 2
        assert len(os.listdir("/proc/%d/fd" % server.process.pid)) < 40


main()
