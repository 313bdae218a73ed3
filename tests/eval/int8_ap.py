#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""int8 from pictures to AP, on the bundled model: int8_ap.py CFINE MODEL SMALL

Calibrated on the scenes that come with the model, int8 must find what FP32 finds, within 1 % of its AP on the evaluation
set; from a plan file the same. What cannot work says what to do: no calibration, the calibration of another model
(SMALL), a broken file, pictures that cannot be read.
"""
import json
import os
import subprocess
import sys
import tempfile

CFINE, MODEL, SMALL = sys.argv[1:4]
DATA = ("--data", MODEL + "/eval/instances.json", "--images", MODEL + "/eval/images", "--json")


def run(*words, status=0):
    done = subprocess.run([CFINE, *words], capture_output=True, text=True)
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def ap(*words):
    return json.loads(run("eval", *DATA, *words)[0])["AP"]


def main():
    with tempfile.TemporaryDirectory() as folder:
        good, plan, bad = folder + "/good.json", folder + "/int8.plan", folder + "/bad.json"
        int8 = ("--model", MODEL, "--precision", "int8")
        run("calibrate", "--model", MODEL, "--images", MODEL + "/scenes", "--judged", "4", "-o", good)
        file = json.load(open(good))
        on = sum(o["int8"] for o in file["operators"].values())
        assert file["images"] == 6 and file["source"] == "images" and 30 <= on < len(file["operators"]), (file["images"], on)

        single, quantised = ap("--model", MODEL), ap(*int8, "--calibration", good)
        print("AP %.4f in FP32, %.4f in int8 (%d of %d operators)" % (single, quantised, on, len(file["operators"])))
        assert quantised >= 0.99 * single, (single, quantised)
        run("build", *int8, "--calibration", good, "-o", plan)
        planned = json.loads(run("eval", *DATA, "--model", plan)[0])
        # Kernels are timed at build: those that are chosen may round otherwise.
        assert planned["precision"] == "int8" and abs(planned["AP"] - quantised) < 0.003, planned

        picture = MODEL + "/scenes/" + sorted(os.listdir(MODEL + "/scenes"))[0]
        err = run("detect", *int8, picture, status=1)[1]
        assert "cfine calibrate" in err and "--calibration" in err, err
        err = run("detect", "--model", SMALL, "--precision", "int8", "--calibration", good, picture, status=1)[1]
        assert "of another model" in err and "calibrate this one" in err, err
        with open(bad, "w") as f:
            f.write(open(good).read()[:-100])
        err = run("detect", *int8, "--calibration", bad, picture, status=1)[1]
        assert "bad.json: is not valid JSON" in err and "truncated?" in err, err
        first = next(iter(file["ranges"]))
        with open(bad, "w") as f:
            json.dump(dict(file, ranges={}), f)
        err = run("detect", *int8, "--calibration", bad, picture, status=1)[1]
        assert "no range of " in err and "calibrate again" in err, err
        with open(bad, "w") as f:
            json.dump(dict(file, ranges=dict(file["ranges"], **{first: [float("nan"), 1]})), f)
        run("detect", *int8, "--calibration", bad, picture, status=1)

        out, err = run("bench", "--model", SMALL, "--precision", "fp32,int8", "--runs", "2", "--json")
        rows = [json.loads(line) for line in out.splitlines()]
        assert [row["precision"] for row in rows] == ["fp32", "int8"] and rows[1]["mean_ms"] > 0, rows
        assert "accuracy means nothing" in err, err

        pictures = folder + "/pictures"
        os.mkdir(pictures)
        with open(pictures + "/broken.jpg", "wb") as f:
            f.write(b"\xff\xd8\xff nothing")
        small = ("calibrate", "--model", SMALL, "--images", pictures, "--judged", "0", "-o", folder + "/small.json")
        err = run(*small, status=1)[1]
        assert "broken.jpg" in err and "none of 1 images" in err, err
        assert not os.path.exists(folder + "/small.json")
        with open(pictures + "/fine.ppm", "wb") as f:
            f.write(b"P6 64 64 255\n" + bytes(i % 251 for i in range(64 * 64 * 3)))
        err = run(*small)[1]
        assert "broken.jpg" in err and json.load(open(folder + "/small.json"))["images"] == 1, err
        run("calibrate", "--model", SMALL, "--random", "--limit", "2", "--judged", "1", "-o", folder + "/small.json")
        assert json.load(open(folder + "/small.json"))["source"] == "random"
        run("calibrate", "--model", SMALL, "--random", "--images", pictures, "-o", folder + "/x.json", status=2)


main()
