/* Compiled once for each instruction set, with RNC_SUFFIX as its name; see compute.h. Loops without intrinsics are
   written so that compilers vectorise them. */

#include "compute.h"

#include <string.h>

#include "simd.h"

#define RNC_PASTE_(a, b) a##b
#define RNC_PASTE(a, b) RNC_PASTE_(a, b)

static inline int32_t clamp(int32_t a, int32_t low, int32_t high) { return a < low ? low : a > high ? high : a; }

/* >> of negative numbers is arithmetic on every compiler that this is built with; a static assertion below holds it. */
_Static_assert((-1 >> 1) == -1, "arithmetic shifts");

/* ---- Sums of products ---- */

#if defined(RNC_USE_AVX512)

#define WIDE_WEIGHTS 0

static inline __m512i four(const uint8_t *w) {
    int32_t packed;
    memcpy(&packed, w, 4);
    return _mm512_set1_epi32(packed);
}

static void sums(int32_t *out, const int32_t *bias, const rnc_strip *strips, int count, size_t position, size_t block) {
    __m512i a[RNC_OUTPUTS][3];
    for (int r = 0; r < RNC_OUTPUTS; r++) a[r][0] = a[r][1] = a[r][2] = _mm512_set1_epi32(bias[r]);
    for (int s = 0; s < count; s++) {
        const uint8_t *b = strips[s].bytes + 4 * position, *w = strips[s].weights + block * strips[s].quads * 32;
        for (size_t k = 0; k < strips[s].quads; k++, b += strips[s].plane_bytes, w += 32) {
            __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 64), b2 = _mm512_loadu_si512(b + 128);
#pragma GCC unroll 8
            for (int r = 0; r < RNC_OUTPUTS; r++) {
                __m512i weight = four(w + 4 * r);
                a[r][0] = _mm512_dpbusd_epi32(a[r][0], b0, weight);
                a[r][1] = _mm512_dpbusd_epi32(a[r][1], b1, weight);
                a[r][2] = _mm512_dpbusd_epi32(a[r][2], b2, weight);
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < RNC_OUTPUTS; r++)
        for (int v = 0; v < 3; v++) _mm512_storeu_si512(out + r * RNC_BLOCK + 16 * v, a[r][v]);
}

#elif defined(RNC_USE_AVXVNNI)

#define WIDE_WEIGHTS 0

static inline __m256i four(const uint8_t *w) {
    int32_t packed;
    memcpy(&packed, w, 4);
    return _mm256_set1_epi32(packed);
}

static void sums(int32_t *out, const int32_t *bias, const rnc_strip *strips, int count, size_t position, size_t block) {
    for (int half = 0; half < RNC_OUTPUTS; half += 4)
        for (int third = 0; third < RNC_BLOCK; third += 24) {
            __m256i a[4][3];
            for (int r = 0; r < 4; r++) a[r][0] = a[r][1] = a[r][2] = _mm256_set1_epi32(bias[half + r]);
            for (int s = 0; s < count; s++) {
                const uint8_t *b = strips[s].bytes + 4 * (position + (size_t)third);
                const uint8_t *w = strips[s].weights + block * strips[s].quads * 32 + 4 * half;
                for (size_t k = 0; k < strips[s].quads; k++, b += strips[s].plane_bytes, w += 32) {
                    __m256i b0 = _mm256_loadu_si256((const __m256i *)b), b1 = _mm256_loadu_si256((const __m256i *)(b + 32));
                    __m256i b2 = _mm256_loadu_si256((const __m256i *)(b + 64));
#pragma GCC unroll 4
                    for (int r = 0; r < 4; r++) {
                        __m256i weight = four(w + 4 * r);
                        a[r][0] = _mm256_dpbusd_avx_epi32(a[r][0], b0, weight);
                        a[r][1] = _mm256_dpbusd_avx_epi32(a[r][1], b1, weight);
                        a[r][2] = _mm256_dpbusd_avx_epi32(a[r][2], b2, weight);
                    }
                }
            }
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                for (int v = 0; v < 3; v++)
                    _mm256_storeu_si256((__m256i *)(out + (half + r) * RNC_BLOCK + third + 8 * v), a[r][v]);
        }
}

#elif defined(RNC_USE_AVX2)

#define WIDE_WEIGHTS 1

static inline __m256i two(const uint8_t *w) {
    int32_t packed;
    memcpy(&packed, w, 4);
    return _mm256_set1_epi32(packed);
}

/* Products of int16, of the even and of the odd channels of each four. */
static void sums(int32_t *out, const int32_t *bias, const rnc_strip *strips, int count, size_t position, size_t block) {
    const __m256i low = _mm256_set1_epi16(255);
    for (int half = 0; half < RNC_OUTPUTS; half += 4)
        for (int third = 0; third < RNC_BLOCK; third += 16) {
            __m256i a[4][2];
            for (int r = 0; r < 4; r++) a[r][0] = a[r][1] = _mm256_set1_epi32(bias[half + r]);
            for (int s = 0; s < count; s++) {
                const uint8_t *b = strips[s].bytes + 4 * (position + (size_t)third);
                const uint8_t *w = strips[s].weights + block * strips[s].quads * 64 + 8 * half;
                for (size_t k = 0; k < strips[s].quads; k++, b += strips[s].plane_bytes, w += 64) {
                    __m256i b0 = _mm256_loadu_si256((const __m256i *)b), b1 = _mm256_loadu_si256((const __m256i *)(b + 32));
                    __m256i even0 = _mm256_and_si256(b0, low), even1 = _mm256_and_si256(b1, low);
                    __m256i odd0 = _mm256_srli_epi16(b0, 8), odd1 = _mm256_srli_epi16(b1, 8);
#pragma GCC unroll 4
                    for (int r = 0; r < 4; r++) {
                        __m256i even = two(w + 8 * r), odd = two(w + 8 * r + 4);
                        a[r][0] = _mm256_add_epi32(a[r][0], _mm256_madd_epi16(even0, even));
                        a[r][1] = _mm256_add_epi32(a[r][1], _mm256_madd_epi16(even1, even));
                        a[r][0] = _mm256_add_epi32(a[r][0], _mm256_madd_epi16(odd0, odd));
                        a[r][1] = _mm256_add_epi32(a[r][1], _mm256_madd_epi16(odd1, odd));
                    }
                }
            }
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                for (int v = 0; v < 2; v++)
                    _mm256_storeu_si256((__m256i *)(out + (half + r) * RNC_BLOCK + third + 8 * v), a[r][v]);
        }
}

#elif defined(RNC_SSE2)

#define WIDE_WEIGHTS 1

static inline __m128i two(const uint8_t *w) {
    int32_t packed;
    memcpy(&packed, w, 4);
    return _mm_set1_epi32(packed);
}

static void sums(int32_t *out, const int32_t *bias, const rnc_strip *strips, int count, size_t position, size_t block) {
    const __m128i low = _mm_set1_epi16(255);
    for (int half = 0; half < RNC_OUTPUTS; half += 4)
        for (int part = 0; part < RNC_BLOCK; part += 8) {
            __m128i a[4][2];
            for (int r = 0; r < 4; r++) a[r][0] = a[r][1] = _mm_set1_epi32(bias[half + r]);
            for (int s = 0; s < count; s++) {
                const uint8_t *b = strips[s].bytes + 4 * (position + (size_t)part);
                const uint8_t *w = strips[s].weights + block * strips[s].quads * 64 + 8 * half;
                for (size_t k = 0; k < strips[s].quads; k++, b += strips[s].plane_bytes, w += 64) {
                    __m128i b0 = _mm_loadu_si128((const __m128i *)b), b1 = _mm_loadu_si128((const __m128i *)(b + 16));
                    __m128i even0 = _mm_and_si128(b0, low), even1 = _mm_and_si128(b1, low);
                    __m128i odd0 = _mm_srli_epi16(b0, 8), odd1 = _mm_srli_epi16(b1, 8);
#pragma GCC unroll 4
                    for (int r = 0; r < 4; r++) {
                        __m128i even = two(w + 8 * r), odd = two(w + 8 * r + 4);
                        a[r][0] = _mm_add_epi32(a[r][0], _mm_madd_epi16(even0, even));
                        a[r][1] = _mm_add_epi32(a[r][1], _mm_madd_epi16(even1, even));
                        a[r][0] = _mm_add_epi32(a[r][0], _mm_madd_epi16(odd0, odd));
                        a[r][1] = _mm_add_epi32(a[r][1], _mm_madd_epi16(odd1, odd));
                    }
                }
            }
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                for (int v = 0; v < 2; v++) _mm_storeu_si128((__m128i *)(out + (half + r) * RNC_BLOCK + part + 4 * v), a[r][v]);
        }
}

#elif defined(__ARM_NEON)

#define WIDE_WEIGHTS 1

static void sums(int32_t *out, const int32_t *bias, const rnc_strip *strips, int count, size_t position, size_t block) {
    for (int half = 0; half < RNC_OUTPUTS; half += 4)
        for (int part = 0; part < RNC_BLOCK; part += 8) {
            int32x4_t a[4][2];
            for (int r = 0; r < 4; r++) a[r][0] = a[r][1] = vdupq_n_s32(bias[half + r]);
            for (int s = 0; s < count; s++) {
                const uint8_t *b = strips[s].bytes + 4 * (position + (size_t)part);
                const uint8_t *w = strips[s].weights + block * strips[s].quads * 64 + 8 * half;
                for (size_t k = 0; k < strips[s].quads; k++, b += strips[s].plane_bytes, w += 64) {
                    uint8x8x4_t bytes = vld4_u8(b);
                    int16x8_t b0 = vreinterpretq_s16_u16(vmovl_u8(bytes.val[0])), b1 = vreinterpretq_s16_u16(vmovl_u8(bytes.val[1]));
                    int16x8_t b2 = vreinterpretq_s16_u16(vmovl_u8(bytes.val[2])), b3 = vreinterpretq_s16_u16(vmovl_u8(bytes.val[3]));
                    for (int r = 0; r < 4; r++) {
                        int16_t of[4];
                        memcpy(of, w + 8 * r, 8);
                        int16x4_t weight = vld1_s16(of);
                        a[r][0] = vmlal_lane_s16(a[r][0], vget_low_s16(b0), weight, 0);
                        a[r][1] = vmlal_lane_s16(a[r][1], vget_high_s16(b0), weight, 0);
                        a[r][0] = vmlal_lane_s16(a[r][0], vget_low_s16(b2), weight, 1);
                        a[r][1] = vmlal_lane_s16(a[r][1], vget_high_s16(b2), weight, 1);
                        a[r][0] = vmlal_lane_s16(a[r][0], vget_low_s16(b1), weight, 2);
                        a[r][1] = vmlal_lane_s16(a[r][1], vget_high_s16(b1), weight, 2);
                        a[r][0] = vmlal_lane_s16(a[r][0], vget_low_s16(b3), weight, 3);
                        a[r][1] = vmlal_lane_s16(a[r][1], vget_high_s16(b3), weight, 3);
                    }
                }
            }
            for (int r = 0; r < 4; r++)
                for (int v = 0; v < 2; v++) vst1q_s32(out + (half + r) * RNC_BLOCK + part + 4 * v, a[r][v]);
        }
}

#elif defined(RNC_USE_RELAXED_BYTES)

#define WIDE_WEIGHTS 0
#define UNIT 1

/* The relaxed product of bytes is exact on every engine where the second operand has seven bits, whatever the weights are:
   read as signed or not it is the same, and no pair of products leaves 16 bits, as 2 * 128 * 127 < 2^15, so that nothing
   saturates. Activations are the second operand: values are 0, 1 or 2 here, and their sums are multiplied by 127; what has
   eight bits is 2 high + low, with seven bits and one. Sums wrap, as elsewhere. */

typedef enum { AS_IT_IS, HIGH, LOW } part_of_byte;

#define TILE_ROWS 4
#define TILE_VECTORS 2

static inline __attribute__((always_inline)) void add_products(v128_t a[TILE_ROWS][TILE_VECTORS], const rnc_strip *strip, size_t position, size_t block, int row, part_of_byte part) {
    const uint8_t *b = strip->bytes + 4 * position, *w = strip->weights + block * strip->quads * 32 + 4 * row;
    for (size_t k = strip->quads; k > 0; k--, b += strip->plane_bytes, w += 32) {
        v128_t bytes[TILE_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < TILE_VECTORS; v++) {
            bytes[v] = wasm_v128_load(b + 16 * v);
            if (part == HIGH) bytes[v] = wasm_u8x16_shr(bytes[v], 1);
            if (part == LOW) bytes[v] = wasm_v128_and(bytes[v], wasm_i8x16_splat(1));
        }
#pragma GCC unroll 4
        for (int r = 0; r < TILE_ROWS; r++) {
            v128_t weights = wasm_v128_load32_splat(w + 4 * r);
#pragma GCC unroll 4
            for (int v = 0; v < TILE_VECTORS; v++) a[r][v] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(weights, bytes[v], a[r][v]);
        }
    }
}

static void sums(int32_t *out, const int32_t *bias, const rnc_strip *strips, int count, size_t position, size_t block) {
    int values = 0, narrow;
    while (values < count && strips[values].range == RNC_VALUES) values++;
    for (narrow = values; narrow < count && strips[narrow].range == RNC_SEVEN_BITS; narrow++) {}
    for (int row = 0; row < RNC_OUTPUTS; row += TILE_ROWS)
        for (int cell = 0; cell < RNC_BLOCK; cell += 4 * TILE_VECTORS) {
            const size_t at = position + (size_t)cell;
            int32_t *to = out + row * RNC_BLOCK + cell;
            v128_t a[TILE_ROWS][TILE_VECTORS] = {{{0}}};
            for (int s = 0; s < values; s++) add_products(a, strips + s, at, block, row, AS_IT_IS);
            for (int r = 0; r < TILE_ROWS; r++)
                for (int v = 0; v < TILE_VECTORS; v++)
                    a[r][v] = wasm_i32x4_add(wasm_i32x4_mul(a[r][v], wasm_i32x4_splat(127)), wasm_i32x4_splat(bias[row + r]));
            for (int s = values; s < narrow; s++) add_products(a, strips + s, at, block, row, AS_IT_IS);
            if (narrow < count) {
                for (int r = 0; r < TILE_ROWS; r++)
                    for (int v = 0; v < TILE_VECTORS; v++) {
                        wasm_v128_store(to + r * RNC_BLOCK + 4 * v, a[r][v]);
                        a[r][v] = wasm_i32x4_splat(0);
                    }
                for (int s = narrow; s < count; s++) add_products(a, strips + s, at, block, row, HIGH);
                for (int r = 0; r < TILE_ROWS; r++)
                    for (int v = 0; v < TILE_VECTORS; v++)
                        a[r][v] = wasm_i32x4_add(wasm_i32x4_shl(a[r][v], 1), wasm_v128_load(to + r * RNC_BLOCK + 4 * v));
                for (int s = narrow; s < count; s++) add_products(a, strips + s, at, block, row, LOW);
            }
            for (int r = 0; r < TILE_ROWS; r++)
                for (int v = 0; v < TILE_VECTORS; v++) wasm_v128_store(to + r * RNC_BLOCK + 4 * v, a[r][v]);
        }
}

#elif defined(__wasm_simd128__)

#define WIDE_WEIGHTS 1

static void sums(int32_t *out, const int32_t *bias, const rnc_strip *strips, int count, size_t position, size_t block) {
    for (int half = 0; half < RNC_OUTPUTS; half += 4)
        for (int part = 0; part < RNC_BLOCK; part += 8) {
            v128_t a[4][2];
            for (int r = 0; r < 4; r++) a[r][0] = a[r][1] = wasm_i32x4_splat(bias[half + r]);
            for (int s = 0; s < count; s++) {
                const uint8_t *b = strips[s].bytes + 4 * (position + (size_t)part);
                const uint8_t *w = strips[s].weights + block * strips[s].quads * 64 + 8 * half;
                for (size_t k = 0; k < strips[s].quads; k++, b += strips[s].plane_bytes, w += 64) {
                    v128_t b0 = wasm_v128_load(b), b1 = wasm_v128_load(b + 16), low = wasm_i16x8_splat(255);
                    v128_t even0 = wasm_v128_and(b0, low), odd0 = wasm_u16x8_shr(b0, 8);
                    v128_t even1 = wasm_v128_and(b1, low), odd1 = wasm_u16x8_shr(b1, 8);
#pragma GCC unroll 4
                    for (int r = 0; r < 4; r++) {
                        v128_t w02 = wasm_v128_load32_splat(w + 8 * r), w13 = wasm_v128_load32_splat(w + 8 * r + 4);
                        a[r][0] = wasm_i32x4_add(a[r][0], wasm_i32x4_dot_i16x8(even0, w02));
                        a[r][1] = wasm_i32x4_add(a[r][1], wasm_i32x4_dot_i16x8(even1, w02));
                        a[r][0] = wasm_i32x4_add(a[r][0], wasm_i32x4_dot_i16x8(odd0, w13));
                        a[r][1] = wasm_i32x4_add(a[r][1], wasm_i32x4_dot_i16x8(odd1, w13));
                    }
                }
            }
            for (int r = 0; r < 4; r++)
                for (int v = 0; v < 2; v++) wasm_v128_store(out + (half + r) * RNC_BLOCK + part + 4 * v, a[r][v]);
        }
}

#elif defined(__wasm__)

#define WIDE_WEIGHTS 1

/* Without vectors: two cells in a word of 64 bits, whose product with a weight is the two products, as sums stay within 32
   bits. A negative lower half takes one from the upper, which `high` gives back. */
static inline int32_t low(uint64_t two) { return (int32_t)(uint32_t)two; }
static inline int32_t high(uint64_t two) { return (int32_t)(uint32_t)((two >> 32) + ((two >> 31) & 1)); }
static inline uint64_t times(uint64_t bytes, const uint8_t *w) {
    int16_t weight;
    memcpy(&weight, w, 2);
    return bytes * (uint64_t)(int64_t)weight;
}

static void sums(int32_t *out, const int32_t *bias, const rnc_strip *strips, int count, size_t position, size_t block) {
    const uint64_t mask = 0x000000ff000000ffu;
    for (int half = 0; half < RNC_OUTPUTS; half += 4)
        for (int i = 0; i < RNC_BLOCK; i += 2) {
            uint64_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
            for (int s = 0; s < count; s++) {
                const uint8_t *b = strips[s].bytes + 4 * (position + (size_t)i);
                const uint8_t *w = strips[s].weights + block * strips[s].quads * 64 + 8 * half;
                for (size_t k = 0; k < strips[s].quads; k++, b += strips[s].plane_bytes, w += 64) {
                    uint64_t cells;
                    memcpy(&cells, b, 8);
                    uint64_t b0 = cells & mask, b1 = (cells >> 8) & mask, b2 = (cells >> 16) & mask, b3 = (cells >> 24) & mask;
                    a0 += times(b0, w) + times(b2, w + 2) + times(b1, w + 4) + times(b3, w + 6);
                    a1 += times(b0, w + 8) + times(b2, w + 10) + times(b1, w + 12) + times(b3, w + 14);
                    a2 += times(b0, w + 16) + times(b2, w + 18) + times(b1, w + 20) + times(b3, w + 22);
                    a3 += times(b0, w + 24) + times(b2, w + 26) + times(b1, w + 28) + times(b3, w + 30);
                }
            }
            const uint64_t a[4] = {a0, a1, a2, a3};
            for (int r = 0; r < 4; r++) {
                out[(half + r) * RNC_BLOCK + i] = bias[half + r] + low(a[r]);
                out[(half + r) * RNC_BLOCK + i + 1] = bias[half + r] + high(a[r]);
            }
        }
}

#else

#define WIDE_WEIGHTS 1

static void sums(int32_t *out, const int32_t *bias, const rnc_strip *strips, int count, size_t position, size_t block) {
    for (int r = 0; r < RNC_OUTPUTS; r++)
        for (int i = 0; i < RNC_BLOCK; i++) out[r * RNC_BLOCK + i] = bias[r];
    for (int s = 0; s < count; s++) {
        const uint8_t *b = strips[s].bytes + 4 * position, *w = strips[s].weights + block * strips[s].quads * 64;
        for (size_t k = 0; k < strips[s].quads; k++, b += strips[s].plane_bytes, w += 64) {
            int16_t bytes[4][RNC_BLOCK];
            for (int i = 0; i < RNC_BLOCK; i++)
                for (int c = 0; c < 4; c++) bytes[c][i] = b[4 * i + c];
            for (int r = 0; r < RNC_OUTPUTS; r++) {
                int16_t of[4];
                memcpy(of, w + 8 * r, 8);
                int32_t *to = out + r * RNC_BLOCK;
                for (int i = 0; i < RNC_BLOCK; i++)
                    to[i] += bytes[0][i] * of[0] + bytes[2][i] * of[1] + bytes[1][i] * of[2] + bytes[3][i] * of[3];
            }
        }
    }
}

#endif

#ifndef UNIT
#define UNIT 127
#endif

/* ---- Tables ---- */

/* bytes[i] = table[bytes[i]], for 4 * 48 bytes. */
static void look_up(uint8_t *bytes, const uint8_t *table) {
#if defined(RNC_USE_AVX512)
    __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
    __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
    for (int i = 0; i < 4 * RNC_BLOCK; i += 64) {
        __m512i at = _mm512_loadu_si512(bytes + i);
        __m512i low = _mm512_permutex2var_epi8(t0, at, t1), high = _mm512_permutex2var_epi8(t2, at, t3);
        _mm512_storeu_si512(bytes + i, _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(at), high));
    }
#else
    for (int i = 0; i < 4 * RNC_BLOCK; i++) bytes[i] = table[bytes[i]];
#endif
}

/* ---- What follows sums ---- */

static void hidden(uint8_t *restrict out, size_t plane_bytes, const int32_t *restrict in) {
    for (int half = 0; half < RNC_OUTPUTS; half += 4, out += plane_bytes) {
        const int32_t *z = in + half * RNC_BLOCK;
        uint32_t packed[RNC_BLOCK];
        for (int i = 0; i < RNC_BLOCK; i++) {
            uint32_t a = (uint32_t)clamp(z[i] >> 6, 0, 255), b = (uint32_t)clamp(z[RNC_BLOCK + i] >> 6, 0, 255);
            uint32_t c = (uint32_t)clamp(z[2 * RNC_BLOCK + i] >> 6, 0, 255), d = (uint32_t)clamp(z[3 * RNC_BLOCK + i] >> 6, 0, 255);
            packed[i] = a | b << 8 | c << 16 | d << 24;
        }
        memcpy(out, packed, sizeof packed);
    }
}

static void entries(uint8_t *restrict out, size_t plane_bytes, int rows, const int32_t *restrict in) {
    for (int r = 0; r < rows; r++, out += plane_bytes, in += RNC_BLOCK)
        for (int i = 0; i < RNC_BLOCK; i++) out[i] = (uint8_t)(clamp(in[i] >> 7, -128, 127) + 128);
}

static void gates(uint8_t *restrict state, const int32_t *restrict in, const uint8_t *sigmoid, const uint8_t *tanh_offset) {
    uint8_t update[4 * RNC_BLOCK], candidate[4 * RNC_BLOCK];
    uint32_t packed[RNC_BLOCK];
    const int32_t *z = in + 4 * RNC_BLOCK;
    for (int i = 0; i < 4 * RNC_BLOCK; i++) update[i] = (uint8_t)(clamp(in[i] >> 8, -128, 127) + 128);
    for (int i = 0; i < 4 * RNC_BLOCK; i++) candidate[i] = (uint8_t)(clamp(z[i] >> 7, -128, 127) + 128);
    look_up(update, sigmoid);
    look_up(candidate, tanh_offset);
    memcpy(packed, state, sizeof packed);
    for (int i = 0; i < RNC_BLOCK; i++) {
        uint32_t next = 0;
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) {
            int32_t h = (int32_t)(packed[i] >> 8 * c & 255), n = candidate[c * RNC_BLOCK + i], u = update[c * RNC_BLOCK + i];
            next |= (uint32_t)(h + ((u * (n - h) + 128) >> 8)) << 8 * c;
        }
        packed[i] = next;
    }
    memcpy(state, packed, sizeof packed);
}

/* ---- Accumulators and values ---- */

static void count(int32_t *restrict accumulator, uint8_t *restrict mask, const uint8_t *restrict values, int channel, const int32_t *weights, int first, size_t positions) {
    const int32_t fresh = weights[0], known = weights[1];
    const int shift = 8 * channel;
    if (first)
        for (size_t i = 0; i < positions; i++) mask[i] = accumulator[i] != 0;
    for (size_t i = 0; i < positions; i++) {
        uint32_t four;
        memcpy(&four, values + 4 * i, 4);
        int32_t v = (int32_t)(four >> shift & 255), x = (v > UNIT) - (v < UNIT);
        accumulator[i] += x * (mask[i] ? known : fresh);
    }
}

static void seen(uint8_t *restrict out, const int32_t *const *accumulators, int32_t scale, int32_t limit, size_t positions) {
    const int32_t *a = accumulators[0], *b = accumulators[1], *c = accumulators[2], *d = accumulators[3];
    for (size_t i = 0; i < positions; i++) {
        /* Beyond the limit the result is 127 in magnitude; up to it products have less than 18 bits. */
        int32_t va = (clamp(a[i], -limit, limit) * scale) >> 10, vb = (clamp(b[i], -limit, limit) * scale) >> 10;
        int32_t vc = (clamp(c[i], -limit, limit) * scale) >> 10, vd = (clamp(d[i], -limit, limit) * scale) >> 10;
        va = va < 0 ? -va : va, vb = vb < 0 ? -vb : vb, vc = vc < 0 ? -vc : vc, vd = vd < 0 ? -vd : vd;
        uint32_t four = (uint32_t)(va > 127 ? 127 : va) | (uint32_t)(vb > 127 ? 127 : vb) << 8 | (uint32_t)(vc > 127 ? 127 : vc) << 16
                        | (uint32_t)(vd > 127 ? 127 : vd) << 24;
        memcpy(out + 4 * i, &four, 4);
    }
}

static void around(uint8_t *restrict out, const uint8_t *const *n, size_t positions) {
    const uint8_t *a = n[0], *b = n[1], *c = n[2], *d = n[3], *e = n[4], *f = n[5], *g = n[6], *h = n[7];
    for (size_t i = 0; i < 4 * positions; i++)
        out[i] = (uint8_t)((unsigned)(a[i] + b[i] + c[i] + d[i] + e[i] + f[i] + g[i] + h[i]) >> 3);
}

static void values(uint8_t *restrict out, const uint8_t *const *bits, const uint8_t *const *significant, size_t positions) {
    const uint8_t *a = bits[0], *b = bits[1], *c = bits[2], *d = bits[3];
    const uint8_t *sa = significant[0], *sb = significant[1], *sc = significant[2], *sd = significant[3];
    for (size_t i = 0; i < positions; i++) {
        /* 2 for a one; of a zero 0 if the coefficient is significant, otherwise 1; times the unit. */
        uint32_t va = a[i] ? 2 * UNIT : sa[i] ? 0 : UNIT, vb = b[i] ? 2 * UNIT : sb[i] ? 0 : UNIT;
        uint32_t vc = c[i] ? 2 * UNIT : sc[i] ? 0 : UNIT, vd = d[i] ? 2 * UNIT : sd[i] ? 0 : UNIT;
        uint32_t four = va | vb << 8 | vc << 16 | vd << 24;
        memcpy(out + 4 * i, &four, 4);
    }
}

static void spread(uint8_t *restrict out, const uint8_t *restrict in, size_t n) {
    for (size_t i = 0; i < n; i++) out[2 * i] = in[i];
}

const rnc_compute RNC_PASTE(rnc_compute_, RNC_SUFFIX) = {
    WIDE_WEIGHTS, UNIT, sums, hidden, entries, gates, count, seen, around, values, spread,
};
