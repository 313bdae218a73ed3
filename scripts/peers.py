# SPDX-License-Identifier: Apache-2.0
"""Runs PyTorch, and what else is Python, for `cfine bench --engine`, which carries this text and speaks to it in JSON lines.

    {"op": "load", "engine", "precision", "scope", "batch", "threads", "width", "height", "queries", "model", "device",
     "images": [path, ...], "patience": seconds}
                                   -> {"row": number, "version", "device"} or {"note": why not}
    {"op": "run", "row": number}   -> {"ms": milliseconds of one pass} or {"note": what failed}
    {"op": "infer", "row": number, "in": path of float32 pixels, "out": path for float32 logits, then boxes}
                                   -> {"queries", "labels"} or {"note": what failed}
    {"op": "library", "module", "files": pattern}   -> {"path": of the first such file in this module's folder, or ""}
    {"op": "quantise", "onnx", "out": .xml, "width", "height", "calibration": [path, ...], "patience": seconds}
                                   -> {"version"}, and the model in int8 by NNCF in the file, or {"note": why not}

Scope forward takes prepared pixels to raw outputs; scope image takes files' bytes to detections as the engine's users do
it: Pillow decodes and resizes, numpy scales, the best 300 (query, class) scores are taken.
"""
import glob
import importlib.util
import io
import json
import os
import signal
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


class OutOfTime(BaseException):  # not an Exception: what compiles catches those
    pass


class Patience:
    """Within it, more than the task's seconds end in OutOfTime."""
    def __init__(self, task):
        self.seconds = task["patience"]

    def __enter__(self):
        signal.signal(signal.SIGALRM, self.end)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def end(self, *ignored):
        raise OutOfTime("not ready within %g s: give it more with --patience" % self.seconds)

    def __exit__(self, *ignored):
        signal.setitimer(signal.ITIMER_REAL, 0)


def library(task):
    try:
        places = importlib.util.find_spec(task["module"]).submodule_search_locations
    except (ImportError, AttributeError, ValueError):
        places = None
    found = [path for place in places or () for path in sorted(glob.glob(os.path.join(glob.escape(place), task["files"])))]
    return {"path": found[0] if found else ""}


def pictures(image, paths, task, numpy):
    """Files as the network's input, one [3, height, width] each."""
    for path in paths:
        picture = image.open(path).convert("RGB").resize((task["width"], task["height"]), 2)
        yield numpy.asarray(picture, numpy.float32).transpose(2, 0, 1) / 255


def quantise(task):
    if not task["calibration"]:
        raise Unavailable("int8 by NNCF needs pictures to calibrate with: --calibration-images DIR")
    numpy, ov, nncf, image = need("numpy", "numpy"), need("openvino", "openvino"), need("nncf", "nncf"), need("PIL.Image", "pillow")
    if not hasattr(ov, "Core"):
        raise Unavailable("openvino %s is too old: %s -m pip install -U openvino" % (getattr(ov, "__version__", "?"), sys.executable))
    data = [x[None] for x in pictures(image, task["calibration"], task, numpy)]
    model = nncf.quantize(ov.Core().read_model(task["onnx"]), nncf.Dataset(data), subset_size=len(data))
    ov.save_model(model, task["out"], compress_to_fp16=False)
    return {"version": nncf.__version__}


def torch_model(task):
    """The reference implementation, its type, and torch."""
    torch = need("torch", "torch")
    device = task["device"]
    if device != "cpu" and not torch.cuda.is_available():
        raise Unavailable("PyTorch %s sees no GPU" % torch.__version__)
    transformers = need("transformers", "transformers")
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16} if device == "cpu" else {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if task["precision"] not in kinds:
        raise Unavailable("PyTorch here runs %s" % " and ".join(kinds))
    if not hasattr(transformers, "DFineForObjectDetection"):
        raise Unavailable("transformers %s does not know D-FINE, 4.50 does: %s -m pip install -U transformers" %
                          (getattr(transformers, "__version__", "?"), sys.executable))
    if not os.path.isfile(os.path.join(task["model"] or "", "config.json")):
        raise Unavailable("the reference implementation reads a Hugging Face folder only: --model FOLDER")
    with open(os.path.join(task["model"], "config.json")) as file:
        config = json.load(file)
    if config.get("model_type") != "d_fine":
        raise Unavailable("transformers' class for model_type %s may compute another network" % config.get("model_type"))
    dtype = kinds[task["precision"]]
    extra = {"num_queries": task["queries"]} if task["queries"] else {}
    torch.set_num_threads(task["threads"])
    torch.backends.cudnn.allow_tf32 = False  # fp32 means FP32, as everywhere in this table
    model = transformers.DFineForObjectDetection.from_pretrained(task["model"], dtype=dtype, **extra).eval().to(device)
    if device != "cpu" and dtype != torch.float32:
        model = model.to(memory_format=torch.channels_last)  # what tensor cores read fastest
    return model, dtype, torch


def torch_runner(task, model, dtype, torch):
    device, there = task["device"], {}

    def pixels(x):
        """On a GPU the pixels of scope forward are sent once, as everybody measures it."""
        if device == "cpu" or task["scope"] == "image":
            return torch.from_numpy(x).to(device, dtype)
        if id(x) not in there:
            there.clear()
            there[id(x)] = torch.from_numpy(x).to(device, dtype)
        return there[id(x)]

    def run(x, fetch=True):
        with torch.inference_mode():
            out = model(pixel_values=pixels(x))
            if fetch:
                return out.logits.float().cpu().numpy(), out.pred_boxes.float().cpu().numpy()
            torch.cuda.synchronize()
    return run


def pytorch(task, numpy):
    model, dtype, torch = torch_model(task)
    return torch_runner(task, model, dtype, torch), torch.__version__


def torch_compile(task, numpy):
    model, dtype, torch = torch_model(task)
    run = torch_runner(task, torch.compile(model), dtype, torch)
    run(numpy.zeros((task["batch"], 3, task["height"], task["width"]), numpy.float32))  # compiles
    return run, torch.__version__


def torch_tensorrt(task, numpy):
    torch = need("torch", "torch")
    if not torch.cuda.is_available():
        raise Unavailable("needs an NVIDIA GPU: %s -m pip install torch-tensorrt there" % sys.executable)
    need("torch_tensorrt", "torch-tensorrt")
    model, dtype, torch = torch_model(dict(task, device="cuda"))
    run = torch_runner(dict(task, device="cuda"), torch.compile(model, backend="torch_tensorrt"), dtype, torch)
    run(numpy.zeros((task["batch"], 3, task["height"], task["width"]), numpy.float32))
    return run, torch.__version__


ENGINES = {"pytorch": pytorch, "torch-compile": torch_compile, "torch-tensorrt": torch_tensorrt}


class Row:
    def __init__(self, task):
        self.task, self.turn = task, 0
        self.numpy = need("numpy", "numpy")
        self.forward, self.version = ENGINES[task["engine"]](task, self.numpy)
        on_gpu = task["device"] != "cpu"
        self.device = "cuda" if task["engine"] == "torch-tensorrt" else task["device"]
        self.only_forward = (lambda x: self.forward(x, fetch=False)) if on_gpu else self.forward
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
            self.only_forward(self.pixels)
        return (time.perf_counter() - start) * 1e3

    def infer(self, source, target):
        shape = (self.task["batch"], 3, self.task["height"], self.task["width"])
        logits, boxes = self.forward(self.numpy.fromfile(source, self.numpy.float32).reshape(shape))
        with open(target, "wb") as file:
            for values in (logits, boxes):
                self.numpy.ascontiguousarray(values, self.numpy.float32).tofile(file)
        return {"queries": logits.shape[1], "labels": logits.shape[2]}


def main():
    rows = []
    for line in sys.stdin:
        task = json.loads(line)
        try:
            if task["op"] == "library":
                answer = library(task)
            elif task["op"] == "quantise":
                with Patience(task):
                    answer = quantise(task)
            elif task["op"] == "load":
                with Patience(task):
                    rows.append(Row(task))
                answer = {"row": len(rows) - 1, "version": str(rows[-1].version), "device": rows[-1].device}
            elif task["op"] == "infer":
                answer = rows[task["row"]].infer(task["in"], task["out"])
            else:
                answer = {"ms": rows[task["row"]].run()}
        except (Exception, OutOfTime) as error:  # an engine may fail in any way: it is told, and the other rows go on
            answer = {"note": " ".join(str(error).split())[:400] or type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


main()
