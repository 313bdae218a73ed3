#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the checkpoint fixtures of the tests, and official-layout .pth files of any Hugging Face D-FINE directory.

    make_checkpoint_fixtures.py fixtures              tests/data/tiny* from the oracle's checkpoint.py (CFINE_SHARED)
    make_checkpoint_fixtures.py official HF_DIR OUT.pth [--ema] [--anchors SIDE]

Needs torch, safetensors and transformers: a Python for development, not for users of cfine.
"""
import argparse
import json
import os
import re
import subprocess
import sys
from collections import OrderedDict

import torch
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
import oracle  # noqa: E402

DATA = os.path.join(HERE, "..", "data")

# Hugging Face's name to the official one; the first rule that fits counts.
RULES = [
    (r"model\.backbone\.model\.embedder\.(\w+)\.", r"backbone.stem.\1."),
    (r"model\.backbone\.model\.encoder\.stages\.", r"backbone.stages."),
    (r"model\.encoder_input_proj\.(\d+)\.0\.", r"encoder.input_proj.\1.conv."),
    (r"model\.encoder_input_proj\.(\d+)\.1\.", r"encoder.input_proj.\1.norm."),
    (r"model\.encoder\.downsample_convs\.(\d+)\.conv(\d)\.", r"encoder.downsample_convs.\1.0.cv\2."),
    (r"model\.encoder\.(fpn|pan)_blocks\.(\d+)\.conv1\.", r"encoder.\1_blocks.\2.cv1."),
    (r"model\.encoder\.(fpn|pan)_blocks\.(\d+)\.csp_rep1\.", r"encoder.\1_blocks.\2.cv2.0."),
    (r"model\.encoder\.(fpn|pan)_blocks\.(\d+)\.conv2\.", r"encoder.\1_blocks.\2.cv2.1."),
    (r"model\.encoder\.(fpn|pan)_blocks\.(\d+)\.csp_rep2\.", r"encoder.\1_blocks.\2.cv3.0."),
    (r"model\.encoder\.(fpn|pan)_blocks\.(\d+)\.conv3\.", r"encoder.\1_blocks.\2.cv3.1."),
    (r"model\.encoder\.(fpn|pan)_blocks\.(\d+)\.conv4\.", r"encoder.\1_blocks.\2.cv4."),
    (r"model\.encoder\.", r"encoder."),
    (r"model\.decoder\.layers\.(\d+)\.encoder_attn\.", r"decoder.decoder.layers.\1.cross_attn."),
    (r"model\.decoder\.(layers|lqe_layers)\.", r"decoder.decoder.\1."),
    (r"model\.decoder\.class_embed\.", r"decoder.dec_score_head."),
    (r"model\.decoder\.bbox_embed\.", r"decoder.dec_bbox_head."),
    (r"model\.decoder_input_proj\.(\d+)\.0\.", r"decoder.input_proj.\1.conv."),
    (r"model\.decoder_input_proj\.(\d+)\.1\.", r"decoder.input_proj.\1.norm."),
    (r"model\.weight_embedding\.", r"decoder.tgt_embed."),
    (r"model\.enc_output\.0\.", r"decoder.enc_output.proj."),
    (r"model\.enc_output\.1\.", r"decoder.enc_output.norm."),
    (r"model\.(denoising_class_embed|enc_score_head|enc_bbox_head)\.", r"decoder.\1."),
    (r"model\.decoder\.", r"decoder."),
]


def official_name(name):
    for pattern, replacement in RULES:
        renamed, count = re.subn("^" + pattern, replacement, name)
        if count:
            break
    else:
        raise ValueError(f"no official name for {name}")
    if renamed.startswith("backbone."):
        renamed = renamed.replace(".convolution.", ".conv.").replace(".normalization.", ".bn.")
    elif re.match(r"encoder\.encoder\.", renamed):
        renamed = renamed.replace(".fc1.", ".linear1.").replace(".fc2.", ".linear2.")
        renamed = renamed.replace(".self_attn_layer_norm.", ".norm1.").replace(".final_layer_norm.", ".norm2.")
    elif re.match(r"decoder\.decoder\.layers\.", renamed):
        renamed = renamed.replace(".fc1.", ".linear1.").replace(".fc2.", ".linear2.")
        renamed = renamed.replace(".self_attn_layer_norm.", ".norm1.").replace(".final_layer_norm.", ".norm3.")
    return renamed


def read_directory(directory):
    single = os.path.join(directory, "model.safetensors")
    if os.path.exists(single):
        return load_file(single)
    index = json.load(open(os.path.join(directory, "model.safetensors.index.json")))
    tensors = {}
    for shard in sorted(set(index["weight_map"].values())):
        tensors.update(load_file(os.path.join(directory, shard)))
    return tensors


def official_state(directory, anchors_side=None):
    """The state dict that the official code would save for this model."""
    tensors = read_directory(directory)
    config = json.load(open(os.path.join(directory, "config.json")))
    state = OrderedDict()
    for name in sorted(tensors):
        fused = re.match(r"(.*self_attn\.)([qkv])_proj\.(weight|bias)$", name)
        if not fused:
            state[official_name(name)] = tensors[name]
        elif fused[2] == "q":
            parts = [tensors[f"{fused[1]}{part}_proj.{fused[3]}"] for part in "qkv"]
            state[official_name(fused[1]) + "in_proj_" + fused[3]] = torch.cat(parts)
    state["decoder.decoder.up"] = state["decoder.up"]  # registered twice in the official decoder
    state["decoder.decoder.reg_scale"] = state["decoder.reg_scale"]
    if anchors_side:
        cells = sum((anchors_side // stride) ** 2 for stride in config["feat_strides"])
        state["decoder.anchors"] = torch.full((1, cells, 4), float("inf"))  # infinite at the border in real files too
        state["decoder.valid_mask"] = torch.ones(1, cells, 1, dtype=torch.bool)
    state._metadata = OrderedDict([("", {"version": 1})])  # as Module.state_dict leaves it
    return state


def write_official(directory, path, ema=False, anchors_side=None):
    """{"model": ...}, or a training checkpoint whose averaged weights are the model and whose "model" is useless."""
    state = official_state(directory, anchors_side)
    if not ema:
        torch.save({"model": state}, path)
        return
    useless = OrderedDict((name, torch.zeros_like(tensor)) for name, tensor in state.items())
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4)}},
                 "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "params": [0]}]}
    torch.save({"date": "2025-01-01T00:00:00", "last_epoch": 71, "model": useless,
                "ema": {"module": state, "updates": 10 ** 6}, "optimizer": optimizer}, path)


def check_strided(path):
    """Tensors as views: a transposed one, a slice of a larger storage, a scalar, and a parameter."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    torch.save(OrderedDict([("transposed", base.t()), ("slice", base[1:3, 2:5]), ("scalar", base[2, 3]),
                            ("half", base.half()), ("bfloat", base.bfloat16()), ("long", base.long()),
                            ("parameter", torch.nn.Parameter(base[0].clone()))]), path)


def fixtures():
    script = oracle.shared("oracle", "checkpoint.py")
    if not os.path.exists(script):
        sys.exit(f"{script} is not there: set CFINE_SHARED")
    tiny = os.path.join(DATA, "tiny")
    subprocess.run([sys.executable, script, "tiny", tiny, "--seed", "3", "--labels", "7", "--size", "128"], check=True)
    os.chmod(os.path.join(tiny, "model.safetensors"), 0o644)
    small = re.compile(r"\[\s+([\d.,\s]+?)\s+\]")  # number lists on one line
    for name in ("config.json", "preprocessor_config.json"):
        path = os.path.join(tiny, name)
        text = json.dumps(json.load(open(path)), indent=1)
        text = small.sub(lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text)
        open(path, "w").write(text + "\n")
    write_official(tiny, os.path.join(DATA, "tiny_official.pth"), anchors_side=128)
    check_strided(os.path.join(DATA, "strided.pth"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("fixtures")
    official = verbs.add_parser("official")
    official.add_argument("directory")
    official.add_argument("out")
    official.add_argument("--ema", action="store_true", help="a training checkpoint with averaged weights")
    official.add_argument("--anchors", type=int, help="store anchors for images of this side")
    options = parser.parse_args()
    if options.verb == "fixtures":
        fixtures()
    else:
        write_official(options.directory, options.out, options.ema, options.anchors)


if __name__ == "__main__":
    main()
