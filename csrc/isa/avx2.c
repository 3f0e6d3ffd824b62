/* AVX2 with FMA (Haswell, Zen): 32-byte vectors, 16 registers, two multiply-adds and two loads a cycle.
 *
 *     tile 6 x 2 vectors: 12 sums, 2 of B, 1 of A: 15 of 16 registers; 8 loads for 12 multiply-adds. */
#if defined(__x86_64__)
#include "isa.h"
#include "../geometry.h"

#include <immintrin.h>
#include <math.h>

#define INLINE static inline __attribute__((always_inline))
#define VECTOR_BYTES 32
#define TILE_ROWS 6
#define TILE_VECTORS 2

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
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
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const fc_isa fc_isa_avx2 = {"avx2", available, {&kernels_f32, &kernels_f64}};
#endif
