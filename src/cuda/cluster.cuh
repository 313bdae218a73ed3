// SPDX-License-Identifier: Apache-2.0
// Clusters of blocks that read each other's shared memory: compute capability 9.0 and up. Kernels with more than one
// block in a cluster are not launched on other chips.
#pragma once

#include "cuda/device.cuh"

#if __CUDA_ARCH__ >= 900
#define CF_CLUSTER(blocks) __cluster_dims__(blocks, 1, 1)
#else
#define CF_CLUSTER(blocks)
#endif

// Waits for all threads of the cluster; what they wrote before is seen after.
__device__ __forceinline__ void cf_cluster_barrier() {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

// Eight floats that lie in the shared memory of a block of the cluster where `mine` lies in this block's.
__device__ __forceinline__ void cf_load8_of_rank(const float *mine, int rank, float (&v)[8]) {
#if __CUDA_ARCH__ >= 900
    uint32_t there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(there)
                 : "r"((uint32_t)__cvta_generic_to_shared(mine)), "r"(rank));
#pragma unroll
    for (int i = 0; i < 8; i += 4)
        asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
                     : "=f"(v[i]), "=f"(v[i + 1]), "=f"(v[i + 2]), "=f"(v[i + 3])
                     : "r"(there + i * 4)
                     : "memory");
#endif
}
