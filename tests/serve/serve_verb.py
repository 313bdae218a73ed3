#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`cfine serve` as clients meet it: paths, formats, refusals. serve_verb.py CFINE MODEL"""
import base64
import json
import socket
import struct
import subprocess
import sys
import tempfile
import time

from server import detected, form, in_threads, picture, same_detections, serving

CFINE, MODEL = sys.argv[1:3]


def check_detect(server, folder):
    pictures = [picture(i, 160 + 24 * i, 150) for i in range(4)]
    files = ["%s/%d.ppm" % (folder, i) for i in range(4)]
    for path, data in zip(files, pictures):
        with open(path, "wb") as f:
            f.write(data)
    expected = detected(CFINE, MODEL, files, "--threshold", "0.1")
    assert all(expected)
    for data, wanted in zip(pictures, expected):
        assert server.detect(data, "?threshold=0.1") == wanted
        body, head = form([("threshold", None, b"0.1"), ("image", "a.ppm", data)])
        assert server.detect(body, "", head) == wanted
        assert server.detect(data, "?threshold=0.1&max_detections=2") == wanted[:2]

    # Together they run as batches, with each its own threshold.
    def one(i):
        k, least = i % 4, (0.1, 0.85)[i % 2]
        wanted = [d for d in expected[k] if d["score"] >= least]
        for _ in range(5):
            got = server.detect(pictures[k], "?threshold=%g" % least)
            assert same_detections(got, wanted), (got, wanted)
    in_threads(12, one)
    assert server.metric('cfine_batch_images_bucket{le="1"}') < server.metric("cfine_batch_images_count")

    for head, query in (({"Accept": "image/jpeg"}, ""), ({}, "?format=jpeg")):
        status, headers, answer = server.ask("POST", "/v1/detect" + query, pictures[0], head)
        assert status == 200 and headers["Content-Type"] == "image/jpeg" and answer[:3] == b"\xff\xd8\xff"


def check_refusals(server):
    good = picture(1)
    server.refused(400, "POST", "/v1/detect", b"")
    server.refused(400, "POST", "/v1/detect", b"no picture")
    server.refused(400, "POST", "/v1/detect", good[:-1000])
    server.refused(400, "POST", "/v1/detect", b"P6 30000 30000 255\n" + bytes(1000))
    server.refused(400, "POST", "/v1/detect?threshold=2", good)
    assert "'treshold'" in server.refused(400, "POST", "/v1/detect?treshold=0.2", good)[1]
    assert "''" in server.refused(400, "POST", "/v1/detect?threshold=0.2&=", good)[1]
    server.refused(400, "POST", "/v1/detect?format=tiff", good)
    server.refused(413, "POST", "/v1/detect", bytes(3 << 20))
    server.refused(413, "POST", "/v1/detect", iter([bytes(1 << 20)] * 3))
    for bad in (b"", b"--x", b"--x\r\n", b"--x\r\n\r\n", b"--x--\r\n", form([("a", None, b"b")], "x")[0],
                form([("a", "f", good), ("b", "g", good)], "x")[0], form([("a", "f", good)], "x")[0][:-2000]):
        server.refused(400, "POST", "/v1/detect", bad, {"Content-Type": "multipart/form-data; boundary=x"})
    server.refused(400, "POST", "/v1/detect", good, {"Content-Type": "multipart/form-data"})
    server.refused(404, "GET", "/nothing")
    server.refused(404, "GET", "/v2/models/other")
    server.refused(404, "POST", "/v2/models/other/infer", b"{}")
    assert server.refused(405, "GET", "/v1/detect")[0]["Allow"] == "POST"
    assert server.refused(405, "POST", "/metrics", b"")[0]["Allow"] == "GET, HEAD"
    server.refused(415, "POST", "/v2/models/cfine/infer", b"{}", {"Content-Encoding": "gzip"})
    server.refused(415, "POST", "/v1/detect", b"{}", {"Content-Encoding": "gzip"})


def infer(server, model, root, tail=b"", status=200):
    text = json.dumps(root).encode()
    head = {"Inference-Header-Content-Length": str(len(text))} if tail else {}
    got, headers, answer = server.ask("POST", "/v2/models/%s/infer" % model, text + tail, head)
    assert got == status, (got, answer)
    size = int(headers.get("Inference-Header-Content-Length", len(answer)))
    return json.loads(answer[:size]), answer[size:]


def check_kserve(server):
    _, _, answer = server.ask("GET", "/v2/models/cfine_raw")
    shape = json.loads(answer)["inputs"][0]["shape"][1:]
    good = picture(1)
    wanted = server.detect(good, "?threshold=0.3")
    image = {"name": "image", "datatype": "BYTES", "shape": [2, 1]}
    encoded = base64.b64encode(good).decode()
    answer, _ = infer(server, "cfine", {"id": "a", "parameters": {"threshold": 0.3},
                                        "inputs": [dict(image, data=[encoded, encoded])]})
    outputs = {o["name"]: o for o in answer["outputs"]}
    count = len(wanted)
    assert answer["id"] == "a" and outputs["counts"]["data"] == [count, count]
    assert outputs["labels"]["data"] == [d["label"] for d in wanted] * 2
    assert outputs["boxes"]["shape"] == [2, count, 4]
    assert all(abs(a - b["score"]) < 1e-5 for a, b in zip(outputs["scores"]["data"], wanted))

    element = struct.pack("<I", len(good)) + good
    binary = dict(image, shape=[1, 1], parameters={"binary_data_size": len(element)})
    answer, tail = infer(server, "cfine", {"parameters": {"threshold": 0.3}, "inputs": [binary], "outputs":
                                           [{"name": "scores", "parameters": {"binary_data": True}}]}, element)
    assert answer["outputs"][0]["parameters"]["binary_data_size"] == len(tail) == 4 * count
    scores = struct.unpack("<%df" % count, tail)
    assert all(abs(a - b["score"]) < 1e-5 for a, b in zip(scores, wanted))

    values = [(i * 37 % 256) / 255 for i in range(shape[0] * shape[1] * shape[2])]
    packed = struct.pack("<%df" % len(values), *values)
    pixels = {"name": "pixel_values", "datatype": "FP32", "shape": [1] + shape}
    numbers, _ = infer(server, "cfine_raw", {"inputs": [dict(pixels, data=values)]})
    raw, tail = infer(server, "cfine_raw", {"inputs": [dict(pixels, parameters={"binary_data_size": len(packed)})],
                                            "parameters": {"binary_data_output": True}}, packed)
    flat = [v for o in numbers["outputs"] for v in o["data"]]
    assert [struct.unpack("<f", struct.pack("<f", v))[0] for v in flat] == list(struct.unpack("<%df" % len(flat), tail))

    def bad(text, model="cfine", tail=b""):
        infer(server, model, text, tail, 400)
    for root in ([], {}, {"inputs": []}, {"inputs": [image]}, {"inputs": [dict(image, data=["a"])]},
                 {"inputs": [dict(image, data=["!", "!"])]}, {"inputs": [dict(image, shape=[-1, 1], data=[])]},
                 {"inputs": [dict(image, shape=[1 << 40, 1], data=[])]}, {"inputs": [dict(image, datatype="FP32")]},
                 {"inputs": [dict(image, data=["", ""])]}, {"inputs": [dict(image, shape=[9, 1], data=[""] * 9)]},
                 {"inputs": [dict(image, data=[encoded, encoded])], "outputs": [{"name": "other"}]},
                 {"inputs": [dict(image, data=[encoded, encoded])], "parameters": {"threshold": "x"}},
                 {"inputs": [dict(pixels, data=[0])]}):
        bad(root)
    bad({"inputs": [dict(pixels, data=[0] * 5)]}, "cfine_raw")
    bad({"inputs": [dict(pixels, data=[[[["a"]]]])]}, "cfine_raw")
    bad({"inputs": [dict(pixels, shape=[1, 3, 8, 8], data=[0])]}, "cfine_raw")
    bad({"inputs": [dict(pixels, parameters={"binary_data_size": 1 << 60})]}, "cfine_raw", packed)
    bad({"inputs": [dict(pixels, parameters={"binary_data_size": len(packed)})]}, "cfine_raw", packed + b"more")
    bad({"inputs": [dict(binary, parameters={"binary_data_size": 8})]}, "cfine", struct.pack("<I", 1 << 31) + b"abcd")
    server.refused(400, "POST", "/v2/models/cfine/infer", b"{", {"Inference-Header-Content-Length": "99"})
    server.refused(400, "POST", "/v2/models/cfine/infer", b"[" * 100000)
    server.refused(400, "POST", "/v2/models/cfine/infer", b'{"a":"\xff"}')


def check_rude_clients(server):
    """Clients that send half a request, garbage, or leave: the server stays."""
    address = ("127.0.0.1", server.port)
    head = b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    for text in (b"", b"\0" * 1000, b"GET", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10000, head, head + b"abc",
                 b"POST /v1/detect HTTP/1.1\r\nContent-Length: -5\r\n\r\nabc", b"\r\n" * 5000,
                 b"POST /v1/detect HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
        with socket.create_connection(address) as s:
            s.sendall(text)
    with socket.create_connection(address) as s:  # whole, but its client does not wait for the answer
        s.sendall(head[:-11] + b"%d\r\n\r\n" % len(picture(1)) + picture(1))
    started = time.monotonic()
    with socket.create_connection(address) as s:  # a byte now and then
        s.settimeout(20)
        s.sendall(head)
        got = b""
        try:
            while not got and time.monotonic() - started < 20:
                s.sendall(b"x")
                s.settimeout(0.3)
                try:
                    got = s.recv(100)
                except TimeoutError:
                    pass
        except OSError:
            pass
    assert got.startswith(b"HTTP/1.1 408"), got
    assert time.monotonic() - started < 10
    server.detect(picture(1))


def check_calibration(folder):
    """One that was made at another input size is told of, and serves."""
    file = folder + "/small.json"
    subprocess.run([CFINE, "calibrate", "--model", MODEL, "--random", "--limit", "1", "--size", "160", "-o", file], check=True)
    with serving(CFINE, MODEL, "--precision", "int8", "--calibration", file) as server:
        assert file + ": was made at 160x160, the input is 128x128; " in server.said(), server.said()
        assert server.ask("POST", "/v1/detect", picture(1))[0] == 200
    with serving(CFINE, MODEL, "--precision", "int8", "--calibration", file, "--size", "160") as server:
        assert "was made at" not in server.said(), server.said()


def main():
    with tempfile.TemporaryDirectory() as folder:
        check_calibration(folder)
        with serving(CFINE, MODEL, "--max-body-mb", "2", "--patience", "2") as server:
            status, headers, page = server.ask("GET", "/")
            assert status == 200 and headers["Content-Type"].startswith("text/html") and b"<canvas" in page
            assert b"http:" not in page and b"https:" not in page
            assert server.ask("HEAD", "/")[2] == b""
            check_detect(server, folder)
            check_refusals(server)
            check_kserve(server)
            check_rude_clients(server)


main()
