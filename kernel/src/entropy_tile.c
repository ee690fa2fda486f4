/* Codes of a tile <-> payloads, one iteration at a time: entropy network, inferred bits and range coder in one loop. */

#include <string.h>

#include "arena.h"
#include "entropy.h"
#include "range_coder.h"
#include "tables.h"

#define MAGIC 0x52455431u
#define PHASES 4
#define SIGN_ENTRY 128 /* of the table of probabilities: one half */
#define MAX_EDGE 4096  /* cells along a side of a tile */

#if defined(__GNUC__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#else
#define ALWAYS_INLINE static __forceinline
#endif

typedef struct {
    uint32_t magic;
    const rnc_entropy_model *model;
    int32_t rows, columns;
    int iteration;   /* of the next codes */
    size_t half_rows, half_columns, stride; /* of a phase */
    size_t positions, first, span;          /* of a phase; those from `first` on, `span` of them, hold its cells */
    uint8_t *values, *state, *seen;         /* maps: [phase][channels / 4][positions][4] */
    int32_t *accumulator;                         /* [accumulator][phase][positions] */
    uint8_t *significant;                   /* [coefficient][phase][positions] */
    uint8_t *bits, *entry;                  /* of active channels: [channel][phase][positions] */
    uint8_t *hidden, *mask, *row, *spare, *ones;
    int32_t *sums, *zeros;
    size_t cleared; /* bytes of the memory, from its beginning, that start as zeros */
} tile;

enum mode { DECODE, ENCODE, CHECK };

/* ---- Geometry ---- */

static size_t rows_of(const tile *t, int phase) { return ((size_t)t->rows + 1 - (size_t)(phase >> 1)) / 2; }
static size_t columns_of(const tile *t, int phase) { return ((size_t)t->columns + 1 - (size_t)(phase & 1)) / 2; }
static size_t position(const tile *t, size_t row) { return t->first + row * t->stride; }

static size_t code_channels(const tile *t) { return (size_t)t->model->shape.channels << (t->model->shape.paired != 0); }

/* A plane of bits, table entries or significance. */
static uint8_t *plane_of(const tile *t, uint8_t *planes, int channel, int phase) {
    return planes + ((size_t)channel * PHASES + (size_t)phase) * t->positions;
}

/* A map of so many fours of channels, of one phase. */
static uint8_t *map_of(const tile *t, uint8_t *map, int quads, int phase) {
    return map + (size_t)phase * (size_t)quads * t->positions * 4;
}

/* Where tap 3 (dy + 1) + dx + 1 meets a map, for the cells of a phase. */
static uint8_t *tap_of(const tile *t, uint8_t *map, int quads, int phase, int tap) {
    int y = (phase >> 1) + tap / 3 - 1, x = (phase & 1) + tap % 3 - 1; /* -1..2 */
    int row = y < 0 ? -1 : y >> 1, column = x < 0 ? -1 : x >> 1;
    uint8_t *base = map_of(t, map, quads, (y & 1) << 1 | (x & 1));
    return base + 4 * (row * (ptrdiff_t)t->stride + column);
}

/* ---- Between iterations ---- */

/* Adds the values of the iteration before to the accumulators, and makes the map of what is seen of them. */
static void count_values(tile *t, const rnc_iteration *before, const rnc_iteration *now) {
    const rnc_compute *compute = t->model->compute;
    int quads = 2 * now->moved_quads;
    for (int phase = 0; phase < PHASES; phase++) {
        uint8_t *values = map_of(t, t->values, before->quads, phase), *seen = map_of(t, t->seen, quads, phase);
        for (int m = 0; m < now->moves; m++) {
            const rnc_move *move = &now->move[m];
            compute->count(t->accumulator + ((size_t)move->accumulator * PHASES + (size_t)phase) * t->positions + t->first, t->mask,
                           values + ((size_t)(move->channel / 4) * t->positions + t->first) * 4, move->channel % 4, move->weights,
                           move->first, t->span);
        }
        for (int q = 0; q < now->moved_quads; q++, seen += t->positions * 4) {
            const int32_t *four[4];
            for (int c = 0; c < 4; c++)
                four[c] = 4 * q + c < now->moved ? t->accumulator + ((size_t)(4 * q + c) * PHASES + (size_t)phase) * t->positions + t->first : t->zeros;
            compute->seen(seen + 4 * t->first, four, now->scale, now->limit, t->span);
            /* What lies around is 0, wherever the maps of the iteration before had this memory. */
            memset(seen, 0, 4 * t->first);
            memset(seen + 4 * (t->first + t->span), 0, 4 * (t->positions - t->first - t->span));
        }
    }
    for (int phase = 0; phase < PHASES; phase++)
        for (int q = 0; q < now->moved_quads; q++) {
            const uint8_t *neighbours[8];
            uint8_t *to = map_of(t, t->seen, quads, phase) + (size_t)(now->moved_quads + q) * t->positions * 4;
            for (int n = 0; n < 8; n++)
                neighbours[n] = tap_of(t, t->seen, quads, phase, n < 4 ? n : n + 1) + ((size_t)q * t->positions + t->first) * 4;
            compute->around(to + 4 * t->first, neighbours, t->span);
        }
}

/* Puts the state of all positions that are not cells back to 0. */
static void clear_margin(tile *t, int phase) {
    size_t rows = rows_of(t, phase), columns = columns_of(t, phase), end = t->positions;
    uint8_t *plane = map_of(t, t->state, t->model->state_quads, phase);
    for (int q = 0; q < t->model->state_quads; q++, plane += t->positions * 4) {
        for (size_t row = 0; row < rows; row++) {
            uint8_t *after = plane + 4 * (position(t, row) + columns);
            memset(after, 128, 4 * (t->stride - columns));
        }
        memset(plane + 4 * position(t, rows), 128, 4 * (end - position(t, rows)));
    }
}

static void move_state(tile *t, const rnc_iteration *before, const rnc_iteration *now) {
    const rnc_entropy_model *model = t->model;
    size_t plane_bytes = t->positions * 4;
    for (int phase = 0; phase < PHASES; phase++) {
        rnc_strip strips[RNC_MAX_STRIPS];
        uint8_t *state = map_of(t, t->state, model->state_quads, phase);
        int count = 0;
        for (int tap = 0; before->quads && tap < RNC_TAPS; tap++)
            strips[count++] = (rnc_strip){RNC_VALUES, tap_of(t, t->values, before->quads, phase, tap), plane_bytes, (size_t)before->quads, now->state_in[tap]};
        strips[count++] = (rnc_strip){RNC_SEVEN_BITS, map_of(t, t->seen, 2 * now->moved_quads, phase), plane_bytes, (size_t)now->moved_quads, now->accumulator_input};
        strips[count++] = (rnc_strip){RNC_EIGHT_BITS, state, plane_bytes, (size_t)model->state_quads, model->state};
        for (size_t at = t->first; at < t->first + t->span; at += RNC_BLOCK) {
            /* All sums of a block are formed before the state of its cells moves. */
            for (int q = 0; q < model->state_quads; q++)
                model->compute->sums(t->sums + q * RNC_OUTPUTS * RNC_BLOCK, now->state_bias + q * RNC_OUTPUTS, strips, count, at, (size_t)q);
            for (int q = 0; q < model->state_quads; q++)
                model->compute->gates(state + (size_t)q * plane_bytes + 4 * at, t->sums + q * RNC_OUTPUTS * RNC_BLOCK, rnc_sigmoid, rnc_tanh_offset);
        }
        clear_margin(t, phase);
    }
}

/* Moves on to the next iteration, of which no code is known yet. */
static const rnc_iteration *begin(tile *t) {
    const rnc_iteration *now = &t->model->iteration[t->iteration];
    if (t->iteration) {
        count_values(t, now - 1, now);
        move_state(t, now - 1, now);
    }
    memset(t->values, t->model->compute->unit, (size_t)now->quads * PHASES * t->positions * 4);
    return now;
}

/* ---- Within an iteration ---- */

/* Writes the entries of the table of probabilities, for the cells of one phase. */
static void find_entries(tile *t, const rnc_iteration *now, const rnc_pass *pass, int phase) {
    const rnc_entropy_model *model = t->model;
    const rnc_compute *compute = model->compute;
    size_t plane_bytes = t->positions * 4;
    rnc_strip strips[RNC_MAX_STRIPS], outputs[2];
    int count = 0, more = 0;
    for (int n = 0; n < pass->taps; n++)
        strips[count++] = (rnc_strip){RNC_VALUES, tap_of(t, t->values, now->quads, phase, pass->tap[n]), plane_bytes, (size_t)pass->tap_quads[n], pass->context[n]};
    for (int tap = 0; t->iteration && tap < RNC_TAPS; tap++)
        strips[count++] = (rnc_strip){RNC_EIGHT_BITS, tap_of(t, t->state, model->state_quads, phase, tap), plane_bytes, (size_t)model->state_quads, model->feature[tap]};
    if (now->moved_quads)
        outputs[more++] = (rnc_strip){RNC_SEVEN_BITS, map_of(t, t->seen, 2 * now->moved_quads, phase), plane_bytes, 2 * (size_t)now->moved_quads, pass->accumulator_output};
    for (size_t at = t->first; at < t->first + t->span; at += RNC_BLOCK) {
        for (int b = 0; b < model->hidden_blocks; b++) {
            compute->sums(t->sums, pass->hidden_bias + b * RNC_OUTPUTS, strips, count, at, (size_t)b);
            compute->hidden(t->hidden + 2 * b * RNC_BLOCK * 4, RNC_BLOCK * 4, t->sums);
        }
        /* The hidden layer is there for this block alone. */
        outputs[more] = (rnc_strip){RNC_EIGHT_BITS, t->hidden - 4 * at, RNC_BLOCK * 4, 2 * (size_t)model->hidden_blocks, pass->output};
        for (int a = 0, active = pass->stop - pass->first; a < active; a += RNC_OUTPUTS) {
            compute->sums(t->sums, pass->output_bias + a, outputs, more + 1, at, (size_t)a / RNC_OUTPUTS);
            compute->entries(plane_of(t, t->entry, pass->first + a, phase) + at, PHASES * t->positions,
                             active - a < RNC_OUTPUTS ? active - a : RNC_OUTPUTS, t->sums);
        }
    }
}

/* Whether the bits of an active channel are known in a phase, after the first `passes` passes. */
static int is_known(const tile *t, const rnc_iteration *now, int a, int phase, int passes) {
    for (int p = 0; p < passes; p++)
        if (now->pass[p].first <= a && a < now->pass[p].stop && rnc_phases_of(t->model->shape.lattice[p]) >> phase & 1) return 1;
    return 0;
}

/* Notes the values of the channels first to stop - 1 of one phase, after so many passes, for what comes later to look at. */
static void note_values(tile *t, const rnc_iteration *now, int first, int stop, int phase, int passes) {
    size_t rows = rows_of(t, phase), columns = columns_of(t, phase);
    for (int q = first / 4; 4 * q < stop; q++) {
        uint8_t *to = map_of(t, t->values, now->quads, phase) + (size_t)q * t->positions * 4;
        for (size_t row = 0; row < rows; row++) {
            const uint8_t *bits[4], *significant[4];
            size_t at = position(t, row);
            for (int c = 0; c < 4; c++) {
                int a = 4 * q + c;
                bits[c] = significant[c] = t->spare;
                if (a >= now->active || !is_known(t, now, a, phase, passes)) continue;
                bits[c] = plane_of(t, t->bits, a, phase) + at;
                if (!t->model->shape.paired) significant[c] = t->ones;
                else if (now->level[a] == 1) significant[c] = plane_of(t, t->significant, now->coefficient[a], phase) + at;
            }
            t->model->compute->values(to + 4 * at, bits, significant, columns);
        }
    }
}

/* Codes the magnitude bits of one pair in one row of one phase. Returns whether all is well. */
ALWAYS_INLINE int code_row(enum mode mode, const tile *t, const rnc_iteration *now, int a, int phase, size_t row, rnc_decoder *d, rnc_encoder *e) {
    size_t at = position(t, row), count = columns_of(t, phase);
    const uint8_t *entry = plane_of(t, t->entry, a, phase) + at;
    uint8_t *bits = plane_of(t, t->bits, a, phase) + at;
    const uint32_t *share = t->model->share;
    int same = 1;
    if (now->level[a] == 1) {
        for (size_t i = 0; i < count; i++) {
            if (mode == DECODE) bits[i] = (uint8_t)rnc_decode_bit(d, share[entry[i]]);
            else if (mode == ENCODE) rnc_encode_bit(e, share[entry[i]], bits[i]);
            else same &= rnc_decode_bit(d, share[entry[i]]) == bits[i];
        }
    } else {
        const uint8_t *below = plane_of(t, t->bits, a - 1, phase) + at, *known = plane_of(t, t->significant, now->coefficient[a], phase) + at;
        for (size_t i = 0; i < count; i++) {
            if (!below[i] || known[i]) {
                if (mode == DECODE) bits[i] = 0;
            } else if (mode == DECODE) bits[i] = (uint8_t)rnc_decode_bit(d, share[entry[i]]);
            else if (mode == ENCODE) rnc_encode_bit(e, share[entry[i]], bits[i]);
            else same &= rnc_decode_bit(d, share[entry[i]]) == bits[i];
        }
    }
    return same;
}

/* Codes the magnitude bits of a pass in coding order. */
ALWAYS_INLINE int code_pass(enum mode mode, const tile *t, const rnc_iteration *now, int p, rnc_decoder *d, rnc_encoder *e) {
    unsigned phases = rnc_phases_of(t->model->shape.lattice[p]);
    rnc_decoder decoder = d ? *d : (rnc_decoder){0};
    rnc_encoder encoder = e ? *e : (rnc_encoder){0};
    int same = 1;
    for (int a = now->pass[p].first; a < now->pass[p].stop; a++)
        for (size_t row = 0; row < t->half_rows; row++)
            for (int phase = 0; phase < PHASES; phase++)
                if (phases >> phase & 1 && row < rows_of(t, phase)) same &= code_row(mode, t, now, a, phase, row, &decoder, &encoder);
    if (d) *d = decoder;
    if (e) *e = encoder;
    return same;
}

/* Writes which signs of a row of the tile are coded, 0 or 1 each. Returns whether any is. */
static int coded_signs(const tile *t, const rnc_iteration *now, int a, size_t y) {
    unsigned any = 0;
    for (int x = 0; x < 2; x++) {
        int phase = (int)(y & 1) << 1 | x;
        size_t at = position(t, y / 2), count = columns_of(t, phase);
        const uint8_t *bits = plane_of(t, t->bits, a, phase) + at, *known = plane_of(t, t->significant, now->coefficient[a], phase) + at;
        uint8_t *to = t->mask + (size_t)x * t->half_columns, found = 0;
        for (size_t i = 0; i < count; i++) {
            to[i] = bits[i] & (known[i] ^ 1);
            found |= to[i];
        }
        any |= found;
    }
    if (any)
        for (int x = 0; x < 2; x++) t->model->compute->spread(t->row + x, t->mask + (size_t)x * t->half_columns, columns_of(t, (int)(y & 1) << 1 | x));
    return any != 0;
}

/* Codes the signs, which stand in a plane by rows. */
ALWAYS_INLINE int code_signs(enum mode mode, const tile *t, const rnc_iteration *now, uint8_t *plane, rnc_decoder *d, rnc_encoder *e) {
    size_t columns = (size_t)t->columns, cells = (size_t)t->rows * columns;
    uint32_t share = t->model->share[SIGN_ENTRY];
    int same = 1;
    for (int a = 0; t->model->shape.paired && a < now->active; a++) {
        uint8_t *signs = plane + ((size_t)t->model->shape.channels + now->channel[a]) * cells;
        if (now->level[a] != 1) continue;
        for (size_t y = 0; y < (size_t)t->rows; y++, signs += columns) {
            if (!coded_signs(t, now, a, y)) continue;
            for (size_t x = 0; x < columns; x += 8) {
                uint64_t eight;
                memcpy(&eight, t->row + x, 8); /* there are eight bytes of 0 behind the row */
                if (!eight) continue;
                for (size_t i = x; i < x + 8 && i < columns; i++) {
                    if (!t->row[i]) continue;
                    if (mode == DECODE) signs[i] = (uint8_t)rnc_decode_even_bit(d, share);
                    else if (mode == ENCODE) rnc_encode_bit(e, share, signs[i]);
                    else same &= rnc_decode_even_bit(d, share) == signs[i];
                }
            }
        }
    }
    return same;
}

/* Writes the magnitude bits to a plane by rows, and zeros to all else of it. */
static void write_plane(const tile *t, const rnc_iteration *now, uint8_t *plane) {
    size_t columns = (size_t)t->columns, cells = (size_t)t->rows * columns;
    memset(plane, 0, code_channels(t) * cells);
    for (int a = 0; a < now->active; a++) {
        uint8_t *to = plane + now->channel[a] * cells;
        for (int phase = 0; phase < PHASES; phase++) {
            const uint8_t *bits = plane_of(t, t->bits, a, phase);
            for (size_t row = 0, rows = rows_of(t, phase); row < rows; row++)
                t->model->compute->spread(to + (2 * row + (size_t)(phase >> 1)) * columns + (size_t)(phase & 1), bits + position(t, row), columns_of(t, phase));
        }
    }
}

/* Reads the bits of a plane all of which are coded. Returns how many of them are not 0 or 1. */
static size_t read_all(const tile *t, const uint8_t *plane) {
    size_t columns = (size_t)t->columns, wrong = 0;
    for (int c = 0; c < t->model->shape.channels; c++)
        for (size_t y = 0; y < (size_t)t->rows; y++)
            for (size_t x = 0; x < 2; x++) {
                int phase = (int)(y & 1) << 1 | (int)x;
                uint8_t *bits = plane_of(t, t->bits, c, phase) + position(t, y / 2);
                const uint8_t *from = plane + ((size_t)c * (size_t)t->rows + y) * columns + x;
                for (size_t i = 0, count = columns_of(t, phase); i < count; i++) {
                    bits[i] = from[2 * i] != 0;
                    wrong += from[2 * i] > 1;
                }
            }
    return wrong;
}

/* Reads the magnitude bits of a plane. Returns how many bits of it are not 0 or 1, or 1 although they are inferred. */
static size_t read_plane(const tile *t, const rnc_iteration *now, const uint8_t *plane) {
    size_t columns = (size_t)t->columns, cells = (size_t)t->rows * columns, pairs = (size_t)t->model->shape.channels, wrong = 0, total = 0;
    if (!t->model->shape.paired) return read_all(t, plane);
    for (size_t i = 0; i < 2 * pairs * cells; i++) total += plane[i] != 0; /* those that are coded are taken off below */
    for (int a = 0; a < now->active; a++) {
        const uint8_t *from = plane + now->channel[a] * cells, *signs = from + pairs * cells;
        for (int phase = 0; phase < PHASES; phase++) {
            uint8_t *bits = plane_of(t, t->bits, a, phase);
            const uint8_t *known = plane_of(t, t->significant, now->coefficient[a], phase), *below = a ? plane_of(t, t->bits, a - 1, phase) : bits;
            int first = now->level[a] == 1;
            for (size_t row = 0, rows = rows_of(t, phase); row < rows; row++) {
                size_t at = position(t, row), start = (2 * row + (size_t)(phase >> 1)) * columns + (size_t)(phase & 1);
                for (size_t i = 0, count = columns_of(t, phase); i < count; i++) {
                    uint8_t bit = from[start + 2 * i], sign = signs[start + 2 * i];
                    unsigned fresh = !known[at + i];
                    bits[at + i] = bit != 0;
                    wrong += (bit > 1) + (sign > 1);
                    total -= (bit != 0) & (first | (fresh & below[at + i]));
                    total -= (sign != 0) & first & fresh & (bit != 0);
                }
            }
        }
    }
    return wrong + total;
}

/* Notes what became significant. */
static void finish(tile *t, const rnc_iteration *now) {
    for (int a = 0; t->model->shape.paired && a < now->active; a++)
        for (int phase = 0; now->level[a] == 1 && phase < PHASES; phase++) {
            const uint8_t *bits = plane_of(t, t->bits, a, phase);
            uint8_t *known = plane_of(t, t->significant, now->coefficient[a], phase);
            for (size_t row = 0, rows = rows_of(t, phase); row < rows; row++)
                for (size_t i = position(t, row), end = i + columns_of(t, phase); i < end; i++) known[i] |= bits[i];
        }
    t->iteration++;
}

/* ---- Entry points ---- */

static int lay_out(rnc_arena *arena, const rnc_entropy_model *model, int32_t rows, int32_t columns, tile *t) {
    size_t blocks, planes;
    if (rows < 1 || columns < 1 || rows > MAX_EDGE || columns > MAX_EDGE) return RNC_ERROR_ARGUMENT;
    memset(t, 0, sizeof *t);
    t->model = model;
    t->rows = rows;
    t->columns = columns;
    t->half_rows = ((size_t)rows + 1) / 2;
    t->half_columns = ((size_t)columns + 1) / 2;
    t->stride = t->half_columns + 1;
    t->first = t->stride + 1;
    t->span = (t->half_rows - 1) * t->stride + t->half_columns;
    blocks = (t->span + RNC_BLOCK - 1) / RNC_BLOCK;
    /* The last block may reach beyond the span, and its taps a row and a cell further. */
    t->positions = (t->first + blocks * RNC_BLOCK + t->stride + 1 + 15) / 16 * 16;
    planes = PHASES * t->positions;
    t->seen = rnc_take(arena, 2 * (size_t)((model->accumulators + 3) / 4) * 4, planes);
    t->accumulator = rnc_take(arena, (size_t)model->accumulators * sizeof *t->accumulator, planes);
    t->significant = rnc_take(arena, (size_t)model->coefficients, planes);
    t->mask = rnc_take(arena, t->positions, 1);
    t->row = rnc_take(arena, (size_t)columns + 8, 1);
    t->spare = rnc_take(arena, t->positions, 1);
    t->zeros = rnc_take(arena, t->positions, sizeof *t->zeros);
    t->ones = rnc_take(arena, t->half_columns, 1);
    t->cleared = arena->used;
    /* What follows is written before it is read, but for lanes that stand for no cell. */
    t->values = rnc_take(arena, (size_t)model->most_quads * 4, planes);
    t->state = rnc_take(arena, (size_t)model->state_quads * 4, planes);
    t->bits = rnc_take(arena, (size_t)model->most_quads * 4, planes);
    t->entry = rnc_take(arena, (size_t)model->most_quads * 4, planes);
    t->hidden = rnc_take(arena, 2 * (size_t)model->hidden_blocks, RNC_BLOCK * 4);
    t->sums = rnc_take(arena, (size_t)model->state_quads, RNC_OUTPUTS * RNC_BLOCK * sizeof *t->sums);
    return arena->failed ? RNC_ERROR_MEMORY : RNC_OK;
}

int rnc_entropy_tile_size(const void *memory, int32_t rows, int32_t columns, size_t *size) {
    const rnc_entropy_model *model = rnc_entropy_model_in(memory);
    rnc_arena arena = {NULL, SIZE_MAX / 2, 0, 0};
    tile t;
    int status;
    if (!model) return RNC_ERROR_ARGUMENT;
    rnc_take(&arena, 1, sizeof(tile));
    status = lay_out(&arena, model, rows, columns, &t);
    *size = arena.used + RNC_ALIGNMENT;
    return status;
}

int rnc_entropy_tile_init(void *memory, size_t size, const void *model_memory, int32_t rows, int32_t columns) {
    const rnc_entropy_model *model = rnc_entropy_model_in(model_memory);
    rnc_arena arena = rnc_arena_over(memory, size);
    tile *t = rnc_take(&arena, 1, sizeof *t);
    size_t head = arena.used;
    int status;
    if (!model) return RNC_ERROR_ARGUMENT;
    if (!t) return RNC_ERROR_MEMORY;
    status = lay_out(&arena, model, rows, columns, t);
    if (status != RNC_OK) return status;
    rnc_clear(arena.base + head, t->cleared - head);
    memset(t->state, 128, (size_t)model->state_quads * 4 * PHASES * t->positions);
    memset(t->ones, 1, t->half_columns);
    t->magic = MAGIC;
    return RNC_OK;
}

/* Returns the tile if it can take a plane of such a length; otherwise NULL, and why. */
static tile *tile_in(void *memory, size_t plane_length, int *status) {
    tile *t = (tile *)(void *)rnc_aligned(memory);
    *status = RNC_ERROR_ARGUMENT;
    if (t->magic != MAGIC || plane_length != code_channels(t) * (size_t)t->rows * (size_t)t->columns) return NULL;
    *status = RNC_ERROR_ITERATION;
    return t->iteration < t->model->shape.iterations ? t : NULL;
}

int rnc_entropy_tile_decode(void *memory, const uint8_t *payload, size_t payload_length, uint8_t *plane, size_t plane_length) {
    int status;
    tile *t = tile_in(memory, plane_length, &status);
    const rnc_iteration *now;
    rnc_decoder decoder;
    if (!t) return status;
    if (payload_length % 4) return RNC_ERROR_PAYLOAD;
    now = begin(t);
    rnc_decoder_start(&decoder, payload, payload_length);
    for (int p = 0; p < t->model->shape.passes; p++) {
        unsigned phases = rnc_phases_of(t->model->shape.lattice[p]);
        for (int phase = 0; phase < PHASES; phase++)
            if (phases >> phase & 1) find_entries(t, now, &now->pass[p], phase);
        code_pass(DECODE, t, now, p, &decoder, NULL);
        for (int phase = 0; phase < PHASES; phase++)
            if (phases >> phase & 1) note_values(t, now, now->pass[p].first, now->pass[p].stop, phase, p + 1);
    }
    write_plane(t, now, plane);
    code_signs(DECODE, t, now, plane, &decoder, NULL);
    if (!rnc_decoder_finish(&decoder)) return RNC_ERROR_PAYLOAD;
    finish(t, now);
    return RNC_OK;
}

int rnc_entropy_tile_encode(void *memory, const uint8_t *plane, size_t plane_length, uint8_t *payload, size_t capacity, size_t *length, size_t *inferred) {
    int status, same = 1;
    tile *t = tile_in(memory, plane_length, &status);
    const rnc_iteration *now;
    rnc_encoder encoder;
    rnc_decoder decoder;
    if (!t) return status;
    *inferred = read_plane(t, &t->model->iteration[t->iteration], plane);
    if (*inferred) return RNC_ERROR_INFERRED;
    now = begin(t);
    rnc_encoder_start(&encoder, payload, capacity);
    for (int p = 0; p < t->model->shape.passes; p++) {
        unsigned phases = rnc_phases_of(t->model->shape.lattice[p]);
        for (int phase = 0; phase < PHASES; phase++)
            if (phases >> phase & 1) find_entries(t, now, &now->pass[p], phase);
        code_pass(ENCODE, t, now, p, NULL, &encoder);
        for (int phase = 0; phase < PHASES; phase++)
            if (phases >> phase & 1) note_values(t, now, now->pass[p].first, now->pass[p].stop, phase, p + 1);
    }
    code_signs(ENCODE, t, now, (uint8_t *)plane, NULL, &encoder);
    *length = rnc_encoder_finish(&encoder);
    if (*length != SIZE_MAX) { /* as a reader will, before anybody relies on it */
        rnc_decoder_start(&decoder, payload, *length);
        for (int p = 0; p < t->model->shape.passes; p++)
            same &= code_pass(CHECK, t, now, p, &decoder, NULL);
        same &= code_signs(CHECK, t, now, (uint8_t *)plane, &decoder, NULL);
        if (!same || !rnc_decoder_finish(&decoder)) return RNC_ERROR_SELF_CHECK;
    }
    finish(t, now);
    return RNC_OK;
}

int rnc_entropy_tile_take(void *memory, const uint8_t *plane, size_t plane_length, size_t *inferred) {
    int status;
    tile *t = tile_in(memory, plane_length, &status);
    const rnc_iteration *now;
    if (!t) return status;
    *inferred = read_plane(t, &t->model->iteration[t->iteration], plane);
    if (*inferred) return RNC_ERROR_INFERRED;
    now = begin(t);
    for (int phase = 0; phase < PHASES; phase++) note_values(t, now, 0, now->active, phase, t->model->shape.passes);
    finish(t, now);
    return RNC_OK;
}

int rnc_range_encode(const uint8_t *bits, const uint16_t *k, size_t count, uint8_t *payload, size_t capacity, size_t *length) {
    rnc_encoder encoder;
    for (size_t i = 0; i < count; i++)
        if (bits[i] > 1 || !k[i]) return RNC_ERROR_ARGUMENT;
    rnc_encoder_start(&encoder, payload, capacity);
    for (size_t i = 0; i < count; i++) rnc_encode_bit(&encoder, rnc_share(k[i]), bits[i]);
    *length = rnc_encoder_finish(&encoder);
    return RNC_OK;
}

int rnc_range_decode(const uint8_t *payload, size_t payload_length, const uint16_t *k, size_t count, uint8_t *bits) {
    rnc_decoder decoder;
    if (payload_length % 4) return RNC_ERROR_PAYLOAD;
    for (size_t i = 0; i < count; i++)
        if (!k[i]) return RNC_ERROR_ARGUMENT;
    rnc_decoder_start(&decoder, payload, payload_length);
    for (size_t i = 0; i < count; i++) bits[i] = (uint8_t)rnc_decode_bit(&decoder, rnc_share(k[i]));
    return rnc_decoder_finish(&decoder) ? RNC_OK : RNC_ERROR_PAYLOAD;
}
