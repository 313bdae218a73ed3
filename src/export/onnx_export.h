// SPDX-License-Identifier: Apache-2.0
// A graph as an ONNX file: opset 17, input pixel_values [N, 3, H, W], outputs logits and pred_boxes or detections.
#ifndef CF_EXPORT_ONNX_EXPORT_H
#define CF_EXPORT_ONNX_EXPORT_H

#include "graph/graph.h"

typedef struct cf_onnx_wish {
    int batch;      // 0: free
    int detections; // this many of the best of each image instead of raw outputs; 0: raw outputs
    int half;       // 1: FP16 but for what makes boxes
} cf_onnx_wish;

// Writes the graph. It may have been through fold_batch_norm and merge_repvgg, not through later passes.
cfine_status cf_onnx_export(const cf_graph *graph, const cf_onnx_wish *wish, const char *name, const char *path,
                            cfine_error *err);

#endif
