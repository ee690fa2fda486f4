/* Operands of the decoder network -> the order in which they are used. */

#include "network.h"

#include <math.h>
#include <string.h>

#include "arena.h"

#define MAGIC 0x524e4d31u
#define NO_LEVEL 1e6f
#define MAX_CHANNELS 4096

static size_t blocks_of(size_t rows) { return (rows + RNC_ROWS - 1) / RNC_ROWS; }

static int legal_shape(const rnc_network_shape *s) {
    return s->iterations >= 1 && s->iterations <= RNC_MAX_ITERATIONS && s->pairs >= 1 && s->pairs <= RNC_MAX_PAIRS
           && s->decoder_channels >= 1 && s->decoder_channels <= MAX_CHANNELS && s->context_channels >= 1
           && s->context_channels <= MAX_CHANNELS && s->decoder_steps >= 1 && s->decoder_steps <= RNC_MAX_STEPS;
}

static int legal_cell(const rnc_cell_tensors *t, size_t n) {
    return t->input_kernel_length == 9 * n && t->hidden_kernel_length == 9 * n && t->hidden_shift_length == n
           && t->gates_length == (2 * n + 1) * 2 * n && t->candidate_length == (2 * n + 1) * n;
}

static int legal_lengths(const rnc_network_shape *s, const rnc_network_tensors *t) {
    size_t T = (size_t)s->iterations, G = (size_t)s->pairs, d = (size_t)s->decoder_channels, c = (size_t)s->context_channels;
    return t->projection_length == 2 * RNC_COEFFICIENTS * d && t->down_length == (4 * d + 1) * c && t->up_length == (c + 1) * 4 * d
           && t->output_length == (d + 1) * RNC_COEFFICIENTS && t->gain_length == T && t->bias_length == T * d
           && t->shift_length == T * RNC_COEFFICIENTS && t->coefficient_length == T * G && t->level_length == T * G
           && t->step_length == T * G && legal_cell(&t->context, c) && legal_cell(&t->detail, d) && t->cosines_length == 64
           && t->weights_length == RNC_COEFFICIENTS && t->colours_length == 9 && t->colours_back_length == 9
           && t->overlap_length == 16 && t->overlap_back_length == 16 && t->lifting_length == 5;
}

/* Columns of a right operand, [inputs + 1][outputs], in an order of one's own -> [outputs / 8][inputs][8]; the last row
   is the bias. Rows and columns are looked up unless NULL. */
static const float *pack(rnc_arena *arena, const float *from, size_t inputs, size_t outputs, size_t stride, const int *rows, const int *columns) {
    float *to = rnc_take(arena, blocks_of(outputs) * inputs * RNC_ROWS, sizeof *to);
    if (!to) return NULL;
    memset(to, 0, blocks_of(outputs) * inputs * RNC_ROWS * sizeof *to);
    for (size_t o = 0; o < outputs; o++)
        for (size_t k = 0; k < inputs; k++)
            to[(o / RNC_ROWS * inputs + k) * RNC_ROWS + o % RNC_ROWS] = from[(rows ? (size_t)rows[k] : k) * stride + (columns ? (size_t)columns[o] : o)];
    return to;
}

static const float *copy(rnc_arena *arena, const float *from, size_t count, const int *order) {
    size_t padded = blocks_of(count) * RNC_ROWS;
    float *to = rnc_take(arena, padded, sizeof *to);
    if (!to) return NULL;
    memset(to, 0, padded * sizeof *to);
    for (size_t i = 0; i < count; i++) to[i] = from[order ? (size_t)order[i] : i];
    return to;
}

static const float *pack_kernel(rnc_arena *arena, const float *from, size_t n) {
    float *to = rnc_take(arena, 9 * n, sizeof *to);
    for (size_t i = 0; to && i < n; i++)
        for (size_t tap = 0; tap < 9; tap++) to[9 * i + tap] = from[tap * n + i];
    return to;
}

static void pack_cell(rnc_arena *arena, rnc_cell *cell, const rnc_cell_tensors *t, size_t n) {
    cell->channels = (int)n;
    cell->input_kernel = pack_kernel(arena, t->input_kernel, n);
    cell->hidden_kernel = pack_kernel(arena, t->hidden_kernel, n);
    cell->hidden_shift = copy(arena, t->hidden_shift, n, NULL);
    cell->gates = pack(arena, t->gates, 2 * n, 2 * n, 2 * n, NULL, NULL);
    cell->gates_bias = copy(arena, t->gates + 2 * n * 2 * n, 2 * n, NULL);
    cell->candidate = pack(arena, t->candidate, 2 * n, n, n, NULL, NULL);
    cell->candidate_bias = copy(arena, t->candidate + 2 * n * n, n, NULL);
}

/* Fills in the schedule and the order of coefficients. Returns 0 if the tables are not those of a schedule. */
static int read_visits(rnc_network *network, const rnc_network_tensors *t) {
    int *place = network->place;
    for (int c = 0; c < RNC_COEFFICIENTS; c++) place[c] = -1;
    for (int i = 0; i < network->shape.iterations; i++) {
        rnc_network_iteration *it = &network->iteration[i];
        const float *coefficient = t->coefficient + (size_t)i * (size_t)network->shape.pairs;
        const float *level = t->level + (size_t)i * (size_t)network->shape.pairs, *step = t->step + (size_t)i * (size_t)network->shape.pairs;
        uint8_t seen[RNC_COEFFICIENTS] = {0};
        for (int p = 0; p < network->shape.pairs; p++) {
            int c;
            if (level[p] == NO_LEVEL) continue;
            if (!(coefficient[p] >= 0 && coefficient[p] < RNC_COEFFICIENTS) || coefficient[p] != (float)(int)coefficient[p]) return 0;
            c = (int)coefficient[p];
            if (level[p] == 1) {
                if (seen[c] || !isfinite(step[p])) return 0;
                seen[c] = 1;
                if (place[c] < 0) {
                    place[c] = network->visited;
                    network->order[network->visited++] = c;
                }
                it->visit[it->schedule++] = (rnc_visit){place[c], p, 1, c % 64 == 0, step[p]};
            } else {
                rnc_visit *visit = &it->visit[it->schedule - 1];
                if (!it->schedule || visit->pair + visit->levels != p || level[p] != (float)(visit->levels + 1) || place[c] != visit->coefficient
                    || step[p] != visit->step)
                    return 0;
                visit->levels++;
            }
        }
        it->visited = network->visited;
    }
    for (int c = 0, next = network->visited; c < RNC_COEFFICIENTS; c++)
        if (place[c] < 0) network->order[next++] = c;
    return 1;
}

int rnc_network_size(const rnc_network_shape *shape, size_t *size) {
    size_t T, d, c, floats;
    if (!legal_shape(shape)) return RNC_ERROR_MODEL;
    T = (size_t)shape->iterations;
    d = blocks_of((size_t)shape->decoder_channels) * RNC_ROWS, c = blocks_of((size_t)shape->context_channels) * RNC_ROWS;
    floats = 2 * RNC_COEFFICIENTS * d + (4 * d + 1) * c + (c + 1) * 4 * d + (d + 1) * RNC_COEFFICIENTS + T * (d + RNC_COEFFICIENTS);
    floats += 19 * c + (2 * c + 1) * 3 * c + 19 * d + (2 * d + 1) * 3 * d;
    *size = RNC_ALIGNMENT + sizeof(rnc_network) + 4 * floats + (RNC_ALIGNMENT + RNC_GAP) * (40 + 2 * T);
    return RNC_OK;
}

int rnc_network_init(void *memory, size_t size, const rnc_network_shape *shape, const rnc_network_tensors *t, int isa) {
    rnc_arena arena = rnc_arena_over(memory, size);
    rnc_network *network = rnc_take(&arena, 1, sizeof *network);
    const rnc_network_compute *compute = rnc_network_compute_for(isa);
    size_t d, c, visited;
    int widths[RNC_COEFFICIENTS];
    if (!compute) return RNC_ERROR_ARGUMENT;
    if (!legal_shape(shape) || !legal_lengths(shape, t)) return RNC_ERROR_MODEL;
    if (!network) return RNC_ERROR_MEMORY;
    memset(network, 0, sizeof *network);
    network->compute = compute;
    network->intervals = rnc_intervals_compute_for(isa);
    network->shape = *shape;
    if (!read_visits(network, t)) return RNC_ERROR_MODEL;
    d = (size_t)shape->decoder_channels, c = (size_t)shape->context_channels, visited = (size_t)network->visited;
    for (size_t i = 0; i < visited; i++) widths[i] = RNC_COEFFICIENTS + network->order[i];
    network->projection[0] = pack(&arena, t->projection, visited, d, d, network->order, NULL);
    network->projection[1] = pack(&arena, t->projection, visited, d, d, widths, NULL);
    network->down = pack(&arena, t->down, 4 * d, c, c, NULL, NULL);
    network->down_bias = copy(&arena, t->down + 4 * d * c, c, NULL);
    network->up = pack(&arena, t->up, c, 4 * d, 4 * d, NULL, NULL);
    network->up_bias = copy(&arena, t->up + c * 4 * d, 4 * d, NULL);
    network->output = pack(&arena, t->output, d, RNC_COEFFICIENTS, RNC_COEFFICIENTS, NULL, network->order);
    network->output_bias = copy(&arena, t->output + d * RNC_COEFFICIENTS, RNC_COEFFICIENTS, network->order);
    pack_cell(&arena, &network->context, &t->context, c);
    pack_cell(&arena, &network->detail, &t->detail, d);
    for (int i = 0; i < shape->iterations; i++) {
        network->iteration[i].gain = t->gain[i];
        network->iteration[i].bias = copy(&arena, t->bias + (size_t)i * d, d, NULL);
        network->iteration[i].shift = copy(&arena, t->shift + (size_t)i * RNC_COEFFICIENTS, RNC_COEFFICIENTS, network->order);
    }
    if (arena.failed) return RNC_ERROR_MEMORY;
    network->masking_exponent = t->masking_exponent;
    network->masking_scale = (float)(0.5 / (63.0 * (double)t->masking_floor));
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) {
            network->cosines[8 * i + j] = t->cosines[8 * i + j];
            network->transposed[8 * j + i] = t->cosines[8 * i + j];
        }
    for (int i = 0; i < RNC_COEFFICIENTS; i++) {
        network->weights[i] = t->weights[i];
        network->weights_back[i] = 1.0f / t->weights[i];
    }
    memcpy(network->colours, t->colours, sizeof network->colours);
    memcpy(network->colours_back, t->colours_back, sizeof network->colours_back);
    memcpy(network->overlap, t->overlap, sizeof network->overlap);
    memcpy(network->overlap_back, t->overlap_back, sizeof network->overlap_back);
    memcpy(network->lifting, t->lifting, sizeof network->lifting);
    network->magic = MAGIC;
    return RNC_OK;
}

const rnc_network *rnc_network_in(const void *memory) {
    const rnc_network *network = (const rnc_network *)(const void *)rnc_aligned(memory);
    return network->magic == MAGIC ? network : NULL;
}
