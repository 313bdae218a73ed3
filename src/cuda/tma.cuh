// SPDX-License-Identifier: Apache-2.0
// Copies of whole tiles between global and shared memory by the copy engine, and the barriers in shared memory that
// tell of their end: compute capability 9.0. Tiles are described by tensor maps, which the host makes
// (cuda/tensor_map.h).
#pragma once

#include "cuda/device.cuh"
#include "cuda/tensor_map.h"

#if __CUDA_ARCH__ >= 900
__device__ __forceinline__ uint32_t cf_shared_address(const void *shared) {
    return (uint32_t)__cvta_generic_to_shared(shared);
}

// A barrier's phase ends when `arrivals` have come, and all bytes that were announced.
__device__ __forceinline__ void cf_barrier_init(uint64_t *barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(cf_shared_address(barrier)), "r"(arrivals) : "memory");
}

// After all inits, before anybody else uses the barriers (and a __syncthreads).
__device__ __forceinline__ void cf_barriers_ready() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void cf_arrive(uint64_t *barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(cf_shared_address(barrier)) : "memory");
}

__device__ __forceinline__ void cf_arrive_and_expect(uint64_t *barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(cf_shared_address(barrier)), "r"(bytes)
                 : "memory");
}

// Waits for the end of the phase of this parity: phases count 0, 1, 2 ... and a new barrier is in phase 0.
__device__ __forceinline__ void cf_wait_phase(uint64_t *barrier, uint32_t parity) {
    uint32_t done;
    do {
        asm volatile("{\n.reg .pred over;\nmbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, over;\n}"
                     : "=r"(done)
                     : "r"(cf_shared_address(barrier)), "r"(parity)
                     : "memory");
    } while (!done);
}

__device__ __forceinline__ void cf_prefetch_map(const cf_tensor_map *map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

// The map's box from (x, y) on; what lies outside of the tensor becomes zeros. One thread calls it.
__device__ __forceinline__ void cf_copy_box(void *to, const cf_tensor_map *map, int x, int y, uint64_t *barrier) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], "
        "[%4];" ::"r"(cf_shared_address(to)),
        "l"(map), "r"(x), "r"(y), "r"(cf_shared_address(barrier))
        : "memory");
}

// Channels from c on of the pixels that tap (dy, dx) of a window meets, for as many windows as the map says, the first
// of which begins at (y, x) of image n; the windows follow one another along rows, then down, then image by image.
__device__ __forceinline__ void cf_copy_taps(void *to, const cf_tensor_map *map, int c, int x, int y, int n, int dx,
                                             int dy, uint64_t *barrier) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], "
                 "[%1, {%2, %3, %4, %5}], [%6], {%7, %8};" ::"r"(cf_shared_address(to)),
                 "l"(map), "r"(c), "r"(x), "r"(y), "r"(n), "r"(cf_shared_address(barrier)), "h"((uint16_t)dx),
                 "h"((uint16_t)dy)
                 : "memory");
}

// From shared memory to the map's box at (x, y), except for what lies outside. What other threads wrote there must have
// been shown (cf_show_to_engines) before.
__device__ __forceinline__ void cf_store_box(const cf_tensor_map *map, int x, int y, const void *from) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];\n"
                 "cp.async.bulk.commit_group;" ::"l"(map),
                 "r"(x), "r"(y), "r"(cf_shared_address(from))
                 : "memory");
}

// Until all of this thread's stores but the last N have read shared memory.
template <int N> __device__ __forceinline__ void cf_wait_stores() {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
}

// Makes what this thread wrote into shared memory visible to copy engine and tensor cores.
__device__ __forceinline__ void cf_show_to_engines() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Four 8x8 matrices of 2-byte elements, the opposite of cf_load_matrices (cuda/mma.cuh).
__device__ __forceinline__ void cf_store_matrices(void *row, const uint32_t (&r)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(cf_shared_address(row)),
                 "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
                 : "memory");
}
#endif
