#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small hand-made cases of COCO box AP and what pycocotools answers: make_coco_goldens.py OUT_DIR (tests/data/coco).

Writes NAME.truth.json and NAME.found.json per case, and numbers.txt: a name and the twelve numbers a line.
"""
import contextlib
import io
import json
import os
import sys

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def truth(images, categories, annotations):
    """annotations: (image, category, box, area or None, crowd)"""
    return dict(images=[dict(id=i, width=640, height=480, file_name="%d.jpg" % i) for i in images],
                categories=[dict(id=c, name="class %d" % c) for c in categories],
                annotations=[dict(id=n + 1, image_id=i, category_id=c, bbox=b, area=b[2] * b[3] if area is None else area, iscrowd=crowd)
                             for n, (i, c, b, area, crowd) in enumerate(annotations)])


def found(rows):
    """rows: (image, category, box, score)"""
    return [dict(image_id=i, category_id=c, bbox=b, score=s) for i, c, b, s in rows]


CASES = {
    # one image: a hit, a near hit, a miss, a false alarm
    "plain": (truth([1], [1], [(1, 1, [10, 10, 50, 50], None, 0), (1, 1, [100, 100, 80, 40], None, 0), (1, 1, [300, 200, 150, 150], None, 0)]),
              found([(1, 1, [10, 10, 50, 50], 0.9), (1, 1, [105, 102, 80, 40], 0.8), (1, 1, [400, 20, 30, 30], 0.85)])),
    # a crowd swallows several results, and never counts as missed
    "crowd": (truth([1, 2], [3], [(1, 3, [0, 0, 300, 300], None, 1), (1, 3, [20, 20, 60, 60], None, 0), (2, 3, [5, 5, 40, 40], None, 1)]),
              found([(1, 3, [20, 20, 60, 60], 0.7), (1, 3, [100, 100, 50, 50], 0.9), (1, 3, [150, 150, 50, 50], 0.8), (1, 3, [280, 280, 60, 60], 0.6), (2, 3, [300, 300, 10, 10], 0.95)])),
    # equal scores: the order in the file and of the images decides
    "ties": (truth([2, 1, 3], [1], [(1, 1, [10, 10, 100, 100], None, 0), (2, 1, [10, 10, 100, 100], None, 0), (3, 1, [10, 10, 100, 100], None, 0)]),
             found([(3, 1, [200, 200, 9, 9], 0.5), (3, 1, [10, 10, 100, 100], 0.5), (1, 1, [10, 10, 100, 100], 0.5), (2, 1, [14, 10, 100, 100], 0.5), (2, 1, [10, 10, 100, 100], 0.5), (1, 1, [0, 0, 9, 9], 0.5)])),
    # official areas differ from width x height, and lie on the borders of the ranges
    "areas": (truth([1], [1], [(1, 1, [0, 0, 40, 40], 1024, 0), (1, 1, [100, 0, 40, 40], 1024.5, 0), (1, 1, [200, 0, 120, 120], 9216, 0), (1, 1, [0, 200, 120, 120], 9000, 0), (1, 1, [200, 200, 32, 32], None, 0)]),
              found([(1, 1, [0, 0, 40, 40], 0.9), (1, 1, [102, 0, 40, 40], 0.8), (1, 1, [200, 5, 120, 120], 0.7), (1, 1, [0, 200, 100, 100], 0.6), (1, 1, [200, 200, 32, 32], 0.5), (1, 1, [400, 300, 20, 20], 0.95), (1, 1, [400, 200, 60, 60], 0.94)])),
    # gaps in the ids; images and categories with nothing, or with results alone
    "gaps": (truth([900, 5, 77, 30], [90, 1, 13, 44], [(5, 90, [10, 10, 30, 30], None, 0), (900, 13, [10, 10, 300, 300], None, 0), (900, 13, [320, 10, 300, 300], None, 0)]),
             found([(5, 90, [11, 10, 30, 30], 0.4), (77, 90, [10, 10, 30, 30], 0.9), (900, 13, [10, 10, 300, 280], 0.8), (900, 1, [10, 10, 300, 300], 0.99), (30, 44, [1, 1, 5, 5], 0.2)])),
    # more than 100 results of one image; the good ones lie at ranks 1, 6, 51 and 106
    "many": (truth([1], [1], [(1, 1, [100 * i, 10, 60, 60], None, 0) for i in range(4)]),
             found([(1, 1, [100 * {0: 0, 5: 1, 50: 2, 105: 3}[i], 10, 60, 60] if i in (0, 5, 50, 105) else [5 * i % 500, 200, 50, 50], 0.99 - i * 0.005) for i in range(120)])),
    # one box wanted by two results, two boxes at equal overlap
    "rivals": (truth([1], [1], [(1, 1, [0, 0, 100, 100], None, 0), (1, 1, [20, 0, 100, 100], None, 0)]),
               found([(1, 1, [10, 0, 100, 100], 0.9), (1, 1, [0, 0, 100, 100], 0.8), (1, 1, [20, 0, 100, 100], 0.7)])),
    # overlaps that equal a threshold: .5, .75, .9 and 1
    "exact": (truth([1], [1], [(1, 1, [0, 100 * i, 100, 100], None, 0) for i in range(4)]),
              found([(1, 1, [0, 100 * i, 100, h], 0.9 - 0.1 * i) for i, h in enumerate([50, 75, 90, 100])])),
    # an annotation with id 0, which pycocotools cannot tell from no match
    "zero_id": (dict(truth([1], [1], []), annotations=[dict(id=i, image_id=1, category_id=1, bbox=[50 * i, 0, 40, 40], area=1600, iscrowd=0) for i in (0, 1)]),
                found([(1, 1, [0, 0, 40, 40], 0.9), (1, 1, [50, 0, 40, 40], 0.8)])),
}


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "numbers.txt"), "w") as numbers:
        for name, (t, f) in CASES.items():
            for kind, value in (("truth", t), ("found", f)):
                with open(os.path.join(out, "%s.%s.json" % (name, kind)), "w") as file:
                    json.dump(value, file, separators=(",", ":"))
                    file.write("\n")
            with contextlib.redirect_stdout(io.StringIO()):
                gt = COCO(os.path.join(out, name + ".truth.json"))
                e = COCOeval(gt, gt.loadRes(os.path.join(out, name + ".found.json")), "bbox")
                e.evaluate(), e.accumulate(), e.summarize()
            numbers.write(" ".join([name] + [repr(float(v)) for v in e.stats]) + "\n")


main()
