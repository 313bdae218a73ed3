#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Train the bundled D-FINE-N on scenes drawn while it trains: train.py OUT_DIR [--minutes 16] [--device cuda]

Workers draw scenes (seeds from --seed up, each once), stretch them to 640x640 as inference does and hand them over in shared
memory; the trainer keeps the last --pool of them beside the network and draws batches from those. The learning rate follows the
clock: a short warm-up, a plateau, then a cosine to zero. Pictures are 448 pixels a side at first, then 640. OUT_DIR gets log.jsonl, and
at each evaluation `last/`, the averaged weights as a Hugging Face directory (F16).
"""
import argparse
import copy
import io
import json
import math
import mmap
import multiprocessing
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import tabletop

SIDE, MOST, COLUMNS = 640, 64, 6  # a scene's row: class, cx, cy, w, h (shares), visible pixels


def shared(shape, dtype):
    n = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, n), dtype=dtype).reshape(shape)


def draw(seed, pixels, rows, size):
    jpeg, w, h, boxes = tabletop.scene(seed)
    pixels[:] = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB").resize((SIDE, SIDE), Image.BILINEAR))
    rows[:] = -1
    for i, (c, x0, y0, x1, y1, area) in enumerate(boxes[:MOST]):
        rows[i] = c, (x0 + x1) / 2 / w, (y0 + y1) / 2 / h, (x1 - x0) / w, (y1 - y0) / h, area
    size[:] = w, h


def producer(k, n, seed, ring, check):
    """Worker k of n: its share of the check set, then scenes seed + k, seed + k + n, ... into its share of the ring."""
    try:
        for i in range(k, len(check["size"]), n):
            draw(check["first"] + i, check["pixels"][i], check["rows"][i], check["size"][i])
            check["full"][i] = 1
        slots = list(range(k, len(ring["full"]), n))
        i = 0
        while True:
            s = slots[i % len(slots)]
            while ring["full"][s]:
                time.sleep(.005)
            try:
                draw(seed + k + i * n, ring["pixels"][s], ring["rows"][s], ring["size"][s])
                ring["full"][s] = 1
            except Exception as e:  # one scene that cannot be drawn must not stop the training
                print("scene", seed + k + i * n, repr(e), flush=True)
                seed += n
                continue
            i += 1
    except KeyboardInterrupt:
        pass


def buffers(n):
    return dict(pixels=shared((n, SIDE, SIDE, 3), np.uint8), rows=shared((n, MOST, COLUMNS), np.float32), size=shared((n, 2), np.float32), full=shared((n,), np.uint8))


class Pool:
    """The last scenes, on the device."""

    def __init__(self, n, ring, device):
        self.n, self.ring, self.device, self.seen = n, ring, device, 0
        self.pixels = torch.zeros(n, SIDE, SIDE, 3, dtype=torch.uint8, device=device)
        self.rows = np.full((n, MOST, COLUMNS), -1, np.float32)

    def take(self, most=256):
        for s in np.flatnonzero(self.ring["full"].copy())[:most]:
            at = self.seen % self.n
            self.pixels[at].copy_(torch.from_numpy(self.ring["pixels"][s]))
            self.rows[at] = self.ring["rows"][s]
            self.ring["full"][s] = 0
            self.seen += 1

    def batch(self, n, rng):
        k = rng.integers(0, min(self.seen, self.n), n)
        return self.pixels[torch.from_numpy(k).to(self.device)], self.rows[k].copy()


def augment(x, rows, rng, side, share):
    """x: uint8 [B, H, W, 3]; rows as drawn. A share of the pictures is zoomed and shifted, and recoloured. No flips: glyphs have a handedness."""
    B, dev = len(x), x.device
    x = x.permute(0, 3, 1, 2).float() / 255
    theta = np.tile(np.array([[1, 0, 0], [0, 1, 0]], np.float32), (B, 1, 1))
    for b in range(B):
        if rng.random() > share:
            continue
        z = math.exp(rng.uniform(math.log(.72), math.log(1.3)))  # how much of the picture the new one spans, a side
        sx, sy = z * math.exp(rng.uniform(-.1, .1)), z * math.exp(rng.uniform(-.1, .1))
        ox, oy = rng.uniform(-1, 1, 2) * [abs(1 - sx), abs(1 - sy)]
        theta[b] = [[sx, 0, ox], [0, sy, oy]]
        r = rows[b]
        ok = r[:, 0] >= 0
        # new coordinate u of an old one v (both 0..1): 2v - 1 = s (2u - 1) + o
        cx, cy = ((2 * r[:, 1] - 1 - ox) / sx + 1) / 2, ((2 * r[:, 2] - 1 - oy) / sy + 1) / 2
        w, h = r[:, 3] / sx, r[:, 4] / sy
        x0, x1, y0, y1 = (np.clip(v, 0, 1) for v in (cx - w / 2, cx + w / 2, cy - h / 2, cy + h / 2))
        keep = ok & ((x1 - x0) * (y1 - y0) > .55 * w * h)
        new = np.full_like(r, -1)
        new[:keep.sum()] = np.stack([r[:, 0], (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, r[:, 5]], 1)[keep]
        rows[b] = new
    if share > 0:
        grid = F.affine_grid(torch.from_numpy(theta).to(dev), x.shape, align_corners=False)
        x = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        g = torch.from_numpy(rng.uniform(-1, 1, (B, 5)).astype(np.float32)).to(dev) * share
        x = (x - .5) * (1 + .2 * g[:, 0])[:, None, None, None] + .5 + .1 * g[:, 1][:, None, None, None]
        x = x * (1 + .08 * g[:, 2:])[:, :, None, None]
    if side != SIDE:
        x = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return x.clamp(0, 1), rows


def targets(rows, device):
    count = (rows[..., 0] >= 0).sum(1)
    M = max(1, int(count.max()))
    labels = torch.from_numpy(rows[:, :M, 0].clip(0).astype(np.int64))
    truth = torch.from_numpy(np.ascontiguousarray(np.where(rows[:, :M, :1] >= 0, rows[:, :M, 1:5], .5)))
    return labels.to(device), truth.to(device), count.tolist()


def build(device, start=None):
    from model import configuration
    from transformers import DFineForObjectDetection
    model = DFineForObjectDetection(configuration())
    if start:
        model.load_state_dict(DFineForObjectDetection.from_pretrained(start, dtype=torch.float32).state_dict(), strict=False)
    return model.to(device).train()


def halve(model, dtype):
    """bf16 in the backbone and the encoder, where the arithmetic is; the decoder's boxes need FP32."""
    def wrap(f):
        def g(*a, **k):
            with torch.autocast(model.device.type, dtype=dtype):
                out = f(*a, **k)
            if isinstance(out, list):
                return [(v.float(), m) for v, m in out]
            out.last_hidden_state = [v.float() for v in out.last_hidden_state]
            return out
        return g
    model.model.backbone.forward = wrap(model.model.backbone.forward)
    model.model.encoder.forward = wrap(model.model.encoder.forward)


def step(model, criterion, opt, params, x, labels, truth, count, clip):
    tags = [dict(class_labels=labels[b, :n], boxes=truth[b, :n]) for b, n in enumerate(count)]
    loss, terms = criterion(model.model(x, labels=tags), labels, truth, count)
    opt.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(params, clip)
    opt.step()
    return loss, terms, norm


class Average:
    def __init__(self, model, decay, ramp):
        self.model, self.decay, self.ramp, self.n = copy.deepcopy(model).eval(), decay, ramp, 0
        for m in (self.model.model.backbone, self.model.model.encoder):
            m.__dict__.pop("forward", None)
        one = lambda m: list({v.data_ptr(): v for v in m.state_dict().values() if v.is_floating_point()}.values())  # tied heads once
        self.into, self.of = one(self.model), one(model)
        assert len(self.into) == len(self.of)

    @torch.no_grad()
    def update(self):
        self.n += 1
        d = self.decay * (1 - math.exp(-self.n / self.ramp))
        torch._foreach_lerp_(self.into, self.of, 1 - d)


@torch.no_grad()
def check_ap(model, check, device, batch=25):
    from evaluate import average_precision, decode
    n = len(check["size"])
    truth = dict(images=[dict(id=i + 1, width=int(w), height=int(h)) for i, (w, h) in enumerate(check["size"])], annotations=[], categories=[dict(id=i + 1, name=c) for i, c in enumerate(tabletop.CLASSES)])
    for i in range(n):
        w, h = check["size"][i]
        for c, cx, cy, bw, bh, area in check["rows"][i]:
            if c >= 0:
                truth["annotations"].append(dict(id=len(truth["annotations"]) + 1, image_id=i + 1, category_id=int(c) + 1, bbox=[float(v) for v in ((cx - bw / 2) * w, (cy - bh / 2) * h, bw * w, bh * h)], area=float(area), iscrowd=0))
    rows = {}
    for i in range(0, n, batch):
        x = torch.from_numpy(check["pixels"][i:i + batch]).to(device).permute(0, 3, 1, 2).float() / 255
        out = model(pixel_values=x)
        for j, r in enumerate(decode(out.logits, out.pred_boxes, check["size"][i:i + batch])):
            rows[i + j + 1] = r[:100]
    return average_precision(truth, rows)[0]


def rate(t, peak, warm, hold):
    """Learning rate at share t of the time."""
    if t < warm:
        return peak * (t / warm + 1e-3)
    if t < hold:
        return peak
    return peak * (1e-3 + .5 * (1 + math.cos(math.pi * min(1, (t - hold) / (1 - hold)))))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("out"), a.add_argument("--minutes", type=float, default=16), a.add_argument("--device", default="cuda")
    a.add_argument("--workers", type=int, default=14), a.add_argument("--seed", type=int, default=1000000, help="of the first scene; also the weights' start")
    a.add_argument("--pool", type=int, default=20000), a.add_argument("--ring", type=int, default=1024), a.add_argument("--first", type=int, default=1500, help="scenes to wait for before the first step")
    a.add_argument("--batch", type=int, default=64), a.add_argument("--rate", type=float, default=1e-3), a.add_argument("--decay", type=float, default=1e-4), a.add_argument("--clip", type=float, default=.1)
    a.add_argument("--small", type=int, default=448), a.add_argument("--large", type=float, default=.5, help="share of the time after which pictures are 640 pixels")
    a.add_argument("--warm", type=float, default=.03), a.add_argument("--hold", type=float, default=.3), a.add_argument("--ema", type=float, default=.9985), a.add_argument("--ramp", type=float, default=300, help="steps over which the averaging slows down")
    a.add_argument("--start", help="a checkpoint to go on from"), a.add_argument("--denoise", type=int, default=100, help="denoising queries; 0 is a quarter faster")
    a.add_argument("--augment", type=float, default=.5, help="share of the pictures that are zoomed and recoloured"), a.add_argument("--faithful", type=float, default=.85, help="share of the time after which none are")
    a.add_argument("--every", type=float, default=120, help="seconds between evaluations"), a.add_argument("--check", type=int, default=200), a.add_argument("--plain", action="store_true", help="no bf16"), a.add_argument("--layout", default="last", choices=["last", "first"], help="where channels lie in memory")
    a.add_argument("--bench", type=int, default=0, help="time this many steps a setting and exit")
    o = a.parse_args()
    os.makedirs(o.out, exist_ok=True)
    ring, check = buffers(o.ring), dict(buffers(o.check), first=200)
    ctx = multiprocessing.get_context("fork")  # before the device is touched
    crew = [ctx.Process(target=producer, args=(k, o.workers, o.seed, ring, check), daemon=True) for k in range(o.workers)]
    torch.set_num_threads(1)
    for p in crew:
        p.start()
    begin = time.time()
    torch.manual_seed(o.seed)
    rng = np.random.default_rng(o.seed - 1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark, torch.backends.cudnn.benchmark_limit = True, 4
    model = build(o.device, o.start)
    model.config.num_denoising = o.denoise
    params = [p for p in model.parameters() if p.requires_grad]
    decay, free = [p for p in params if p.ndim > 1], [p for p in params if p.ndim <= 1]
    opt = torch.optim.AdamW([dict(params=decay, weight_decay=o.decay), dict(params=free, weight_decay=0.0)], lr=o.rate, betas=(.9, .999), fused=o.device == "cuda")
    from loss import Criterion
    from model import save
    criterion = Criterion(model.config)
    layout = torch.channels_last if o.layout == "last" else torch.contiguous_format
    model.to(memory_format=layout)
    if not o.plain:
        halve(model, torch.bfloat16)
    ema = Average(model, o.ema, o.ramp)
    pool = Pool(o.pool, ring, o.device)
    while pool.seen < min(o.first, o.pool) or not check["full"].all():
        pool.take()
        time.sleep(.02)
    log = open(os.path.join(o.out, "log.jsonl"), "a")

    def say(**k):
        print(json.dumps(k), flush=True)
        log.write(json.dumps(k) + "\n")
        log.flush()

    drawn = time.time() - begin
    say(scenes=pool.seen, seconds=round(drawn, 1), parameters=sum(p.numel() for p in params), device=torch.cuda.get_device_name() if o.device == "cuda" else "cpu", options=vars(o))
    start, n, last, told = time.time(), 0, time.time(), time.time()
    if o.bench:
        for layout in (torch.channels_last, torch.contiguous_format):
            model.to(memory_format=layout)
            for side, batch in ((SIDE, 2 * o.batch), (SIDE, o.batch), (o.small, o.batch))[layout != torch.channels_last:]:
                for i in range(o.bench + 3):
                    if i == 3:
                        torch.cuda.synchronize() if o.device == "cuda" else None
                        t0 = time.time()
                    x, rows = augment(*pool.batch(batch, rng), rng, side, o.augment)
                    step(model, criterion, opt, params, x.contiguous(memory_format=layout), *targets(rows, o.device), o.clip)
                torch.cuda.synchronize() if o.device == "cuda" else None
                d = (time.time() - t0) / o.bench
                say(layout=str(layout), side=side, batch=batch, step_ms=round(d * 1e3, 1), images_per_s=round(batch / d, 1), memory=round(torch.cuda.max_memory_allocated() / 2**30, 1) if o.device == "cuda" else 0)
        return
    tally, norms = {}, 0.0
    while True:
        t = (time.time() - start) / (60 * o.minutes)
        if t >= 1:
            break
        lr = rate(t, o.rate, o.warm, o.hold)
        for g in opt.param_groups:
            g["lr"] = lr
        pool.take(32)
        side = o.small if t < o.large else SIDE
        share = o.augment if t < o.faithful else 0.0  # the last stretch sees scenes as inference does
        x, rows = augment(*pool.batch(o.batch, rng), rng, side, share)
        x = x.contiguous(memory_format=layout)
        loss, terms, norm = step(model, criterion, opt, params, x, *targets(rows, o.device), o.clip)
        ema.update()
        n += 1
        for k, v in dict(terms, loss=loss).items():
            tally[k] = tally.get(k, 0) + v.detach()
        norms = norms + norm
        if n % 50 == 0:
            now = time.time()
            v = {k: round(float(v) / 50, 4) for k, v in tally.items()}
            say(step=n, share=round(t, 4), minutes=round((now - start) / 60, 2), side=side, lr=round(lr, 6), images_per_s=round(50 * o.batch / (now - told)), scenes=pool.seen, norm=round(float(norms) / 50, 3), **v)
            if not math.isfinite(v["loss"]):
                raise SystemExit("the loss is not finite")
            tally, norms, told = {}, 0.0, now
        if time.time() - last > o.every:
            s = time.time()
            say(step=n, minutes=round((s - start) / 60, 2), **{k: round(v, 4) for k, v in check_ap(ema.model, check, o.device).items()})
            save(ema.model, os.path.join(o.out, "last"), torch.float16)
            last = told = time.time()
    save(ema.model, os.path.join(o.out, "last"), torch.float16)
    save(ema.model, os.path.join(o.out, "final32"))
    say(step=n, minutes=round((time.time() - start) / 60, 2), scenes=pool.seen, final=True, **{k: round(v, 4) for k, v in check_ap(ema.model, check, o.device).items()})


if __name__ == "__main__":
    main()
