#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`cfine eval` as a person meets it, on made-up pictures: eval_verb.py CFINE MODEL

What a model finds becomes the annotations, so that the right answer is known: finding the same again gives AP 1.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

CFINE, MODEL = sys.argv[1:3]
NUMBERS = "AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl".split()


def run(*words, status=0):
    done = subprocess.run([CFINE, "eval", *words], capture_output=True, text=True)
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def never_replaces_inputs(common, folder):
    """What is to be written is refused before the work, where it cannot be or would replace what is read."""
    truth, shown = common[3], folder + "/1.ppm"
    model = folder + "/model"
    shutil.copytree(MODEL, model)
    for words, kept in ((("eval", *common, "--save-detections"), truth), (("eval", *common, "--save-detections"), shown),
                        (("calibrate", "--model", MODEL, "--images", folder, "-o"), shown),
                        (("export", "--model", model, "-o"), model + "/model.safetensors")):
        before = open(kept, "rb").read()
        done = subprocess.run([CFINE, *words, kept], capture_output=True, text=True)
        assert done.returncode == 1 and "is an input" in done.stderr and not done.stdout, (words, kept, done.stdout, done.stderr)
        assert open(kept, "rb").read() == before, kept
    out, err = run(*common, "--save-detections", "/no/where.json", status=1)
    assert not out and "/no/where.json" in err and "images/s" not in err, (out, err)


def numbers(text):
    answer = json.loads(text)
    return [answer[n] for n in NUMBERS]


def picture(path, seed, width=200, height=150):
    r = random.Random(seed)
    pixels = bytearray(r.choices(range(256), k=3) * width * height)
    for _ in range(6):
        colour, x, y = bytes(r.choices(range(256), k=3)), r.randrange(width - 60), r.randrange(height - 60)
        for row in range(y, y + r.randrange(20, 60)):
            pixels[3 * (row * width + x):3 * (row * width + x + 50)] = colour * 50
    with open(path, "wb") as f:
        f.write(b"P6 %d %d 255\n" % (width, height) + pixels)


def main():
    labels = json.load(open(os.path.join(MODEL, "config.json")))["id2label"]
    names = [labels[str(i)] for i in range(len(labels))]
    with tempfile.TemporaryDirectory() as folder:
        truth, found = folder + "/truth.json", folder + "/found.json"
        common = ("--model", MODEL, "--data", truth, "--images", folder)
        data = dict(images=[], categories=[dict(id=2 * i + 5, name=n) for i, n in enumerate(names)], annotations=[])
        for i in range(3):
            picture("%s/%d.ppm" % (folder, i), i)
            data["images"].append(dict(id=10 - i, file_name="%d.ppm" % i, width=200, height=150))

        def write():
            with open(truth, "w") as f:
                json.dump(data, f)

        write()
        out, err = run(*common, "--save-detections", found, "--json")
        assert numbers(out) == [-1] * 12, out
        assert "by position" in err and json.loads(out)["labels"] == "by position"
        everything = json.load(open(found))
        assert len(everything) == json.loads(out)["detections"] > 0

        # The best detection of each category becomes an annotation.
        best = {}
        for d in everything:
            if d["score"] > best.get(d["category_id"], dict(score=-1))["score"]:
                best[d["category_id"]] = d
        for i, d in enumerate(best.values()):
            box = d["bbox"]
            data["annotations"].append(dict(id=i + 1, image_id=d["image_id"], category_id=d["category_id"], bbox=box, area=box[2] * box[3], iscrowd=0))
        write()
        out, _ = run(*common, "--json", "--per-class")
        answer = json.loads(out)
        assert abs(answer["AP"] - 1) < 1e-9 and answer["failed_images"] == 0 and answer["images"] == 3, out
        assert len(answer["classes"]) == len(names)
        again, _ = run("--data", truth, "--detections", found, "--json")
        assert numbers(again) == numbers(out)
        batch, _ = run(*common, "--json", "--batch", "2", "--threads", "1")
        assert max(abs(a - b) for a, b in zip(numbers(batch), numbers(out))) < 1e-3
        text, _ = run(*common)
        assert text.startswith("AP      1.0000"), text

        # Categories in another order are found by name.
        for c, n in zip(data["categories"], reversed(names)):
            c["name"] = n
        for a in data["annotations"]:
            a["category_id"] = 2 * (len(names) - 1 - (a["category_id"] - 5) // 2) + 5
        write()
        out, err = run(*common, "--json")
        assert abs(json.loads(out)["AP"] - 1) < 1e-9 and "by name" in err, (out, err)

        # --limit takes the first by id; a picture that is broken is told and counts as empty.
        out, _ = run(*common, "--json", "--limit", "2")
        assert json.loads(out)["images"] == 2
        with open(folder + "/0.ppm", "r+b") as f:
            f.truncate(1000)
        out, err = run(*common, "--json", status=1)
        assert json.loads(out)["failed_images"] == 1 and "0.ppm" in err and json.loads(out)["AP"] < 1

        # Wrong usage, and files that are not there.
        assert "--data is needed" in run(status=2)[1]
        assert "--images is needed" in run("--data", truth, status=2)[1]
        assert "without --images" in run(*common, "--detections", found, status=2)[1]
        wrong = run(*common[:4], "--images", os.path.dirname(MODEL), status=1)[1]
        assert wrong.count("cfine: ") == 1 and "cfine: --images" in wrong and "none of the 3 pictures" in wrong, wrong
        assert "is not a folder" in run(*common[:4], "--images", truth, status=1)[1]
        assert "/no/where.json" in run("--data", "/no/where.json", "--images", folder, status=1)[1]
        never_replaces_inputs(common, folder)
        for c in data["categories"]:
            c["name"] += " of another kind"
        data["categories"].pop()
        data["annotations"] = []
        write()
        assert "are not the" in run(*common, status=1)[1]
    print("cfine eval: all as expected")


main()
