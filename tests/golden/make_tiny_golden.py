#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/golden: two drawn pictures, and what the reference implementation finds in them with tests/data/tiny.

    make_tiny_golden.py          needs the oracle (CFINE_SHARED) and its Python

golden.txt, a line a thing:
    image FILE WIDTH HEIGHT
    raw CLASS SCORE CX CY W H            the best 100 of all queries and classes, before post-processing, as fractions
    found CLASS SCORE X1 Y1 X2 Y2        what post-processing makes of them, in pixels of the picture
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, ImageDraw
from safetensors.numpy import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
import oracle  # noqa: E402

DATA = os.path.join(HERE, "..", "data")
OUT = os.path.join(DATA, "golden")
TOP = 100


def draw(path, width, height, seed):
    """Flat shapes on a gradient, as a PNG of a few kilobytes."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    picture = Image.fromarray(np.stack([x * 200 // width, y * 150 // height, 60 + 0 * x], -1).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for i in range(25):
        x1, y1 = random.integers(0, width), random.integers(0, height)
        box = [int(x1), int(y1), int(x1 + random.integers(4, width // 3)), int(y1 + random.integers(4, height // 3))]
        colour = tuple(int(v) for v in random.integers(0, 256, 3))
        (pen.rectangle if i % 2 else pen.ellipse)(box, fill=colour)
    picture.save(path, optimize=True)


def main():
    reference = oracle.shared("oracle", "reference.py")
    if not os.path.exists(reference):
        sys.exit(f"{reference} is not there: set CFINE_SHARED")
    os.makedirs(OUT, exist_ok=True)
    names = ["wide.png", "tall.png"]
    draw(os.path.join(OUT, names[0]), 213, 120, 1)
    draw(os.path.join(OUT, names[1]), 97, 161, 2)
    with tempfile.TemporaryDirectory() as folder:
        raw = os.path.join(folder, "raw.safetensors")
        run = subprocess.run([sys.executable, reference, os.path.join(DATA, "tiny"), "--threshold", "0", "--raw", raw] +
                             [os.path.join(OUT, name) for name in names], check=True, capture_output=True, text=True)
        tensors = load_file(raw)
    with open(os.path.join(OUT, "golden.txt"), "w") as out:
        for i, line in enumerate(run.stdout.splitlines()):
            answer = json.loads(line)
            print("image", names[i], answer["width"], answer["height"], file=out)
            scores = 1 / (1 + np.exp(-tensors["logits"][i].astype(np.float64)))
            for at in np.argsort(-scores.ravel(), kind="stable")[:TOP]:
                query, label = divmod(int(at), scores.shape[1])
                print("raw", label, f"{scores[query, label]:.6f}",
                      *(f"{v:.6f}" for v in tensors["pred_boxes"][i, query]), file=out)
            for found in answer["detections"]:
                print("found", found["label"], f"{found['score']:.6f}", *(f"{v:.3f}" for v in found["box"]), file=out)


main()
