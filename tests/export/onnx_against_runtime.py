#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exported ONNX files: accepted by the ONNX checker, and through ONNX Runtime the same as ours.

    onnx_against_runtime.py CFINE [MODEL... | --sizes SIZE...]

Without models: tests/data/tiny, and where the shared folder has them a random D-FINE-N and the trained DEIMv2-Atto. Sizes
(n, s, m, l, x) are drawn first, l and x calmly, see tests/parity/calm_checkpoint.py. Each is run on pictures by
`cfine detect --raw` and by ONNX Runtime on the same pixels, with one image and with several, and the best 100 (query,
class) scores of every image must be matched: score within 0.01, corners within 0.002, 98 % of them. Sizes are compared
with the PyTorch reference too, by the oracle's compare.py, on two photographs where PyTorch's FP32 agrees with its own FP64.
Exits 77 (skipped) without onnx and onnxruntime (tests/oracle.py).
"""
import os
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import oracle  # noqa: E402

oracle.need("numpy", "onnx", "onnxruntime", "safetensors")
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CFINE = sys.argv[1]


def run(*words):
    done = subprocess.run([CFINE, *words], capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)


def corners(boxes):
    return np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def matched(expected, ours, top=100):
    """Share of the best `top` scores of each image that ours has too, at the same place; and the worst errors of those."""
    found, total, worst = 0, 0, [0, 0]
    sigmoid = lambda v: 1 / (1 + np.exp(-v.astype(np.float64)))
    for el, eb, ol, ob in zip(sigmoid(expected[0]), corners(expected[1]), sigmoid(ours[0]), corners(ours[1])):
        for k in np.argsort(-el.ravel())[:top]:
            q, c = divmod(k, el.shape[1])
            score, box = np.abs(ol[:, c] - el[q, c]), np.abs(ob - eb[q]).max(-1)
            good = (score <= 0.01) & (box <= 0.002)
            total += 1
            if good.any():
                i = np.where(good, score / 0.01 + box / 0.002, np.inf).argmin()
                found += 1
                worst = [max(worst[0], score[i]), max(worst[1], box[i])]
    return found / total, worst


def pictures(folder, count=3):
    """Coloured rectangles on noise; real photographs instead where there are some."""
    photos = oracle.shared("data", "coco100", "images")
    if os.path.isdir(photos):
        return [os.path.join(photos, f) for f in sorted(os.listdir(photos))[:count]]
    paths = []
    for i in range(count):
        r = random.Random(i)
        pixels = np.random.RandomState(i).randint(0, 256, (240, 320, 3), np.uint8) // 4
        for _ in range(12):
            x, y = r.randrange(280), r.randrange(200)
            pixels[y:y + r.randrange(20, 120), x:x + r.randrange(20, 120)] = [r.randrange(256) for _ in range(3)]
        paths.append("%s/%d.ppm" % (folder, i))
        with open(paths[-1], "wb") as f:
            f.write(b"P6 320 240 255\n" + pixels.tobytes())
    return paths


def check(model, folder, options=(), batch=None):
    file, raw = folder + "/model.onnx", folder + "/raw.safetensors"
    run("export", "--model", model, "-o", file, *options, *(("--batch", str(batch)) if batch else ()))
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)
    assert [o.version for o in proto.opset_import] == [17]
    dims = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in list(proto.graph.input) + list(proto.graph.output)]
    assert all(d[0] == (batch or "batch") for d in dims), dims
    run("detect", "--model", model, "--raw", raw, "--threshold", "0", *options, *pictures(folder))
    ours = load_file(raw)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    pixels = ours["pixel_values"]
    step = batch or len(pixels)
    parts = [session.run(["logits", "pred_boxes"], {"pixel_values": pixels[i:i + step]}) for i in range(0, len(pixels), step)]
    theirs = [np.concatenate([p[k] for p in parts]) for k in (0, 1)]
    assert theirs[0].shape == ours["logits"].shape and theirs[1].shape == ours["pred_boxes"].shape
    share, worst = matched(theirs, (ours["logits"], ours["pred_boxes"]))
    print("%s %s: matched %.4f; worst score error %.1e, box error %.1e; %d nodes" % (os.path.basename(model), " ".join(options), share, *worst, len(proto.graph.node)))
    assert share >= 0.98, model


def session_of(file):
    onnx.checker.check_model(onnx.load(file), full_check=True)
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def check_detections(model, folder, count):
    """Detections within the network: those of the raw outputs, which check() left, in pixels of each picture."""
    file = folder + "/found.onnx"
    run("export", "--model", model, "-o", file, "--detections", str(count))
    raw = load_file(folder + "/raw.safetensors")
    sizes = np.array([[640, 480], [100, 300], [33, 7]], np.int64)
    labels, boxes, scores = session_of(file).run(["labels", "boxes", "scores"], {"pixel_values": raw["pixel_values"], "orig_target_sizes": sizes})
    logits, places = raw["logits"], corners(raw["pred_boxes"])
    assert labels.dtype == np.int64 and labels.shape == (3, min(count, logits[0].size)) and boxes.shape == labels.shape + (4,)
    for i in range(3):
        best = np.sort(logits[i].ravel())[::-1][:labels.shape[1]]
        assert np.abs(scores[i] - 1 / (1 + np.exp(-best))).max() < 1e-3
        for label, box, score in list(zip(labels[i], boxes[i], scores[i]))[:20]:
            near = np.abs(places[i] * np.tile(sizes[i], 2) - box).max(-1) / sizes[i].max() + np.abs(1 / (1 + np.exp(-logits[i][:, label])) - score)
            assert near.min() < 5e-3, (i, label, box, score, near.min())
    print("%s: detections as of the raw outputs" % os.path.basename(model))


def check_half(model, folder, share=0.98):
    """FP16 in the file; the type of what goes in and out, and half the bytes."""
    file, raw = folder + "/half.onnx", load_file(folder + "/raw.safetensors")
    run("export", "--model", model, "-o", file, "--precision", "fp16")
    session = session_of(file)
    assert {v.type for v in session.get_inputs() + session.get_outputs()} == {"tensor(float)"}
    assert os.path.getsize(file) < 0.65 * os.path.getsize(folder + "/model.onnx")
    answer = session.run(["logits", "pred_boxes"], {"pixel_values": raw["pixel_values"]})
    found, worst = matched((raw["logits"], raw["pred_boxes"]), answer)
    print("%s in FP16: matched %.4f; worst score error %.1e, box error %.1e" % (os.path.basename(model), found, *worst))
    assert found >= share, model


def check_reference(model, folder):
    """The file that check() left, against PyTorch."""
    reference, answers = folder + "/reference.safetensors", folder + "/answers.safetensors"
    photos = [oracle.shared("data", "coco100", "images", "%012d.jpg" % number) for number in (139, 802)]
    made = subprocess.run([sys.executable, oracle.shared("oracle", "reference.py"), model, *photos, "--raw", reference], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    session = onnxruntime.InferenceSession(folder + "/model.onnx", providers=["CPUExecutionProvider"])
    pixels = load_file(reference)["pixel_values"]
    logits, boxes = session.run(["logits", "pred_boxes"], {"pixel_values": pixels})
    save_file({"pixel_values": pixels, "logits": logits, "pred_boxes": boxes}, answers)
    done = subprocess.run([sys.executable, oracle.shared("oracle", "compare.py"), reference, answers], capture_output=True, text=True)
    print("%s against PyTorch: %s" % (os.path.basename(model), done.stdout.splitlines()[-1]), flush=True)
    assert done.returncode == 0, model


def draw(size, folder):
    """A drawn checkpoint of a size, or None without the oracle."""
    out, drawer = "%s/%s" % (folder, size), oracle.shared("oracle", "checkpoint.py")
    if oracle.python_with("torch", "transformers") != sys.executable or not os.path.exists(drawer):
        return None
    calm = os.path.join(HERE, "..", "parity", "calm_checkpoint.py")
    maker = calm if size in "lx" else drawer
    made = subprocess.run([sys.executable, maker, size, out, "--seed", "1" if size == "x" else "0"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return out


def check_sizes(sizes):
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            model = draw(size, folder)
            if not model:
                oracle.skip("neither PyTorch nor, in CFINE_SHARED, oracle/checkpoint.py to draw weights with")
            check(model, folder)
            check_reference(model, folder)


def main():
    if sys.argv[2:3] == ["--sizes"]:
        return check_sizes(s for s in sys.argv[3:] if s != "tiny")
    with tempfile.TemporaryDirectory() as folder:
        if sys.argv[2:]:
            for model in sys.argv[2:]:
                check(model, folder)
            return
        tiny = os.path.join(HERE, "..", "data", "tiny")
        check(tiny, folder)
        check_detections(tiny, folder, 100000)
        check_detections(tiny, folder, 60)
        tabletop = os.path.join(HERE, "..", "..", "models", "tabletop")
        check(tabletop, folder)
        check_half(tabletop, folder)
        check(tiny, folder, batch=1)
        check(tiny, folder, ("--size", "160x96", "--queries", "20", "--decoder-layers", "1"))
        drawn, atto = draw("n", folder), oracle.shared("data", "deimv2_atto_coco")
        if drawn:
            check(drawn, folder)
        if os.path.exists(atto):
            check(atto, folder)
        if not drawn or not os.path.exists(atto):
            print("only the tiny model was compared: CFINE_SHARED has not all of the others")


main()
