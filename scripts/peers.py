# SPDX-License-Identifier: Apache-2.0
"""Runs a model on other engines for `cfine bench --engine`, which carries this text and speaks to it in JSON lines.

    {"op": "load", "engine", "precision", "scope", "batch", "threads", "width", "height", "queries", "onnx", "model",
     "images": [path, ...]}        -> {"row": number, "version", "device"} or {"note": why not}
    {"op": "run", "row": number}   -> {"ms": milliseconds of one pass} or {"note": what failed}

Scope forward takes prepared pixels to raw outputs; scope image takes files' bytes to detections as the engine's users do
it: Pillow decodes and resizes, numpy scales, the best 300 (query, class) scores are taken.
"""
import importlib
import io
import json
import os
import sys
import time
import warnings

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever engines print goes elsewhere
warnings.filterwarnings("ignore")


class Unavailable(Exception):
    pass


def need(module, package):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Unavailable("%s is not installed (%s): %s -m pip install %s, or --python names another interpreter" %
                          (module, error, sys.executable, package))


def onnxruntime(task, numpy):
    if task["precision"] != "fp32":
        raise Unavailable("the exported file is FP32")
    ort = need("onnxruntime", "onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = task["threads"]
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle while others are timed
    session = ort.InferenceSession(task["onnx"], options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(["logits", "pred_boxes"], {"pixel_values": x}), ort.__version__


def openvino(task, numpy):
    hints = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
    if task["precision"] not in hints:
        raise Unavailable("int8 needs a model that NNCF has quantised")
    ov = need("openvino", "openvino")
    core = ov.Core()
    model = core.read_model(task["onnx"])
    model.reshape({0: [task["batch"], 3, task["height"], task["width"]]})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": task["threads"], "PERFORMANCE_HINT": "LATENCY",
                                                 "INFERENCE_PRECISION_HINT": hints[task["precision"]]})
    request = compiled.create_infer_request()

    def run(x):
        result = request.infer({0: x})
        return result["logits"], result["pred_boxes"]
    return run, ov.__version__.split("-")[0]


def pytorch(task, numpy):
    if task["precision"] not in ("fp32", "bf16"):
        raise Unavailable("eager PyTorch runs fp32 and bf16")
    torch = need("torch", "torch")
    transformers = need("transformers", "transformers")
    if not os.path.isfile(os.path.join(task["model"] or "", "config.json")):
        raise Unavailable("the reference implementation reads a Hugging Face folder only: --model FOLDER")
    with open(os.path.join(task["model"], "config.json")) as file:
        config = json.load(file)
    if config.get("model_type") != "d_fine":
        raise Unavailable("transformers' class for model_type %s may compute another network" % config.get("model_type"))
    dtype = torch.float32 if task["precision"] == "fp32" else torch.bfloat16
    extra = {"num_queries": task["queries"]} if task["queries"] else {}
    torch.set_num_threads(task["threads"])
    model = transformers.DFineForObjectDetection.from_pretrained(task["model"], dtype=dtype, **extra).eval()

    def run(x):
        with torch.inference_mode():
            out = model(pixel_values=torch.from_numpy(x).to(dtype))
            return out.logits.float().numpy(), out.pred_boxes.float().numpy()
    return run, torch.__version__


class Row:
    def __init__(self, task):
        self.task, self.turn = task, 0
        self.numpy = need("numpy", "numpy")
        self.forward, self.version = {"onnxruntime": onnxruntime, "openvino": openvino, "pytorch": pytorch}[task["engine"]](task, self.numpy)
        if task["scope"] == "image":
            self.image = need("PIL.Image", "pillow")
            self.files = [open(path, "rb").read() for path in task["images"]]
        else:
            shape = (task["batch"], 3, task["height"], task["width"])
            self.pixels = self.numpy.random.RandomState(0).rand(*shape).astype(self.numpy.float32)

    def prepare(self):
        pixels = []
        for i in range(self.task["batch"]):
            picture = self.image.open(io.BytesIO(self.files[(self.turn + i) % len(self.files)])).convert("RGB")
            picture = picture.resize((self.task["width"], self.task["height"]), 2)
            pixels.append(self.numpy.asarray(picture, self.numpy.float32).transpose(2, 0, 1) / 255)
        self.turn += self.task["batch"]
        return self.numpy.ascontiguousarray(self.numpy.stack(pixels), self.numpy.float32)

    def detect(self, logits, boxes):
        np = self.numpy
        for scores, box in zip(logits, boxes):
            scores = 1 / (1 + np.exp(-scores))
            flat = scores.ravel()
            best = np.argsort(-flat)[:300]
            chosen = box[best // scores.shape[1]]
            yield flat[best], np.concatenate([chosen[:, :2] - chosen[:, 2:] / 2, chosen[:, :2] + chosen[:, 2:] / 2], 1)

    def run(self):
        start = time.perf_counter()
        if self.task["scope"] == "image":
            list(self.detect(*self.forward(self.prepare())))
        else:
            self.forward(self.pixels)
        return (time.perf_counter() - start) * 1e3


def main():
    rows = []
    for line in sys.stdin:
        task = json.loads(line)
        try:
            if task["op"] == "load":
                rows.append(Row(task))
                answer = {"row": len(rows) - 1, "version": str(rows[-1].version), "device": "cpu"}
            else:
                answer = {"ms": rows[task["row"]].run()}
        except Exception as error:  # an engine may fail in any way: it is told, and the other rows go on
            answer = {"note": " ".join(str(error).split())[:400] or type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


main()
