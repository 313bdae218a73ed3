// SPDX-License-Identifier: Apache-2.0
// A graph as an ONNX file: opset 17, FP32, input pixel_values [N, 3, H, W], outputs logits and pred_boxes.
#ifndef CF_EXPORT_ONNX_EXPORT_H
#define CF_EXPORT_ONNX_EXPORT_H

#include "graph/graph.h"

// Writes the graph. It may have been through fold_batch_norm and merge_repvgg, not through later passes. batch 0 leaves
// the number of images free.
cfine_status cf_onnx_export(const cf_graph *graph, int batch, const char *name, const char *path, cfine_error *err);

#endif
