// SPDX-License-Identifier: Apache-2.0
#include "bench_peer.h"

#include <stdlib.h>
#include <unistd.h>

#include "coco_ap.h"
#include "heap.h"

void bench_peers_start(bench_peers *peers, const char *python) {
    peers->helper = bench_helper_create(python, peers->patience);
}

void bench_peers_end(bench_peers *peers) {
    bench_helper_destroy(peers->helper);
    cfine_model_close(peers->opened);
    bench_folder_remove(&peers->folder);
}

char *bench_peer_file(bench_peers *peers, const char *name, cfine_error *error) {
    if (!peers->folder.path[0] && bench_folder_make(&peers->folder, error) != CFINE_OK) return NULL;
    return cli_format("%s/%s", peers->folder.path, name);
}

char *bench_peer_export(bench_peers *peers, const bench_row *row, cfine_error *error) {
    char name[48];
    snprintf(name, sizeof name, "model-%d.onnx", row->queries);
    char *path = bench_peer_file(peers, name, error);
    if (!path || access(path, R_OK) == 0) return path;
    cfine_export_options shape = CFINE_INIT(cfine_export_options);
    shape.width = peers->model->size[0];
    shape.height = peers->model->size[1];
    shape.queries = row->queries;
    shape.decoder_layers = peers->model->decoder_layers;
    if (cfine_model_export_onnx(peers->opened, &shape, path, error) == CFINE_OK) return path;
    free(path);
    return NULL;
}

static cfine_status open_model(bench_peers *peers, cfine_error *error) {
    if (peers->opened) return CFINE_OK;
    peers->info = CFINE_INIT(cfine_model_info);
    cfine_status status = cfine_model_open(peers->model->model, &peers->opened, error);
    if (status == CFINE_OK) status = cfine_model_get_info(peers->opened, &peers->info, error);
    peers->width = peers->model->size[0] ? peers->model->size[0] : peers->info.width;
    peers->height = peers->model->size[1] ? peers->model->size[1] : peers->info.height;
    return status;
}

// The reference implementation reads the checkpoint itself.
static int is_pytorch(bench_engine engine) {
    return engine == BENCH_PYTORCH || engine == BENCH_TORCH_COMPILE || engine == BENCH_TORCH_TENSORRT;
}

cfine_status bench_peer_open(bench_peers *peers, bench_row *row, cfine_error *error) {
    cfine_status status = open_model(peers, error);
    if (status != CFINE_OK) return status;
    status = is_pytorch(row->engine) ? bench_python_open(peers, row, error) : bench_native_open(peers, row, error);
    if (row->queries == 0) row->queries = peers->info.queries;
    if (status != CFINE_ERROR_NOT_FOUND) return status;
    snprintf(row->note, sizeof row->note, "%s", error->message);
    return CFINE_OK;
}
