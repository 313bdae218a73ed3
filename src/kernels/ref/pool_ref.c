// SPDX-License-Identifier: Apache-2.0
// Operators that change the size of a map: upsample, max_pool, avg_pool, global_pool.
#include "kernels/ref/ref.h"

// out [2h,2w,c](y, x) = in [h,w,c](y / 2, x / 2)
static void upsample_pixel(const cf_call *call, int n, int y, int x) {
    for (int c = 0; c < call->out[0].c; c++)
        cf_tensor_set(&call->out[0], n, y, x, c, cf_tensor_get(&call->in[0], n, y / 2, x / 2, c));
}

static void upsample_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, upsample_pixel);
}

// The value under tap (ky, kx) of the window of output (y, x); zero outside the map.
static float tap(const cf_call *call, int n, int y, int x, int c, int ky, int kx) {
    const cf_pool_attr *attr = &call->problem->attr.pool;
    const cf_tensor *in = &call->in[0];
    int iy = y * attr->stride + ky - attr->pad_top, ix = x * attr->stride + kx - attr->pad_left;
    return iy >= 0 && iy < in->h && ix >= 0 && ix < in->w ? cf_tensor_get(in, n, iy, ix, c) : 0;
}

static void max_pool_pixel(const cf_call *call, int n, int y, int x) {
    int kernel = call->problem->attr.pool.kernel;
    for (int c = 0; c < call->out[0].c; c++) {
        float most = tap(call, n, y, x, c, 0, 0);
        for (int i = 1; i < kernel * kernel; i++) {
            float value = tap(call, n, y, x, c, i / kernel, i % kernel);
            if (value > most) most = value;
        }
        cf_tensor_set(&call->out[0], n, y, x, c, most);
    }
}

static void max_pool_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, max_pool_pixel);
}

// The sum of the window over its full area, zeros outside counted.
static void avg_pool_pixel(const cf_call *call, int n, int y, int x) {
    int kernel = call->problem->attr.pool.kernel;
    for (int c = 0; c < call->out[0].c; c++) {
        double sum = 0;
        for (int i = 0; i < kernel * kernel; i++) sum += (double)tap(call, n, y, x, c, i / kernel, i % kernel);
        cf_tensor_set(&call->out[0], n, y, x, c, (float)(sum / (kernel * kernel)));
    }
}

static void avg_pool_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, avg_pool_pixel);
}

// out [1,1,c] = mean of in [h,w,c] over its pixels
static void global_pool_pixel(const cf_call *call, int n, int y, int x) {
    const cf_tensor *in = &call->in[0];
    for (int c = 0; c < call->out[0].c; c++) {
        double sum = 0;
        for (int r = 0; r < in->h * in->w; r++) sum += (double)cf_ref_row(in, n, r, c);
        cf_tensor_set(&call->out[0], n, y, x, c, (float)(sum / ((double)in->h * in->w)));
    }
}

static void global_pool_run(const cf_call *call, const cf_team *team) {
    cf_ref_each_pixel(call, team, global_pool_pixel);
}

CF_REF_KERNEL(cf_upsample_ref, UPSAMPLE, "upsample_ref", upsample_run);
CF_REF_KERNEL(cf_max_pool_ref, MAX_POOL, "max_pool_ref", max_pool_run);
CF_REF_KERNEL(cf_avg_pool_ref, AVG_POOL, "avg_pool_ref", avg_pool_run);
CF_REF_KERNEL(cf_global_pool_ref, GLOBAL_POOL, "global_pool_ref", global_pool_run);
