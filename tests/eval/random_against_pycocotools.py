#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Twelve numbers of cfine and of pycocotools on random small cases, and on real annotations with made-up detections.

    random_against_pycocotools.py COCO_AP_BATCH [--cases 150] [--seed 1]

The cases are drawn to be nasty: crowds, equal scores, equal boxes, boxes on the borders of the area ranges, official
areas unlike width x height, images and categories without boxes, gaps in the ids, more than 100 detections, ids out of
order, detections of unknown categories. Exits 77 (skipped) without pycocotools (tests/oracle.py). Real annotations are
taken from the shared folder, where there is one.
"""
import argparse
import contextlib
import copy
import io
import json
import os
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import oracle  # noqa: E402

oracle.need("pycocotools")
from pycocotools.coco import COCO  # noqa: E402
from pycocotools.cocoeval import COCOeval  # noqa: E402



def judged(truth, found):
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = copy.deepcopy(truth)
        gt.createIndex()
        dt = gt.loadRes(copy.deepcopy(found))
        e = COCOeval(gt, dt, "bbox")
        e.evaluate(), e.accumulate(), e.summarize()
    return [float(v) for v in e.stats]


def draw_box(r):
    kind = r.random()
    if kind < 0.3:  # few distinct boxes: many equal ones
        x, y, w, h = (r.choice([0, 10, 20, 40]) for _ in range(4))
        return [x, y, w + 10, h + 10]
    if kind < 0.5:  # areas on the borders of the ranges
        side = r.choice([32, 96])
        return [r.choice([0, 5, 50]), r.choice([0, 5, 50]), side, side]
    side = r.choice([20, 60, 200])
    return [round(r.uniform(0, 100), 2), round(r.uniform(0, 100), 2), round(r.uniform(1, side), 2), round(r.uniform(1, side), 2)]


def jitter(r, box, amount):
    return [v + r.uniform(-amount, amount) * box[2 + i % 2] if i < 2 else abs(v * (1 + r.uniform(-amount, amount))) for i, v in enumerate(box)]


def draw_case(r):
    image_ids = r.sample(range(1, 1000), r.randint(1, 5))
    category_ids = r.sample(range(1, 91), r.randint(1, 4))
    truth = dict(images=[dict(id=i, width=640, height=480, file_name="%d.jpg" % i) for i in image_ids],
                 categories=[dict(id=c, name="c%d" % c) for c in category_ids], annotations=[])
    ids = r.sample(range(0 if r.random() < 0.2 else 1, 10000), 200)
    for image in image_ids:
        if r.random() < 0.2:
            continue
        for _ in range(r.choice([0, 1, 2, 3, 5, 12])):
            box = draw_box(r)
            area = box[2] * box[3] if r.random() < 0.5 else round(box[2] * box[3] * r.uniform(0.3, 1), 4)
            annotation = dict(id=ids.pop(), image_id=image, category_id=r.choice(category_ids), bbox=box, area=area, iscrowd=int(r.random() < 0.15))
            if r.random() < 0.1:
                annotation["ignore"] = r.randint(0, 1)
            truth["annotations"].append(annotation)
    r.shuffle(truth["annotations"])
    if r.random() < 0.1 and truth["annotations"]:  # what pycocotools passes over
        stray = dict(truth["annotations"][0], id=20000)
        stray[r.choice(["image_id", "category_id"])] = 5000
        truth["annotations"].append(stray)
    scores = [0.5] if r.random() < 0.1 else [round(r.random(), r.choice([1, 2, 6])) for _ in range(r.choice([3, 10, 100]))]
    found = []
    for annotation in truth["annotations"]:
        if annotation["image_id"] == 5000:
            continue
        for _ in range(r.choice([0, 1, 1, 2])):
            box = annotation["bbox"] if r.random() < 0.3 else jitter(r, annotation["bbox"], r.choice([0.02, 0.1, 0.3]))
            category = annotation["category_id"] if r.random() < 0.8 else r.choice(category_ids)
            found.append(dict(image_id=annotation["image_id"], category_id=category, bbox=box, score=r.choice(scores)))
    for _ in range(r.choice([0, 3, 20, 20, 130 if r.random() < 0.3 else 5])):
        found.append(dict(image_id=r.choice(image_ids), category_id=r.choice(category_ids), bbox=draw_box(r), score=r.choice(scores)))
    if r.random() < 0.1:
        found.append(dict(image_id=r.choice(image_ids), category_id=777, bbox=[1, 2, 3, 4], score=0.9))
    if r.random() < 0.15:  # one crowded image, beyond 100 detections of a category
        image = r.choice(image_ids)
        for _ in range(110):
            found.append(dict(image_id=image, category_id=category_ids[0], bbox=draw_box(r), score=r.choice(scores)))
    r.shuffle(found)
    if not found:  # loadRes cannot take an empty list
        found.append(dict(image_id=image_ids[0], category_id=category_ids[0], bbox=[0, 0, 10, 10], score=0.1))
    return truth, found


def draw_detections(r, truth):
    """Detections as a model of middling quality would give on real annotations."""
    found, categories = [], [c["id"] for c in truth["categories"]]
    for annotation in truth["annotations"]:
        for _ in range(r.choice([0, 1, 1, 1, 2, 3])):
            category = annotation["category_id"] if r.random() < 0.85 else r.choice(categories)
            found.append(dict(image_id=annotation["image_id"], category_id=category, bbox=jitter(r, annotation["bbox"], r.choice([0.01, 0.05, 0.2])), score=round(r.random(), 3)))
    for image in truth["images"]:
        for _ in range(r.randint(0, 30)):
            x, y = r.uniform(0, image["width"]), r.uniform(0, image["height"])
            found.append(dict(image_id=image["id"], category_id=r.choice(categories), bbox=[x, y, r.uniform(1, 200), r.uniform(1, 200)], score=round(r.random() * 0.6, 3)))
    return found


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("program"), a.add_argument("--cases", type=int, default=150), a.add_argument("--seed", type=int, default=1)
    o = a.parse_args()
    cases = []
    for name in ("coco100/instances.json", "bccd/test.json", "bccd/train.json"):
        path = oracle.shared("data", name)
        if os.path.exists(path):
            truth = json.load(open(path))
            cases += [("%s, seed %d" % (name, s), truth, draw_detections(random.Random(s), truth)) for s in range(3)]
        else:
            print("skipped: no", name)
    cases += [("random case %d" % s, *draw_case(random.Random(s))) for s in range(o.seed, o.seed + o.cases)]
    worst, failed = 0, 0
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen([o.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        for name, truth, found in cases:
            with open(folder + "/truth.json", "w") as f:
                json.dump(truth, f)
            with open(folder + "/found.json", "w") as f:
                json.dump(found, f)
            program.stdin.write(folder + "/truth.json\t" + folder + "/found.json\n"), program.stdin.flush()
            answer, expected = program.stdout.readline(), judged(truth, found)
            ours = [] if answer.startswith("error") else [float(v) for v in answer.split()]
            difference = max((abs(x - y) for x, y in zip(ours, expected)), default=9) if len(ours) == 12 else 9
            worst = max(worst, difference)
            if difference > 1e-6:
                failed += 1
                print("%s differs by %g\n  pycocotools %s\n  cfine       %s" % (name, difference, expected, answer.strip()))
        program.stdin.close()
    print("%d cases, %d differ, worst difference %.1e" % (len(cases), failed, worst))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
