// SPDX-License-Identifier: Apache-2.0
// The operators of the transformer parts as ONNX nodes. All tensors are [N, tokens, channels], N free.
#ifndef CF_EXPORT_ONNX_OPS_H
#define CF_EXPORT_ONNX_OPS_H

#include "export/onnx_model.h"
#include "graph/graph.h"

cf_onnx_name cf_onnx_activation(cf_onnx *model, cf_act act, cf_onnx_name x);
cf_onnx_name cf_onnx_norm(cf_onnx *model, const cf_node *node, cf_onnx_name x);
cf_onnx_name cf_onnx_gate(cf_onnx *model, const cf_node *node, cf_onnx_name gates, cf_onnx_name a, cf_onnx_name b,
                          int channels);
cf_onnx_name cf_onnx_attention(cf_onnx *model, int heads, int channels, cf_onnx_name q, cf_onnx_name k, cf_onnx_name v);
// Indices [N, queries] of the best rows of scores [N, tokens, classes].
cf_onnx_name cf_onnx_top_queries(cf_onnx *model, int queries, cf_onnx_name scores);
cf_onnx_name cf_onnx_gather(cf_onnx *model, int channels, cf_onnx_name rows, cf_onnx_name indices);
cf_onnx_name cf_onnx_reference(cf_onnx *model, const cf_node *node, cf_onnx_name delta, cf_onnx_name indices);
cf_onnx_name cf_onnx_shift_box(cf_onnx *model, cf_onnx_name delta, cf_onnx_name box);
// in: offsets, weights, boxes, memory of `channels` channels.
cf_onnx_name cf_onnx_deform(cf_onnx *model, const cf_deform_attr *attr, int queries, int channels,
                            const cf_onnx_name *in);
cf_onnx_name cf_onnx_refine(cf_onnx *model, const cf_node *node, cf_onnx_name corners, cf_onnx_name box);
cf_onnx_name cf_onnx_quality(cf_onnx *model, int bins, int top, cf_onnx_name corners);

// The best `count` (query, class) pairs of logits [N, queries, labels]: scores and classes [N, count], and their boxes
// as corners [N, count, 4] in pixels of pictures of `sizes` [N, 2], width and height.
typedef struct cf_onnx_found {
    cf_onnx_name scores, labels, boxes;
} cf_onnx_found;
cf_onnx_found cf_onnx_detections(cf_onnx *model, int queries, int labels, int count, cf_onnx_name logits,
                                 cf_onnx_name boxes, cf_onnx_name sizes);

// Part of x along an axis: first .. first + count.
cf_onnx_name cf_onnx_slice(cf_onnx *model, cf_onnx_name x, int axis, int64_t first, int64_t count);
// To this shape; 0 keeps a dimension, -1 is what is left.
cf_onnx_name cf_onnx_reshape(cf_onnx *model, cf_onnx_name x, int rank, const int64_t *dims);

#endif
