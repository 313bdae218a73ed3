// SPDX-License-Identifier: Apache-2.0
// Copies from global into shared memory that run by themselves (compute capability 8.0 and up; before, loads and
// stores that are over at once).
#pragma once

#include "cuda/device.cuh"

// 16 bytes, zeros unless `there`; `from` must be a valid address anyway. KEEP: in the L1 cache too, for what this
// block will read again.
template <bool KEEP> __device__ __forceinline__ void cf_copy16(void *to, const void *from, bool there) {
#if __CUDA_ARCH__ >= 800
    uint32_t address = (uint32_t)__cvta_generic_to_shared(to);
    int bytes = there ? 16 : 0;
    if (KEEP)
        asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
    else
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
#else
    *static_cast<uint4 *>(to) = there ? *static_cast<const uint4 *>(from) : uint4{};
#endif
}

// Ends a group of copies; cf_wait_copies<N> waits for all groups of this thread but the last N.
__device__ __forceinline__ void cf_end_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int N> __device__ __forceinline__ void cf_wait_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}
