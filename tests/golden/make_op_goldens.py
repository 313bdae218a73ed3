#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/ops/goldens.txt: small inputs and outputs of every operator as PyTorch and transformers compute
them, for tests/unit/test_ops.c. Needs torch and transformers; run it when an operator's meaning changes.

Everything is computed in double precision from values that FP32 holds exactly. The format, line by line:
  case OP NAME IMAGES TOLERANCE     begins a case
  attr KEY VALUE...                 one field of cf_attr
  in H W C DTYPE [SCALE ZERO]       an input; its IMAGES*H*W*C values follow on one line
  constant SHAPE...                 likewise
  out H W C DTYPE [SCALE ZERO]      the expected output, last
"""
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from transformers import DFineConfig
from transformers.models.d_fine import modeling_d_fine as hf

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
lines = []
FLT_MAX = torch.finfo(torch.float32).max


def number(value):
    if math.isnan(value) or math.isinf(value):
        return str(value)
    return f"{value:.7g}"


def values(tensor):
    lines.append(" ".join(number(v) for v in tensor.to(torch.float32).double().flatten().tolist()))


def f32(tensor):
    """Values with few digits, so that the file stays small, and exact in FP32 as read back from text."""
    return torch.tensor([float(f"{v:.3g}") for v in tensor.flatten().tolist()]).float().double().reshape(tensor.shape)


def rand(*shape, scale=1.0):
    return f32(torch.randn(*shape) * scale)


def case(op, name, out, inputs, attrs=None, constants=(), tolerance=2e-6, dtypes=None):
    """Tensors are [images, h, w, c] or [images, tokens, c]; dtypes gives "u8 0.1 128" and the like per tensor."""
    dtypes = dtypes or ["f32"] * (len(inputs) + 1)
    lines.append(f"case {op} {name} {out.shape[0]} {tolerance:g}")
    for key, value in (attrs or {}).items():
        lines.append(f"attr {key} " + " ".join(number(v) for v in (value if isinstance(value, (list, tuple)) else [value])))
    for tensor, kind, dtype in zip([*inputs, out], ["in"] * len(inputs) + ["out"], dtypes):
        if kind == "out":
            for constant in constants:
                lines.append("constant " + " ".join(str(s) for s in constant.shape))
                values(constant)
        if tensor.dim() == 3:
            tensor = tensor.unsqueeze(1)
        lines.append(f"{kind} {tensor.shape[1]} {tensor.shape[2]} {tensor.shape[3]} {dtype}")
        values(tensor)


def chw(tensor):
    return tensor.permute(0, 3, 1, 2)


def hwc(tensor):
    return tensor.permute(0, 2, 3, 1)


def elementwise():
    x = rand(2, 2, 2, 9, scale=4)
    x[0, 0, 0, :6] = torch.tensor([0.0, -100.0, 100.0, 10.0, -10.0, 1e-6])
    functions = [lambda v: v, F.relu, F.silu, F.gelu, torch.sigmoid, lambda v: v.clamp(-10, 10)]
    for act, function in enumerate(functions):
        case("activation", f"act{act}", function(x), [x], {"act": act})
    case("scale_shift", "plain", x * 1.5 - 0.25, [x], {"scale": 1.5, "shift": -0.25})
    scale, shift = rand(9), rand(9)
    case("batch_norm", "plain", x * scale + shift, [x], constants=[scale, shift])
    case("copy", "plain", x, [x])
    b = rand(2, 2, 2, 9)
    for op, function in (("add", torch.add), ("mul", torch.mul)):
        case(op, "same", function(x, b), [x, b])
        case(op, "one_channel", function(x, b[..., :1]), [x, b[..., :1]])
        case(op, "one_pixel", function(x, b[:, :1, :1]), [x, b[:, :1, :1]])
        case(op, "itself", function(x, x), [x, x])
        for rows, cols in ((4, 9), (4, 1), (1, 9), (1, 1)):
            constant = rand(rows, cols)
            spread = constant.reshape(1, *((2, 2) if rows == 4 else (1, 1)), cols)
            case(op, f"constant_{rows}_{cols}", function(x, spread), [x], constants=[constant])
    ties = f32(torch.arange(-40, 74).reshape(2, 1, 3, 19) * 0.125)
    for name, dtype, scale, zero in (("u8", torch.quint8, 0.25, 20), ("s8", torch.qint8, 0.0625, -3)):
        quantised = torch.quantize_per_tensor(ties.float(), scale, zero, dtype)
        case("copy", f"to_{name}", quantised.dequantize().double(), [ties], tolerance=0,
             dtypes=["f32", f"{name} {scale} {zero}"])
        case("copy", f"from_{name}", quantised.dequantize().double(), [quantised.dequantize().double()], tolerance=0,
             dtypes=[f"{name} {scale} {zero}", "f32"])


def pools():
    x = rand(1, 3, 4, 17)
    case("upsample", "plain", hwc(F.interpolate(chw(x), scale_factor=2, mode="nearest")), [x])
    below = -x.abs() - 0.5  # zeros outside win at the border
    def attrs(kernel, stride, top, left, bottom, right):
        return {"kernel": kernel, "stride": stride, "pad": [top, left, bottom, right]}
    for name, source in (("plain", x), ("negative", below)):
        padded = F.pad(chw(source), (0, 1, 0, 1))
        case("max_pool", f"stem_{name}", hwc(F.max_pool2d(padded, 2, 1)), [source], attrs(2, 1, 0, 0, 1, 1))
        padded = F.pad(chw(source), (1, 1, 1, 1))
        case("max_pool", f"3x3_{name}", hwc(F.max_pool2d(padded, 3, 2)), [source], attrs(3, 2, 1, 1, 1, 1))
    case("avg_pool", "3x3", hwc(F.avg_pool2d(chw(x), 3, 2, 1)), [x], attrs(3, 2, 1, 1, 1, 1))
    case("avg_pool", "2x2", hwc(F.avg_pool2d(chw(x), 2, 2)), [x], attrs(2, 2, 0, 0, 0, 0))
    case("global_pool", "plain", x.mean((1, 2), keepdim=True), [x])


def norms():
    x, other = rand(2, 3, 24, scale=3), rand(2, 3, 24)
    x[0, 0] = 2.5  # no variance
    x[0, 1] += 1000  # mean far above the spread
    weight, bias = rand(24), rand(24)
    for name, inputs in (("one", [x]), ("two", [x, other])):
        v = sum(inputs)
        case("norm", f"layer_{name}", F.layer_norm(v, (24,), weight, bias, 1e-5), inputs,
             {"rms": 0, "has_bias": 1, "epsilon": 1e-5}, [weight, bias], tolerance=2e-5)
        rms = v * torch.rsqrt(v.pow(2).mean(-1, keepdim=True) + 1e-6) * weight
        case("norm", f"rms_{name}", rms, inputs, {"rms": 1, "has_bias": 0, "epsilon": 1e-6}, [weight])
    gate = hf.DFineGate(24)
    gates = rand(2, 3, 48, scale=3)
    gates[1, 0, :4] = torch.tensor([200.0, -200.0, 0.0, 90.0])
    x[0, 1] -= 1000
    gate.gate = torch.nn.Identity()  # its linear layer is a conv of the graph; torch.cat comes out as it went in
    gate.norm.weight.data, gate.norm.bias.data = weight, bias
    gate.gate.forward = lambda _: gates
    case("gate", "plain", gate(x, other).detach(), [gates, x, other],
         {"rms": 0, "has_bias": 1, "epsilon": gate.norm.eps}, [weight, bias], tolerance=1e-5)


def attention():
    for name, tokens, keys, d, heads, scale in (("plain", 5, 5, 32, 2, 1), ("cross", 3, 21, 24, 3, 1),
                                                 ("huge", 3, 18, 16, 2, 100), ("one", 1, 1, 8, 1, 1)):
        q, k, v = (rand(2 if name == "plain" else 1, n, d, scale=s) for n, s in ((tokens, scale), (keys, scale), (keys, 1)))
        if name == "plain":
            k[0] = k[0, 0]  # all logits of a query alike
        split = [t.reshape(q.shape[0], -1, heads, d // heads).transpose(1, 2) for t in (q, k, v)]
        out = F.scaled_dot_product_attention(*split).transpose(1, 2).reshape(-1, tokens, d)
        case("attention", name, out, [q, k, v], {"heads": heads}, tolerance=1e-4 if name == "huge" else 2e-6)


def selection():
    def top(name, scores, queries):
        cleaned = torch.where(scores.isnan(), -math.inf, scores).max(-1).values
        out = torch.sort(cleaned, dim=-1, descending=True, stable=True).indices[:, :queries]
        if name == "plain":
            assert (out == torch.topk(scores.max(-1).values, queries, dim=1).indices).all()
        case("top_queries", name, out.unsqueeze(-1), [scores], {"queries": queries}, tolerance=0,
             dtypes=["f32", "i32"])
        return out.unsqueeze(-1)
    index = top("plain", rand(2, 40, 5), 9)
    top("ties", f32(torch.randint(-2, 3, (2, 60, 3)).double()), 30)
    top("equal", torch.zeros(1, 20, 4), 20)
    odd = rand(1, 20, 3)
    odd[0, 3] = math.nan
    odd[0, 4, 1] = math.nan
    odd[0, 5] = -math.inf
    odd[0, 9, 2] = math.inf
    odd[0, 12] = math.nan
    top("nan", odd, 20)
    rows = rand(2, 40, 6)
    case("gather", "plain", rows.gather(1, index.expand(-1, -1, 6)), [rows, index], tolerance=0,
         dtypes=["f32", "i32", "f32"])
    anchors, delta = rand(40, 4, scale=3), rand(2, 9, 4)
    anchors[index[0, 2, 0]] = FLT_MAX
    anchors[index[1, 0, 0]] = FLT_MAX
    delta[1, 0] = torch.tensor([-50.0, 0, 50, 3e38])
    delta[1, 1] = torch.tensor([-200.0, 200, -80, 80])
    out = torch.sigmoid(delta + anchors[index.squeeze(-1)])
    case("reference", "plain", out, [delta, index], constants=[anchors], dtypes=["f32", "i32", "f32"])


def boxes(images, queries):
    """Random boxes, the first few at the border, outside, without size, and covering all."""
    box = torch.cat([torch.rand(images, queries, 2), torch.rand(images, queries, 2) * 0.5], -1)
    special = [[0, 0, 0.3, 0.3], [1, 1, 0.5, 0.5], [0.5, 0.5, 0, 0], [0.5, 0.5, 1, 1], [-0.1, 1.2, 0.4, 0.4],
               [0, 1, 0, 1], [0.99999, 1e-7, 1, 1e-6]]
    box[0, :len(special)] = torch.tensor(special)
    return f32(box)


def deform():
    def one(name, method, points, shapes, heads, d, scale, weight_scale=1, images=1):
        queries, total, tokens = 8, sum(points), sum(h * w for h, w in shapes)
        config = DFineConfig(d_model=d, decoder_attention_heads=heads, num_feature_levels=len(points),
                             decoder_n_points=points, decoder_method=method, decoder_offset_scale=0.5)
        module = hf.DFineMultiscaleDeformableAttention(config).double()
        offsets, weights = rand(images, queries, heads * total * 2, scale=scale), rand(images, queries, heads * total, scale=weight_scale)
        offsets[0, 4] = 0
        memory, box = rand(images, tokens, d), boxes(images, queries)
        module.sampling_offsets.forward = lambda _: offsets
        module.attention_weights.forward = lambda _: weights
        module.num_points_scale = torch.tensor([1 / n for n in points for _ in range(n)])
        out, _ = module(torch.zeros(images, queries, d), reference_points=box.unsqueeze(2), encoder_hidden_states=memory,
                        spatial_shapes=torch.tensor(shapes), spatial_shapes_list=shapes)
        case("deform", name, out.detach(), [offsets, weights, box, memory],
             {"heads": heads, "levels": len(points), "discrete": int(method == "discrete"), "points": points,
              "height": [h for h, _ in shapes], "width": [w for _, w in shapes], "offset_scale": 0.5},
             tolerance=2e-5)
    one("two_levels", "default", [3, 2], [(4, 6), (2, 3)], 2, 16, 2, images=2)
    one("far", "default", [4, 4, 4], [(4, 4), (2, 2), (1, 1)], 1, 16, 60, 80)
    one("wide", "default", [1, 2], [(3, 3), (2, 2)], 1, 48, 2)
    one("odd", "default", [2, 1], [(3, 2), (1, 1)], 3, 15, 2)
    one("discrete", "discrete", [3, 2], [(4, 6), (2, 3)], 2, 16, 3)


def box_ops():
    delta, box = rand(2, 9, 4, scale=2), boxes(2, 9)
    delta[1, 0] = torch.tensor([-100.0, 100, 30, -30])
    case("shift_box", "plain", torch.sigmoid(delta + hf.inverse_sigmoid(box)), [delta, box], tolerance=5e-6)
    for name, reg_scale in (("scale4", 4.0), ("scale8", 8.0)):
        config = DFineConfig(reg_scale=reg_scale, max_num_bins=32)
        project = f32(hf.weighting_function(32, torch.tensor([0.5]), torch.tensor([reg_scale])))
        corners, box = rand(1, 9, 132, scale=2), box[:1]
        corners[0, 0] = 0
        corners[0, 1] *= 100
        corners[0, 2, 5] = 3e4
        distance = hf.DFineIntegral(config)(corners, project)
        case("refine", name, hf.distance2bbox(box, distance, reg_scale), [corners, box],
             {"bins": 33, "reg_scale": reg_scale}, [project], tolerance=5e-6)
        probabilities = F.softmax(corners.reshape(1, 9, 4, 33), dim=-1)
        top = 4 if name == "scale4" else 3
        best = probabilities.topk(top, dim=-1).values
        out = torch.cat([best, best.mean(-1, keepdim=True)], -1).reshape(1, 9, -1)
        case("quality", f"top{top}", out, [corners], {"bins": 33, "top": top})


elementwise()
pools()
norms()
attention()
selection()
deform()
box_ops()
target = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1] / "data/ops/goldens.txt")
target.write_text("\n".join(lines) + "\n")
print(f"{target}: {target.stat().st_size} bytes, {sum(line.startswith('case') for line in lines)} cases")
