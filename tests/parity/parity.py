#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""parity.py [options] SIZE...: cfine against the reference implementation, size by size.

For each SIZE (tiny n s m l x) a checkpoint with drawn weights is made, both run it on the same photos, and
the oracle's compare.py matches their raw outputs: once from the Hugging Face directory, once from an official-layout
.pth of the same weights (not of tiny: tensors do not tell its number of heads, and it is no published size). Prints a table;
exit status 0 if every row has 98 % or more of the reference's best 100 a photo and not one pixel of preprocessing differs, 1 if not,
77 (skipped) where the oracle is not there.

Checkpoints with drawn weights amplify rounding, deep ones most: where PyTorch's FP32 does not match its own FP64, nothing else can
match it either. L is therefore drawn for images of 192x192, where PyTorch's FP32 has 99.9 % of its FP64's
answers; M with seed 2, because with seed 1 one of the ten photos turns on a tie of two queries (PyTorch's FP32 has half
of its FP64's answers there: 94.8 % over the ten; with seed 2 100 %). X is drawn for 128x128 with seed 266, the second
calmest of 583 draws, and judged on those ten of the 100 photos on which PyTorch's FP32 is nearest to its own FP64 (by
the worst of a photo's best 100 answers). Seed and photos were
chosen by the reference alone; over all 100 photos PyTorch's FP32 has 92.1 % of FP64's answers there, cfine 93.2 %. X is judged
a second time for 640x640, on a calmer draw (calm_checkpoint.py says what it changes) and the first five pairs of photos on which
PyTorch's FP32 has 99 % or more of its FP64's answers; of the two pairs that were passed over, it has 96.5 and 63.5 %.

--double compares with the reference in FP64 instead, and adds a row for PyTorch's FP32.

The oracle is a folder beside the checkout and a Python with PyTorch and transformers, see tests/oracle.py.
X takes several gigabytes and minutes.
"""
import argparse
import glob
import os
import re
import subprocess
import sys
import time

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests"))
import oracle  # noqa: E402

PYTHON = oracle.python_with("torch", "transformers", "safetensors")
# Photos that the reference takes at once: its activations of X at 640x640 are large.
TOGETHER = {"tiny": 10, "n": 10, "s": 10, "m": 5, "l": 5, "x": 2}
# The side of the images that a size is drawn for, where it is not 640, the seed, where it is not 1, and the photos, where they are
# not the first.
SIDE = {"l": 192, "x": 128}
SEED = {"m": 2, "x": 266}
PHOTOS = {"x": (20992, 106235, 199681, 239041, 239627, 255165, 333956, 385029, 443303, 557172),
          "x calm": (139, 802, 5001, 6818, 20992, 22892, 30213, 37777, 51712, 64523)}
# Sizes that are judged on the calm draw too.
DEEP = ("x",)


def script(name):
    return oracle.shared("oracle", name)


def run(command, **options):
    started = time.monotonic()
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    return result, time.monotonic() - started


def must(command):
    result, seconds = run(command)
    if result.returncode:
        sys.exit(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
    return seconds


def side_of(size, calm, options):
    return 640 if calm else options.side or SIDE.get(size, 640)


def seed_of(size, calm, options):
    return options.seed if options.seed is not None else 1 if calm else SEED.get(size, 1)


def photos_of(size, calm, options):
    """The photos, and whether they are chosen ones: those belong to one draw."""
    folder = oracle.shared("data", "coco100", "images")
    name = size + " calm" * calm
    if name in PHOTOS and (options.seed, options.side, options.photos) == (None, None, None):
        return [os.path.join(folder, f"{number:012}.jpg") for number in PHOTOS[name]], True
    return sorted(glob.glob(os.path.join(folder, "*.jpg")))[:options.photos or 10], False


def checkpoint(size, calm, options):
    """The directory and, unless it is not wanted, the .pth of a size, made once for each seed and side."""
    side, seed = side_of(size, calm, options), seed_of(size, calm, options)
    directory = os.path.join(options.work, f"{size}{'-calm' * calm}-{seed}" + f"-{side}" * (side != 640))
    pth = directory + ".pth"
    draw = [os.path.join(TOP, "tests", "parity", "calm_checkpoint.py")] if calm else [script("checkpoint.py"), "--size", str(side)]
    if not os.path.exists(os.path.join(directory, "preprocessor_config.json")):
        must([PYTHON, *draw, "--seed", str(seed), size, directory])
    if not options.no_pth and not os.path.exists(pth):
        must([PYTHON, os.path.join(TOP, "tests", "golden", "make_checkpoint_fixtures.py"), "official", directory, pth])
    return directory, pth


def compare(reference, ours):
    """Matched, of how many, worst pixel difference, then median and worst errors of scores and boxes."""
    result, _ = run([PYTHON, script("compare.py"), reference, ours])
    number = r"([-+.\de]+)"
    found = re.search(rf"matched {number} of {number}; score error median {number} worst {number}; "
                      rf"box error median {number} worst {number}", result.stdout)
    pixels = re.search(rf"worst pixel difference {number}", result.stdout)
    if not found or not pixels:
        sys.exit(f"compare.py {reference} {ours}\n{result.stdout}{result.stderr}")
    share, total, *errors = (float(v) for v in found.groups())
    return round(share * total), total, float(pixels.group(1)), errors


def references_of(size, directory, photos, chosen, double, options):
    """The reference's raw outputs, kept from run to run: pairs of some photos and the file of their outputs."""
    kept = []
    for i in range(0, len(photos), TOGETHER[size]):
        some = photos[i:i + TOGETHER[size]]
        raw = os.path.join(options.work, f"{os.path.basename(directory)}-{'fp64' if double else 'fp32'}-"
                                         f"{'chosen-' * chosen}{i}-{len(some)}.safetensors")
        if not os.path.exists(raw):
            must([PYTHON, script("reference.py"), directory] + some + ["--raw", raw] + ["--double"] * double)
        kept.append((some, raw))
    return kept


def row(size, kind, against, references, answer, judged=True):
    """Adds up what compare.py says of each portion of the photos; answer(photos, index) gives seconds and a file."""
    matched = total = pixels = seconds = 0
    errors = []
    for i, (photos, reference) in enumerate(references):
        took, ours = answer(photos, i)
        part = compare(reference, ours)
        matched, total, pixels, seconds = matched + part[0], total + part[1], max(pixels, part[2]), seconds + took
        errors.append(part[3])
    share = matched / total
    good = share >= 0.98 and pixels == 0
    print(f"{size:7} {kind:7} {against:5} {share:8.2%} {pixels:8.1g} {sorted(e[0] for e in errors)[len(errors) // 2]:9.1e} "
          f"{max(e[1] for e in errors):9.1e} {sorted(e[2] for e in errors)[len(errors) // 2]:9.1e} "
          f"{max(e[3] for e in errors):9.1e} {seconds:8.1f}  "
          f"{'told' if not judged else 'ok' if good else 'FAILED'}", flush=True)
    return good or not judged


def cfine_answers(size, model, side, options):
    """A .pth does not say for images of which size it was made, so cfine is told."""
    def answer(photos, index):
        ours = os.path.join(options.work, f"{size.replace(' ', '-')}-ours-{index}.safetensors")
        command = [options.cfine, "detect", "--model", model, "--no-orientation", "--raw", ours, "--json",
                   "--precision", options.precision, "--size", f"{side}x{side}", "--device", options.device] + (["--cpu", options.cpu] if options.cpu else [])
        return must(command + photos), ours
    return answer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", nargs="+", choices=list(TOGETHER))
    parser.add_argument("--cfine", default=os.path.join(TOP, "build", "release", "cli", "cfine"))
    parser.add_argument("--work", default=os.path.join(TOP, "build", "parity"), help="where checkpoints are kept")
    parser.add_argument("--seed", type=int, help="of the drawn weights (default: 1, of M 2, of X 266)")
    parser.add_argument("--side", type=int, help="of the images that they are drawn for (default: 640, of L 192, of X 128)")
    parser.add_argument("--photos", type=int, help="how many, from the first (default: 10; of X ten chosen ones)")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, as cfine's --device (default: cpu)")
    parser.add_argument("--cpu", help="limit the instruction sets, as cfine's --cpu")
    parser.add_argument("--no-pth", action="store_true")
    parser.add_argument("--double", action="store_true", help="compare with the reference in double precision")
    options = parser.parse_args()

    if not os.path.exists(script("reference.py")):
        oracle.skip("the oracle is not there (CFINE_SHARED)")
    if not PYTHON:
        oracle.skip("no Python with torch and transformers (CFINE_ORACLE)")
    if not all(os.path.exists(photo) for size in options.size for photo in photos_of(size, False, options)[0] or [""]):
        oracle.skip("the photos are not there (CFINE_SHARED)")
    os.makedirs(options.work, exist_ok=True)

    print("                                  pixel     score     score       box       box\n"
          "size    answer  to     matched    worst    median     worst    median     worst  seconds")
    good = True
    for size in options.size:
        for calm in (False, True) if size in DEEP else (False,):
            good &= rows_of(size, calm, options)
    sys.exit(0 if good else 1)


def rows_of(size, calm, options):
    """The rows of one draw. PyTorch's own distance from FP64 is told, not judged."""
    name = size + " calm" * calm
    directory, pth = checkpoint(size, calm, options)
    side = side_of(size, calm, options)
    photos, chosen = photos_of(size, calm, options)
    single = references_of(size, directory, photos, chosen, False, options)
    if options.double:
        double = references_of(size, directory, photos, chosen, True, options)
        row(name, "pytorch", "fp64", double, lambda photos, i: (0, single[i][1]), False)
        return row(name, "dir", "fp64", double, cfine_answers(name, directory, side, options))
    good = row(name, "dir", "fp32", single, cfine_answers(name, directory, side, options))
    if not options.no_pth and size != "tiny":
        good &= row(name, "pth", "fp32", single, cfine_answers(name, pth, side, options))
    return good


main()
