/* Vectors of `real`, VECTOR_BYTES wide: the dozen operations that the kernels use.
 *
 * Included by kernels.inc once for float and once for double, inside the target of the instruction set; no include guard.
 * GCC's vector extensions carry the arithmetic; intrinsics stand where a mask or the order of a NaN matters. */

#define EIGHT_LANES(f, s, l) f(l, s), f(l + 1, s), f(l + 2, s), f(l + 3, s), f(l + 4, s), f(l + 5, s), f(l + 6, s), f(l + 7, s)
#define LANE_NUMBER(l, s) (l)
#if VECTOR_BYTES == 64 && REAL_IS_FLOAT
#define LANES 16
#define EVERY_LANE(f, s) EIGHT_LANES(f, s, 0), EIGHT_LANES(f, s, 8)
#elif VECTOR_BYTES == 64 || (VECTOR_BYTES == 32 && REAL_IS_FLOAT)
#define LANES 8
#define EVERY_LANE(f, s) EIGHT_LANES(f, s, 0)
#elif VECTOR_BYTES == 32 || REAL_IS_FLOAT
#define LANES 4
#define EVERY_LANE(f, s) f(0, s), f(1, s), f(2, s), f(3, s)
#else
#define LANES 2
#define EVERY_LANE(f, s) f(0, s), f(1, s)
#endif

#define vec NAME(vec)
#define vec_unaligned NAME(vec_unaligned)
#define mask NAME(mask)
#define load NAME(load)
#define store NAME(store)
#define stream NAME(stream)
#define splat NAME(splat)
#define select NAME(select)
#define any_lane NAME(any_lane)
#define take_larger NAME(take_larger)
#define larger NAME(larger)
#define at_least NAME(at_least)
#define at_most NAME(at_most)
#define load_first NAME(load_first)
#define load_between NAME(load_between)
#define load_lanes NAME(load_lanes)
#define lanes_between NAME(lanes_between)
#define store_first NAME(store_first)
#define store_lanes NAME(store_lanes)
#define lanes_inside NAME(lanes_inside)
#define load_halves NAME(load_halves)
#define move_first NAME(move_first)
#define every_second NAME(every_second)
#define every_other NAME(every_other)
#define comb NAME(comb)
#define comb_of NAME(comb_of)
#define every_nth NAME(every_nth)
#define interleave_low NAME(interleave_low)
#define interleave_high NAME(interleave_high)
#define sum_lanes NAME(sum_lanes)
#define load_upto NAME(load_upto)
#define store_upto NAME(store_upto)
#define store_places NAME(store_places)
#define picked NAME(picked)
#define first_lanes NAME(first_lanes)
#define wide NAME(wide)
#define widened NAME(widened)
#define sum_wide NAME(sum_wide)

typedef real vec __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real vec_unaligned __attribute__((vector_size(VECTOR_BYTES), may_alias, aligned(sizeof(real))));
typedef bits mask __attribute__((vector_size(VECTOR_BYTES), may_alias));

INLINE vec load(const real *p) { return *(const vec_unaligned *)p; }
INLINE void store(real *p, vec v) { *(vec_unaligned *)p = v; }
/* Past the caches, to an aligned place; other threads see it after fc_parallel_for, whose end waits for it. */
#if VECTOR_BYTES == 64
INLINE void stream(real *p, vec v) { _mm512_stream_ps((float *)p, (__m512)v); }
#elif VECTOR_BYTES == 32
INLINE void stream(real *p, vec v) { _mm256_stream_ps((float *)p, (__m256)v); }
#else
INLINE void stream(real *p, vec v) { store(p, v); }
#endif
INLINE vec splat(real x) { return x - (vec){0}; }
INLINE vec select(mask m, vec yes, vec no) { return (vec)(((mask)yes & m) | ((mask)no & ~m)); }

/* best and its place take x and its place in the lanes where x is larger, or NaN. */
INLINE void take_larger(vec *best, mask *best_place, vec x, mask place)
{
#if VECTOR_BYTES == 64 && REAL_IS_FLOAT /* masks stay masks: GCC makes vectors of them, and two instructions of select */
    const __mmask16 better = _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q) |
                             _mm512_cmp_ps_mask((__m512)x, (__m512)*best, _CMP_GT_OQ);
    *best = (vec)_mm512_mask_mov_ps((__m512)*best, better, (__m512)x);
    *best_place = (mask)_mm512_mask_mov_epi32((__m512i)*best_place, better, (__m512i)place);
#elif VECTOR_BYTES == 64
    const __mmask8 better = _mm512_cmp_pd_mask((__m512d)x, (__m512d)x, _CMP_UNORD_Q) |
                            _mm512_cmp_pd_mask((__m512d)x, (__m512d)*best, _CMP_GT_OQ);
    *best = (vec)_mm512_mask_mov_pd((__m512d)*best, better, (__m512d)x);
    *best_place = (mask)_mm512_mask_mov_epi64((__m512i)*best_place, better, (__m512i)place);
#else
    const mask better = (mask)(x > *best) | (mask)(x != x);
    *best = select(better, x, *best);
    *best_place = (better & place) | (*best_place & ~better);
#endif
}

/* Whether a lane of a mask is set. */
INLINE int any_lane(mask m)
{
#if VECTOR_BYTES == 64
    return _mm512_movepi32_mask((__m512i)m) != 0;
#elif VECTOR_BYTES == 32
    return _mm256_movemask_epi8((__m256i)m) != 0;
#else
    bits any = 0;
    for (int i = 0; i < LANES; i++)
        any |= m[i];
    return any != 0;
#endif
}

/* The larger of limit and v, and the smaller; v where it is NaN. */
#if VECTOR_BYTES == 64
#if REAL_IS_FLOAT
INLINE vec at_least(vec limit, vec v) { return (vec)_mm512_max_ps((__m512)limit, (__m512)v); }
INLINE vec at_most(vec limit, vec v) { return (vec)_mm512_min_ps((__m512)limit, (__m512)v); }
#else
INLINE vec at_least(vec limit, vec v) { return (vec)_mm512_max_pd((__m512d)limit, (__m512d)v); }
INLINE vec at_most(vec limit, vec v) { return (vec)_mm512_min_pd((__m512d)limit, (__m512d)v); }
#endif
#elif VECTOR_BYTES == 32
#if REAL_IS_FLOAT
INLINE vec at_least(vec limit, vec v) { return (vec)_mm256_max_ps((__m256)limit, (__m256)v); }
INLINE vec at_most(vec limit, vec v) { return (vec)_mm256_min_ps((__m256)limit, (__m256)v); }
#else
INLINE vec at_least(vec limit, vec v) { return (vec)_mm256_max_pd((__m256d)limit, (__m256d)v); }
INLINE vec at_most(vec limit, vec v) { return (vec)_mm256_min_pd((__m256d)limit, (__m256d)v); }
#endif
#else
INLINE vec at_least(vec limit, vec v) { return select((mask)(limit > v), limit, v); }
INLINE vec at_most(vec limit, vec v) { return select((mask)(limit < v), limit, v); }
#endif

/* The larger of two, or NaN; of equals the first. */
INLINE vec larger(vec best, vec x)
{
#if VECTOR_BYTES == 64 && REAL_IS_FLOAT
    const __mmask16 nan = _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q);
    return (vec)_mm512_mask_mov_ps((__m512)at_least(x, best), nan, (__m512)x);
#elif VECTOR_BYTES == 64
    const __mmask8 nan = _mm512_cmp_pd_mask((__m512d)x, (__m512d)x, _CMP_UNORD_Q);
    return (vec)_mm512_mask_mov_pd((__m512d)at_least(x, best), nan, (__m512d)x);
#else
    return select((mask)(x != x), x, at_least(x, best));
#endif
}

/* Lanes [first, last) of LANES; the rest is zero, and not read. */
#if VECTOR_BYTES == 64
INLINE vec load_between(const real *p, int64_t first, int64_t last)
{
    const unsigned lanes = ((1u << last) - 1) & ~((1u << first) - 1);
#if REAL_IS_FLOAT
    return (vec)_mm512_maskz_loadu_ps((__mmask16)lanes, p);
#else
    return (vec)_mm512_maskz_loadu_pd((__mmask8)lanes, p);
#endif
}
#elif VECTOR_BYTES == 32
INLINE vec load_between(const real *p, int64_t first, int64_t last)
{
    const mask lane = {EVERY_LANE(LANE_NUMBER, 0)}, from = (bits)first - (mask){0}, to = (bits)last - (mask){0};
    const mask lanes = (mask)(lane >= from) & (mask)(lane < to);
#if REAL_IS_FLOAT
    return (vec)_mm256_maskload_ps(p, (__m256i)lanes);
#else
    return (vec)_mm256_maskload_pd(p, (__m256i)lanes);
#endif
}
#else
INLINE vec load_between(const real *p, int64_t first, int64_t last)
{
    vec v = {0};
    for (int i = 0; i < LANES; i++)
        if (i >= first && i < last)
            v[i] = p[i];
    return v;
}
#endif

/* The same for lanes that are kept from load to load. */
#if VECTOR_BYTES == 64
#if REAL_IS_FLOAT
#define lane_range __mmask16
INLINE vec load_lanes(const real *p, lane_range lanes) { return (vec)_mm512_maskz_loadu_ps(lanes, p); }
#else
#define lane_range __mmask8
INLINE vec load_lanes(const real *p, lane_range lanes) { return (vec)_mm512_maskz_loadu_pd(lanes, p); }
#endif
INLINE lane_range lanes_between(int64_t first, int64_t last) { return (lane_range)(((1u << last) - 1) & ~((1u << first) - 1)); }
#else
#define lane_range NAME(lane_range)
typedef struct { int64_t first, last; } lane_range;
INLINE vec load_lanes(const real *p, lane_range lanes)
{
    return lanes.last - lanes.first == LANES ? load(p) : load_between(p, lanes.first, lanes.last);
}
INLINE lane_range lanes_between(int64_t first, int64_t last) { return (lane_range){first, last}; }
#endif

/* Of a vector at place `begin` of a row: its lanes in [0, size). */
INLINE lane_range lanes_inside(int64_t begin, int64_t size)
{
    const int64_t first = begin < 0 ? begin < -LANES ? LANES : -begin : 0, last = size - begin < LANES ? size - begin : LANES;
    return lanes_between(first, first > last ? first : last);
}

/* The first n lanes, 0 <= n <= LANES; the rest is zero, or left alone. */
INLINE vec load_first(const real *p, int64_t n) { return load_between(p, 0, n); }
#if VECTOR_BYTES == 64 && REAL_IS_FLOAT
INLINE void store_first(real *p, vec v, int64_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
#elif VECTOR_BYTES == 64
INLINE void store_first(real *p, vec v, int64_t n) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v); }
#endif
#if VECTOR_BYTES == 64 /* a mask costs nothing, a branch may be mispredicted */
INLINE void move_first(real *restrict to, const real *restrict from, int64_t n) { store_first(to, load_first(from, n), n); }
#else
/* In pieces of halving size: masked stores of AVX2 are slow on many machines, and SSE2 has none. */
INLINE void move_first(real *restrict to, const real *restrict from, int64_t n)
{
    if (n == LANES) {
        store(to, load(from));
        return;
    }
    if (LANES > 4 && (n & 4)) {
        __builtin_memcpy(to, from, 4 * sizeof(real));
        to += 4;
        from += 4;
    }
    if (LANES > 2 && (n & 2)) {
        __builtin_memcpy(to, from, 2 * sizeof(real));
        to += 2;
        from += 2;
    }
    if (n & 1)
        *to = *from;
}
INLINE void store_first(real *p, vec v, int64_t n)
{
    real lanes[LANES] __attribute__((aligned(VECTOR_BYTES)));
    store(lanes, v);
    move_first(p, lanes, n);
}
#endif

/* The same lanes of two places, half a vector each; only AVX-512 has lanes to spare for it. */
#if VECTOR_BYTES == 64 && REAL_IS_FLOAT
INLINE vec load_halves(const real *low, const real *high, lane_range lanes)
{
    return (vec)_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_maskz_loadu_ps((__mmask8)lanes, low)),
                                   _mm256_maskz_loadu_ps((__mmask8)lanes, high), 1);
}
#else
INLINE vec load_halves(const real *low, const real *high, lane_range lanes)
{
    (void)high;
    return load_lanes(low, lanes);
}
#endif

/* Lanes that were kept; the rest is left alone. */
#if VECTOR_BYTES == 64 && REAL_IS_FLOAT
INLINE void store_lanes(real *p, vec v, lane_range lanes) { _mm512_mask_storeu_ps(p, lanes, (__m512)v); }
#elif VECTOR_BYTES == 64
INLINE void store_lanes(real *p, vec v, lane_range lanes) { _mm512_mask_storeu_pd(p, lanes, (__m512d)v); }
#else
INLINE void store_lanes(real *p, vec v, lane_range lanes)
{
    real values[LANES] __attribute__((aligned(VECTOR_BYTES)));
    if (lanes.last - lanes.first == LANES) {
        store(p, v);
        return;
    }
    store(values, v);
    for (int64_t i = lanes.first; i < lanes.last; i++)
        p[i] = values[i];
}
#endif

/* All lanes, or the first n where there are fewer. */
INLINE vec load_upto(const real *p, int64_t n) { return n >= LANES ? load(p) : load_first(p, n); }
INLINE void store_upto(real *p, vec v, int64_t n)
{
    if (n >= LANES)
        store(p, v);
    else
        store_first(p, v, n);
}

/* Lane l is v's lane place[l]. */
#if VECTOR_BYTES == 64 && REAL_IS_FLOAT
INLINE vec picked(vec v, mask place) { return (vec)_mm512_permutexvar_ps((__m512i)place, (__m512)v); }
#elif VECTOR_BYTES == 64
INLINE vec picked(vec v, mask place) { return (vec)_mm512_permutexvar_pd((__m512i)place, (__m512d)v); }
#elif VECTOR_BYTES == 32 && REAL_IS_FLOAT
INLINE vec picked(vec v, mask place) { return (vec)_mm256_permutevar8x32_ps((__m256)v, (__m256i)place); }
#else
INLINE vec picked(vec v, mask place)
{
    vec to = {0};
    for (int i = 0; i < LANES; i++)
        to[i] = v[place[i]];
    return to;
}
#endif

/* The first n lanes, 0 <= n <= LANES, each as 64 bits. */
#if VECTOR_BYTES == 64 && REAL_IS_FLOAT
INLINE void store_places(int64_t *p, mask v, int64_t n)
{
    const __mmask16 lanes = (__mmask16)((1u << n) - 1);
    _mm512_mask_storeu_epi64(p, (__mmask8)lanes, _mm512_cvtepi32_epi64(_mm512_castsi512_si256((__m512i)v)));
    _mm512_mask_storeu_epi64(p + 8, (__mmask8)(lanes >> 8), _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64((__m512i)v, 1)));
}
#elif VECTOR_BYTES == 64
INLINE void store_places(int64_t *p, mask v, int64_t n) { _mm512_mask_storeu_epi64(p, (__mmask8)((1u << n) - 1), (__m512i)v); }
#else
INLINE void store_places(int64_t *p, mask v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = v[i];
}
#endif

/* Lane l of step s of a transpose: where 2 x 2 blocks of s lanes change places between two vectors. */
#define FIRST_HALVES(l, s) (((l) & (s)) ? LANES + (l) - (s) : (l))
#define SECOND_HALVES(l, s) (((l) & (s)) ? LANES + (l) : (l) + (s))
#define first_halves(a, b, s) __builtin_shufflevector(a, b, EVERY_LANE(FIRST_HALVES, s))
#define second_halves(a, b, s) __builtin_shufflevector(a, b, EVERY_LANE(SECOND_HALVES, s))

/* Lanes 0, 2, 4, ... of a followed by those of b; lanes 1, 3, 5, ... */
#define EVERY_SECOND(l, s) (2 * (l) + (s))
INLINE vec every_second(vec a, vec b) { return __builtin_shufflevector(a, b, EVERY_LANE(EVERY_SECOND, 0)); }
INLINE vec every_other(vec a, vec b) { return __builtin_shufflevector(a, b, EVERY_LANE(EVERY_SECOND, 1)); }

/* Elements 0, step, 2 step, ...  With AVX-512 from as many vectors as the step has elements, a shuffle each: a third of the time that
 * LANES loads or a gather take. */
typedef struct {
    int64_t step;
#if VECTOR_BYTES == 64
    mask place;             /* of each lane in its vector */
    lane_range from[LANES]; /* the lanes that each vector gives */
#endif
} comb;
INLINE comb comb_of(int64_t step)
{
    comb c = {.step = step};
#if VECTOR_BYTES == 64
    for (int64_t lane = 0; lane < LANES && step <= LANES; lane++) {
        c.place[lane] = (bits)(lane * step % LANES);
        c.from[lane * step / LANES] |= (lane_range)(1u << lane);
    }
#endif
    return c;
}
/* Only elements [first, last) are read, the others are zero. */
INLINE vec every_nth(const real *p, const comb *c, int64_t first, int64_t last)
{
    vec v = {0};
#if VECTOR_BYTES == 64
    const int whole = first <= 0 && last >= LANES * c->step;
    for (int64_t i = 0; i < c->step && c->step <= LANES; i++) {
        const int64_t at = i * LANES;
        vec x;
        if (whole) {
            x = load(p + at);
        } else {
            __builtin_prefetch(p + at); /* a masked load alone is not foreseen */
            x = load_lanes(p + at, lanes_between(fc_smaller(fc_larger(first - at, 0), LANES),
                                                 fc_smaller(fc_larger(last - at, 0), LANES)));
        }
#if REAL_IS_FLOAT
        v = (vec)_mm512_mask_permutexvar_ps((__m512)v, c->from[i], (__m512i)c->place, (__m512)x);
#else
        v = (vec)_mm512_mask_permutexvar_pd((__m512d)v, c->from[i], (__m512i)c->place, (__m512d)x);
#endif
    }
    if (c->step <= LANES)
        return v;
#endif
    for (int64_t lane = 0; lane < LANES; lane++)
        v[lane] = lane * c->step >= first && lane * c->step < last ? p[lane * c->step] : (real)0;
    return v;
}

/* a0 b0 a1 b1 ...: the first vector of it, and the second. */
#define INTERLEAVED(l, s) ((l) / 2 + (s) + ((l) & 1) * LANES)
INLINE vec interleave_low(vec a, vec b) { return __builtin_shufflevector(a, b, EVERY_LANE(INTERLEAVED, 0)); }
INLINE vec interleave_high(vec a, vec b) { return __builtin_shufflevector(a, b, EVERY_LANE(INTERLEAVED, LANES / 2)); }

#if VECTOR_BYTES == 64 && REAL_IS_FLOAT
INLINE real sum_lanes(vec v) { return _mm512_reduce_add_ps((__m512)v); }
#elif VECTOR_BYTES == 64
INLINE real sum_lanes(vec v) { return _mm512_reduce_add_pd((__m512d)v); }
#else
INLINE real sum_lanes(vec v)
{
    real lanes[LANES] __attribute__((aligned(VECTOR_BYTES)));
    store(lanes, v);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}
#endif

/* The first n lanes of v, 0 <= n <= LANES; zero in the rest. */
INLINE vec first_lanes(vec v, int64_t n)
{
    const mask lane = {EVERY_LANE(LANE_NUMBER, 0)}, to = (bits)n - (mask){0};
    return (vec)((mask)v & (mask)(lane < to));
}

/* A vec in double precision: WIDES vectors, part after part. */
typedef double wide __attribute__((vector_size(VECTOR_BYTES), may_alias));
#if !REAL_IS_FLOAT
#define WIDES 1
INLINE wide widened(vec v, int part) { return part ? (wide){0} : v; }
#else
#define WIDES 2
INLINE wide widened(vec v, int part)
{
#if VECTOR_BYTES == 64
    const __m512 all = (__m512)v;
    return (wide)_mm512_cvtps_pd(part ? _mm512_extractf32x8_ps(all, 1) : _mm512_castps512_ps256(all));
#elif VECTOR_BYTES == 32
    const __m256 all = (__m256)v;
    return (wide)_mm256_cvtps_pd(part ? _mm256_extractf128_ps(all, 1) : _mm256_castps256_ps128(all));
#else
    return part ? (wide){v[2], v[3]} : (wide){v[0], v[1]};
#endif
}
#endif
INLINE double sum_wide(wide v)
{
    double sum = 0;
    for (int i = 0; i < VECTOR_BYTES / 8; i++)
        sum += v[i];
    return sum;
}
