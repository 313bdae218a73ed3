// SPDX-License-Identifier: Apache-2.0
// cfine.h: models as ONNX files. checkpoint -> graph -> the passes that keep it a plain network -> file.
#include <stdio.h>

#include "api/handles.h"
#include "export/onnx_export.h"
#include "graph/passes/passes.h"
#include "model/model.h"

cfine_status cfine_model_export_onnx(const cfine_model *model, const cfine_export_options *options, const char *path,
                                     cfine_error *error) {
    if (!model || !path) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_model_export_onnx: NULL argument");
    cfine_export_options wanted;
    CF_READ_OPTIONS(wanted, options);
    if (wanted.batch < 0) return cf_fail(error, CFINE_ERROR_ARGUMENT, "batch %d: must be 0 or more", wanted.batch);
    if (wanted.precision && wanted.precision != CFINE_FP32 && wanted.precision != CFINE_FP16)
        return cf_fail(error, CFINE_ERROR_ARGUMENT, "precision %d: an ONNX file has FP32 or FP16",
                       (int)wanted.precision);
    if (wanted.detections < 0)
        return cf_fail(error, CFINE_ERROR_ARGUMENT, "detections %d: must be 0 or more", wanted.detections);
    cf_onnx_wish wish = {wanted.batch, wanted.detections, wanted.precision == CFINE_FP16};
    cf_model_options shape = {wanted.width, wanted.height, wanted.queries, wanted.decoder_layers};
    cf_graph *graph;
    CF_TRY(cf_model_build(model->checkpoint, &shape, &graph, error));
    cfine_status status = cf_pass_fold_batch_norm(graph, error);
    if (status == CFINE_OK) status = cf_pass_merge_repvgg(graph, error);
    cf_graph_drop_unused(graph);
    cfine_model_info info = CFINE_INIT(cfine_model_info);
    if (status == CFINE_OK) status = cfine_model_get_info(model, &info, error);
    char name[64];
    snprintf(name, sizeof name, "%s-%s", info.family ? info.family : "", info.size ? info.size : "");
    if (status == CFINE_OK) status = cf_onnx_export(graph, &wish, name, path, error);
    cf_graph_destroy(graph);
    return status;
}
