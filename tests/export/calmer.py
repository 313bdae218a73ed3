#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A drawn checkpoint that amplifies rounding less: calmer.py ORACLE_FOLDER SIZE OUT [SEED]

As the oracle's checkpoint.py draws it, then the biases of the backbone's batch norms are raised by 3 (fewer ReLUs cut
their input), the sampling offsets are shortened to a fifth, and the batch-norm statistics are measured once more.
Without this a drawn L or X tells little: PyTorch in FP32 does not match itself in FP64.
"""
import json
import os
import sys

import torch


def calm(model, oracle, seed):
    norms = [(name, m) for name, m in model.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for name, norm in norms:
            if "backbone" in name and "conv1" not in name:
                norm.bias.add_(3)
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None
        model(pixel_values=oracle.blobs(4, 320, seed + 1))
        for _, norm in norms:
            norm.eval()
        for name, parameter in model.named_parameters():
            if "sampling_offsets.weight" in name:
                parameter.mul_(0.2)


def main():
    folder, size, out = sys.argv[1:4]
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    sys.path.insert(0, folder)
    import checkpoint as oracle
    from transformers import DFineForObjectDetection
    config = oracle.configuration(size)
    config.freeze_backbone_batch_norms = False
    torch.manual_seed(seed)
    model = DFineForObjectDetection(config).eval()
    oracle.randomise(model, 320, seed)
    calm(model, oracle, seed)
    model.config.freeze_backbone_batch_norms = True
    model.config.eval_size = None
    model.save_pretrained(out)
    with open(os.path.join(out, "preprocessor_config.json"), "w") as file:
        json.dump(dict(do_resize=True, size=dict(height=640, width=640), resample=2, do_rescale=True, rescale_factor=1 / 255, do_normalize=False), file)


main()
