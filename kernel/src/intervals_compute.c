/* Compiled once for each instruction set, with RNC_SUFFIX as its name, and so that no multiplication fuses with an
   addition: each operation rounds as in its twins, numpy_quantizer, numpy_masking and numpy_target of
   pillow_rnc.models.embedded. */

#include "exact.h"
#include "network_compute.h"

#include <math.h>
#include <string.h>

#define RNC_PASTE_(a, b) a##b
#define RNC_PASTE(a, b) RNC_PASTE_(a, b)
#define UNBOUNDED 1e9f
#define AT_ONCE 64

/* The steps of some cells. */
static void steps(float *restrict to, const float *step_scale, float step, size_t count) {
    if (step_scale)
        for (size_t i = 0; i < count; i++) to[i] = step * step_scale[i];
    else
        for (size_t i = 0; i < count; i++) to[i] = step;
}

static void encode(uint8_t *const *codes, int levels, uint8_t *signs, const float *target, const float *midpoint, const float *step_scale, float step, size_t count) {
    for (size_t start = 0; start < count; start += AT_ONCE) {
        size_t n = count - start < AT_ONCE ? count - start : AT_ONCE;
        const float *want = target + start, *mid = midpoint + start;
        uint8_t *first = codes[0] + start, *sign = signs + start;
        float s[AT_ONCE];
        int32_t code[AT_ONCE], minus[AT_ONCE]; /* of the width of floats, as compilers want it */
        steps(s, step_scale ? step_scale + start : NULL, step, n);
        for (size_t i = 0; i < n; i++) {
            float out = mid[i] > 0.0f ? want[i] - mid[i] : mid[i] - want[i];
            int32_t fresh = mid[i] == 0.0f, passes = fabsf(want[i]) >= s[i], outward = out >= 0.0f;
            code[i] = fresh ? passes : outward;
            minus[i] = fresh & passes & (want[i] < 0.0f);
        }
        for (size_t i = 0; i < n; i++) first[i] = (uint8_t)code[i];
        for (size_t i = 0; i < n; i++) sign[i] = (uint8_t)minus[i];
        for (int level = 1; level < levels; level++) {
            uint8_t *to = codes[level] + start;
            float factor = (float)(level + 1);
            for (size_t i = 0; i < n; i++) code[i] = (mid[i] == 0.0f) & (fabsf(want[i]) >= factor * s[i]);
            for (size_t i = 0; i < n; i++) to[i] = (uint8_t)code[i];
        }
    }
}

static void refine(float *midpoint, float *half_width, const uint8_t *const *codes, int levels, const uint8_t *signs, const float *step_scale, float step, size_t count) {
    for (size_t start = 0; start < count; start += AT_ONCE) {
        size_t n = count - start < AT_ONCE ? count - start : AT_ONCE;
        float s[AT_ONCE], passed[AT_ONCE], one[AT_ONCE], sign[AT_ONCE], *mid = midpoint + start, *width = half_width + start;
        const float all = (float)levels;
        steps(s, step_scale ? step_scale + start : NULL, step, n);
        for (size_t i = 0; i < n; i++) {
            one[i] = passed[i] = (float)codes[0][start + i];
            sign[i] = signs[start + i] ? -1.0f : 1.0f;
        }
        for (int level = 1; level < levels; level++)
            for (size_t i = 0; i < n; i++) passed[i] += (float)codes[level][start + i];
        for (size_t i = 0; i < n; i++) {
            float m = mid[i], r = width[i];
            /* a number that leaves zero */
            float low = passed[i] * s[i], wide = low + s[i], high, left, left_width;
            float narrowed = r < s[i] ? r : s[i];
            int last = passed[i] == all, beyond = last & (r == UNBOUNDED);
            /* one that is known */
            float half = fabsf(r) * 0.5f, grown = r * 2.0f, signed_one = m < 0.0f ? -1.0f : 1.0f;
            int outward = one[i] != 0.0f, grows = outward & (r < 0.0f), zero = m == 0.0f;
            float move = grows ? 4.0f * half : outward ? half : -half;
            float bounded = wide < r ? wide : r;
            high = last ? r : bounded;
            high = beyond ? wide : high;
            high = high > low ? high : low;
            left = sign[i] * ((low + high) * 0.5f);
            left_width = (beyond ? low - high : high - low) * 0.5f;
            mid[i] = zero ? (outward ? left : 0.0f) : m + signed_one * move;
            width[i] = zero ? (outward ? left_width : narrowed) : grows ? grown : half;
        }
    }
}

static void energy(float *restrict to, const float *restrict midpoint, size_t count) {
    for (size_t i = 0; i < count; i++) to[i] += midpoint[i] * midpoint[i];
}

/* log(1 + x) for x >= 0 and exp(x), after Cephes (S. Moshier); within 2 units in the last place. */
static inline float log_one_plus(float x) {
    float u = 1.0f + x, m, e, z, p;
    uint32_t bits;
    int32_t exponent;
    x = x < 1e37f ? x : 1e37f;
    u = u < 1e37f ? u : 1e37f;
    memcpy(&bits, &u, 4);
    /* m in sqrt(1/2)..sqrt(2) */
    exponent = (int32_t)((bits - 0x3f3504f3u) >> 23);
    bits -= (uint32_t)exponent << 23;
    memcpy(&m, &bits, 4);
    e = (float)exponent;
    /* what was rounded off when 1 was added, relative to u */
    z = (x - (u - 1.0f)) / u;
    m -= 1.0f;
    p = 7.0376836292e-2f;
    p = p * m + -1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m + -1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m + -1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m + -2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float square = m * m, tail = m * square * p;
    tail += -2.12194440e-4f * e;
    tail += -0.5f * square;
    return (m + tail + z) + 0.693359375f * e;
}

static inline float exponential(float x) {
    float n, p, scale;
    int32_t power;
    uint32_t bits;
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    n = x * 1.44269504088896341f + 12582912.0f; /* 1.5 2^23: rounds to an integer */
    memcpy(&bits, &n, 4);
    power = (int32_t)(bits - 0x4b400000u);
    n -= 12582912.0f;
    x = x - n * 0.693359375f;
    x = x - n * -2.12194440e-4f;
    p = 1.9875691500e-4f;
    p = p * x + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    p = p * (x * x) + x + 1.0f;
    bits = (uint32_t)(power + 127) << 23;
    memcpy(&scale, &bits, 4);
    return p * scale;
}

static void widen(float *restrict step_scale, const float *restrict own, const float *restrict around, float scale, float exponent, size_t count) {
    for (size_t i = 0; i < count; i++) step_scale[i] = exponential(exponent * log_one_plus((own[i] + around[i]) * scale));
}

/* ---- Transform of pixels ---- */

/* As below, for 16 values of each of the eight lines, in order. */
static inline void filter_lines(float l[8][16], const float *m) {
    for (int i = 0; i < 16; i++) {
        float s0 = l[0][i] + l[7][i], s1 = l[1][i] + l[6][i], s2 = l[2][i] + l[5][i], s3 = l[3][i] + l[4][i];
        float d0 = l[0][i] - l[7][i], d1 = l[1][i] - l[6][i], d2 = l[2][i] - l[5][i], d3 = l[3][i] - l[4][i];
        float t0 = m[0] * d0 + m[1] * d1 + m[2] * d2 + m[3] * d3, t1 = m[4] * d0 + m[5] * d1 + m[6] * d2 + m[7] * d3;
        float t2 = m[8] * d0 + m[9] * d1 + m[10] * d2 + m[11] * d3, t3 = m[12] * d0 + m[13] * d1 + m[14] * d2 + m[15] * d3;
        l[0][i] = 0.5f * (s0 + t0), l[1][i] = 0.5f * (s1 + t1), l[2][i] = 0.5f * (s2 + t2), l[3][i] = 0.5f * (s3 + t3);
        l[4][i] = 0.5f * (s3 - t3), l[5][i] = 0.5f * (s2 - t2), l[6][i] = 0.5f * (s1 - t1), l[7][i] = 0.5f * (s0 - t0);
    }
}

static void filter(float *before, float *after, size_t stride, const float *matrix, size_t count) {
    float lines[8][16] = {{0}}, m[16];
    memcpy(m, matrix, sizeof m);
    for (size_t start = 0; start < count; start += 16) {
        size_t n = count - start < 16 ? count - start : 16;
        if (n == 16) { /* copies of a constant size are moves */
            for (size_t k = 0; k < 4; k++) {
                memcpy(lines[k], before + k * stride + start, sizeof *lines);
                memcpy(lines[4 + k], after + k * stride + start, sizeof *lines);
            }
            filter_lines(lines, m);
            for (size_t k = 0; k < 4; k++) {
                memcpy(before + k * stride + start, lines[k], sizeof *lines);
                memcpy(after + k * stride + start, lines[4 + k], sizeof *lines);
            }
            continue;
        }
        for (size_t k = 0; k < 4; k++) {
            memcpy(lines[k], before + k * stride + start, n * sizeof **lines);
            memcpy(lines[4 + k], after + k * stride + start, n * sizeof **lines);
        }
        filter_lines(lines, m);
        for (size_t k = 0; k < 4; k++) {
            memcpy(before + k * stride + start, lines[k], n * sizeof **lines);
            memcpy(after + k * stride + start, lines[4 + k], n * sizeof **lines);
        }
    }
}

/* The cosines of a frequency mirror each other, with a change of sign if it is odd; those of four places say all. */
static void analyse(float *restrict out, size_t out_stride, const float *restrict in, size_t in_stride, const float *restrict m, size_t count) {
    for (size_t start = 0; start < count; start += AT_ONCE) {
        size_t n = count - start < AT_ONCE ? count - start : AT_ONCE;
        float sums[4][AT_ONCE], differences[4][AT_ONCE];
        for (size_t k = 0; k < 4; k++) {
            const float *a = in + k * in_stride + start, *b = in + (7 - k) * in_stride + start;
            for (size_t i = 0; i < n; i++) sums[k][i] = a[i] + b[i];
            for (size_t i = 0; i < n; i++) differences[k][i] = a[i] - b[i];
        }
        for (size_t j = 0; j < 8; j++) {
            const float *w = m + 8 * j;
            float(*half)[AT_ONCE] = j & 1 ? differences : sums, *to = out + j * out_stride + start;
            for (size_t i = 0; i < n; i++) to[i] = w[0] * half[0][i] + w[1] * half[1][i] + w[2] * half[2][i] + w[3] * half[3][i];
        }
    }
}

static void read_pixels(float *restrict planes, size_t plane, size_t line, const uint8_t *restrict pixels, const float *restrict m, size_t count) {
    const float m0 = m[0], m1 = m[1], m2 = m[2], m3 = m[3], m4 = m[4], m5 = m[5], m6 = m[6], m7 = m[7], m8 = m[8];
    for (size_t start = 0; start < count; start += 16) {
        size_t n = count - start < 16 ? count - start : 16;
        int32_t lines[24][16] = {{0}};
        for (size_t x = 0; x < n; x++)
            for (int k = 0; k < 24; k++) lines[k][x] = pixels[24 * (start + x) + (size_t)k];
        for (int j = 0; j < 8; j++) {
            float *to = planes + (size_t)j * line + start;
            for (int i = 0; i < 16; i++) { /* planes have room for them */
                float r = (float)lines[3 * j][i] - 128.0f, g = (float)lines[3 * j + 1][i] - 128.0f, b = (float)lines[3 * j + 2][i] - 128.0f;
                to[i] = m0 * r + m1 * g + m2 * b;
                to[plane + (size_t)i] = m3 * r + m4 * g + m5 * b;
                to[2 * plane + (size_t)i] = m6 * r + m7 * g + m8 * b;
            }
        }
    }
}

const rnc_intervals_compute RNC_PASTE(rnc_intervals_, RNC_SUFFIX) = {encode, refine, energy, widen, filter, analyse, read_pixels};
