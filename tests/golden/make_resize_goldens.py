#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes resize.txt: checksums of what Pillow's bilinear resize makes of generated images. Needs Pillow and numpy.

    make_resize_goldens.py [OUT]        default: resize.txt beside this script

A line is: kind seed src_width src_height dst_width dst_height crc32. The source images come from the generator below,
which tests/unit/test_resize.c repeats, so that only checksums are stored.
"""
import os
import random
import sys
import zlib

import numpy as np
import PIL
from PIL import Image

SIDES = [  # (source), (destination)
    ((640, 480), (640, 640)), ((480, 640), (640, 640)), ((640, 427), (640, 640)), ((500, 375), (640, 640)),
    ((1280, 720), (640, 640)), ((1920, 1080), (640, 640)), ((1920, 1080), (960, 544)), ((2400, 1600), (320, 320)),
    ((640, 640), (640, 640)), ((640, 640), (320, 320)), ((641, 639), (640, 640)), ((639, 641), (640, 640)),
    ((1, 1), (1, 1)), ((1, 1), (640, 640)), ((2, 1), (640, 640)), ((1, 2), (33, 65)), ((2, 2), (7, 5)),
    ((640, 480), (1, 1)), ((3, 5), (7, 2)), ((5, 3), (2, 7)), ((5, 5), (4, 4)), ((4, 4), (5, 5)), ((3, 3), (3, 9)),
    ((5000, 3), (640, 640)), ((3, 5000), (640, 640)), ((30000, 1), (32, 32)), ((1, 30000), (32, 32)),
    ((30000, 2), (31, 2)), ((2, 30000), (2, 31)), ((7, 7), (3000, 5)), ((7, 7), (5, 3000)), ((1000, 1000), (999, 1001)),
]


def generate(kind, seed, width, height):
    """Kind 0: noise. Kind 1: black and white noise, which brings sums to their ends."""
    count = width * height * 3
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(count, 1664525, dtype=np.uint32), dtype=np.uint32)
        sums = np.cumsum(np.concatenate([np.ones(1, np.uint32), powers[:-1]]), dtype=np.uint32)
        state = powers * np.uint32(seed) + sums * np.uint32(1013904223)
    values = (state >> 24).astype(np.uint8) if kind == 0 else np.where(state >> 31, 255, 0).astype(np.uint8)
    return values.reshape(height, width, 3)


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "resize.txt")
    chooser = random.Random(1)
    cases = [(i % 2, 1 + i, *a, *b) for i, (a, b) in enumerate(SIDES)]
    for i in range(120):
        cases.append((i % 2, 1000 + i, *(chooser.randint(1, 150) for _ in range(4))))
    with open(out, "w") as file:
        file.write(f"# Pillow {PIL.__version__}, Image.resize((w, h), BILINEAR): "
                   "kind seed src_width src_height dst_width dst_height crc32\n")
        for kind, seed, w, h, to_w, to_h in cases:
            image = Image.fromarray(generate(kind, seed, w, h)).resize((to_w, to_h), Image.Resampling.BILINEAR)
            file.write(f"{kind} {seed} {w} {h} {to_w} {to_h} {zlib.crc32(image.tobytes()):08x}\n")


if __name__ == "__main__":
    main()
