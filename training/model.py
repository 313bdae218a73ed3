# SPDX-License-Identifier: Apache-2.0
"""The configuration of the bundled model: D-FINE-N in the layout of Hugging Face transformers."""
import json
import os

from transformers import DFineConfig

from tabletop import CLASSES


def configuration():
    c = DFineConfig()
    b = c.backbone_config  # HGNetv2-B0
    b.hidden_sizes, b.stage_out_channels = [64, 256, 512, 1024], [64, 256, 512, 1024]
    b.stage_in_channels, b.stage_mid_channels = [16, 64, 256, 512], [16, 32, 64, 128]
    b.stage_num_blocks, b.stage_numb_of_layers, b.stem_channels = [1, 1, 2, 1], [3] * 4, [3, 16, 16]
    b.stage_downsample, b.stage_light_block, b.stage_kernel_size = [False, True, True, True], [False, False, True, True], [3, 3, 5, 5]
    b.use_learnable_affine_block = True
    b.set_output_features_output_indices(out_features=["stage3", "stage4"], out_indices=None)
    for k, v in dict(
        encoder_in_channels=[512, 1024], feat_strides=[16, 32], num_feature_levels=2, encode_proj_layers=[1], decoder_n_points=[6, 6], decoder_layers=3,
        decoder_in_channels=[128, 128], d_model=128, encoder_hidden_dim=128, encoder_ffn_dim=512, decoder_ffn_dim=512, hidden_expansion=0.34, depth_mult=0.5,
        num_labels=len(CLASSES), eval_size=None, freeze_backbone_batch_norms=False,
    ).items():
        setattr(c, k, v)
    c.head_dim = c.d_model // c.decoder_attention_heads
    c.id2label = dict(enumerate(CLASSES))
    c.label2id = {v: k for k, v in c.id2label.items()}
    return c


def save(model, out, dtype=None):
    """A directory that from_pretrained and AutoImageProcessor read. The config says float32, so half-precision files are widened on loading."""
    import torch
    # the heads are in model.decoder too; frozen batch norms do not count
    state = {k: v.detach().cpu().clone() for k, v in model.state_dict().items() if not k.startswith(("class_embed.", "bbox_embed.")) and not (".backbone." in k and k.endswith("num_batches_tracked"))}
    if dtype is not None:
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    frozen, model.config.freeze_backbone_batch_norms = model.config.freeze_backbone_batch_norms, True
    noisy, model.config.num_denoising = model.config.num_denoising, 100  # the embedding is there even if the last steps did not use it
    model.save_pretrained(out, state_dict=state)
    model.config.freeze_backbone_batch_norms, model.config.num_denoising = frozen, noisy
    with open(os.path.join(out, "preprocessor_config.json"), "w") as f:
        json.dump(dict(image_processor_type="RTDetrImageProcessor", do_resize=True, size=dict(height=640, width=640), resample=2, do_rescale=True, rescale_factor=1 / 255,
                       do_normalize=False, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225], do_pad=False), f, indent=1)
