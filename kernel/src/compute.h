/* What is compiled once for each instruction set, and the layout that it works on.

   Lanes are cells. A map has its cells by phase, that is by the parities of row and column, so that the cells of a
   lattice, and what a tap of a 3x3 convolution meets of them, are neighbours in memory. Each phase is a plane of
   positions: rows of `stride`, with one position before each row and one row above and below that stand for what lies
   outside the tile. Activations are bytes, four channels to a position: [channels / 4][positions][4].

   A byte b stands for an activation plus an offset; what the offset adds to a sum is taken off the bias. */

#ifndef RNC_COMPUTE_H
#define RNC_COMPUTE_H

#include <stddef.h>
#include <stdint.h>

#define RNC_BLOCK 48 /* positions that are worked on at a time */
#define RNC_OUTPUTS 8 /* sums of each of them */
#define RNC_MAX_STRIPS 20

/* What the bytes of a strip may be. */
typedef enum {
    RNC_VALUES,     /* 0, 1 or 2 units */
    RNC_SEVEN_BITS, /* 0 to 127 */
    RNC_EIGHT_BITS,
} rnc_range;

/* Activations that a sum runs over: `quads` times four channels, and their weights for all outputs,
   [outputs / 8][quads][8][4], as int8 or, where the instruction set has no products of bytes, int16 in the order
   0, 2, 1, 3 of each four. */
typedef struct {
    rnc_range range;
    const uint8_t *bytes; /* of position 0 */
    size_t plane_bytes;   /* from four channels to the next four */
    size_t quads;
    const uint8_t *weights;
} rnc_strip;

typedef struct {
    int wide_weights; /* whether weights are int16 */
    int unit;         /* the byte of a value that is not known; sums take a unit as 127 */
    /* Strips come in the order of their ranges. out[8][48] = bias[8] + the sums over the strips, of the outputs 8 block to 8 block + 7 at 48 positions. */
    void (*sums)(int32_t *out, const int32_t *bias, const rnc_strip *strips, int count, size_t position, size_t block);
    /* Hidden units of 48 positions from two blocks of four outputs: clamp(z >> 6, 0, 255). */
    void (*hidden)(uint8_t *out, size_t plane_bytes, const int32_t *sums);
    /* Table entries of logits: clamp(y >> 7, -128, 127) + 128, to 48 bytes of each of `rows` planes. */
    void (*entries)(uint8_t *out, size_t plane_bytes, int rows, const int32_t *sums);
    /* Moves four channels of the state on, at 48 positions; sums are four update gates and four candidates. */
    void (*gates)(uint8_t *state, const int32_t *sums, const uint8_t *sigmoid, const uint8_t *tanh_offset);
    /* q += w[q != 0] * x of one channel of a map of values, for one accumulator and one channel. `mask` has q != 0 as found
       before the first channel; it is filled where `first` is set. */
    void (*count)(int32_t *accumulator, uint8_t *mask, const uint8_t *values, int channel, const int32_t *weights, int first, size_t positions);
    /* What is seen of four accumulators, 0..127 each. */
    void (*seen)(uint8_t *out, const int32_t *const *accumulators, int32_t scale, int32_t limit, size_t positions);
    /* Sums over eight neighbours >> 3, of four channels. */
    void (*around)(uint8_t *out, const uint8_t *const *neighbours, size_t positions);
    /* One row of values of four channels from their bits and whether their coefficients are significant. */
    void (*values)(uint8_t *out, const uint8_t *const *bits, const uint8_t *const *significant, size_t positions);
    /* out[i * step] = in[i] */
    void (*spread)(uint8_t *out, const uint8_t *in, size_t count);
} rnc_compute;

extern const rnc_compute rnc_compute_plain;
#ifdef __wasm_relaxed_simd__
extern const rnc_compute rnc_compute_bytes;
#endif
#ifdef RNC_X86
extern const rnc_compute rnc_compute_avx2, rnc_compute_avxvnni, rnc_compute_avx512;
#endif

/* NULL if this machine cannot run it; RNC_ISA_AUTO picks the best. */
const rnc_compute *rnc_compute_for(int isa);

#endif
