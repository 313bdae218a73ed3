#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_readme.py CFINE [--python PYTHON] [--only-print] [options of cfine bench]

Measures the bundled model on this machine beside what people use instead, writes the table between the markers of
README.md, and the pictures docs/bench.svg and docs/bench.png. int8 is calibrated twice: with the bundled scenes, and
with random pixels for comparison. PYTHON (or the environment's BENCH_PYTHON, or python3) has the other engines; those
that it lacks are rows that say how to get them.
"""
import datetime
import json
import os
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODEL = os.path.join("models", "tabletop")  # from TOP, where all of this runs: the pictures name it
README = os.path.join(TOP, "README.md")
BEGIN, END = "<!-- bench: begin -->\n", "<!-- bench: end -->\n"
HEAD = "| | mean ms | std | p50 | p95 | p99 | images/s | speed-up | mAP@50 | mAP@50:95 | lost |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"


def calibrate(cfine, folder):
    """Calibration files named for what they were made with."""
    made = []
    for name, source in (("scenes.json", ["--images", os.path.join(MODEL, "scenes")]), ("random.json", ["--random"])):
        made.append(os.path.join(folder, name))
        subprocess.run([cfine, "calibrate", "--model", MODEL, *source, "-o", made[-1]], check=True, cwd=TOP)
    return made


def measure(cfine, python, options):
    with tempfile.TemporaryDirectory() as folder:
        calibrations = [word for path in calibrate(cfine, folder) for word in ("--calibration", path)]
        done = subprocess.run(
            [cfine, "bench", "--model", MODEL, "--table", "--patience", "150", "--python", python, "--data", MODEL + "/eval/instances.json", "--images", MODEL + "/eval/images",
             "--calibration-images", MODEL + "/scenes", *calibrations, "--picture", "docs/bench.svg", "--picture", "docs/bench.png", "--json", *options],
            stdout=subprocess.PIPE, text=True, cwd=TOP)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if not rows:
        sys.exit("bench_readme.py: cfine bench gave no rows")
    return rows


def name(row):
    words = "%s %s" % (row["engine"] + (" " + row["version"] if row["engine"] != "cfine" else ""), row["precision"])
    if "calibration" in row:
        words += " (%s)" % {"scenes.json": "real pictures", "random.json": "random pixels"}.get(os.path.basename(row["calibration"]), "calibrated")
    elif row["engine"] == "cfine" and row["precision"] == "int8":
        words += " (no calibration)"
    if row["section"] == "Batches":
        words += ", batch %d" % row["batch"]
    if row["section"] == "Queries":
        words += ", %d queries" % row["queries"]
    return "**%s**" % words if row["engine"] == "cfine" else words


def line(row):
    if "mean_ms" not in row:
        return "| %s | %s | | | | | | | | | |\n" % (name(row), row["note"].replace("|", "\\|"))
    times = "%.1f | %.1f | %.1f | %.1f | %.1f" % tuple(row[k] for k in ("mean_ms", "std_ms", "p50_ms", "p95_ms", "p99_ms"))
    accuracy = "%.4f | %.4f | %+.2f %%" % (row["AP50"], row["AP"], -100 * row["AP_lost"]) if "AP" in row else " | | "
    return "| %s | %s | %.1f | %.1fx | %s |\n" % (name(row), times, row["images_per_s"], row["speed_up"], accuracy)


def processor():
    for text in open("/proc/cpuinfo"):
        if text.startswith("model name"):
            return text.split(":", 1)[1].strip()
    return "unknown processor"


def table(rows):
    out = "Measured on %s, %s, %d threads, %s; the bundled model at 640x640, 100 pictures; times are of the forward pass, rows took turns in one run (`make bench`).\n" % (
        datetime.date.today().isoformat(), processor(), rows[0]["threads"], rows[-1]["device"])
    section = None
    for row in rows:
        if row["section"] != section:
            section = row["section"]
            out += "\n%s:\n\n%s" % (section, HEAD)
        out += line(row)
    return out + "\n[![The same as bars, and speed against accuracy](docs/bench.png)](docs/bench.svg)\n"


def main():
    words = sys.argv[1:]
    if not words:
        sys.exit(__doc__)
    cfine, options = os.path.abspath(words[0]), words[1:]
    python = os.environ.get("BENCH_PYTHON", "python3")
    if "--python" in options:
        at = options.index("--python")
        python = options[at + 1]
        del options[at:at + 2]
    only_print = "--only-print" in options
    text = table(measure(cfine, python, [o for o in options if o != "--only-print"]))
    print(text)
    if only_print:
        return
    readme = open(README).read()
    if BEGIN not in readme or END not in readme:
        sys.exit("bench_readme.py: README.md lacks the markers %s and %s" % (BEGIN.strip(), END.strip()))
    before, rest = readme.split(BEGIN, 1)
    with open(README + ".new", "w") as file:
        file.write(before + BEGIN + text + END + rest.split(END, 1)[1])
    os.replace(README + ".new", README)


main()
