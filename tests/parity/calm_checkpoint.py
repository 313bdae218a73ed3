#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""calm_checkpoint.py {n,s,m,l,x,tiny} OUT_DIR [--seed 1]: the oracle's drawn checkpoint, made to amplify less.

In a deep network with drawn weights each layer enlarges the rounding errors of those before it: behind L and X they are a
million times what they were in the stem, and PyTorch's FP32 answers differ from its FP64 answers. Trained networks do
not do that. Two things are changed in what the oracle's checkpoint.py draws:

    batch norms of the backbone that stand in front of a ReLU get a bias of +3, so that most activations pass it and the
    network is nearer to a linear one; the statistics are then measured again
    the weights of the sampling offsets are a fifth, so that a small error in a query moves its points little

Every weight is still drawn, every fold, axis and layer still shows in the answers.
"""
import argparse
import json
import os
import sys

import torch
from transformers import DFineForObjectDetection

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests"))
import oracle  # noqa: E402

sys.path.insert(0, oracle.shared("oracle"))
import checkpoint as drawn  # noqa: E402

SIDE = 320  # of the images that the statistics are measured on


@torch.no_grad()
def calm(model, seed):
    norms = [(name, m) for name, m in model.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for name, norm in norms:
        if "backbone" in name and "conv1" not in name:  # no ReLU follows the first half of a light convolution
            norm.bias.add_(3)
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None
    model(pixel_values=drawn.blobs(4, SIDE, seed + 1))
    for _, norm in norms:
        norm.eval()
    for name, weight in model.named_parameters():
        if "sampling_offsets.weight" in name:
            weight.mul_(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=drawn.SIZES)
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    config = drawn.configuration(options.size)
    config.freeze_backbone_batch_norms = False
    torch.manual_seed(options.seed)
    model = DFineForObjectDetection(config).eval()
    drawn.randomise(model, SIDE, options.seed)
    calm(model, options.seed)
    model.config.freeze_backbone_batch_norms = True
    model.config.eval_size = None
    model.save_pretrained(options.out)
    with open(os.path.join(options.out, "preprocessor_config.json"), "w", encoding="utf-8") as file:
        json.dump({"image_processor_type": "RTDetrImageProcessor", "do_resize": True,
                   "size": {"height": 640, "width": 640}, "resample": 2, "do_rescale": True,
                   "rescale_factor": 1 / 255, "do_normalize": False}, file, indent=1)


main()
