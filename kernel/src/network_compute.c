/* Compiled once for each instruction set, with RNC_SUFFIX as its name; see network_compute.h. Additions and
   multiplications may fuse here. */

#include "network_compute.h"

#include <math.h>
#include <string.h>

#include "simd.h"

#define RNC_PASTE_(a, b) a##b
#define RNC_PASTE(a, b) RNC_PASTE_(a, b)
#define SQUASH 4.0f
#define WIDEST 4.0f

/* ---- Sums of products ---- */

#if defined(RNC_USE_AVX512)

static void products(float *out, const float *bias, const rnc_terms *terms, int count, size_t block) {
    __m512 a[RNC_ROWS][3];
    for (int r = 0; r < RNC_ROWS; r++) a[r][0] = a[r][1] = a[r][2] = _mm512_set1_ps(bias[r]);
    for (int s = 0; s < count; s++) {
        const float *w = terms[s].weights + block * terms[s].k_stride * RNC_ROWS, *b = terms[s].inputs;
        for (size_t k = terms[s].k; k > 0; k--, w += RNC_ROWS, b += RNC_LANES) {
            __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16), b2 = _mm512_loadu_ps(b + 32);
#pragma GCC unroll 8
            for (int r = 0; r < RNC_ROWS; r++) {
                __m512 weight = _mm512_set1_ps(w[r]);
                a[r][0] = _mm512_fmadd_ps(weight, b0, a[r][0]);
                a[r][1] = _mm512_fmadd_ps(weight, b1, a[r][1]);
                a[r][2] = _mm512_fmadd_ps(weight, b2, a[r][2]);
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < RNC_ROWS; r++)
        for (int v = 0; v < 3; v++) _mm512_storeu_ps(out + r * RNC_LANES + 16 * v, a[r][v]);
}

#elif defined(RNC_USE_AVX2) || defined(RNC_USE_AVXVNNI)

static void products(float *out, const float *bias, const rnc_terms *terms, int count, size_t block) {
    for (int half = 0; half < RNC_ROWS; half += 4)
        for (int part = 0; part < RNC_LANES; part += 24) {
            __m256 a[4][3];
            for (int r = 0; r < 4; r++) a[r][0] = a[r][1] = a[r][2] = _mm256_set1_ps(bias[half + r]);
            for (int s = 0; s < count; s++) {
                const float *w = terms[s].weights + block * terms[s].k_stride * RNC_ROWS + half, *b = terms[s].inputs + part;
                for (size_t k = terms[s].k; k > 0; k--, w += RNC_ROWS, b += RNC_LANES) {
                    __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8), b2 = _mm256_loadu_ps(b + 16);
#pragma GCC unroll 4
                    for (int r = 0; r < 4; r++) {
                        __m256 weight = _mm256_set1_ps(w[r]);
                        a[r][0] = _mm256_fmadd_ps(weight, b0, a[r][0]);
                        a[r][1] = _mm256_fmadd_ps(weight, b1, a[r][1]);
                        a[r][2] = _mm256_fmadd_ps(weight, b2, a[r][2]);
                    }
                }
            }
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                for (int v = 0; v < 3; v++) _mm256_storeu_ps(out + (half + r) * RNC_LANES + part + 8 * v, a[r][v]);
        }
}

#elif defined(RNC_SSE2)

static void products(float *out, const float *bias, const rnc_terms *terms, int count, size_t block) {
    for (int half = 0; half < RNC_ROWS; half += 4)
        for (int part = 0; part < RNC_LANES; part += 12) {
            __m128 a[4][3];
            for (int r = 0; r < 4; r++) a[r][0] = a[r][1] = a[r][2] = _mm_set1_ps(bias[half + r]);
            for (int s = 0; s < count; s++) {
                const float *w = terms[s].weights + block * terms[s].k_stride * RNC_ROWS + half, *b = terms[s].inputs + part;
                for (size_t k = terms[s].k; k > 0; k--, w += RNC_ROWS, b += RNC_LANES) {
                    __m128 b0 = _mm_loadu_ps(b), b1 = _mm_loadu_ps(b + 4), b2 = _mm_loadu_ps(b + 8);
#pragma GCC unroll 4
                    for (int r = 0; r < 4; r++) {
                        __m128 weight = _mm_load1_ps(w + r);
                        a[r][0] = _mm_add_ps(a[r][0], _mm_mul_ps(weight, b0));
                        a[r][1] = _mm_add_ps(a[r][1], _mm_mul_ps(weight, b1));
                        a[r][2] = _mm_add_ps(a[r][2], _mm_mul_ps(weight, b2));
                    }
                }
            }
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                for (int v = 0; v < 3; v++) _mm_storeu_ps(out + (half + r) * RNC_LANES + part + 4 * v, a[r][v]);
        }
}

#elif defined(__ARM_NEON)

static void products(float *out, const float *bias, const rnc_terms *terms, int count, size_t block) {
    for (int half = 0; half < RNC_ROWS; half += 4)
        for (int part = 0; part < RNC_LANES; part += 16) {
            float32x4_t a[4][4];
            for (int r = 0; r < 4; r++)
                for (int v = 0; v < 4; v++) a[r][v] = vdupq_n_f32(bias[half + r]);
            for (int s = 0; s < count; s++) {
                const float *w = terms[s].weights + block * terms[s].k_stride * RNC_ROWS + half, *b = terms[s].inputs + part;
                for (size_t k = terms[s].k; k > 0; k--, w += RNC_ROWS, b += RNC_LANES) {
                    float32x4_t b0 = vld1q_f32(b), b1 = vld1q_f32(b + 4), b2 = vld1q_f32(b + 8), b3 = vld1q_f32(b + 12);
                    for (int r = 0; r < 4; r++) {
                        a[r][0] = vfmaq_n_f32(a[r][0], b0, w[r]);
                        a[r][1] = vfmaq_n_f32(a[r][1], b1, w[r]);
                        a[r][2] = vfmaq_n_f32(a[r][2], b2, w[r]);
                        a[r][3] = vfmaq_n_f32(a[r][3], b3, w[r]);
                    }
                }
            }
            for (int r = 0; r < 4; r++)
                for (int v = 0; v < 4; v++) vst1q_f32(out + (half + r) * RNC_LANES + part + 4 * v, a[r][v]);
        }
}

#elif defined(__wasm_simd128__)

/* Sums of 4 rows and 8 lanes: with 12, engines for x86-64 run out of registers. */
#ifdef __wasm_relaxed_simd__
#define ADD_PRODUCT(sum, a, b) wasm_f32x4_relaxed_madd(a, b, sum)
#else
#define ADD_PRODUCT(sum, a, b) wasm_f32x4_add(sum, wasm_f32x4_mul(a, b))
#endif

static void products(float *out, const float *bias, const rnc_terms *terms, int count, size_t block) {
    for (int half = 0; half < RNC_ROWS; half += 4)
        for (int part = 0; part < RNC_LANES; part += 8) {
            v128_t a[4][2];
            for (int r = 0; r < 4; r++)
                for (int v = 0; v < 2; v++) a[r][v] = wasm_f32x4_splat(bias[half + r]);
            for (int s = 0; s < count; s++) {
                const float *w = terms[s].weights + block * terms[s].k_stride * RNC_ROWS + half, *b = terms[s].inputs + part;
                for (size_t k = terms[s].k; k > 0; k--, w += RNC_ROWS, b += RNC_LANES) {
                    v128_t b0 = wasm_v128_load(b), b1 = wasm_v128_load(b + 4);
#pragma GCC unroll 4
                    for (int r = 0; r < 4; r++) {
                        v128_t weight = wasm_v128_load32_splat(w + r);
                        a[r][0] = ADD_PRODUCT(a[r][0], weight, b0);
                        a[r][1] = ADD_PRODUCT(a[r][1], weight, b1);
                    }
                }
            }
            for (int r = 0; r < 4; r++)
                for (int v = 0; v < 2; v++) wasm_v128_store(out + (half + r) * RNC_LANES + part + 4 * v, a[r][v]);
        }
}

#elif defined(__wasm__)

/* Without vectors: sums of few rows and lanes stay in registers. */
static void products(float *out, const float *bias, const rnc_terms *terms, int count, size_t block) {
    for (int half = 0; half < RNC_ROWS; half += 4)
        for (int i = 0; i < RNC_LANES; i += 2) {
            float a[4][2];
            for (int r = 0; r < 4; r++) a[r][0] = a[r][1] = bias[half + r];
            for (int s = 0; s < count; s++) {
                const float *w = terms[s].weights + block * terms[s].k_stride * RNC_ROWS + half, *b = terms[s].inputs + i;
                for (size_t k = terms[s].k; k > 0; k--, w += RNC_ROWS, b += RNC_LANES) {
                    const float b0 = b[0], b1 = b[1];
#pragma GCC unroll 4
                    for (int r = 0; r < 4; r++) {
                        a[r][0] += w[r] * b0;
                        a[r][1] += w[r] * b1;
                    }
                }
            }
            for (int r = 0; r < 4; r++) {
                out[(half + r) * RNC_LANES + i] = a[r][0];
                out[(half + r) * RNC_LANES + i + 1] = a[r][1];
            }
        }
}

#else

static void products(float *out, const float *bias, const rnc_terms *terms, int count, size_t block) {
    for (int r = 0; r < RNC_ROWS; r++)
        for (int i = 0; i < RNC_LANES; i++) out[r * RNC_LANES + i] = bias[r];
    for (int s = 0; s < count; s++) {
        const float *w = terms[s].weights + block * terms[s].k_stride * RNC_ROWS, *b = terms[s].inputs;
        for (size_t k = terms[s].k; k > 0; k--, w += RNC_ROWS, b += RNC_LANES)
            for (int r = 0; r < RNC_ROWS; r++)
                for (int i = 0; i < RNC_LANES; i++) out[r * RNC_LANES + i] += w[r] * b[i];
    }
}

#endif

/* ---- Cells ---- */

static void convolve(float *restrict out, const float *restrict map, ptrdiff_t stride, const float *kernel, float shift) {
    const float *a = map - stride - 1, *b = map - 1, *c = map + stride - 1;
    const float k0 = kernel[0], k1 = kernel[1], k2 = kernel[2], k3 = kernel[3], k4 = kernel[4], k5 = kernel[5], k6 = kernel[6], k7 = kernel[7], k8 = kernel[8];
    for (int i = 0; i < RNC_LANES; i++)
        out[i] = shift + k0 * a[i] + k1 * a[i + 1] + k2 * a[i + 2] + k3 * b[i] + k4 * b[i + 1] + k5 * b[i + 2] + k6 * c[i] + k7 * c[i + 1] + k8 * c[i + 2];
}

/* A quotient of polynomials, as in Eigen; within 4 units in the last place. Beyond 7.9 it is 1. */
static void hyperbolic_tangent(float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float x = values[i], s, p, q;
        x = x > 7.90531110763549805f ? 7.90531110763549805f : x;
        x = x < -7.90531110763549805f ? -7.90531110763549805f : x;
        s = x * x;
        p = s * -2.76076847742355e-16f + 2.00018790482477e-13f;
        p = s * p + -8.60467152213735e-11f;
        p = s * p + 5.12229709037114e-08f;
        p = s * p + 1.48572235717979e-05f;
        p = s * p + 6.37261928875436e-04f;
        p = s * p + 4.89352455891786e-03f;
        q = s * 1.19825839466702e-06f + 1.18534705686654e-04f;
        q = s * q + 2.26843463243900e-03f;
        q = s * q + 4.89352518554385e-03f;
        values[i] = x * p / q;
    }
}

static void open_gate(float *restrict a, const float *restrict b, size_t count) {
    for (size_t i = 0; i < count; i++) a[i] = (1.0f + a[i]) * b[i];
}

static void step(float *restrict out, const float *hidden, const float *restrict update, const float *restrict candidate) {
    if (!hidden)
        for (int i = 0; i < RNC_LANES; i++) out[i] = 0.5f * (1.0f + update[i]) * candidate[i];
    else
        for (int i = 0; i < RNC_LANES; i++) out[i] = hidden[i] + 0.5f * (1.0f + update[i]) * (candidate[i] - hidden[i]);
}

/* ---- Coefficients ---- */

static inline float width_of(float half_width, float gain) {
    float width = fabsf(half_width) * gain;
    return width < WIDEST ? width : WIDEST;
}

static void see(float *restrict seen, float *restrict width, const float *restrict midpoint, const float *restrict half_width, const float *restrict gain) {
    for (int i = 0; i < RNC_LANES; i++) {
        float k = midpoint[i] * gain[i];
        seen[i] = k / (SQUASH + fabsf(k));
        width[i] = width_of(half_width[i], gain[i]);
    }
}

static void place(float *restrict out, const float *restrict inside, const float *restrict midpoint, const float *restrict half_width, const float *restrict gain, float shift) {
    for (int i = 0; i < RNC_LANES; i++) {
        float sign = (midpoint[i] > 0.0f ? shift : 0.0f) - (midpoint[i] < 0.0f ? shift : 0.0f);
        out[i] = midpoint[i] + (inside[i] + sign) * width_of(half_width[i], gain[i]) * gain[RNC_LANES + i];
    }
}

static void place_unseen(float *restrict out, const float *restrict inside, const float *restrict gain) {
    for (int i = 0; i < RNC_LANES; i++) out[i] = inside[i] * WIDEST * gain[RNC_LANES + i];
}

static void gain(float *restrict out, const float *restrict step_scale, float factor) {
    for (int i = 0; i < RNC_LANES; i++) {
        out[i] = factor / step_scale[i];
        out[RNC_LANES + i] = step_scale[i] / factor;
    }
}

static void keep(float *restrict out, const float *restrict in, const uint32_t *restrict mask) {
    uint32_t bits[RNC_LANES];
    memcpy(bits, in, sizeof bits);
    for (int i = 0; i < RNC_LANES; i++) bits[i] &= mask[i];
    memcpy(out, bits, sizeof bits);
}

static void fetch(const float *values) {
#if defined(__GNUC__)
    __builtin_prefetch(values);
    __builtin_prefetch(values + 16);
    __builtin_prefetch(values + 32);
    __builtin_prefetch(values + 47);
#else
    (void)values;
#endif
}

static void fold(float *restrict even, float *restrict odd, const float *restrict from, size_t count) {
    for (size_t i = 0; i < count; i++) {
        even[i] = from[2 * i];
        odd[i] = from[2 * i + 1];
    }
}

static void unfold(float *restrict out, const float *restrict from, const float *restrict even, const float *restrict odd, size_t count) {
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = from[2 * i] + even[i];
        out[2 * i + 1] = from[2 * i + 1] + odd[i];
    }
}

/* ---- Transform ---- */

static void transform(float *restrict out, size_t out_stride, const float *restrict in, size_t in_stride, const float *restrict m, size_t count) {
    for (int j = 0; j < 8; j++, m += 8) {
        float *to = out + (size_t)j * out_stride;
        for (size_t i = 0; i < count; i++)
            to[i] = m[0] * in[i] + m[1] * in[i + in_stride] + m[2] * in[i + 2 * in_stride] + m[3] * in[i + 3 * in_stride]
                    + m[4] * in[i + 4 * in_stride] + m[5] * in[i + 5 * in_stride] + m[6] * in[i + 6 * in_stride] + m[7] * in[i + 7 * in_stride];
    }
}

/* Lines [24][16] of some of 16 blocks -> [blocks][24]. */
static void write_blocks(float *restrict out, float lines[24][16], size_t count) {
#if defined(RNC_SSE2)
    for (size_t x = 0; x < count; x += 4)
        for (int k = 0; k < 24; k += 4) {
            __m128 a = _mm_loadu_ps(lines[k] + x), b = _mm_loadu_ps(lines[k + 1] + x), c = _mm_loadu_ps(lines[k + 2] + x), d = _mm_loadu_ps(lines[k + 3] + x);
            _MM_TRANSPOSE4_PS(a, b, c, d);
            _mm_storeu_ps(out + 24 * x + k, a);
            if (x + 1 < count) _mm_storeu_ps(out + 24 * (x + 1) + k, b);
            if (x + 2 < count) _mm_storeu_ps(out + 24 * (x + 2) + k, c);
            if (x + 3 < count) _mm_storeu_ps(out + 24 * (x + 3) + k, d);
        }
#else
    for (size_t x = 0; x < count; x++)
        for (int k = 0; k < 24; k++) out[24 * x + k] = lines[k][x];
#endif
}

static void write_pixels(float *restrict out, const float *restrict planes, size_t plane, size_t line, const float *restrict m, size_t count) {
    for (size_t start = 0; start < count; start += 16) {
        float lines[24][16];
        for (int j = 0; j < 8; j++) {
            const float *y = planes + (size_t)j * line + start, *cb = y + plane, *cr = cb + plane;
            for (int i = 0; i < 16; i++) { /* planes have room for them */
                lines[3 * j][i] = 128.0f + m[0] * y[i] + m[1] * cb[i] + m[2] * cr[i];
                lines[3 * j + 1][i] = 128.0f + m[3] * y[i] + m[4] * cb[i] + m[5] * cr[i];
                lines[3 * j + 2][i] = 128.0f + m[6] * y[i] + m[7] * cb[i] + m[8] * cr[i];
            }
        }
        write_blocks(out + 24 * start, lines, count - start < 16 ? count - start : 16);
    }
}

/* ---- Pixels ---- */

static inline uint32_t is_bad(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (bits & 0x7f800000u) == 0x7f800000u;
}

static void blend(float *restrict row, const float *restrict tile, const float *restrict weights, float weight, size_t count) {
    for (size_t x = 0; x < count; x++) {
        float w = weight * weights[x];
        row[3 * x] += w * tile[3 * x];
        row[3 * x + 1] += w * tile[3 * x + 1];
        row[3 * x + 2] += w * tile[3 * x + 2];
    }
}

/* Halves go to the even neighbour, as in NumPy: 2^23 + x has no room for a fraction. */
static inline uint8_t rounded(float value) {
    value = value > 0.0f ? value : 0.0f;
    value = value < 255.0f ? value : 255.0f;
    value += 8388608.0f;
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (uint8_t)bits;
}

static int round_to(uint8_t *restrict out, const float *restrict values, size_t count) {
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        bad |= is_bad(values[i]);
        out[i] = rounded(values[i]);
    }
    return !bad;
}

static int round_grey(uint8_t *restrict out, const float *restrict values, size_t count) {
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        float grey = 0.299f * values[3 * i] + 0.587f * values[3 * i + 1] + 0.114f * values[3 * i + 2];
        bad |= is_bad(grey);
        out[i] = rounded(grey);
    }
    return !bad;
}

const rnc_network_compute RNC_PASTE(rnc_network_, RNC_SUFFIX) = {
    products, convolve, hyperbolic_tangent, open_gate, step, see, place, place_unseen, gain, keep, fetch, fold, unfold, transform,
    write_pixels, blend, round_to, round_grey,
};
