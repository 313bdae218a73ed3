#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""accuracy.py CFINE: what precisions and calibrations cost, as the tables of docs/accuracy.md (Markdown, on stdout).

The bundled model on its evaluation set, calibrated on its own scenes; and, where the environment variable CFINE_SHARED
names the folder that has them, DEIMv2-Atto on COCO photographs.
"""
import json
import os
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CFINE = sys.argv[1] if len(sys.argv) > 1 else os.path.join(TOP, "build", "release", "cli", "cfine")


def run(*words):
    done = subprocess.run([CFINE, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit("accuracy.py: cfine %s: %s" % (" ".join(words), done.stderr.strip()))
    return done.stdout


class Data:
    def __init__(self, model, annotations, images, pictures):
        self.model, self.annotations, self.images, self.pictures = model, annotations, images, pictures

    def eval(self, *words):
        return json.loads(run("eval", "--model", self.model, "--data", self.annotations, "--images", self.images,
                              "--json", *words))

    # int8 without a calibration is refused, but timed by bench, which can measure what that would give.
    def made_up(self, *words):
        row = json.loads(run("bench", "--model", self.model, "--data", self.annotations, "--images", self.images,
                             "--scope", "forward", "--precision", "int8", "--runs", "1", "--json", *words))
        return row["AP"] if "AP" in row else row["ap"]

    def calibrate(self, path, *words):
        source = () if "--random" in words else ("--images", self.pictures)
        run("calibrate", "--model", self.model, *source, "-o", path, *words)
        operators = json.load(open(path))["operators"].values()
        return "%d of %d" % (sum(o["int8"] for o in operators), len(operators))


def line(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def row(name, in_int8, ap, ap50, base):
    line(name, in_int8, "%.4f" % ap, "%.4f" % ap50 if ap50 is not None else "", "%+.2f %%" % (100 * (ap - base) / base))


def table(data, title, variants, methods):
    print("\n### %s\n" % title)
    line("precision", "operators in int8", "AP", "AP50", "against FP32")
    line("---", "---", "---", "---", "---")
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for name, words in methods:
            path = "%s/%d.json" % (folder, len(made))
            made.append((name, path, data.calibrate(path, *words)))
        for label, words in variants:
            single = data.eval(*words)
            row("FP32" + label, "", single["AP"], single["AP50"], single["AP"])
            half = data.eval("--precision", "bf16", *words)
            row("bf16" + label, "", half["AP"], half["AP50"], single["AP"])
            row("int8, ranges made up" + label, "all", data.made_up(*words), None, single["AP"])
            for name, path, share in made:
                result = data.eval("--precision", "int8", "--calibration", path, *words)
                row("int8, " + name + label, share, result["AP"], result["AP50"], single["AP"])


def main():
    tabletop = os.path.join(TOP, "models", "tabletop")
    every = ("--judged", "0")
    random = ("--random", "--limit", "20")
    methods = [("random pixels", random), ("pictures", ()), ("pictures, every operator", every),
               ("pictures, every operator, mse", every + ("--method", "mse")),
               ("pictures, every operator, minmax", every + ("--method", "minmax")),
               ("pictures, every operator, entropy", every + ("--method", "entropy")),
               ("random pixels, sensitivity measured", random + ("--judged", "8"))]
    table(Data(tabletop, tabletop + "/eval/instances.json", tabletop + "/eval/images", tabletop + "/scenes"),
          "The bundled model, 100 rendered scenes", [("", ())], methods)
    shared = os.environ.get("CFINE_SHARED")
    if not shared or not os.path.isdir(shared + "/data/deimv2_atto_coco"):
        print("\nDEIMv2-Atto: left out, CFINE_SHARED names no folder that has it.", file=sys.stderr)
        return
    coco = shared + "/data/coco100"
    table(Data(shared + "/data/deimv2_atto_coco", coco + "/instances.json", coco + "/images", shared + "/data/coco_calib"),
          "DEIMv2-Atto, 100 photographs of COCO val2017", [("", ()), (", 50 queries", ("--queries", "50"))], methods)


main()
