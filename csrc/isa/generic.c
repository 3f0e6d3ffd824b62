/* Every machine: 16-byte vectors, which are SSE2 on x86-64 (16 registers, no fused multiply-add).
 *
 *     tile 4 x 2 vectors: 8 sums, 2 of B, 1 of A, 1 product: 12 of 16 registers. */
#include "isa.h"
#include "../geometry.h"

#include <math.h>

#define INLINE static inline __attribute__((always_inline))
#define VECTOR_BYTES 16
#define TILE_ROWS 4
#define TILE_VECTORS 2

#define REAL_IS_FLOAT 1
#include "kernels.inc"
#define REAL_IS_FLOAT 0
#include "kernels.inc"

static int available(void) { return 1; }

const fc_isa fc_isa_generic = {"generic", available, {&kernels_f32, &kernels_f64}};
