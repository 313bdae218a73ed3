#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""AP of a trained model on real photographs: coco100.py CFINE

FP32 must be the 0.251 that the reference gives (within 0.001), bf16 within 0.002 of FP32, fp16 no more than that below it, int8 calibrated on other
photographs within 1.5 % of it and better than on random pixels, and pycocotools must get the same twelve numbers from the
saved detections. Exits 77 (skipped) where the shared folder has no such data; pycocotools is left out where it is missing
(tests/oracle.py).
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import oracle  # noqa: E402

CFINE = sys.argv[1]
DATA, MODEL = oracle.shared("data", "coco100"), oracle.shared("data", "deimv2_atto_coco")
CALIBRATION = oracle.shared("data", "coco_calib")
NUMBERS = "AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl".split()


def evaluate(*words):
    done = subprocess.run([CFINE, "eval", "--model", MODEL, "--data", DATA + "/instances.json", "--images", DATA + "/images", "--json", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def calibrated(path, *source):
    done = subprocess.run([CFINE, "calibrate", "--model", MODEL, *source, "-o", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return evaluate("--precision", "int8", "--calibration", path)["AP"]


def main():
    if not os.path.isdir(DATA) or not os.path.isdir(MODEL):
        oracle.skip("no coco100 and deimv2_atto_coco in CFINE_SHARED")
    with tempfile.TemporaryDirectory() as folder:
        found = folder + "/found.json"
        single = evaluate("--save-detections", found)
        assert abs(single["AP"] - 0.251) <= 0.001, single
        real, random = calibrated(folder + "/real.json", "--images", CALIBRATION), calibrated(folder + "/random.json", "--random")
        assert real >= 0.985 * single["AP"] and real > random, (single["AP"], real, random)
        print("AP %.4f in int8 calibrated on photographs, %.4f on random pixels" % (real, random))
        half = evaluate("--precision", "bf16", "--batch", "4")
        assert abs(half["AP"] - single["AP"]) <= 0.002, half
        print("AP %.4f in FP32, %.4f in bf16" % (single["AP"], half["AP"]))
        if "avx512_fp16" in subprocess.run([CFINE, "doctor"], capture_output=True, text=True).stdout:
            half = evaluate("--precision", "fp16")
            assert half["AP"] >= single["AP"] - 0.002, half
            print("AP %.4f in fp16" % half["AP"])
        python = oracle.python_with("pycocotools")
        if python:
            answer = subprocess.run([python, oracle.shared("oracle", "coco_ap.py"), DATA + "/instances.json", found], capture_output=True, text=True)
            assert answer.returncode == 0, answer.stderr
            expected = json.loads(answer.stdout)
            worst = max(abs(expected[n] - single[n]) for n in NUMBERS)
            assert worst < 1e-6, (expected, single)
            print("pycocotools: the same twelve numbers (worst difference %.1e)" % worst)


main()
