// SPDX-License-Identifier: Apache-2.0
// Choosing queries: top_queries, gather, reference. Blocks along y are images.
//
// top_queries: cf_row_best turns each row's greatest score into a number whose order is the scores' order; cf_choose,
// a block an image, narrows the range in which the last chosen row lies by histograms of the numbers' leading digits,
// and puts the rows above it in order by one more histogram.
#include "cuda/vector.cuh"

// Larger scores give larger numbers; 0 and -0 are equal.
static __device__ uint32_t rank_of(float score) {
    uint32_t bits = __float_as_uint(score == 0 ? 0.f : score);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

enum { ROW_LANES = 4 };

// The greatest of the scores that this lane sees of its row; a NaN counts as minus infinity.
template <int W> static __device__ float best_of(const cf_tensor &scores, int64_t row) {
    float best = -INFINITY;
    for (int c = threadIdx.x % ROW_LANES * W; c < scores.c; c += ROW_LANES * W) {
        float v[W];
        cf_load(scores, row + c, v);
        for (int i = 0; i < W; i++) best = fmaxf(best, v[i]);
    }
    return best;
}

// ROW_LANES lanes a row. best: [images, rows].
CF_GLOBAL cf_row_best(cf_tensor scores, uint32_t *best, int wide) {
    cf_let_next_start();
    cf_wait_before();
    uint32_t row = (blockIdx.x * blockDim.x + threadIdx.x) / ROW_LANES, rows = scores.h * scores.w;
    int n = blockIdx.y;
    int64_t at = cf_pixel(scores, n, row < rows ? row : 0);
    float v = wide ? best_of<8>(scores, at) : best_of<1>(scores, at);
    for (int lane = ROW_LANES / 2; lane > 0; lane /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, lane));
    if (row < rows && threadIdx.x % ROW_LANES == 0) best[n * (int64_t)rows + row] = rank_of(v);
}

enum { CHOOSE_THREADS = 1024, CHOOSE_WARPS = CHOOSE_THREADS / 32, BINS = 2 * CHOOSE_THREADS };

// Rows in the order wanted: greater score first, then lower index. All keys differ.
static __device__ uint64_t key_of(uint32_t score, uint32_t row) {
    return (uint64_t)score << 32 | (0xffffffffu - row);
}

struct choose_shared {
    uint32_t count[BINS + 1]; // of a bin, greatest keys first; then how many keys lie in greater bins
    uint32_t total[CHOOSE_WARPS];
    uint64_t least[CHOOSE_WARPS], most[CHOOSE_WARPS];
    uint32_t bin, chosen;
};

// Turns counts into the number of keys in the bins before; count[BINS] is their total.
static __device__ void add_up(choose_shared &s) {
    int t = threadIdx.x, lane = t % 32;
    uint32_t first = s.count[2 * t], second = s.count[2 * t + 1], sum = first + second, before = sum;
    for (int step = 1; step < 32; step *= 2) {
        uint32_t other = __shfl_up_sync(0xffffffffu, before, step);
        if (lane >= step) before += other;
    }
    if (lane == 31) s.total[t / 32] = before;
    __syncthreads();
    uint32_t warps = lane < t / 32 ? s.total[lane] : 0;
    for (int step = 16; step > 0; step /= 2) warps += __shfl_xor_sync(0xffffffffu, warps, step);
    before += warps - sum;
    s.count[2 * t] = before;
    s.count[2 * t + 1] = before + first;
    if (t == CHOOSE_THREADS - 1) s.count[BINS] = before + sum;
    __syncthreads();
}

static __device__ void clear(choose_shared &s) {
    __syncthreads();
    s.count[2 * threadIdx.x] = s.count[2 * threadIdx.x + 1] = 0;
    __syncthreads();
}

// Digits to drop so that keys between low and high fall into at most BINS bins.
static __device__ int shift_of(uint64_t low, uint64_t high) {
    int digits = 64 - __clzll((long long)(high - low));
    return digits > 11 ? digits - 11 : 0;
}

static __device__ uint32_t bin_of(uint64_t key, uint64_t high, int shift) {
    return (uint32_t)((high - key) >> shift);
}

// The least and greatest key of the image, for all threads.
static __device__ void find_range(choose_shared &s, const uint32_t *best, int rows, uint64_t &low, uint64_t &high) {
    low = ~0ull, high = 0;
    for (int r = threadIdx.x; r < rows; r += CHOOSE_THREADS) {
        uint64_t key = key_of(best[r], r);
        if (key < low) low = key;
        if (key > high) high = key;
    }
    for (int step = 16; step > 0; step /= 2) {
        uint64_t a = __shfl_xor_sync(0xffffffffu, low, step), b = __shfl_xor_sync(0xffffffffu, high, step);
        if (a < low) low = a;
        if (b > high) high = b;
    }
    if (threadIdx.x % 32 == 0) s.least[threadIdx.x / 32] = low, s.most[threadIdx.x / 32] = high;
    __syncthreads();
    for (int w = 0; w < CHOOSE_WARPS; w++) {
        if (s.least[w] < low) low = s.least[w];
        if (s.most[w] > high) high = s.most[w];
    }
}

// A key such that at least `wanted` keys are not below it, and not many more than that.
static __device__ uint64_t find_bound(choose_shared &s, const uint32_t *best, int rows, int wanted, uint64_t low,
                                      uint64_t high) {
    uint32_t above = 0; // keys above `high`
    for (;;) {
        int shift = shift_of(low, high);
        clear(s);
        for (int r = threadIdx.x; r < rows; r += CHOOSE_THREADS) {
            uint64_t key = key_of(best[r], r);
            if (key >= low && key <= high) atomicAdd(&s.count[bin_of(key, high, shift)], 1u);
        }
        __syncthreads();
        add_up(s);
        for (int b = 2 * threadIdx.x; b < 2 * (int)threadIdx.x + 2; b++)
            if (above + s.count[b] < wanted && above + s.count[b + 1] >= wanted) s.bin = b;
        __syncthreads();
        uint32_t bin = s.bin, chosen = above + s.count[bin + 1];
        uint64_t top = high - ((uint64_t)bin << shift), width = 1ull << shift;
        uint64_t bottom = top - low >= width ? top - width + 1 : low;
        if (chosen <= 2 * (uint32_t)wanted + 512 || shift == 0) return bottom;
        above += s.count[bin];
        low = bottom, high = top;
    }
}

// A block an image. best: [images, rows]; room: per image 2*rows keys; staged: 1 if the dynamic shared memory has room
// for the image's scores, which are read several times.
CF_GLOBAL __launch_bounds__(CHOOSE_THREADS)
    cf_choose(const uint32_t *best, uint64_t *room, cf_tensor out, int rows, int staged) {
    __shared__ choose_shared s;
    extern __shared__ uint4 dynamic_shared[];
    cf_let_next_start();
    cf_wait_before();
    int n = blockIdx.y, wanted = out.h * out.w;
    best += n * (int64_t)rows;
    uint64_t *candidates = room + n * 2 * (int64_t)rows, *sorted = candidates + rows;
    if (staged) {
        uint32_t *copy = reinterpret_cast<uint32_t *>(dynamic_shared);
        for (int r = threadIdx.x; r < rows; r += CHOOSE_THREADS) copy[r] = best[r];
        best = copy; // each thread reads what it wrote itself
    }
    uint64_t low, high;
    find_range(s, best, rows, low, high);
    low = find_bound(s, best, rows, wanted, low, high);

    if (threadIdx.x == 0) s.chosen = 0;
    clear(s);
    int shift = shift_of(low, high);
    for (int r = threadIdx.x; r < rows; r += CHOOSE_THREADS) {
        uint64_t key = key_of(best[r], r);
        if (key < low) continue;
        candidates[atomicAdd(&s.chosen, 1u)] = key;
        atomicAdd(&s.count[bin_of(key, high, shift)], 1u);
    }
    __syncthreads();
    add_up(s);
    uint32_t chosen = s.chosen;
    for (uint32_t i = threadIdx.x; i < chosen; i += CHOOSE_THREADS)
        sorted[atomicAdd(&s.count[bin_of(candidates[i], high, shift)], 1u)] = candidates[i];
    __syncthreads();
    // Each bin's keys now lie together, and count[bin] is where they end.
    for (uint32_t i = threadIdx.x; i < chosen; i += CHOOSE_THREADS) {
        uint64_t key = sorted[i];
        uint32_t bin = bin_of(key, high, shift), place = bin ? s.count[bin - 1] : 0, end = s.count[bin];
        for (uint32_t k = place; k < end && k < chosen; k++) place += sorted[k] > key;
        if (place < (uint32_t)wanted) cf_put(out, cf_pixel(out, n, place), (float)(0xffffffffu - (uint32_t)key));
    }
}

// out[q] = x[index[q]]
// The index of output pixel `pixel`, limited to the `rows` there are: a forged plan may put others there.
static __device__ uint32_t index_at(const cf_tensor &indices, int n, uint32_t pixel, int rows) {
    float index = cf_get(indices, cf_pixel(indices, n, pixel));
    return index > 0 ? index < rows ? (uint32_t)index : rows - 1 : 0;
}

// Run i, of W channels, of the output of image n.
template <int W>
static __device__ void gather(const cf_tensor &x, const cf_tensor &indices, const cf_tensor &out, int n, uint32_t i) {
    uint32_t runs = out.c / W, pixel = i / runs;
    int c = i % runs * W;
    if (pixel >= (uint32_t)(out.h * out.w)) return;
    float v[W];
    cf_load(x, cf_pixel(x, n, index_at(indices, n, pixel, x.h * x.w)) + c, v);
    cf_store(out, cf_pixel(out, n, pixel) + c, v);
}

// Number c of a box: sigmoid(delta + anchor). anchors [rows, 4].
static __device__ void reference(const cf_tensor &delta, const cf_tensor &indices, const cf_tensor &out,
                                 const float *anchors, int rows, int n, uint32_t query, int c) {
    float anchor = anchors[4 * (int64_t)index_at(indices, n, query, rows) + c];
    float at = cf_get(delta, cf_pixel(delta, n, query) + c) + anchor;
    cf_put(out, cf_pixel(out, n, query) + c, 1.f / (1.f + expf(-at)));
}

CF_GLOBAL cf_gather(cf_tensor x, cf_tensor indices, cf_tensor out, int wide) {
    cf_let_next_start();
    cf_wait_before();
    if (wide)
        gather<8>(x, indices, out, blockIdx.y, blockIdx.x * blockDim.x + threadIdx.x);
    else
        gather<1>(x, indices, out, blockIdx.y, blockIdx.x * blockDim.x + threadIdx.x);
}

// out[q] = sigmoid(delta[q] + anchor[index[q]]), anchors [rows, 4]
CF_GLOBAL cf_reference(cf_tensor delta, cf_tensor indices, cf_tensor out, const float *anchors, int rows) {
    cf_let_next_start();
    cf_wait_before();
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i / 4 < (uint32_t)(out.h * out.w)) reference(delta, indices, out, anchors, rows, blockIdx.y, i / 4, i % 4);
}
