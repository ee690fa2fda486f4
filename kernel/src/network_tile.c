/* One tile: pixels -> codes, and codes -> pixels. */

#include "exact.h"

#include <string.h>

#include "arena.h"
#include "network_tile.h"

#define MAGIC 0x524e5431u
#define UNBOUNDED 1e9f
#define MAX_EDGE 4096        /* cells along a side */
#define BLOCKS_A_CALL 64     /* of 48 cells, in `pixels` */
#define ROWS_A_CALL 16       /* of cells, likewise */
#define WAVELET_LEVELS 2

typedef rnc_grid grid;
typedef rnc_network_tile_cell cell;
typedef rnc_network_tile tile;

static grid grid_of(size_t rows, size_t columns) {
    grid g;
    g.rows = rows;
    g.columns = columns;
    g.stride = columns + 1;
    g.first = g.stride + 1;
    g.span = (rows - 1) * g.stride + columns;
    g.blocks = (g.span + RNC_LANES - 1) / RNC_LANES;
    g.positions = (g.first + g.blocks * RNC_LANES + g.stride + 1 + 15) / 16 * 16;
    return g;
}

/* Cells of one row within a block; `lane` is the place of the first of them. */
typedef struct {
    size_t row, column, lane, count;
} segment;

/* Finds the next segment at or after lane *lane of the block that begins at a position. Returns 0 if there is none. */
static int next_segment(const grid *g, size_t position, size_t *lane, segment *found) {
    while (*lane < RNC_LANES) {
        size_t at = position + *lane - g->first, row = at / g->stride, column = at % g->stride, count = g->columns - column;
        if (row >= g->rows) return 0;
        if (column == g->columns) { /* left of the next row */
            ++*lane;
            continue;
        }
        if (count > RNC_LANES - *lane) count = RNC_LANES - *lane;
        *found = (segment){row, column, *lane, count};
        *lane += count;
        return 1;
    }
    return 0;
}

/* Fills a mask of 48 lanes with all bits where there is a cell of the tile, and with 0 elsewhere. */
static void find_mask(const grid *g, uint32_t *mask, size_t position) {
    size_t lane = 0;
    segment s;
    memset(mask, 0, RNC_LANES * sizeof *mask);
    while (next_segment(g, position, &lane, &s)) memset(mask + s.lane, 255, s.count * sizeof *mask);
}

/* Copies what t->panel or t->sums has of all channels to a block of a map that convolutions read. */
static void keep(const rnc_network_compute *compute, const grid *g, float *map, const float *from, size_t channels, size_t position) {
    uint32_t mask[RNC_LANES];
    find_mask(g, mask, position);
    for (size_t c = 0; c < channels; c++) compute->keep(map + c * g->positions + position, from + c * RNC_LANES, mask);
}

/* ---- Intervals ---- */

static const float *step_scale_of(const tile *t, const rnc_visit *visit, size_t at) { return visit->is_mean ? NULL : t->step_scale + at; }

/* Makes room for the coefficients that are visited for the first time. */
static void begin_intervals(tile *t) {
    size_t known = t->iteration ? (size_t)t->network->iteration[t->iteration - 1].visited : 0;
    size_t start = known * t->grid.positions, stop = (size_t)t->network->iteration[t->iteration].visited * t->grid.positions;
    memset(t->midpoint + start, 0, (stop - start) * sizeof *t->midpoint);
    for (size_t i = start; i < stop; i++) t->half_width[i] = UNBOUNDED;
}

static void refine(tile *t, const uint8_t *plane) {
    const rnc_network_iteration *now = &t->network->iteration[t->iteration];
    size_t cells = t->grid.rows * t->grid.columns, pairs = (size_t)t->network->shape.pairs;
    for (int v = 0; v < now->schedule; v++) {
        const rnc_visit *visit = &now->visit[v];
        float *midpoint = t->midpoint + (size_t)visit->coefficient * t->grid.positions, *half_width = t->half_width + (size_t)visit->coefficient * t->grid.positions;
        const uint8_t *codes[RNC_MAX_PAIRS], *signs;
        for (size_t row = 0; row < t->grid.rows; row++) {
            size_t at = rnc_row_at(&t->grid, row), start = row * t->grid.columns;
            for (int l = 0; l < visit->levels; l++) codes[l] = plane + (size_t)(visit->pair + l) * cells + start;
            signs = plane + (pairs + (size_t)visit->pair) * cells + start;
            t->network->intervals->refine(midpoint + at, half_width + at, codes, visit->levels, signs, step_scale_of(t, visit, at), visit->step, t->grid.columns);
        }
    }
}

/* Means over the cell and its neighbours within the tile. */
static void find_around(tile *t) {
    const grid *g = &t->grid;
    for (size_t row = 0; row < g->rows; row++) {
        float *at = t->energy + rnc_row_at(g, row), *out = t->around + rnc_row_at(g, row), *line = t->line;
        float lines = 3.0f - (row == 0) - (row + 1 == g->rows);
        /* left and right of the row there are zeros */
        for (size_t i = 0; i < g->columns + 2; i++) line[i] = (at - g->stride - 1)[i] + (at - 1)[i] + (at + g->stride - 1)[i];
        for (size_t i = 0; i < g->columns; i++) {
            float count = 3.0f - (i == 0) - (i + 1 == g->columns);
            out[i] = (line[i] + line[i + 1] + line[i + 2]) / (lines * count);
        }
    }
}

/* Finds by what steps are widened from now on. */
static void mask(tile *t) {
    const rnc_network *network = t->network;
    const grid *g = &t->grid;
    int visited = network->iteration[t->iteration].visited;
    memset(t->energy, 0, g->positions * sizeof *t->energy);
    for (int c = 1; c < 64; c++) /* luma, but for its mean; in the order in which NumPy adds them up */
        if (network->place[c] >= 0 && network->place[c] < visited)
            for (size_t row = 0; row < g->rows; row++)
                network->intervals->energy(t->energy + rnc_row_at(g, row), t->midpoint + (size_t)network->place[c] * g->positions + rnc_row_at(g, row), g->columns);
    find_around(t);
    for (size_t row = 0; row < g->rows; row++) {
        size_t at = rnc_row_at(g, row);
        network->intervals->widen(t->step_scale + at, t->energy + at, t->around + at, network->masking_scale, network->masking_exponent, g->columns);
    }
}

static void advance(tile *t, const uint8_t *plane) {
    refine(t, plane);
    mask(t);
    t->iteration++;
    t->stage = BEGIN;
}

static void encode(tile *t, uint8_t *plane) {
    const rnc_network_iteration *now = &t->network->iteration[t->iteration];
    size_t cells = t->grid.rows * t->grid.columns, pairs = (size_t)t->network->shape.pairs;
    memset(plane, 0, 2 * pairs * cells);
    for (int v = 0; v < now->schedule; v++) {
        const rnc_visit *visit = &now->visit[v];
        size_t map = (size_t)visit->coefficient * t->grid.positions;
        uint8_t *codes[RNC_MAX_PAIRS];
        for (size_t row = 0; row < t->grid.rows; row++) {
            size_t at = rnc_row_at(&t->grid, row), start = row * t->grid.columns;
            for (int l = 0; l < visit->levels; l++) codes[l] = plane + (size_t)(visit->pair + l) * cells + start;
            t->network->intervals->encode(codes, visit->levels, plane + (pairs + (size_t)visit->pair) * cells + start, t->target + map + at,
                                          t->midpoint + map + at, step_scale_of(t, visit, at), visit->step, t->grid.columns);
        }
    }
}

/* ---- Wavelet of the means ---- */

/* moved[i] += factor * (around[i - 1] + around[i + 1]) for every second i from `from` on, mirrored at the ends; `step`
   floats from one value to the next, `across` lines side by side, `aside` floats from one to the next. */
static void lift(float *line, size_t n, size_t step, size_t from, float factor, size_t across, size_t aside) {
    for (size_t i = from; i < n; i += 2) {
        float *to = line + i * step;
        const float *before = line + (i ? i - 1 : 1) * step, *after = line + (i + 1 < n ? i + 1 : i - 1) * step;
        for (size_t x = 0; x < across; x++) to[x * aside] += factor * (before[x * aside] + after[x * aside]);
    }
}

/* Multiplies the values of one parity by the gain, and divides the others by it. */
static void scale(float *line, size_t n, size_t step, size_t multiplied, float gain, size_t across, size_t aside) {
    for (size_t i = 0; i < n; i++) {
        float *to = line + i * step;
        if ((i & 1) == multiplied)
            for (size_t x = 0; x < across; x++) to[x * aside] *= gain;
        else
            for (size_t x = 0; x < across; x++) to[x * aside] /= gain;
    }
}

static void lines(float *line, size_t n, size_t step, size_t across, size_t aside, const float *lifting, int back) {
    float gain = lifting[4];
    if (n == 1) return;
    if (back) scale(line, n, step, 1, gain, across, aside);
    for (int s = 0; s < 4; s++) {
        int which = back ? 3 - s : s;
        lift(line, n, step, which & 1 ? 0 : 1, back ? -lifting[which] : lifting[which], across, aside);
    }
    if (!back) scale(line, n, step, 0, gain, across, aside);
}

void rnc_transform_means(const grid *g, float *map, const float *lifting, int back) {
    for (int n = 0; n < WAVELET_LEVELS; n++) {
        int level = back ? WAVELET_LEVELS - 1 - n : n;
        size_t every = (size_t)1 << level, rows = (g->rows + every - 1) / every, columns = (g->columns + every - 1) / every;
        float *from = map + g->first;
        if (back) lines(from, rows, every * g->stride, columns, every, lifting, 1);
        lines(from, columns, every, rows, every * g->stride, lifting, back);
        if (!back) lines(from, rows, every * g->stride, columns, every, lifting, 0);
    }
}

/* ---- Transform of blocks ---- */

/* A row of cells as samples: [3][8][8][row], and how far apart colours and lines of pixels are. */
static float *planes_of(const tile *t, size_t row) { return t->planes + (row & 1) * 192 * t->row; }

/* Filters around the borders within a row of cells, and between it and the one above. */
static void filter_columns(const tile *t, float *planes, const float *matrix) {
    for (size_t line = 0; t->grid.columns > 1 && line < 24; line++)
        t->network->intervals->filter(planes + (line * 8 + 4) * t->row, planes + line * 8 * t->row + 1, t->row, matrix, t->grid.columns - 1);
}

static void filter_rows(const tile *t, float *above, float *below, const float *matrix) {
    for (size_t colour = 0; colour < 3; colour++)
        for (size_t j = 0; j < 8; j++)
            t->network->intervals->filter(above + ((colour * 8 + 4) * 8 + j) * t->row, below + (colour * 64 + j) * t->row, 8 * t->row, matrix, t->grid.columns);
}

static void coefficients_to_samples(const tile *t, size_t row) {
    const rnc_network *network = t->network;
    float *planes = planes_of(t, row), *scratch = t->panel;
    for (int n = 0; n < RNC_COEFFICIENTS; n++) {
        const float *from = t->coefficients + (size_t)n * t->grid.positions + rnc_row_at(&t->grid, row);
        float *to = planes + (size_t)network->order[n] * t->row, weight = network->weights_back[network->order[n]];
        for (size_t x = 0; x < t->grid.columns; x++) to[x] = from[x] * weight;
    }
    for (size_t colour = 0; colour < 3; colour++) {
        float *own = planes + colour * 64 * t->row;
        for (size_t u = 0; u < 8; u++) network->compute->transform(scratch + u * 8 * t->row, t->row, own + u * 8 * t->row, t->row, network->transposed, t->grid.columns);
        for (size_t j = 0; j < 8; j++) network->compute->transform(own + j * t->row, 8 * t->row, scratch + j * t->row, 8 * t->row, network->transposed, t->grid.columns);
    }
}

static void samples_to_target(const tile *t, size_t row) {
    const rnc_network *network = t->network;
    float *planes = planes_of(t, row), *scratch = t->panel;
    for (size_t colour = 0; colour < 3; colour++) {
        float *own = planes + colour * 64 * t->row;
        for (size_t i = 0; i < 8; i++) network->intervals->analyse(scratch + i * 8 * t->row, t->row, own + i * 8 * t->row, t->row, network->cosines, t->grid.columns);
        for (size_t v = 0; v < 8; v++) network->intervals->analyse(own + v * t->row, 8 * t->row, scratch + v * t->row, 8 * t->row, network->cosines, t->grid.columns);
    }
    for (int n = 0; n < network->visited; n++) {
        float *to = t->target + (size_t)n * t->grid.positions + rnc_row_at(&t->grid, row), weight = network->weights[network->order[n]];
        const float *from = planes + (size_t)network->order[n] * t->row;
        for (size_t x = 0; x < t->grid.columns; x++) to[x] = from[x] * weight;
    }
}

static void set_target(tile *t, const uint8_t *pixels) {
    const rnc_network *network = t->network;
    for (size_t row = 0; row < t->grid.rows; row++) {
        float *planes = planes_of(t, row);
        for (size_t i = 0; i < 8; i++)
            network->intervals->read_pixels(planes + i * 8 * t->row, 64 * t->row, t->row, pixels + (row * 8 + i) * t->grid.columns * 24, network->colours, t->grid.columns);
        filter_columns(t, planes, network->overlap);
        if (row) {
            filter_rows(t, planes_of(t, row - 1), planes, network->overlap);
            samples_to_target(t, row - 1);
        }
    }
    samples_to_target(t, t->grid.rows - 1);
    for (int n = 0; n < network->visited; n++)
        if (network->order[n] % 64 == 0) rnc_transform_means(&t->grid, t->target + (size_t)n * t->grid.positions, network->lifting, 0);
}

static void write_row(const tile *t, size_t row, float *pixels) {
    for (size_t i = 0; i < 8; i++)
        t->network->compute->write_pixels(pixels + (row * 8 + i) * t->grid.columns * 24, planes_of(t, row) + i * 8 * t->row, 64 * t->row, t->row,
                                          t->network->colours_back, t->grid.columns);
}

static void make_row(const tile *t, size_t row, float *pixels) {
    coefficients_to_samples(t, row);
    filter_columns(t, planes_of(t, row), t->network->overlap_back);
    if (row) {
        filter_rows(t, planes_of(t, row - 1), planes_of(t, row), t->network->overlap_back);
        write_row(t, row - 1, pixels);
    }
    if (row + 1 == t->grid.rows) write_row(t, row, pixels);
}

/* ---- Network ---- */

static void find_gain(const tile *t, const rnc_network_iteration *own, size_t position) {
    t->network->compute->gain(t->gain, t->step_scale + position, own->gain);
}

/* Lays out the input of both cells for one block. */
static void see(const tile *t, size_t position) {
    const rnc_network *network = t->network;
    const rnc_network_iteration *own = &network->iteration[t->iteration - 1];
    size_t visited = (size_t)own->visited, d = (size_t)network->shape.decoder_channels;
    float *widths = t->panel + visited * RNC_LANES;
    rnc_terms terms[2] = {{network->projection[0], visited, (size_t)network->visited, t->panel}, {network->projection[1], visited, (size_t)network->visited, widths}};
    find_gain(t, own, position);
    for (size_t v = 0; v < visited; v++)
        network->compute->see(t->panel + v * RNC_LANES, widths + v * RNC_LANES, t->midpoint + v * t->grid.positions + position, t->half_width + v * t->grid.positions + position, t->gain);
    for (size_t block = 0; block * RNC_ROWS < d; block++) {
        network->compute->products(t->sums, own->bias + block * RNC_ROWS, terms, 2, block);
        for (size_t r = 0; r < RNC_ROWS && block * RNC_ROWS + r < d; r++)
            memcpy(t->input + (block * RNC_ROWS + r) * t->grid.positions + position, t->sums + r * RNC_LANES, RNC_LANES * sizeof(float));
    }
}

static void products(const rnc_network *network, float *sums, const float *weights, const float *bias, size_t k, const float *inputs, size_t rows) {
    rnc_terms terms = {weights, k, k, inputs};
    for (size_t block = 0; block * RNC_ROWS < rows; block++)
        network->compute->products(sums + block * RNC_ROWS * RNC_LANES, bias + block * RNC_ROWS, &terms, 1, block);
}

static void context_input(const tile *t, size_t position) {
    const rnc_network *network = t->network;
    const grid *half = &t->context.grid;
    size_t d = (size_t)network->shape.decoder_channels, c = (size_t)network->shape.context_channels, lane = 0;
    segment s;
    while (next_segment(half, position, &lane, &s))
        for (size_t a = 0; a < 2; a++)
            for (size_t ch = 0; ch < d; ch++)
                network->compute->fold(t->panel + (2 * a * d + ch) * RNC_LANES + s.lane, t->panel + ((2 * a + 1) * d + ch) * RNC_LANES + s.lane,
                                       t->input + ch * t->grid.positions + rnc_row_at(&t->grid, 2 * s.row + a) + 2 * s.column, s.count);
    products(network, t->sums, network->down, network->down_bias, 4 * d, t->panel, c);
    keep(network->compute, half, t->context.input, t->sums, c, position);
}

/* Does one step of a cell at one block. What it gives is left in t->panel, [channels][48]. */
static void move(const tile *t, const cell *own, size_t step, size_t position) {
    const rnc_network_compute *compute = t->network->compute;
    const rnc_cell *weights = own->weights;
    size_t n = (size_t)weights->channels, positions = own->grid.positions, k = step ? 2 * n : n;
    float *inputs = t->panel, *mixed = t->panel + n * RNC_LANES, *gates = t->sums;
    const float *hidden = step ? own->state[(step - 1) & 1] : NULL; /* of nothing else than zeros before the first step */
    float *candidate = t->sums + 2 * ((n + RNC_ROWS - 1) / RNC_ROWS * RNC_ROWS) * RNC_LANES;
    for (size_t c = 0; c < n; c++) {
        compute->convolve(inputs + c * RNC_LANES, own->input + c * positions + position, (ptrdiff_t)own->grid.stride, weights->input_kernel + 9 * c, 0.0f);
        if (hidden)
            compute->convolve(mixed + c * RNC_LANES, hidden + c * positions + position, (ptrdiff_t)own->grid.stride, weights->hidden_kernel + 9 * c, weights->hidden_shift[c]);
    }
    /* The row below the next block, which nobody has read yet. */
    for (size_t c = 0; c < n; c++) {
        compute->fetch(own->input + c * positions + position + own->grid.stride + RNC_LANES);
        if (hidden) compute->fetch(hidden + c * positions + position + own->grid.stride + RNC_LANES);
    }
    {
        rnc_terms terms = {weights->gates, k, 2 * n, inputs};
        for (size_t block = 0; block * RNC_ROWS < (hidden ? 2 * n : n); block++)
            compute->products(gates + block * RNC_ROWS * RNC_LANES, weights->gates_bias + block * RNC_ROWS, &terms, 1, block);
        compute->tanh(gates, (hidden ? 2 * n : n) * RNC_LANES);
    }
    if (hidden) {
        compute->open_gate(gates + n * RNC_LANES, mixed, n * RNC_LANES);
        memcpy(mixed, gates + n * RNC_LANES, n * RNC_LANES * sizeof(float));
    }
    {
        rnc_terms terms = {weights->candidate, k, 2 * n, inputs};
        for (size_t block = 0; block * RNC_ROWS < n; block++)
            compute->products(candidate + block * RNC_ROWS * RNC_LANES, weights->candidate_bias + block * RNC_ROWS, &terms, 1, block);
        compute->tanh(candidate, n * RNC_LANES);
    }
    for (size_t c = 0; c < n; c++)
        compute->step(inputs + c * RNC_LANES, hidden ? hidden + c * positions + position : NULL, gates + c * RNC_LANES, candidate + c * RNC_LANES);
}

static void move_context(const tile *t, size_t step, size_t position) {
    const rnc_network *network = t->network;
    size_t d = (size_t)network->shape.decoder_channels, c = (size_t)network->shape.context_channels, lane = 0;
    segment s;
    while (next_segment(&t->context.grid, position, &lane, &s))
        for (size_t a = 0; a < 2; a++)
            for (size_t ch = 0; ch < d; ch++) {
                size_t at = ch * t->grid.positions + rnc_row_at(&t->grid, 2 * s.row + a) + 2 * s.column;
                for (size_t i = 0; i < 2 * s.count; i += RNC_LANES) {
                    network->compute->fetch(t->input + at + i);
                    network->compute->fetch(t->detail.input + at + i);
                }
            }
    lane = 0;
    move(t, &t->context, step, position);
    keep(network->compute, &t->context.grid, t->context.state[step & 1], t->panel, c, position);
    products(network, t->sums, network->up, network->up_bias, c, t->panel, 4 * d);
    while (next_segment(&t->context.grid, position, &lane, &s))
        for (size_t a = 0; a < 2; a++)
            for (size_t ch = 0; ch < d; ch++) {
                size_t at = ch * t->grid.positions + rnc_row_at(&t->grid, 2 * s.row + a) + 2 * s.column;
                network->compute->unfold(t->detail.input + at, t->input + at, t->sums + (2 * a * d + ch) * RNC_LANES + s.lane,
                                         t->sums + ((2 * a + 1) * d + ch) * RNC_LANES + s.lane, s.count);
            }
}

static void move_detail(const tile *t, size_t step, size_t position) {
    const rnc_network *network = t->network;
    const rnc_network_iteration *own = &network->iteration[t->iteration - 1];
    int last = step + 1 == (size_t)network->shape.decoder_steps;
    for (size_t n = 0; last && n < RNC_COEFFICIENTS; n++) {
        network->compute->fetch(t->coefficients + n * t->grid.positions + position);
        if (n >= (size_t)own->visited) continue;
        network->compute->fetch(t->midpoint + n * t->grid.positions + position);
        network->compute->fetch(t->half_width + n * t->grid.positions + position);
    }
    move(t, &t->detail, step, position);
    if (!last) {
        keep(network->compute, &t->grid, t->detail.state[step & 1], t->panel, (size_t)network->shape.decoder_channels, position);
        return;
    }
    products(network, t->sums, network->output, network->output_bias, (size_t)network->shape.decoder_channels, t->panel, RNC_COEFFICIENTS);
    find_gain(t, own, position);
    for (size_t n = 0; n < RNC_COEFFICIENTS; n++) {
        float *out = t->coefficients + n * t->grid.positions + position;
        const float *inside = t->sums + n * RNC_LANES;
        if (n < (size_t)own->visited)
            network->compute->place(out, inside, t->midpoint + n * t->grid.positions + position, t->half_width + n * t->grid.positions + position, t->gain, own->shift[n]);
        else
            network->compute->place_unseen(out, inside, t->gain);
    }
}

/* Sets what lies above and below the blocks of a map to 0, or all that lies around the tile. */
static void clear_around(const grid *g, float *map, size_t channels, int beside) {
    size_t end = beside ? rnc_row_at(g, g->rows) - 1 : g->first + g->blocks * RNC_LANES;
    for (size_t c = 0; c < channels; c++, map += g->positions) {
        memset(map, 0, g->first * sizeof *map);
        for (size_t row = 1; beside && row < g->rows; row++) map[rnc_row_at(g, row) - 1] = 0.0f;
        memset(map + end, 0, (g->positions - end) * sizeof *map);
    }
}

/* Sets to 0 what lies around the cells of the maps that convolutions read. */
static void prepare(tile *t) {
    size_t d = (size_t)t->network->shape.decoder_channels, c = (size_t)t->network->shape.context_channels;
    memset(t->wave, 0, sizeof t->wave);
    clear_around(&t->grid, t->coefficients + d * t->grid.positions, d, 0);
    if (t->prepared) return; /* nothing else is written around the others */
    clear_around(&t->grid, t->detail.input, d, 1);
    clear_around(&t->grid, t->spare, d, 0);
    clear_around(&t->context.grid, t->context.input, c, 0);
    clear_around(&t->context.grid, t->context.state[0], c, 0);
    clear_around(&t->context.grid, t->context.state[1], c, 0);
    t->prepared = 1;
}

/* ---- Waves ---- */

/* The parts of the network follow each other through the tile, each as soon as what it reads is there, so that maps are
   read while they are in the cache: 0 sees the intervals, 1 makes the input of the context, then come context and detail
   of each step by turns. */

static const grid *grid_of_wave(const tile *t, size_t wave) {
    return wave == 1 || (wave && wave % 2 == 0) ? &t->context.grid : &t->grid;
}

/* How many rows of a wave are complete. */
static size_t rows_done(const tile *t, size_t wave) {
    const grid *g = grid_of_wave(t, wave);
    size_t positions = t->wave[wave] * RNC_LANES, rows = positions < g->columns ? 0 : (positions - g->columns) / g->stride + 1;
    return t->wave[wave] == g->blocks || rows > g->rows ? g->rows : rows;
}

static int has_rows(const tile *t, size_t wave, size_t rows) {
    size_t all = grid_of_wave(t, wave)->rows;
    return rows_done(t, wave) >= (rows < all ? rows : all);
}

/* Whether a wave can do its next block: what it reads is there, and nobody will read what it writes over. */
static int is_ready(const tile *t, size_t wave) {
    const grid *g = grid_of_wave(t, wave);
    size_t row = (t->wave[wave] * RNC_LANES + RNC_LANES - 1) / g->stride; /* the last one of the block */
    if (t->wave[wave] == g->blocks) return 0;
    if (wave < 2) return !wave || has_rows(t, 0, 2 * row + 2);
    if (wave % 2 == 0 && !has_rows(t, 1, row + 2)) return 0;
    if (wave % 2 && !has_rows(t, wave - 1, (row + 1) / 2 + 1)) return 0;
    if (wave < 4) return 1;
    /* The last step writes coefficients also to what stands for the left of the row below. */
    return has_rows(t, wave - 2, row + 3) && (wave % 2 || has_rows(t, wave - 1, 2 * row + 3));
}

static void do_block(tile *t, size_t wave) {
    size_t position = grid_of_wave(t, wave)->first + t->wave[wave]++ * RNC_LANES;
    if (!wave) see(t, position);
    else if (wave == 1) context_input(t, position);
    else if (wave % 2) move_detail(t, (wave - 3) / 2, position);
    else move_context(t, (wave - 2) / 2, position);
}

/* Does the next block, of the last wave that can. Returns 0 if all is done. */
static int do_next(tile *t) {
    for (size_t wave = 2 + 2 * (size_t)t->network->shape.decoder_steps; wave-- > 0;)
        if (is_ready(t, wave)) {
            do_block(t, wave);
            return 1;
        }
    return 0;
}

/* Does a part of the work on pixels. */
static void work(tile *t, float *pixels) {
    const rnc_network *network = t->network;
    switch (t->stage) {
    case BEGIN:
        t->at = 0;
        if (!t->iteration) { /* nothing is known yet: grey */
            memset(t->coefficients, 0, RNC_COEFFICIENTS * t->grid.positions * sizeof(float));
            t->stage = MEANS;
        } else {
            prepare(t);
            t->stage = NETWORK;
        }
        return;
    case NETWORK:
        for (int n = 0; n < BLOCKS_A_CALL; n++)
            if (!do_next(t)) {
                t->stage = MEANS;
                return;
            }
        return;
    case MEANS:
        for (int n = 0; n < RNC_COEFFICIENTS; n++)
            if (network->order[n] % 64 == 0) rnc_transform_means(&t->grid, t->coefficients + (size_t)n * t->grid.positions, network->lifting, 1);
        t->stage = ROWS;
        return;
    case ROWS:
        for (size_t end = t->at + ROWS_A_CALL; t->at < end && t->at < t->grid.rows; t->at++) make_row(t, t->at, pixels);
        if (t->at == t->grid.rows) t->stage = DONE;
        return;
    default: return;
    }
}

/* ---- Entry points ---- */

static void take_cell(rnc_arena *arena, cell *own, const rnc_cell *weights, size_t rows, size_t columns) {
    size_t n = (size_t)weights->channels;
    own->weights = weights;
    own->grid = grid_of(rows, columns);
    own->input = rnc_take(arena, n, own->grid.positions * sizeof(float));
    own->state[0] = rnc_take(arena, n, own->grid.positions * sizeof(float));
    own->state[1] = rnc_take(arena, n, own->grid.positions * sizeof(float));
}

static int lay_out(rnc_arena *arena, const rnc_network *network, int32_t rows, int32_t columns, int encodes, tile *t) {
    size_t h = (size_t)rows, w = (size_t)columns, d = (size_t)network->shape.decoder_channels, c = (size_t)network->shape.context_channels;
    size_t visited = (size_t)network->visited, panel, most = d > c ? d : c, positions, shared, map;
    if (rows < 2 || columns < 2 || rows > MAX_EDGE || columns > MAX_EDGE || rows % 2 || columns % 2) return RNC_ERROR_ARGUMENT;
    memset(t, 0, sizeof *t);
    t->network = network;
    t->encodes = encodes;
    t->grid = grid_of(h, w);
    t->row = (w + 15) / 16 * 16 + 16;
    positions = t->grid.positions;
    map = positions * sizeof(float); /* of MAX_EDGE cells along both sides it fits in 32 bits, of all channels it may not */
    t->step_scale = rnc_take(arena, positions, sizeof(float));
    t->energy = rnc_take(arena, positions, sizeof(float));
    t->around = rnc_take(arena, positions, sizeof(float));
    t->line = rnc_take(arena, w + 2, sizeof(float));
    t->planes = rnc_take(arena, 2 * 192 * t->row, sizeof(float));
    panel = 4 * most > 2 * visited ? 4 * most : 2 * visited;
    panel = panel * RNC_LANES > 64 * t->row ? panel * RNC_LANES : 64 * t->row;
    t->panel = rnc_take(arena, panel, sizeof(float));
    most = 4 * (most + RNC_ROWS) > RNC_COEFFICIENTS ? 4 * (most + RNC_ROWS) : RNC_COEFFICIENTS;
    t->sums = rnc_take(arena, most * RNC_LANES, sizeof(float));
    t->gain = rnc_take(arena, 2 * RNC_LANES, sizeof(float));
    t->cleared = arena->used;
    /* Memory from here on is not touched before it is needed. */
    t->midpoint = rnc_take(arena, visited, map);
    t->half_width = rnc_take(arena, visited, map);
    t->target = encodes ? rnc_take(arena, visited, map) : NULL;
    take_cell(arena, &t->context, &network->context, h / 2, w / 2);
    t->detail.weights = &network->detail;
    t->detail.grid = t->grid;
    t->detail.input = rnc_take(arena, d, map);
    t->spare = rnc_take(arena, d, map);
    /* Where a coefficient comes to be, neither the input of both cells nor the state of the detail before the last one
       is of use any more. */
    shared = 2 * d > RNC_COEFFICIENTS ? 2 * d : RNC_COEFFICIENTS;
    t->coefficients = rnc_take(arena, shared, map);
    if (arena->failed) return RNC_ERROR_MEMORY;
    if (!arena->base) return RNC_OK;
    t->input = t->coefficients;
    t->detail.state[network->shape.decoder_steps & 1] = t->spare;
    t->detail.state[(network->shape.decoder_steps + 1) & 1] = t->coefficients + d * positions;
    return RNC_OK;
}

int rnc_network_tile_size(const void *memory, int32_t rows, int32_t columns, int encodes, size_t *size) {
    const rnc_network *network = rnc_network_in(memory);
    rnc_arena arena = {NULL, SIZE_MAX / 2, 0, 0};
    tile t;
    int status;
    if (!network) return RNC_ERROR_ARGUMENT;
    rnc_take(&arena, 1, sizeof(tile));
    status = lay_out(&arena, network, rows, columns, encodes, &t);
    *size = arena.used + RNC_ALIGNMENT;
    return status;
}

int rnc_network_tile_init(void *memory, size_t size, const void *network_memory, int32_t rows, int32_t columns, int encodes) {
    const rnc_network *network = rnc_network_in(network_memory);
    rnc_arena arena = rnc_arena_over(memory, size);
    tile *t = rnc_take(&arena, 1, sizeof *t);
    size_t head = arena.used;
    int status;
    if (!network) return RNC_ERROR_ARGUMENT;
    if (!t) return RNC_ERROR_MEMORY;
    status = lay_out(&arena, network, rows, columns, encodes, t);
    if (status != RNC_OK) return status;
    rnc_clear(arena.base + head, t->cleared - head);
    for (size_t i = 0; i < t->grid.positions; i++) t->step_scale[i] = 1.0f;
    t->magic = MAGIC;
    return RNC_OK;
}

tile *rnc_network_tile_in(void *memory) {
    tile *t = (tile *)(void *)rnc_aligned(memory);
    return t->magic == MAGIC ? t : NULL;
}

static size_t samples_of(const tile *t) { return t->grid.rows * t->grid.columns * 192; }

static size_t codes_of(const tile *t) { return 2 * (size_t)t->network->shape.pairs * t->grid.rows * t->grid.columns; }

int rnc_network_tile_set_target(void *memory, const uint8_t *pixels, size_t length) {
    tile *t = rnc_network_tile_in(memory);
    if (!t || !t->encodes || length != samples_of(t)) return RNC_ERROR_ARGUMENT;
    set_target(t, pixels);
    return RNC_OK;
}

int rnc_network_tile_encode(void *memory, uint8_t *plane, size_t plane_length) {
    tile *t = rnc_network_tile_in(memory);
    if (!t || !t->encodes || plane_length != codes_of(t)) return RNC_ERROR_ARGUMENT;
    if (t->iteration >= t->network->shape.iterations) return RNC_ERROR_ITERATION;
    begin_intervals(t);
    encode(t, plane);
    advance(t, plane);
    return RNC_OK;
}

int rnc_network_tile_decode(void *memory, const uint8_t *plane, size_t plane_length) {
    tile *t = rnc_network_tile_in(memory);
    if (!t || plane_length != codes_of(t)) return RNC_ERROR_ARGUMENT;
    if (t->iteration >= t->network->shape.iterations) return RNC_ERROR_ITERATION;
    begin_intervals(t);
    advance(t, plane);
    return RNC_OK;
}

int rnc_network_tile_pixels(void *memory, float *pixels, size_t length, int *done) {
    tile *t = rnc_network_tile_in(memory);
    if (!t || length != samples_of(t)) return RNC_ERROR_ARGUMENT;
    if (t->stage == DONE) t->stage = BEGIN;
    work(t, pixels);
    *done = t->stage == DONE;
    return RNC_OK;
}

int rnc_blend(int isa, float *rows, size_t rows_length, size_t rows_stride, const float *tile_values, size_t tile_length,
              size_t tile_stride, const float *across, size_t columns, const float *down, size_t count) {
    const rnc_network_compute *compute = rnc_network_compute_for(isa);
    if (!compute || !count || !columns || columns > SIZE_MAX / 4 || 3 * columns > rows_stride || 3 * columns > tile_stride) return RNC_ERROR_ARGUMENT;
    if (rows_length / rows_stride < count - 1 || tile_length / tile_stride < count - 1) return RNC_ERROR_ARGUMENT;
    if (rows_length - (count - 1) * rows_stride < 3 * columns || tile_length - (count - 1) * tile_stride < 3 * columns) return RNC_ERROR_ARGUMENT;
    for (size_t y = 0; y < count; y++) compute->blend(rows + y * rows_stride, tile_values + y * tile_stride, across, down[y], columns);
    return RNC_OK;
}

int rnc_round(int isa, uint8_t *out, size_t out_length, size_t out_stride, const float *values, size_t length, size_t stride,
              size_t columns, size_t count, int grey, int *finite) {
    const rnc_network_compute *compute = rnc_network_compute_for(isa);
    if (!compute || !count || !columns || columns > SIZE_MAX / 4) return RNC_ERROR_ARGUMENT;
    size_t width = grey ? columns : 3 * columns;
    if (width > out_stride || 3 * columns > stride) return RNC_ERROR_ARGUMENT;
    if (out_length / out_stride < count - 1 || length / stride < count - 1) return RNC_ERROR_ARGUMENT;
    if (out_length - (count - 1) * out_stride < width || length - (count - 1) * stride < 3 * columns) return RNC_ERROR_ARGUMENT;
    *finite = 1;
    for (size_t y = 0; y < count; y++)
        *finite &= (grey ? compute->round_grey : compute->round)(out + y * out_stride, values + y * stride, width);
    return RNC_OK;
}
