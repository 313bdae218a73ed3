#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`cfine bench` on a tiny model: rows, figures that fit together, refusals. bench_verb.py CFINE MODEL OLD_ONNXRUNTIME"""
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CFINE, MODEL, OLD = sys.argv[1:4]
for name in ("CFINE_ONNXRUNTIME", "CFINE_OPENVINO"):
    os.environ.pop(name, None)
FIELDS = "engine device scope precision batch threads mean_ms std_ms p50_ms p95_ms p99_ms min_ms images_per_s".split()


def run(*words, status=0):
    done = subprocess.run([CFINE, "bench", "--model", MODEL, *words], capture_output=True, text=True)
    assert status in (None, done.returncode), (words, done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def rows(*words, status=0):
    return [json.loads(line) for line in run("--json", *words, status=status)[0].splitlines()]


def interrupted(*words, enough=lambda found: True):
    """The rows of a bench that is asked to stop; later and later, until they are enough: a busy machine gets nowhere in two seconds."""
    for pause in (2, 6, 18, 54):
        bench = subprocess.Popen([CFINE, "bench", "--model", MODEL, "--json", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(pause)
        bench.send_signal(signal.SIGINT)
        out, err = bench.communicate(timeout=60)
        assert bench.returncode == 1 and "stopped" in err, (words, bench.returncode, out, err)
        found = [json.loads(line) for line in out.splitlines()]
        if enough(found):
            break
    return found


def first_has_run(found):
    return "runs" in found[0]


def all_have_run(found):
    return all("mean_ms" in r for r in found)


def with_folder():
    """A bench with an exported network in its folder, in the middle of a run of a second or more, and the folder (with those of the same
    kind that other programs made meanwhile)."""
    folders = lambda: {f for f in glob.glob("/tmp/cfine-bench-*") if os.path.exists(f + "/model-37.onnx")}  # noqa: E731
    others = folders()
    words = "--engine onnxruntime,cfine --queries 37 --batch 8 --size 320x320 --threads 1 --cpu scalar --runs 1000000 --json --onnxruntime".split()
    bench = subprocess.Popen([CFINE, "bench", "--model", MODEL, *words, OLD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.time() + 60
    while not folders() - others and time.time() < until:
        time.sleep(0.02)
    mine = folders() - others
    assert mine
    return bench, mine


def asked_twice(signals, pause):
    """Returns status and output of such a bench that gets these signals."""
    bench, mine = with_folder()
    time.sleep(1)
    for number in signals:
        bench.send_signal(number)
        time.sleep(pause)
    out, err = bench.communicate(timeout=120)
    assert not any(os.path.exists(f) for f in mine), (signals, mine, out, err)
    return bench.returncode, out, err


def killed():
    """What a killed bench leaves the next one removes: that alone, and not what a running one uses."""
    dead, stale = with_folder()
    dead.kill()
    dead.communicate()
    assert all(os.path.exists(f) for f in stale), stale
    with tempfile.TemporaryDirectory() as precious:
        open(precious + "/lock", "w").close()
        link, short, without, foreign = ("/tmp/cfine-bench-%05d%s" % (os.getpid() % 10**5, end) for end in ("a", "", "c", "d"))
        os.symlink(precious, link)
        os.mkdir(without)  # no bench made it, or it has just begun
        locked = [short] + [foreign] * (os.geteuid() == 0)
        for f in locked:
            os.mkdir(f)
            open(f + "/lock", "w").close()
        if foreign in locked:
            os.chown(foreign, 12345, 12345)
        kept = [link, precious + "/lock", without] + [f + "/lock" for f in locked]
        running, used = with_folder()
        other, also_used = with_folder()
        try:
            assert not any(os.path.exists(f) for f in stale), stale
            assert all(os.path.exists(f) for f in kept), [f for f in kept if not os.path.exists(f)]
            assert running.poll() is None and all(os.path.exists(f + "/model-37.onnx") for f in used | also_used), (used, also_used)
        finally:
            for bench in (running, other):
                bench.send_signal(signal.SIGTERM)
                bench.communicate(timeout=120)
            os.unlink(link)
            os.rmdir(without)
            for f in locked:
                shutil.rmtree(f, ignore_errors=True)
    assert not any(os.path.exists(f) for f in used | also_used), (used, also_used)


def main():
    killed()
    # A second request ends the program at once; those of one moment are one. Neither leaves the exported network behind.
    status, out, err = asked_twice([signal.SIGTERM, signal.SIGINT], 0.3)
    assert status == -signal.SIGINT and not out, (status, out, err)
    for signals in ([signal.SIGQUIT], [signal.SIGTERM, signal.SIGTERM, signal.SIGHUP]):
        status, out, err = asked_twice(signals, 0.02)
        assert status == 1 and len(out.splitlines()) == 2 and "stopped" in err, (signals, status, out, err)

    found = rows("--batch", "1,3", "--precision", "fp32,bf16", "--runs", "7", "--threads", "2", "--warmup", "0")
    assert [(r["precision"], r["batch"]) for r in found] == [("fp32", 1), ("bf16", 1), ("fp32", 3), ("bf16", 3)]
    for r in found:
        assert all(f in r for f in FIELDS) and r["runs"] == 7 and r["engine"] == "cfine" and r["threads"] == 2, r
        assert 0 < r["min_ms"] <= r["p50_ms"] <= r["p95_ms"] <= r["p99_ms"] and r["min_ms"] <= r["mean_ms"]
        assert abs(r["images_per_s"] - r["batch"] * 1000 / r["mean_ms"]) < 1e-3 * r["images_per_s"]
    assert found[0]["speed_up"] == 1
    queries = rows("--queries", "50,10", "--seconds", "0.01")
    assert [r["queries"] for r in queries] == [50, 10] and 10 <= queries[0]["runs"] <= 100

    # Sessions side by side: images of all of them count, in the time of a round.
    found = rows("--streams", "1", "--runs", "3", "--threads", "2") + rows("--streams", "3", "--runs", "3", "--batch", "2")
    assert [r["streams"] for r in found] == [1, 3]
    for r in found:
        assert abs(r["images_per_s"] - r["batch"] * r["streams"] * 1000 / r["mean_ms"]) < 1e-3 * r["images_per_s"], r
    assert "cfine x3" in run("--streams", "3", "--runs", "2")[0]

    # A row that cannot run is told, and the others run.
    mixed = rows("--precision", "fp8,fp32", "--runs", "2", status=1)
    assert "note" in mixed[0] and "mean_ms" in mixed[1] and mixed[1]["speed_up"] == 1, mixed

    # What a plan is that cannot be opened nobody knows; what was asked for is known, and what a checkpoint has by default.
    lost = ("--model", "/no/such.plan", "--runs", "2")
    row, = rows(*lost, status=1)
    assert row["precision"] == "" and row["queries"] == 0 and "/no/such.plan" in row["note"], row
    assert run(*lost, status=1)[0].splitlines()[2].split()[:5] == ["cfine", "forward", "-", "1", "-"]
    assert "| cfine  | forward | - | 1 | - |" in run(*lost, "--markdown", status=1)[0]
    assert [r["precision"] for r in rows(*lost, "--engine", "cfine,onnxruntime", status=1)] == ["", "fp32"]
    assert [r["precision"] for r in rows(*lost, "--precision", "fp32,bf16", status=1)] == ["fp32", "bf16"]
    assert rows("--model", "/no/such", "--runs", "2", status=1)[0]["precision"] == "fp32"

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([CFINE, "build", "--model", MODEL, "--quick", "--precision", "bf16", "-o", folder + "/known.plan"], check=True, capture_output=True)
        assert [r["precision"] for r in rows("--model", folder + "/known.plan", "--runs", "2", "--batch", "1,2", status=1)] == ["bf16", ""]
        for i in range(3):
            with open("%s/%d.ppm" % (folder, i), "wb") as f:
                f.write(b"P6 90 60 255\n" + bytes((i * 50 + k) % 256 for k in range(90 * 60 * 3)))
        with open(folder + "/broken.ppm", "wb") as f:
            f.write(b"P6 90 60 255\n")
        both = rows("--images", folder, "--runs", "3", "--batch", "2")
        assert [r["scope"] for r in both] == ["forward", "image"]
        assert [r["scope"] for r in rows("--images", folder, "--runs", "3", "--scope", "image")] == ["image"]
        data = dict(images=[dict(id=i + 1, file_name="%d.ppm" % i) for i in range(3)], annotations=[dict(id=1, image_id=1, category_id=1, bbox=[0, 0, 50, 50], area=2500, iscrowd=0)],
                    categories=[dict(id=i + 1, name="class_%d" % i) for i in range(7)])
        with open(folder + "/truth.json", "w") as f:
            json.dump(data, f)
        assert all(0 <= r["AP"] <= 1 for r in rows("--images", folder, "--data", folder + "/truth.json", "--runs", "2"))
        os.mkdir(folder + "/empty")
        run("--images", folder + "/empty", status=1)
        assert "mAP@50:95" in run("--images", folder, "--data", folder + "/truth.json", "--runs", "2", "--markdown")[0]

    # A missing engine is a row that says how to get it, and no failure.
    missing = rows("--engine", "onnxruntime,cfine", "--python", "/no/python", "--runs", "2")
    assert "--python" in missing[0]["note"] and "mean_ms" in missing[1], missing
    # Without modules of any kind Python still answers, and names the one to install.
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/python", "w") as f:
            f.write("#!/bin/sh\nexec %s -S -E \"$@\"\n" % sys.executable)
        os.chmod(folder + "/python", 0o755)
        missing = rows("--engine", "onnxruntime,openvino,pytorch", "--python", folder + "/python", "--runs", "2", status=1)
        assert all("pip install" in r["note"] for r in missing), missing

    # Engines of a wrong version are told too, whatever they lack.
    with tempfile.TemporaryDirectory() as folder:
        stubs = {"numpy": "", "torch": "__version__ = '2.1'\nfloat32 = bfloat16 = None", "transformers": "__version__ = '4.30'"}
        for module, text in stubs.items():
            with open("%s/%s.py" % (folder, module), "w") as f:
                f.write(text)
        with open(folder + "/python", "w") as f:
            f.write("#!/bin/sh\nPYTHONPATH=%s exec %s -S \"$@\"\n" % (folder, sys.executable))
        os.chmod(folder + "/python", 0o755)
        old = rows("--engine", "onnxruntime,openvino,pytorch,torch-compile,cfine", "--python", folder + "/python", "--onnxruntime", OLD, "--openvino", OLD, "--runs", "2")
        assert all("too old" in r["note"] or "4.50" in r["note"] for r in old[:4]) and "mean_ms" in old[4], old
        assert "1.2.0" in old[0]["note"] and "pip install -U" in old[0]["note"] and "ov_" in old[1]["note"] and "4.30" in old[2]["note"], old
        no_file = rows("--engine", "onnxruntime,openvino", "--onnxruntime", "/no/lib.so", "--openvino", folder + "/python", "--runs", "2", status=1)
        assert "--onnxruntime" in no_file[0]["note"] and "/no/lib.so" in no_file[0]["note"] and "CFINE_OPENVINO" in no_file[1]["note"], no_file
        # One that never gets ready is given up, and the others run.
        with open(folder + "/torch.py", "w") as f:
            f.write("import time\nwhile True:\n    try:\n        time.sleep(60)\n    except Exception:\n        pass\n")
        slow = rows("--engine", "pytorch,cfine", "--python", folder + "/python", "--patience", "1", "--runs", "2")
        assert "--patience" in slow[0]["note"] and "mean_ms" in slow[1], slow
        with open(folder + "/torch.py", "w") as f:
            f.write(stubs["torch"])
        # So is an interpreter that never answers.
        with open(folder + "/silent", "w") as f:
            f.write("#!/bin/sh\nexec sleep 1000\n")
        os.chmod(folder + "/silent", 0o755)
        slow = rows("--engine", "pytorch,torch-compile,cfine", "--python", folder + "/silent", "--patience", "1", "--runs", "2")
        assert all("does not answer" in r["note"] for r in slow[:2]) and "mean_ms" in slow[2], slow

        # Asked to stop it shows the runs until then, even while another engine gets ready.
        stopped = interrupted("--runs", "1000000", "--warmup", "0", "--precision", "fp32,bf16", "--batch", "1", enough=first_has_run)
        assert stopped[0]["runs"] >= 1 and all("mean_ms" in r or "stopped" in r["note"] for r in stopped), stopped
        stopped = interrupted("--runs", "1000000", "--picture", folder + "/stopped.svg", enough=first_has_run)
        assert stopped[0]["runs"] >= 1 and open(folder + "/stopped.svg").read().startswith("<svg"), stopped
        stopped = interrupted("--engine", "cfine,pytorch,torch-compile", "--python", folder + "/silent")
        assert all("stopped" in r["note"] for r in stopped), stopped

        # While accuracy is measured, too; a picture without a number is not written.
        shots = folder + "/shots"
        os.mkdir(shots)
        for i in range(3):
            with open("%s/%d.ppm" % (shots, i), "wb") as f:
                f.write(b"P6 90 60 255\n" + bytes((i * 50 + k) % 256 for k in range(90 * 60 * 3)))
        many = dict(data, images=[dict(id=i + 1, file_name="%d.ppm" % (i % 3)) for i in range(100000)])
        with open(folder + "/many.json", "w") as f:
            json.dump(many, f)
        stopped = interrupted("--images", shots, "--data", folder + "/many.json", "--scope", "forward", "--precision", "fp32,bf16", "--runs", "2", enough=all_have_run)
        assert all("mean_ms" in r and "AP" not in r for r in stopped), stopped
        interrupted("--engine", "pytorch", "--python", folder + "/silent", "--picture", folder + "/never.svg")
        assert not os.path.exists(folder + "/never.svg")

        # Accuracy is of all pictures or of none.
        few = dict(data, images=data["images"] + [dict(id=4, file_name="missing.ppm")])
        with open(folder + "/few.json", "w") as f:
            json.dump(few, f)
        out, err = run("--images", shots, "--data", folder + "/few.json", "--scope", "forward", "--runs", "2", "--json", status=1)
        assert "AP" not in json.loads(out) and "all 4 pictures" in err and "1 could not be read" in err, (out, err)

        # Pictures of the rows, and what cannot be drawn.
        svg, png = folder + "/rows.svg", folder + "/rows.png"
        run("--precision", "fp32,bf16", "--batch", "1,2", "--runs", "2", "--picture", svg, "--picture", png)
        text = open(svg).read()
        assert text.startswith("<svg") and "cfine bf16, batch 2" in text and text.count("<rect") >= 5, text
        assert open(png, "rb").read(8) == b"\x89PNG\r\n\x1a\n"
        run("--runs", "2", "--picture", folder + "/rows.gif", status=2)
        run("--runs", "2", "--picture", "/no/where/rows.svg", status=1)

        # The table: sections, rows of every engine (missing here), batches and queries.
        table = rows("--table", "--python", folder + "/python", "--runs", "2", "--warmup", "0")
        assert [r["engine"] for r in table[:6]] == ["pytorch", "pytorch", "torch-compile", "onnxruntime", "openvino", "openvino"], table
        assert [r["batch"] for r in table if r["section"] == "Batches"] == [1, 2, 4, 8, 16]
        gpu = rows("--table", "--device", "cuda", "--python", folder + "/python", "--runs", "2", "--warmup", "0", status=None)
        assert [r["batch"] for r in gpu if r["engine"] == "pytorch"] == [1, 1, 8, 8, 32, 32]
        assert [r["engine"] for r in gpu[3:6]] == ["torch-tensorrt", "onnxruntime-cuda", "onnxruntime-tensorrt"], gpu
        assert "**Batches**" in run("--table", "--python", folder + "/python", "--runs", "2", "--warmup", "0", "--markdown")[0]

    assert "The slowest steps" in run("--runs", "2", "--profile")[0]
    stopped = subprocess.run(["timeout", "2", CFINE, "bench", "--model", MODEL, "--runs", "1000000", "--profile"], capture_output=True, text=True)
    assert "fp32" in stopped.stdout and "The slowest steps" not in stopped.stdout and "stopped before the profile" in stopped.stderr, stopped
    bundled = subprocess.run([CFINE, "bench", "--runs", "1", "--json"], capture_output=True, text=True)
    assert json.loads(bundled.stdout)["model"] == "bundled model", bundled
    assert run("--runs", "2", "--markdown")[0].count("| images/s |") == 1
    for words in (["--scope", "image"], ["--scope", "sideways"], ["--batch", "0"], ["--batch", "1,1"], ["--batch", ""], ["--precision", "fp9"], ["--json", "--profile"], ["--data", "x"], ["--table", "--batch", "1"]):
        run(*words, status=2)
    print("cfine bench: all as expected")


main()
