// SPDX-License-Identifier: Apache-2.0
// Attention for any shape and type: a warp for each head of a query, products kept in memory. attention_mma.cu is the
// fast form.
#include "cuda/vector.cuh"

enum { CHUNK = 32 }; // keys that make a sum of their own: conv_f32.cu says why

// products: [images, heads, queries, keys], FP32. Blocks along y are heads, along z images.
CF_GLOBAL cf_attention_any(cf_tensor q, cf_tensor k, cf_tensor v, cf_tensor out, float *products, int heads) {
    cf_let_next_start();
    cf_wait_before();
    uint32_t query = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, queries = q.h * q.w, keys = k.h * k.w;
    if (query >= queries) return;
    int n = blockIdx.z, head = blockIdx.y, size = out.c / heads, first = head * size, lane = threadIdx.x % 32;
    int64_t at_q = cf_pixel(q, n, query) + first;
    float scale = 1.f / sqrtf(size), most = -INFINITY, total = 0;
    products += (((int64_t)n * heads + head) * queries + query) * keys;
    for (uint32_t s = lane; s < keys; s += 32) {
        int64_t at_k = cf_pixel(k, n, s) + first;
        float sum = 0;
        for (int c = 0; c < size; c++) sum += cf_get(q, at_q + c) * cf_get(k, at_k + c);
        products[s] = sum * scale;
        most = fmaxf(most, sum * scale);
    }
    most = cf_warp_max(most);
    for (uint32_t s = lane; s < keys; s += 32) total += products[s] = expf(products[s] - most);
    total = cf_warp_sum(total);
    __syncwarp();
    for (int c = lane; c < size; c += 32) {
        float sum = 0;
        for (uint32_t from = 0; from < keys; from += CHUNK) {
            float chunk = 0;
            for (uint32_t s = from; s < min(keys, from + CHUNK); s++)
                chunk += products[s] * cf_get(v, cf_pixel(v, n, s) + first + c);
            sum += chunk;
        }
        cf_put(out, cf_pixel(out, n, query) + first + c, sum / total);
    }
}
