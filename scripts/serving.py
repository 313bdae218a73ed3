#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""serving.py CFINE BACKEND [options]: `cfine serve` beside `cfine bench` and NVIDIA's Triton with our backend, as docs/serving.md has it.

One plan of the bundled model in bf16, batches to 8; closed loops of 1, 8 and 32 clients. What is compared takes turns,
whose order changes from turn to turn. Triton is left out where CFINE_SHARED (tests/oracle.py) has none. Prints Markdown.
"""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TOP, "tests"), os.path.join(TOP, "tests", "serve")]
import oracle  # noqa: E402
from server import serving  # noqa: E402

MODEL = os.path.join(TOP, "models", "tabletop")
SCENES = os.path.join(MODEL, "scenes")
CLIENTS = (1, 8, 32)
HTTP, GRPC, METRICS = 8140, 8141, 8142


def cfine(*words):
    done = subprocess.run([ARGS.cfine, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit("serving.py: cfine %s: %s" % (" ".join(words), done.stderr.strip()))
    return done.stdout


@contextlib.contextmanager
def triton(repository):
    with open(os.path.join(repository, "log"), "w") as log:
        process = subprocess.Popen(
            [oracle.shared("oracle", "triton.sh"), "--model-repository=" + repository, "--http-port=%d" % HTTP,
             "--grpc-port=%d" % GRPC, "--metrics-port=%d" % METRICS], stdout=log, stderr=subprocess.STDOUT)
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen("http://127.0.0.1:%d/v2/health/ready" % HTTP, timeout=5).close()
                    break
                except OSError:
                    if process.poll() is not None:
                        sys.exit("serving.py: Triton does not start:\n" + open(log.name).read())
                    time.sleep(0.1)
            yield "http://127.0.0.1:%d" % HTTP
        finally:
            process.terminate()
            process.wait()


def load(url, protocol):
    """Images a second and the median latency for each number of clients."""
    rows = cfine("load", url, "--protocol", protocol, "--images", SCENES, "--clients", ",".join(map(str, CLIENTS)),
                 "--seconds", str(ARGS.seconds), "--warmup", "0.5", "--json").splitlines()
    points = [json.loads(row) for row in rows]
    assert all(p["good"] and not p["busy"] and not p["refused"] and not p["lost"] for p in points), points
    return [(p["images_per_s"], p["p50_ms"]) for p in points]


def bench(plans):
    """Batch 1 stands beside one client, batch 8 beside those who fill batches."""
    rows = []
    for batch, plan in plans.items():
        rows.append(json.loads(cfine("bench", "--model", plan, "--scope", "image", "--precision", "bf16", "--images",
                                     SCENES, "--batch", str(batch), "--seconds", str(ARGS.seconds), "--json")))
    return [(r["images_per_s"], r["p50_ms"]) for r in (rows[0], rows[1], rows[1])]


def with_tritonclient(module, address):
    """The same closed loop by Triton's own client, a thread for each client: Python costs the cores a part of the time."""
    import numpy as np
    pictures = [open(os.path.join(SCENES, name), "rb").read() for name in sorted(os.listdir(SCENES))]
    points = []
    for clients in CLIENTS:
        times, end = [], time.monotonic() + ARGS.seconds

        def one(number):
            client, turn = module.InferenceServerClient(address), number
            while time.monotonic() < end:
                tensor = module.InferInput("image", [1, 1], "BYTES")
                tensor.set_data_from_numpy(np.array([[pictures[turn % len(pictures)]]], dtype=np.object_))
                begin = time.monotonic()
                assert client.infer("cfine", [tensor]).as_numpy("counts")[0, 0] > 0
                if time.monotonic() < end:
                    times.append(time.monotonic() - begin)
                turn += 1
        threads = [threading.Thread(target=one, args=(i,)) for i in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        points.append((len(times) / ARGS.seconds, 1e3 * sorted(times)[len(times) // 2]))
    return points


def report(turns):
    print("| | " + " | ".join("%d client%s" % (n, "s" if n > 1 else "") for n in CLIENTS) + " | p50 ms, 1 client |")
    print("|---|" + "--:|" * (len(CLIENTS) + 1))
    for name, points in turns.items():
        cells = [[p[k][0] for p in points] for k in range(len(CLIENTS))]
        p50 = [p[0][1] for p in points]
        print("| %s | %s | **%.1f** (%s) |" % (
            name, " | ".join("**%.1f** (%s)" % (sum(c) / len(c), ", ".join("%.1f" % v for v in c)) for c in cells),
            sum(p50) / len(p50), ", ".join("%.1f" % v for v in p50)))


def measure(serve, other, plans):
    turns = {}
    takes = [("`cfine serve`, KServe", lambda: load(serve, "kserve")),
             ("`cfine serve`, `/v1/detect`", lambda: load(serve, "detect")),
             ("`cfine bench`, scope image, batch 1 and 8", lambda: bench(plans))]
    if other:
        takes.append(("Triton", lambda: load(other, "kserve")))
    if ARGS.tritonclient:
        import tritonclient.http
        import tritonclient.grpc
        takes = [("`cfine serve`, tritonclient HTTP", lambda: with_tritonclient(tritonclient.http, serve[7:])),
                 ("Triton, tritonclient HTTP", lambda: with_tritonclient(tritonclient.http, other[7:])),
                 ("Triton, tritonclient gRPC", lambda: with_tritonclient(tritonclient.grpc, "127.0.0.1:%d" % GRPC))]
        takes = takes if other else takes[:1]
    for turn in range(ARGS.turns):
        for name, take in takes if turn % 2 == 0 else takes[::-1]:
            turns.setdefault(name, []).append(take())
    report(turns)


def main():
    has_triton = os.path.exists(oracle.shared("oracle", "triton.sh"))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        plans = {batch: os.path.join(folder, "batch%d.plan" % batch) for batch in (1, 8)}
        for batch, plan in plans.items():
            cfine("build", "--model", MODEL, "--precision", "bf16", "--batch", str(batch), "-o", plan)
        server = stack.enter_context(serving(ARGS.cfine, plans[8]))
        other = None
        if has_triton:
            repository = os.path.join(folder, "models")
            cfine("triton", "--model", plans[8], "--backend", ARGS.backend, "-o", repository, "--max-batch", "8")
            other = stack.enter_context(triton(repository))
        else:
            print("Triton is not here (CFINE_SHARED)", file=sys.stderr)
        measure("http://127.0.0.1:%d" % server.port, other, plans)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("cfine")
parser.add_argument("backend", help="libtriton_cfine.so")
parser.add_argument("--turns", type=int, default=3)
parser.add_argument("--seconds", type=float, default=3, help="for each load of each turn")
parser.add_argument("--tritonclient", action="store_true", help="ask by Triton's own client instead of cfine load")
ARGS = parser.parse_args()
if ARGS.tritonclient:
    oracle.need("numpy", "tritonclient.grpc", "tritonclient.http")
main()
