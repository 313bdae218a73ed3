#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pycocotools' twelve numbers of a checkpoint on a COCO set: evaluate.py MODEL_DIR SET_DIR [--json FILE]

SET_DIR holds images/ and instances.json. Pictures are stretched to 640x640 with Pillow's bilinear and divided by 255, the best
300 (query, class) pairs are kept, boxes go back to the picture's pixels: what transformers' image processor does.
"""
import argparse
import contextlib
import io
import json
import os

import numpy as np
import torch

NAMES = "AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl".split()


def decode(logits, boxes, sizes, keep=300):
    """Rows (x0, y0, x1, y1, score, label), per picture; sizes is (width, height)."""
    score, at = torch.sigmoid(logits.float()).flatten(1).topk(keep)
    label, query = at % logits.shape[2], at // logits.shape[2]
    b = boxes.float().gather(1, query[..., None].expand(-1, -1, 4))
    wh = torch.as_tensor(np.asarray(sizes), dtype=torch.float32, device=b.device)
    b = torch.cat([b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2], -1) * torch.cat([wh, wh], 1)[:, None]
    return torch.cat([b, score[..., None], label[..., None].float()], -1).cpu().numpy()


def average_precision(truth, rows):
    """truth: a COCO dict; rows: image id to decode()'s rows."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = truth
        gt.createIndex()
        dets = [dict(image_id=i, category_id=int(r[5]) + 1, bbox=[float(r[0]), float(r[1]), float(r[2] - r[0]), float(r[3] - r[1])], score=float(r[4])) for i, q in rows.items() for r in q]
        e = COCOeval(gt, gt.loadRes(dets), "bbox")
        e.evaluate(), e.accumulate(), e.summarize()
    p = e.eval["precision"][:, :, :, 0, 2]  # threshold, recall, class
    per = {c["name"]: float(p[:, :, k][p[:, :, k] > -1].mean()) if (p[:, :, k] > -1).any() else None for k, c in enumerate(truth["categories"])}
    return dict(zip(NAMES, map(float, e.stats))), per


@torch.no_grad()
def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model"), a.add_argument("set")
    a.add_argument("--batch", type=int, default=4), a.add_argument("--threads", type=int), a.add_argument("--device", default="cpu")
    a.add_argument("--size", type=int, default=640), a.add_argument("--json", help="write COCO results here"), a.add_argument("--classes", action="store_true", help="print AP of each class too")
    o = a.parse_args()
    from PIL import Image
    from transformers import DFineForObjectDetection
    if o.threads:
        torch.set_num_threads(o.threads)
    model = DFineForObjectDetection.from_pretrained(o.model, dtype=torch.float32).eval().to(o.device)
    with open(os.path.join(o.set, "instances.json")) as f:
        truth = json.load(f)
    rows = {}
    for i in range(0, len(truth["images"]), o.batch):
        part = truth["images"][i:i + o.batch]
        x = np.stack([np.asarray(Image.open(os.path.join(o.set, "images", p["file_name"])).convert("RGB").resize((o.size, o.size), Image.BILINEAR)) for p in part])
        out = model(pixel_values=(torch.from_numpy(x).permute(0, 3, 1, 2).to(o.device).float() / 255))
        for p, r in zip(part, decode(out.logits, out.pred_boxes, [(p["width"], p["height"]) for p in part])):
            rows[p["id"]] = r
    stats, per = average_precision(truth, rows)
    print(json.dumps({k: round(v, 5) for k, v in stats.items()}))
    if o.classes:
        print(json.dumps({k: v and round(v, 4) for k, v in per.items()}))
    if o.json:
        with open(o.json, "w") as f:
            json.dump([dict(image_id=i, category_id=int(r[5]) + 1, bbox=[float(r[0]), float(r[1]), float(r[2] - r[0]), float(r[3] - r[1])], score=float(r[4])) for i, q in rows.items() for r in q], f)


if __name__ == "__main__":
    main()
