/* One tile: intervals -> an image at 1/4 or 1/8 of the size, without the decoder network. */

#include <string.h>

#include "network_tile.h"

typedef rnc_network_tile tile;

/* Writes where the coefficients of all cells lie in their intervals, the means by their wavelet. Those that no iteration
   came to are 0, and only their means are written. */
static void place_all(const tile *t, const rnc_network_iteration *own) {
    const rnc_network *network = t->network;
    size_t positions = t->grid.positions;
    memset(t->sums, 0, RNC_LANES * sizeof *t->sums);
    for (size_t block = 0; block < t->grid.blocks; block++) {
        size_t position = t->grid.first + block * RNC_LANES;
        network->compute->gain(t->gain, t->step_scale + position, own->gain);
        for (size_t n = 0; n < (size_t)own->visited; n++) {
            size_t at = n * positions + position;
            network->compute->place(t->coefficients + at, t->sums, t->midpoint + at, t->half_width + at, t->gain, own->shift[n]);
        }
    }
    for (int n = 0; n < RNC_COEFFICIENTS; n++) {
        float *map = t->coefficients + (size_t)n * positions;
        if (network->order[n] % 64) continue;
        if (n >= own->visited) memset(map, 0, positions * sizeof *map);
        else rnc_transform_means(&t->grid, map, network->lifting, 1);
    }
}

/* to[i] += factor * from[i] */
static void add(float *restrict to, const float *restrict from, float factor, size_t count) {
    for (size_t i = 0; i < count; i++) to[i] += factor * from[i];
}

/* Adds up what `side` lines of samples of a row of cells take from this row and those around it: [3][8 frequencies
   across][side] lines, with one cell more on either side. Beyond its borders the image is mirrored. Returns which
   frequencies there are. */
static uint32_t add_down(const tile *t, const rnc_network_iteration *own, size_t row, size_t side, const float *taken) {
    const rnc_network *network = t->network;
    size_t columns = t->grid.columns;
    uint32_t found = 0;
    memset(t->planes, 0, 24 * side * t->row * sizeof *t->planes);
    for (int n = 0; n < RNC_COEFFICIENTS; n++) {
        size_t c = (size_t)network->order[n], down = c % 64 / 8, which = c / 64 * 8 + c % 8;
        float mirrored = down & 1 ? -1.0f : 1.0f, weight = network->weights_back[c];
        if (n >= own->visited && c % 64) continue;
        found |= 1u << which;
        for (size_t d = 0; d < 3; d++) {
            int beyond = row + d < 1 || row + d > t->grid.rows;
            size_t from = beyond ? row : row + d - 1;
            const float *map = t->coefficients + (size_t)n * t->grid.positions + rnc_row_at(&t->grid, from);
            for (size_t i = 0; i < side; i++)
                add(t->planes + (which * side + i) * t->row + 1, map, taken[(d * side + i) * 8 + down] * weight * (beyond ? mirrored : 1.0f), columns);
        }
    }
    for (size_t which = 0; which < 24; which++)
        for (size_t i = 0; found >> which & 1 && i < side; i++) {
            float *line = t->planes + (which * side + i) * t->row, mirrored = which & 1 ? -1.0f : 1.0f;
            line[0] = mirrored * line[1];
            line[columns + 1] = mirrored * line[columns];
        }
    return found;
}

/* Adds up what the samples of each line take from the cell and those beside it: [3][side][side] lines. */
static float *add_across(const tile *t, uint32_t found, size_t side, const float *taken) {
    float *out = t->planes + 192 * t->row;
    memset(out, 0, 3 * side * side * t->row * sizeof *out);
    for (size_t which = 0; which < 24; which++)
        for (size_t i = 0; found >> which & 1 && i < side; i++)
            for (size_t d = 0; d < 3; d++)
                for (size_t j = 0; j < side; j++)
                    add(out + ((which / 8 * side + i) * side + j) * t->row, t->planes + (which * side + i) * t->row + d, taken[(d * side + j) * 8 + which % 8],
                        t->grid.columns);
    return out;
}

static void write_line(const tile *t, const float *lines, size_t side, float *pixels) {
    const float *m = t->network->colours_back;
    size_t plane = side * side * t->row;
    for (size_t j = 0; j < side; j++) {
        const float *y = lines + j * t->row, *cb = y + plane, *cr = cb + plane;
        for (size_t x = 0; x < t->grid.columns; x++)
            for (size_t k = 0; k < 3; k++) pixels[3 * (x * side + j) + k] = 128.0f + m[3 * k] * y[x] + m[3 * k + 1] * cb[x] + m[3 * k + 2] * cr[x];
    }
}

int rnc_network_tile_reduced(void *memory, int side, const float *taken, size_t taken_length, float *pixels, size_t length) {
    tile *t = rnc_network_tile_in(memory);
    const rnc_network_iteration *own;
    size_t n = (size_t)side, width;
    if (!t || side < 1 || side > 2 || taken_length != 24 * n || length != t->grid.rows * t->grid.columns * n * n * 3) return RNC_ERROR_ARGUMENT;
    t->stage = BEGIN; /* the network's maps share memory with the coefficients */
    if (!t->iteration) { /* nothing is known yet: grey */
        for (size_t i = 0; i < length; i++) pixels[i] = 128.0f;
        return RNC_OK;
    }
    own = &t->network->iteration[t->iteration - 1];
    width = t->grid.columns * n * 3;
    place_all(t, own);
    for (size_t row = 0; row < t->grid.rows; row++) {
        const float *lines = add_across(t, add_down(t, own, row, n, taken), n, taken);
        for (size_t i = 0; i < n; i++) write_line(t, lines + i * n * t->row, n, pixels + (row * n + i) * width);
    }
    return RNC_OK;
}
