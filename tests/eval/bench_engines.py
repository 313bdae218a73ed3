#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`cfine bench` through the real libraries of ONNX Runtime and OpenVINO: rows run, and find what cfine finds.

    bench_engines.py CFINE MODEL FOLDER

FOLDER holds pictures. What cfine finds in them above a score becomes the truth, so that every engine in FP32 must have
the same AP, near one. The libraries are those of a Python that has them (tests/oracle.py); exits 77 (skipped) where
none has.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import oracle  # noqa: E402

CFINE, MODEL, IMAGES = sys.argv[1:4]
PYTHON = oracle.python_with("onnxruntime", "openvino")


def library(module, pattern):
    done = subprocess.run([PYTHON, "-c", "import %s; print(%s.__path__[0])" % (module, module)], capture_output=True, text=True)
    found = sorted(glob.glob(os.path.join(done.stdout.strip() or "/no/where", pattern)))
    if not found:
        oracle.skip("%s has no library in %s" % (PYTHON, module))
    return found[0]


def run(*words, status=0, **variables):
    done = subprocess.run([CFINE, *words], capture_output=True, text=True, env=dict(os.environ, **variables))
    assert done.returncode == status, (words, done.stderr)
    return done.stdout


def truth(path):
    """What cfine finds, as annotations."""
    categories, images, annotations = {}, [], []
    for line in run("detect", "--model", MODEL, "--json", "--threshold", "0.3", IMAGES).splitlines():
        found = json.loads(line)
        images.append(dict(id=len(images) + 1, file_name=os.path.basename(found["file"]), width=found["width"], height=found["height"]))
        for d in found["detections"]:
            x0, y0, x1, y1 = d["box"]
            category = categories.setdefault(d["name"], dict(id=len(categories) + 1, name=d["name"]))
            annotations.append(dict(id=len(annotations) + 1, image_id=len(images), category_id=category["id"], iscrowd=0, bbox=[x0, y0, x1 - x0, y1 - y0], area=(x1 - x0) * (y1 - y0)))
    with open(path, "w") as file:
        json.dump(dict(images=images, annotations=annotations, categories=list(categories.values())), file)


def main():
    if not PYTHON:
        oracle.skip("no Python with ONNX Runtime and OpenVINO (CFINE_ORACLE)")
    onnxruntime, openvino = library("onnxruntime", "capi/libonnxruntime.so*"), library("openvino", "libs/libopenvino_c.so*")
    with tempfile.TemporaryDirectory() as folder:
        truth(folder + "/truth.json")
        common = ["bench", "--model", MODEL, "--json", "--runs", "2", "--warmup", "0", "--images", IMAGES, "--data", folder + "/truth.json"]
        # By option and by environment variable, without Python.
        rows = [json.loads(line) for line in run(*common, "--engine", "cfine,onnxruntime,openvino", "--batch", "1,2", "--python", "/no/python",
                                                 "--onnxruntime", onnxruntime, CFINE_OPENVINO=openvino).splitlines()]
        assert len(rows) == 12 and all("mean_ms" in r and r["mean_ms"] > 0 and r["version"] for r in rows), rows
        assert all(abs(r["AP"] - rows[0]["AP"]) < 0.002 for r in rows), [(r["engine"], r["AP"]) for r in rows]
        assert rows[0]["AP"] > 0.5, rows[0]
        # What Python has installed; another precision, queries and size.
        rows = [json.loads(line) for line in run(*common, "--engine", "onnxruntime,openvino", "--python", PYTHON, "--scope", "forward", "--precision", "fp32,bf16",
                                                 "--queries", "50", "--size", "320x256").splitlines()]
        assert ["mean_ms" in r for r in rows] == [True, True, False, True] and "FP32" in rows[2]["note"], rows
        assert all(r["queries"] == 50 for r in rows) and abs(rows[0]["AP"] - rows[1]["AP"]) < 0.002, rows
        # A GPU's provider that this library lacks, and int8 without pictures: rows that say so.
        rows = [json.loads(line) for line in run(*common, "--engine", "onnxruntime-cuda,onnxruntime-tensorrt", "--scope", "forward", "--onnxruntime", onnxruntime, status=1).splitlines()]
        assert all("note" in r and ("onnxruntime-gpu" in r["note"] or "GPU" in r["note"]) for r in rows if "mean_ms" not in r), rows
        rows = [json.loads(line) for line in run(*common, "--engine", "openvino", "--precision", "int8", "--scope", "forward", "--python", PYTHON, status=1).splitlines()]
        assert "--calibration-images" in rows[0]["note"], rows
    print("ONNX Runtime and OpenVINO find what cfine finds")


main()
