#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Triton's own client against `cfine serve` and against the real Triton with our backend.

    tritonclient_protocol.py CFINE MODEL BACKEND

Exits 77 (skipped) without tritonclient (tests/oracle.py). The part with the real server is left out, and said, where
the shared folder has none.
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import oracle  # noqa: E402

oracle.need("numpy", "tritonclient.grpc", "tritonclient.http")
import numpy as np  # noqa: E402
import tritonclient.grpc  # noqa: E402
import tritonclient.http  # noqa: E402

from server import detected, in_threads, picture, serving  # noqa: E402

CFINE, MODEL, BACKEND = sys.argv[1:4]
SIZES = ((200, 150), (160, 160), (320, 240), (120, 240))


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def images_input(module, pictures):
    tensor = module.InferInput("image", [len(pictures), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[p] for p in pictures], dtype=np.object_))
    return tensor


def check_rows(result, rows):
    """The result's rows are what `cfine detect` found, up to the rounding of its text."""
    labels, scores, boxes, counts = (result.as_numpy(n) for n in ("labels", "scores", "boxes", "counts"))
    assert counts.shape == (len(rows), 1) and labels.shape == scores.shape == boxes.shape[:2]
    for i, wanted in enumerate(rows):
        n = len(wanted)
        assert counts[i, 0] == n and (labels[i, n:] == -1).all() and (scores[i, n:] == 0).all()
        assert labels[i, :n].tolist() == [d["label"] for d in wanted]
        assert np.abs(scores[i, :n] - [d["score"] for d in wanted]).max() < 2e-5
        assert np.abs(boxes[i, :n] - [d["box"] for d in wanted]).max() < 0.02


def check_client(module, address, pictures, expected, raw):
    client = module.InferenceServerClient(address)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("cfine")
    metadata = client.get_model_metadata("cfine_raw")
    inputs = metadata["inputs"] if isinstance(metadata, dict) else metadata.inputs
    first = inputs[0] if isinstance(inputs[0], dict) else {"name": inputs[0].name, "shape": inputs[0].shape}
    assert first["name"] == "pixel_values" and [int(v) for v in first["shape"]][1] == 3
    check_rows(client.infer("cfine", [images_input(module, pictures)]), expected)
    check_rows(client.infer("cfine", [images_input(module, pictures[:1])]), expected[:1])
    only = client.infer("cfine", [images_input(module, pictures[1:2])], outputs=[module.InferRequestedOutput("counts")])
    assert only.as_numpy("counts").tolist() == [[len(expected[1])]] and only.as_numpy("boxes") is None

    pixels, logits, boxes = raw
    tensor = module.InferInput("pixel_values", list(pixels.shape), "FP32")
    tensor.set_data_from_numpy(pixels)
    result = client.infer("cfine_raw", [tensor], request_id="seven")
    assert np.abs(result.as_numpy("logits") - logits).max() < 1e-3
    assert np.abs(result.as_numpy("pred_boxes") - boxes).max() < 1e-4

    def refused(model, tensors):
        try:
            client.infer(model, tensors)
        except Exception as error:
            assert "400" in str(error) or "INVALID_ARGUMENT" in str(error), error
        else:
            raise AssertionError("a bad request was answered")
    refused("cfine", [images_input(module, [b"no picture"])])
    refused("cfine", [images_input(module, [pictures[0], b""])])
    refused("cfine", [images_input(module, pictures * 5)])
    refused("cfine", [tensor])
    wrong = module.InferInput("pixel_values", [1, 3, 8, 8], "FP32")
    wrong.set_data_from_numpy(np.zeros((1, 3, 8, 8), np.float32))
    refused("cfine_raw", [wrong])


def check_mixed(module, address, pictures, expected):
    """Good and bad requests at the same time: each gets its own answer."""
    def one(i):
        client = module.InferenceServerClient(address)
        for round in range(6):
            if (i + round) % 4 == 3:
                try:
                    client.infer("cfine", [images_input(module, [b"bad"])])
                except Exception as error:
                    assert "known format" in str(error), error
                else:
                    raise AssertionError("a bad request was answered")
            else:
                k = (i + round) % len(pictures)
                check_rows(client.infer("cfine", [images_input(module, [pictures[k]])]), [expected[k]])
    if module is tritonclient.http:  # its clients stay in the thread that made them
        in_threads(8, one)
    else:
        for i in range(4):
            one(i)


def read_raw(path):
    with open(path, "rb") as f:
        size = int.from_bytes(f.read(8), "little")
        head, data = json.loads(f.read(size)), f.read()

    def tensor(name):
        begin, end = head[name]["data_offsets"]
        return np.frombuffer(data[begin:end], np.float32).reshape(head[name]["shape"])
    return tensor("pixel_values"), tensor("logits"), tensor("pred_boxes")


def sanitizers():
    """The runtimes of sanitizers that the backend was built with: a server without them must load them first."""
    libraries = subprocess.run(["ldd", BACKEND], capture_output=True, text=True).stdout
    return re.findall(r"=> (\S*/lib(?:asan|ubsan|tsan)\.so\S*)", libraries)


def end_triton(process, log, sanitized):
    """With a sanitizer's runtime in front of them, libraries of Triton's hang in their destructors, after its models
    were unloaded: then that is as far as it goes."""
    process.terminate()
    try:
        process.wait(20 if sanitized else 60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        log.seek(0)
        text = log.read()
        assert sanitized and "successfully unloaded 'cfine'" in text and "successfully unloaded 'cfine_raw'" in text, text
        print("Triton unloaded its models, and then hung in its own exit")


def check_triton(folder, pictures, expected, raw):
    server = oracle.shared("oracle", "triton.sh")
    if not os.path.exists(server):
        print("skipped: the real Triton is not here")
        return
    repository = folder + "/models"
    for words in (["--max-batch", "8"], ["--kind", "raw", "--instances", "2"]):
        done = subprocess.run([CFINE, "triton", "--model", MODEL, "--backend", BACKEND, "-o", repository, *words],
                              capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith("tritonserver --model-repository="), done.stderr
    again = subprocess.run([CFINE, "triton", "--model", MODEL, "--backend", BACKEND, "-o", repository],
                           capture_output=True, text=True)
    assert again.returncode == 1 and "is there already" in again.stderr
    http, grpc, metrics = free_ports(3)
    runtimes = sanitizers()
    environment = dict(os.environ)
    if runtimes:
        environment.update(LD_PRELOAD=":".join(runtimes), ASAN_OPTIONS="detect_leaks=0")  # leaks: Triton's are not ours
    with open(folder + "/triton.log", "w+") as log:
        process = subprocess.Popen(
            [server, "--model-repository=" + repository, "--http-address=127.0.0.1", "--grpc-address=127.0.0.1",
             "--metrics-address=127.0.0.1", "--http-port=%d" % http, "--grpc-port=%d" % grpc,
             "--metrics-port=%d" % metrics, "--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0"],
            stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            end = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen("http://127.0.0.1:%d/v2/health/ready" % http, timeout=5).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > end:
                        log.seek(0)
                        raise AssertionError("Triton does not start:\n" + log.read())
                    time.sleep(0.2)
            for module, port in ((tritonclient.http, http), (tritonclient.grpc, grpc)):
                address = "127.0.0.1:%d" % port
                check_client(module, address, pictures, expected, raw)
                check_mixed(module, address, pictures, expected)
            done = subprocess.run([CFINE, "load", "http://127.0.0.1:%d" % http, "--protocol", "kserve", "--clients", "1,4",
                                   "--seconds", "1", "--warmup", "0.1", "--json"], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            for line in done.stdout.splitlines():
                point = json.loads(line)
                assert point["good"] > 0 and not point["refused"] and not point["lost"], point
        finally:
            end_triton(process, log, bool(runtimes))
        log.seek(0)
        text = log.read()
        assert "Sanitizer" not in text and "runtime error" not in text, text


def main():
    with tempfile.TemporaryDirectory() as folder:
        pictures = [picture(i, *size) for i, size in enumerate(SIZES)]
        files = ["%s/%d.ppm" % (folder, i) for i in range(len(pictures))]
        for path, data in zip(files, pictures):
            with open(path, "wb") as f:
                f.write(data)
        raw_file = folder + "/raw.safetensors"
        expected = detected(CFINE, MODEL, files, "--threshold", "0.5", "--raw", raw_file)
        raw = read_raw(raw_file)
        with serving(CFINE, MODEL) as server:
            address = "127.0.0.1:%d" % server.port
            check_client(tritonclient.http, address, pictures, expected, raw)
            check_mixed(tritonclient.http, address, pictures, expected)
        check_triton(folder, pictures, expected, raw)


main()
