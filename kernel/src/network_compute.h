/* What the decoder network and the transform compile once for each instruction set.

   Lanes are cells here, too: a map is [channels][positions] of floats, with rows of `stride` positions, one of them
   before each row and a row above and below for what lies outside the tile. Work goes by blocks of 48 positions. */

#ifndef RNC_NETWORK_COMPUTE_H
#define RNC_NETWORK_COMPUTE_H

#include <stddef.h>
#include <stdint.h>

#define RNC_LANES 48
#define RNC_ROWS 8 /* sums that are formed at a time */

/* A part of the terms of sums: weights [rows / 8][k][8], and inputs [k][48]. */
typedef struct {
    const float *weights;
    size_t k;       /* terms that are summed up */
    size_t k_stride; /* terms that there are weights for */
    const float *inputs;
} rnc_terms;

typedef struct {
    /* out[8][48] = bias[8] + sums over one or two parts, of rows 8 block to 8 block + 7. */
    void (*products)(float *out, const float *bias, const rnc_terms *terms, int count, size_t block);
    /* 3x3 convolution of one channel at 48 positions. */
    void (*convolve)(float *out, const float *map, ptrdiff_t stride, const float *kernel, float shift);
    void (*tanh)(float *values, size_t count);
    /* a = (1 + a) * b */
    void (*open_gate)(float *a, const float *b, size_t count);
    /* out = hidden + (1 + update) / 2 * (candidate - hidden); hidden may be NULL, for zeros */
    void (*step)(float *out, const float *hidden, const float *update, const float *candidate);
    /* What the network sees of one coefficient at 48 positions: seen and width. */
    void (*see)(float *seen, float *width, const float *midpoint, const float *half_width, const float *gain);
    /* Where a coefficient lies in its interval: out = midpoint + (inside + shift sign(midpoint)) * width / gain. `gain` has
       48 gains, then 48 times one over them. */
    void (*place)(float *out, const float *inside, const float *midpoint, const float *half_width, const float *gain, float shift);
    /* out = inside * widest / gain */
    void (*place_unseen)(float *out, const float *inside, const float *gain);
    /* gain = factor / step_scale, and one over it, 48 of each */
    void (*gain)(float *gain, const float *step_scale, float factor);
    /* Copies 48 values, but for those of which the mask is 0: these become 0. The mask has all bits of the others. */
    void (*keep)(float *out, const float *in, const uint32_t *mask);
    /* Fetches 48 values ahead of their use. */
    void (*fetch)(const float *values);
    void (*fold)(float *even, float *odd, const float *from, size_t count);
    /* out[2 i] = from[2 i] + even[i], out[2 i + 1] = from[2 i + 1] + odd[i] */
    void (*unfold)(float *out, const float *from, const float *even, const float *odd, size_t count);
    /* Eight lines of n values become eight others: out[j] = sum of matrix[j][u] * in[u]. */
    void (*transform)(float *out, size_t out_stride, const float *in, size_t in_stride, const float *matrix, size_t count);
    /* Colours [3][8 lines] of n values -> [n][8][3] pixels; matrix [3][3]. */
    void (*write_pixels)(float *out, const float *planes, size_t plane, size_t line, const float *matrix, size_t count);
    /* row += weight * weights * tile, three values to a pixel */
    void (*blend)(float *row, const float *tile, const float *weights, float weight, size_t count);
    /* These return whether all values are finite. */
    int (*round)(uint8_t *out, const float *values, size_t count);
    int (*round_grey)(uint8_t *out, const float *values, size_t count);
} rnc_network_compute;

extern const rnc_network_compute rnc_network_plain;
#ifdef RNC_X86
extern const rnc_network_compute rnc_network_avx2, rnc_network_avxvnni, rnc_network_avx512;
#endif

/* What must round as NumPy does, operation by operation; see intervals_compute.c. */
typedef struct {
    /* Codes of one visit in one row. codes[level][cells], signs[cells]; step_scale is NULL for means. */
    void (*encode)(uint8_t *const *codes, int levels, uint8_t *signs, const float *target, const float *midpoint, const float *step_scale, float step, size_t count);
    void (*refine)(float *midpoint, float *half_width, const uint8_t *const *codes, int levels, const uint8_t *signs, const float *step_scale, float step, size_t count);
    /* energy += midpoint^2 */
    void (*energy)(float *energy, const float *midpoint, size_t count);
    /* step_scale = (1 + scale * (energy + around))^exponent; around is a mean */
    void (*widen)(float *step_scale, const float *energy, const float *around, float scale, float exponent, size_t count);
    /* The eight values around a border, four lines on each side, n of them; matrix [4][4] for their differences. */
    void (*filter)(float *before, float *after, size_t stride, const float *matrix, size_t count);
    /* Eight lines of n values become those of eight frequencies; matrix [8 frequencies][8 places], orthonormal DCT-II. */
    void (*analyse)(float *out, size_t out_stride, const float *in, size_t in_stride, const float *matrix, size_t count);
    /* Pixels [n][8][3] -> colours [3][8 lines] of n values; matrix [3][3]. */
    void (*read_pixels)(float *planes, size_t plane, size_t line, const uint8_t *pixels, const float *matrix, size_t count);
} rnc_intervals_compute;

extern const rnc_intervals_compute rnc_intervals_plain;
#ifdef RNC_X86
extern const rnc_intervals_compute rnc_intervals_avx2, rnc_intervals_avxvnni, rnc_intervals_avx512;
#endif

/* The instruction set must be one that `rnc_compute_for` accepts; NULL otherwise. */
const rnc_network_compute *rnc_network_compute_for(int isa);
const rnc_intervals_compute *rnc_intervals_compute_for(int isa);

#endif
