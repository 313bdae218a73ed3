# SPDX-License-Identifier: Apache-2.0
"""Runs a model on other engines for `cfine bench --engine`, which carries this text and speaks to it in JSON lines.

    {"op": "load", "engine", "precision", "scope", "batch", "threads", "width", "height", "queries", "onnx", "model",
     "images": [path, ...], "calibration": [path, ...]}
                                   -> {"row": number, "version", "device"} or {"note": why not}
    {"op": "run", "row": number}   -> {"ms": milliseconds of one pass} or {"note": what failed}
    {"op": "infer", "row": number, "in": path of float32 pixels, "out": path for float32 logits, then boxes}
                                   -> {"queries", "labels"} or {"note": what failed}

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


def onnxruntime(task, numpy, provider="CPUExecutionProvider", package="onnxruntime"):
    if task["precision"] != "fp32":
        raise Unavailable("the exported file is FP32")
    ort = need("onnxruntime", package)
    if not hasattr(ort, "InferenceSession") or not hasattr(ort, "get_available_providers"):
        raise Unavailable("onnxruntime %s is too old, 1.13 reads opset 17: %s -m pip install -U %s" %
                          (getattr(ort, "__version__", "?"), sys.executable, package))
    if provider not in ort.get_available_providers():
        raise Unavailable("onnxruntime %s has no %s here: %s -m pip install %s, on a machine with an NVIDIA GPU" %
                          (ort.__version__, provider, sys.executable, package))
    options = ort.SessionOptions()
    options.intra_op_num_threads = task["threads"]
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle while others are timed
    session = ort.InferenceSession(task["onnx"], options, providers=[provider])
    return lambda x: session.run(["logits", "pred_boxes"], {"pixel_values": x}), ort.__version__


def onnxruntime_cuda(task, numpy):
    return onnxruntime(task, numpy, "CUDAExecutionProvider", "onnxruntime-gpu")


def onnxruntime_tensorrt(task, numpy):
    return onnxruntime(task, numpy, "TensorrtExecutionProvider", "onnxruntime-gpu tensorrt")


def pictures(image, paths, task, numpy):
    """Files as the network's input, one [3, height, width] each."""
    for path in paths:
        picture = image.open(path).convert("RGB").resize((task["width"], task["height"]), 2)
        yield numpy.asarray(picture, numpy.float32).transpose(2, 0, 1) / 255


def quantised(model, task, numpy):
    """The model in int8 by NNCF, with its ranges from the calibration pictures."""
    if not task["calibration"]:
        raise Unavailable("int8 by NNCF needs pictures to calibrate with: --calibration-images DIR")
    nncf = need("nncf", "nncf")
    image = need("PIL.Image", "pillow")
    data = [x[None] for x in pictures(image, task["calibration"], task, numpy)]
    return nncf.quantize(model, nncf.Dataset(data), subset_size=len(data)), " nncf " + nncf.__version__


def openvino(task, numpy):
    hints = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
    ov = need("openvino", "openvino")
    if not hasattr(ov, "Core"):
        raise Unavailable("openvino %s is too old: %s -m pip install -U openvino" % (getattr(ov, "__version__", "?"), sys.executable))
    core = ov.Core()
    model, version = core.read_model(task["onnx"]), ov.__version__.split("-")[0]
    if task["precision"] == "int8":
        model, by = quantised(model, task, numpy)
        version += by
    model.reshape({0: [task["batch"], 3, task["height"], task["width"]]})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": task["threads"], "PERFORMANCE_HINT": "LATENCY",
                                                 "INFERENCE_PRECISION_HINT": hints[task["precision"]]})
    request = compiled.create_infer_request()

    def run(x):
        result = request.infer({0: x})
        return result["logits"], result["pred_boxes"]
    return run, version


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


ENGINES = {"onnxruntime": onnxruntime, "onnxruntime-cuda": onnxruntime_cuda, "onnxruntime-tensorrt": onnxruntime_tensorrt,
           "openvino": openvino, "pytorch": pytorch, "torch-compile": torch_compile, "torch-tensorrt": torch_tensorrt}


class Row:
    def __init__(self, task):
        self.task, self.turn = task, 0
        self.numpy = need("numpy", "numpy")
        self.forward, self.version = ENGINES[task["engine"]](task, self.numpy)
        on_gpu = task["device"] != "cpu" and "torch" in task["engine"]
        self.device = task["device"] if on_gpu or "cuda" in task["engine"] or "tensorrt" in task["engine"] else "cpu"
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
            if task["op"] == "load":
                rows.append(Row(task))
                answer = {"row": len(rows) - 1, "version": str(rows[-1].version), "device": rows[-1].device}
            elif task["op"] == "infer":
                answer = rows[task["row"]].infer(task["in"], task["out"])
            else:
                answer = {"ms": rows[task["row"]].run()}
        except Exception as error:  # an engine may fail in any way: it is told, and the other rows go on
            answer = {"note": " ".join(str(error).split())[:400] or type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


main()
