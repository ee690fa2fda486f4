/* One tile of the decoder network: what its functions share. */

#ifndef RNC_NETWORK_TILE_H
#define RNC_NETWORK_TILE_H

#include "network.h"

/* Cells in rows of `stride` positions, the first of which stands for what is left of the row, and right of the one
   before it. */
typedef struct {
    size_t rows, columns, stride, first, span, positions, blocks;
} rnc_grid;

/* Maps of a cell, [channels][positions] each. */
typedef struct {
    const rnc_cell *weights;
    rnc_grid grid;
    float *input, *state[2]; /* step s reads state[(s - 1) % 2] and writes state[s % 2] */
} rnc_network_tile_cell;

/* What is done next when pixels are made. */
enum stage { BEGIN, NETWORK, MEANS, ROWS, DONE };

#define RNC_WAVES (2 + 2 * RNC_MAX_STEPS)

typedef struct {
    uint32_t magic;
    const rnc_network *network;
    int encodes, iteration;
    rnc_grid grid;
    float *midpoint, *half_width, *target; /* [visited][positions] */
    float *step_scale, *energy, *around, *line; /* [positions] */
    /* while pixels are made */
    enum stage stage;
    size_t wave[RNC_WAVES]; /* blocks that each part of the network has done */
    size_t at;              /* rows that were written */
    size_t cleared; /* bytes that are zeros from the beginning */
    int prepared;
    float *spare;           /* the state of the detail that is read in the last step */
    rnc_network_tile_cell context, detail;
    float *input, *coefficients; /* [d][positions], [192][positions] */
    float *panel, *sums, *gain;
    float *planes; /* two rows of cells: [2][3][8][8][row] */
    size_t row;
} rnc_network_tile;

/* Where a row begins. */
static inline size_t rnc_row_at(const rnc_grid *g, size_t row) { return g->first + row * g->stride; }

/* Transforms the means of the blocks by the wavelet, or back. */
void rnc_transform_means(const rnc_grid *g, float *map, const float *lifting, int back);

/* The tile in memory that was handed to a caller, NULL if there is none. */
rnc_network_tile *rnc_network_tile_in(void *memory);

#endif
