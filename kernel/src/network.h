/* The decoder network of a model as the loops want it. */

#ifndef RNC_NETWORK_H
#define RNC_NETWORK_H

#include "network_compute.h"
#include "rnc_kernel.h"

#define RNC_COEFFICIENTS 192
#define RNC_MAX_ITERATIONS 32
#define RNC_MAX_PAIRS 127
#define RNC_TAPS 9
#define RNC_MAX_STEPS 16

typedef struct {
    int channels;
    const float *input_kernel, *hidden_kernel; /* [n][9] */
    const float *hidden_shift;
    const float *gates, *gates_bias;         /* of 2n inputs, to 2n outputs */
    const float *candidate, *candidate_bias; /* of 2n inputs, to n outputs */
} rnc_cell;

/* One coefficient in one iteration. */
typedef struct {
    int coefficient; /* place among those that any visit is to */
    int pair, levels, is_mean;
    float step;
} rnc_visit;

typedef struct {
    int schedule, visited; /* coefficients visited in this iteration or before it come first */
    rnc_visit visit[RNC_MAX_PAIRS];
    float gain;
    const float *bias, *shift; /* [d]; [192] in the order of `order` */
} rnc_network_iteration;

typedef struct {
    uint32_t magic;
    const rnc_network_compute *compute;
    const rnc_intervals_compute *intervals;
    rnc_network_shape shape;
    int visited;                    /* in any iteration */
    int order[RNC_COEFFICIENTS];    /* all coefficients; visited ones first, by their first visit */
    int place[RNC_COEFFICIENTS];    /* of a coefficient in that order, -1 if it is never visited */
    const float *projection[2];          /* of midpoints and half widths, [d / 8][visited][8] */
    const float *down, *down_bias, *up, *up_bias, *output, *output_bias;
    rnc_cell context, detail;
    rnc_network_iteration iteration[RNC_MAX_ITERATIONS];
    float masking_exponent, masking_scale;
    float cosines[64], transposed[64]; /* [frequency][place] and [place][frequency] */
    float weights[RNC_COEFFICIENTS], weights_back[RNC_COEFFICIENTS];
    float colours[9], colours_back[9], overlap[16], overlap_back[16], lifting[5];
} rnc_network;

const rnc_network *rnc_network_in(const void *memory);

#endif
