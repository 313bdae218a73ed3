#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Detections of DEIMv2-Atto one by one: cfine's against those of the authors' ONNX file through ONNX Runtime.

    atto_detections.py CFINE

All hundred photographs of coco100 go through `cfine detect --raw` in FP32; the same pixels go through the ONNX file, whose
outputs are boxes and scores after selection. Of the ONNX's detections with a score of 0.3 or more every one must be
cfine's too: the same class, the score within 0.01, each corner within 0.005 of the image's side. (The file's anchors are
a rounded copy of the computed ones, so errors up to 5e-4 and 1e-3 are its own.) Of its best 30 a photograph 99 % must be.
Exits 77 (skipped) without onnxruntime (tests/oracle.py) and without the data.
"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import oracle  # noqa: E402

oracle.need("numpy", "onnxruntime", "safetensors")
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

DATA = oracle.shared("data")
TOP, SCORE, CORNER = 30, 0.01, 0.005


def corners(boxes):
    return np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def found_by_onnx(session, pixels):
    """Classes, corners as fractions, scores of one picture, best first."""
    values = {i.name: pixels[None] if len(i.shape) == 4 else np.ones((1, 2), np.int64) for i in session.get_inputs()}
    out = dict(zip((o.name for o in session.get_outputs()), session.run(None, values)))
    if "scores" in out:
        classes, boxes, scores = out["labels"][0], out["boxes"][0], out["scores"][0]
    else:
        logits, raw = (next(v[0] for v in out.values() if (v.shape[-1] == 4) == is_box) for is_box in (False, True))
        flat = (1 / (1 + np.exp(-logits.astype(np.float64)))).ravel()
        order = np.argsort(-flat)[:300]
        classes, boxes, scores = order % logits.shape[1], corners(raw)[order // logits.shape[1]], flat[order]
    best = np.argsort(-scores, kind="stable")
    return classes[best], boxes[best], scores[best]


def is_among(ours, kind, box, score):
    """Whether one of our (query, class) pairs is this detection."""
    scores, boxes = ours
    return bool(np.any((np.abs(scores[:, kind] - score) <= SCORE) & (np.abs(boxes - box).max(1) <= CORNER)))


def main():
    model, photos = os.path.join(DATA, "deimv2_atto_coco"), os.path.join(DATA, "coco100", "images")
    if not os.path.isdir(model) or not os.path.isdir(photos):
        print("skipped: CFINE_SHARED has no data/deimv2_atto_coco and data/coco100")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        raw = folder + "/raw.safetensors"
        subprocess.run([sys.argv[1], "detect", "--model", model, "--raw", raw, "--json", photos], check=True, stdout=subprocess.DEVNULL)
        ours = load_file(raw)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(os.path.join(model, "original.onnx"), options, providers=["CPUExecutionProvider"])
    sure = sure_found = best = best_found = 0
    for pixels, logits, boxes in zip(ours["pixel_values"], ours["logits"], ours["pred_boxes"]):
        mine = 1 / (1 + np.exp(-logits.astype(np.float64))), corners(boxes)
        for kind, box, score in list(zip(*found_by_onnx(session, pixels)))[:TOP]:
            same = is_among(mine, int(kind), box, score)
            best, best_found = best + 1, best_found + same
            if score >= 0.3:
                sure, sure_found = sure + 1, sure_found + same
    print("%d photographs: %d of %d detections of 0.3 or more are cfine's too, %d of the best %d a photograph (%.2f %%)" % (
        len(ours["logits"]), sure_found, sure, best_found, TOP, 100 * best_found / best))
    sys.exit(sure_found < sure or best_found < 0.99 * best)


main()
