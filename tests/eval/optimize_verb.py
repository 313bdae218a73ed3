#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`cfine optimize` on a tiny model and made-up pictures: optimize_verb.py CFINE MODEL

What FP32 finds becomes the annotations, so FP32 has an AP near 1 and everything else can only lose. A search is killed
and goes on; bad input of every kind is told and leaves nothing behind.
"""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CFINE, MODEL = sys.argv[1:3]
IMAGES = 8


def run(*words, status=0, verb="optimize"):
    done = subprocess.run([CFINE, verb, *words], capture_output=True, text=True)
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def picture(path, seed, width=160, height=120):
    r = random.Random(seed)
    pixels = bytearray(bytes(r.choices(range(256), k=3)) * width * height)
    for _ in range(6):
        colour, x, y = bytes(r.choices(range(256), k=3)), r.randrange(width - 60), r.randrange(height - 60)
        for row in range(y, y + r.randrange(20, 60)):
            pixels[3 * (row * width + x):3 * (row * width + x + 50)] = colour * 50
    with open(path, "wb") as f:
        f.write(b"P6 %d %d 255\n" % (width, height) + pixels)


def make_data(folder):
    """Pictures, and annotations from what the model itself finds best."""
    names = json.load(open(os.path.join(MODEL, "config.json")))["id2label"]
    data = dict(images=[], categories=[dict(id=i + 1, name=names[str(i)]) for i in range(len(names))], annotations=[])
    for i in range(IMAGES):
        picture("%s/%d.ppm" % (folder, i), i)
        data["images"].append(dict(id=i + 1, file_name="%d.ppm" % i, width=160, height=120))
    truth, found = folder + "/truth.json", folder + "/found.json"
    json.dump(data, open(truth, "w"))
    run("--model", MODEL, "--data", truth, "--images", folder, "--save-detections", found, verb="eval")
    for image in range(1, IMAGES + 1):
        best = sorted((d for d in json.load(open(found)) if d["image_id"] == image), key=lambda d: -d["score"])[:4]
        for d in best:
            data["annotations"].append(dict(id=len(data["annotations"]) + 1, image_id=image, category_id=d["category_id"],
                                            bbox=d["bbox"], area=d["bbox"][2] * d["bbox"][3], iscrowd=0))
    os.unlink(found)
    json.dump(data, open(truth, "w"))
    return truth, data


def check_result(folder, plan, out, images=IMAGES):
    rows = [json.loads(line) for line in out.splitlines()]
    chosen = [r for r in rows if r["chosen"]]
    assert len(chosen) == 1 and chosen[0]["lost_choose"] <= 0.2 and chosen[0]["lost_confirm"] <= 0.2, chosen
    assert sum(r["uniform"] for r in rows) >= 4 and any(r["setting"] == "fp32" for r in rows)
    about = json.loads(run(plan, "--json", verb="info")[0])
    assert about["measured_images"] == images and abs(about["AP"] - chosen[0]["AP_all"]) < 1e-9, about
    assert "AP %.4f" % about["AP"] in run(plan, verb="info")[0]
    run("--model", plan, folder + "/0.ppm", verb="detect")
    report = open(plan.replace(".plan", ".html")).read()
    assert "<svg" in report and "<script" not in report
    assert not re.findall(r'(?:src|href|url)\s*[=(]', report), "the report needs something from outside"
    assert report.count("http") == report.count('xmlns="http://www.w3.org/2000/svg"')


def kill_and_resume(common, folder):
    plan = folder + "/killed.plan"
    words = common + ("--budget", "30s", "-o", plan)
    process = subprocess.Popen([CFINE, "optimize", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = plan + ".search/log.jsonl"
    until = time.time() + 60
    while time.time() < until and process.poll() is None and not (os.path.exists(log) and open(log).read().count("\n") > 4):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not os.path.exists(plan) and not os.path.exists(folder + "/killed.html")
    before = open(log).read()
    with open(log, "a") as f:
        f.write('{"key":"cut off')
    out, err = run(*words, "--json")
    assert "going on with" in err, err
    after = open(log).read()
    assert after.startswith(before[:before.rindex("\n") + 1]) and "cut off" not in after
    assert all(json.loads(line) for line in after.splitlines())
    check_result(folder, plan, out)
    # The log of another search is not taken for this one's, and a damaged one is told.
    assert "log of another search" in run(*common, "--budget", "5s", "--threads", "1", "-o", plan, status=1)[1]
    lines = after.splitlines()
    with open(log, "w") as f:
        f.write("\n".join([lines[0], "{not json", *lines[2:]]) + "\n")
    os.unlink(plan)
    assert "line 2 is damaged" in run(*words, status=1)[1] and not os.path.exists(plan)


def few_pictures(common, folder):
    """More than half of them missing or broken: refused before anything is measured. The fourth is broken already."""
    def fails(text):
        err = run(*common, "--images", most, "--budget", "5s", "-o", folder + "/few.plan", status=1)[1]
        assert text in err and "AP" not in err and "alibrat" not in err, (text, err)
        assert not os.path.exists(folder + "/few.plan") and not os.path.exists(folder + "/few.plan.search")

    most = folder + "/most"
    os.mkdir(most)
    for i in (0, 1, 4):
        shutil.copy("%s/%d.ppm" % (folder, i), most)
    fails("only 3 of the 8 pictures of the annotations are in this folder")
    shutil.copy(folder + "/2.ppm", most)
    fails("only 3 of the 8 pictures of the annotations can be read")
    # Pictures to calibrate with are counted too.
    out, err = run(*common, "--calibration-images", most, "--budget", "1s", "-o", folder + "/few.plan")
    assert "(mse) with 3 of 4 pictures" in err and "of the 8 pictures" in err, err
    assert "on the 7 of 8 pictures that can be read" in out, out


def interrupted(common, folder):
    """Ctrl-C says how to go on."""
    plan = folder + "/stopped.plan"
    process = subprocess.Popen([CFINE, "optimize", *common, "--budget", "30s", "-o", plan], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.time() + 60
    while time.time() < until and not os.path.exists(plan + ".search/percentile.json"):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == -signal.SIGINT and not os.path.exists(plan), (process.returncode, err)
    assert err.endswith("cfine: optimize: stopped; the same command goes on from %s.search/log.jsonl\n" % plan), err


def bad_input(common, folder, truth, data):
    def fails(text, *words, status=1, **changes):
        with open(folder + "/bad.json", "w") as f:
            f.write(changes["raw"]) if "raw" in changes else json.dump(dict(data, **changes), f)
        out = folder + "/bad.plan"
        err = run("--model", MODEL, "--data", folder + "/bad.json", "--images", folder, "-o", out, "--budget", "5s", *words, status=status)[1]
        assert text in err, (text, err)
        shutil.rmtree(out + ".search", ignore_errors=True)
        assert not os.path.exists(out) and not [f for f in os.listdir(folder) if ".tmp-" in f], os.listdir(folder)
        return err

    os.mkdir(folder + "/empty")
    fails("none of ", "--images", folder + "/empty")
    fails("is not a folder", "--images", truth)
    fails("too few", annotations=[])
    fails("too few", images=data["images"][:2], annotations=[a for a in data["annotations"] if a["image_id"] <= 2])
    fails("", raw="{ this is no JSON")
    fails("", raw="")
    fails("", annotations=[dict(data["annotations"][0], bbox=[0, 0, float("nan"), 5])])
    fails("", annotations=[dict(data["annotations"][0], bbox=[0, 0, 5])])
    fails("cannot create", "-o", "/no/where/best.plan")
    fails("no pictures", "--calibration-images", folder + "/empty")
    fails("there is no such calibration", "--calibration", "/no/where.json")
    err = fails("is not a calibration file", "--calibration", MODEL + "/config.json")
    assert "AP" not in err, err
    fails("nothing to lose", annotations=[dict(a, bbox=[0, 0, 1, 1], area=1) for a in data["annotations"]])
    fails("cannot create", "--report", "/no/where.html")
    fails("one file", "--report", folder + "/bad.plan")
    for words in (("--max-loss", "200%"), ("--max-loss", "x"), ("--budget", "soon"), ("--budget", "0"), ("--objective", "beauty")):
        fails("", *words, status=2)
    for missing in (("--data", truth), ("--images", folder), ("--data", truth, "--images", folder)):
        run(*missing, status=2)


def on_a_gpu(common, folder):
    """On a machine without one that is an error which leaves nothing behind."""
    plan = folder + "/gpu.plan"
    words = common + ("--device", "cuda", "--budget", "20s", "-o", plan)
    if "gpu          none" in run(verb="doctor")[0]:
        assert "--device cpu" in run(*words, status=1)[1] and not os.path.exists(plan) and not os.path.exists(plan + ".search")
        return
    out, _ = run(*words, "--json")
    assert any(json.loads(line)["setting"] == "fp16" for line in out.splitlines()), out
    assert "cuda" in json.loads(run(plan, "--json", verb="info")[0])["device"]


def main():
    with tempfile.TemporaryDirectory() as folder:
        truth, data = make_data(folder)
        common = ("--model", MODEL, "--data", truth, "--images", folder, "--max-loss", "20%")
        plan = folder + "/best.plan"
        # One picture among many is broken: it is told once, counts nowhere, and the search goes on.
        with open(folder + "/4.ppm", "r+b") as f:
            f.truncate(500)
        out, err = run(*common, "--budget", "20s", "-o", plan, "--json")
        assert err.count("4.ppm") == 1 and "7 of the 8 pictures can be read" in err, err
        assert "(percentile) with 4 pictures." in err, err
        check_result(folder, plan, out, images=IMAGES - 1)
        assert "On the 7 of 8 pictures that can be read: 4 to choose with, the other 3 to confirm" in open(folder + "/best.html").read()
        few_pictures(common, folder)
        picture(folder + "/4.ppm", 4)
        kill_and_resume(common, folder)
        interrupted(common, folder)
        out, _ = run(*common, "--budget", "20s", "--objective", "throughput", "-o", folder + "/fast.plan")
        assert "fastest uniform setting" in out or "No combination" in out, out
        on_a_gpu(common, folder)
        bad_input(common, folder, truth, data)
    print("cfine optimize: all as expected")


main()
