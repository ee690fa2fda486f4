/* The entropy network of a model as the loops want it; see compute.h for the layout. */

#ifndef RNC_ENTROPY_H
#define RNC_ENTROPY_H

#include "compute.h"
#include "rnc_kernel.h"

#define RNC_COEFFICIENTS 192
#define RNC_MAX_ITERATIONS 32
#define RNC_MAX_CODED 127 /* context-coded channels: pairs, where codes are pairs */
#define RNC_TAPS 9

/* How far one channel moves an accumulator that is 0, and another. */
typedef struct {
    int32_t accumulator, channel; /* channel: among the active ones */
    int32_t weights[2];
    int32_t first; /* whether it is the first of its accumulator */
} rnc_move;

/* Bits of the active channels first to stop - 1. */
typedef struct {
    int first, stop;
    int taps, tap[RNC_TAPS];     /* of the context: which of the nine, none in the first pass */
    int tap_quads[RNC_TAPS];     /* fours of channels that hold all that is known where a tap meets */
    const uint8_t *context[RNC_TAPS];
    const uint8_t *output, *accumulator_output;
    const int32_t *hidden_bias, *output_bias;
} rnc_pass;

typedef struct {
    int active, quads;                /* channels that are not idle, and how many fours they fill */
    uint8_t channel[RNC_MAX_CODED];     /* which ones they are */
    uint8_t coefficient[RNC_MAX_CODED]; /* of a pair: index among those that any visit is to */
    uint8_t level[RNC_MAX_CODED];       /* 1 or more; capped, as only 1 matters */
    rnc_pass *pass;
    /* What comes before the iteration, but for the first. */
    int moved, moved_quads; /* accumulators that have moved by then */
    const uint8_t *state_in[RNC_TAPS], *accumulator_input;
    const int32_t *state_bias;
    int moves;
    const rnc_move *move;
    int32_t scale, limit;
} rnc_iteration;

typedef struct {
    uint32_t magic;
    const rnc_compute *compute;
    rnc_entropy_shape shape;
    int state_quads, hidden_blocks, coefficients, most_quads, accumulators;
    const uint8_t *state, *feature[RNC_TAPS];
    uint32_t share[256]; /* of a zero, for each table entry */
    rnc_iteration iteration[RNC_MAX_ITERATIONS];
} rnc_entropy_model;

/* The model in memory that was handed to a caller, NULL if there is none. */
const rnc_entropy_model *rnc_entropy_model_in(const void *memory);

/* Phases of a lattice, as bits; phase 2 (row & 1) + (column & 1). */
static inline unsigned rnc_phases_of(int32_t lattice) {
    static const unsigned phases[4] = {9, 6, 1, 8};
    return phases[lattice];
}

#endif
