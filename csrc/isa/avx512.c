/* AVX-512 (Skylake-X, Ice Lake, Zen 4): 64-byte vectors, 32 registers, masks, two multiply-adds and two loads a cycle.
 *
 *     tile 14 x 2 vectors: 28 sums, 2 of B, 1 of A: 31 of 32 registers; 16 loads for 28 multiply-adds. */
#if defined(__x86_64__)
#include "isa.h"
#include "../geometry.h"

#include <immintrin.h>
#include <math.h>

#define INLINE static inline __attribute__((always_inline))
#define VECTOR_BYTES 64
#define TILE_ROWS 14
#define TILE_VECTORS 2

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")
#endif

#define REAL_IS_FLOAT 1
#include "kernels.inc"
#define REAL_IS_FLOAT 0
#include "kernels.inc"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static int available(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}

const fc_isa fc_isa_avx512 = {"avx512", available, {&kernels_f32, &kernels_f64}};
#endif
