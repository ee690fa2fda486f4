/* Tensors of a weights file -> operands of sums. */

#include <string.h>

#include "arena.h"
#include "entropy.h"
#include "range_coder.h"
#include "tables.h"

#define MAGIC 0x52454d31u
#define NO_LEVEL 1e6f
#define MAX_CHANNELS 4096

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

/* ---- Checks ---- */

/* Channels of a pass, as many in each. */
static int32_t group_of(const rnc_entropy_shape *s) { return s->stop[0] - s->first[0]; }

static int legal_shape(const rnc_entropy_shape *s) {
    uint8_t seen[RNC_MAX_CODED] = {0}; /* phases of each channel */
    if (s->iterations < 1 || s->iterations > RNC_MAX_ITERATIONS || s->channels < 1 || s->channels > RNC_MAX_CODED
        || s->state_channels < 1 || s->state_channels > MAX_CHANNELS || s->hidden_channels < 1
        || s->hidden_channels > MAX_CHANNELS || s->accumulators < 1 || s->accumulators > MAX_CHANNELS || s->passes < 1
        || s->passes > RNC_MAX_PASSES)
        return 0;
    for (int p = 0; p < s->passes; p++) {
        if (s->lattice[p] < 0 || s->lattice[p] > 3 || s->first[p] < 0 || s->first[p] >= s->stop[p] || s->stop[p] > s->channels) return 0;
        if (s->stop[p] - s->first[p] != group_of(s) || (s->paired && group_of(s) != s->channels)) return 0;
        for (int c = s->first[p]; c < s->stop[p]; c++) {
            if (seen[c] & rnc_phases_of(s->lattice[p])) return 0;
            seen[c] |= (uint8_t)rnc_phases_of(s->lattice[p]);
        }
    }
    for (int c = 0; c < s->channels; c++)
        if (seen[c] != 15) return 0;
    return 1;
}

static int legal_lengths(const rnc_entropy_shape *s, const rnc_entropy_tensors *t) {
    size_t T = (size_t)s->iterations, G = (size_t)s->channels, K = (size_t)s->state_channels, F = (size_t)s->hidden_channels;
    size_t S = (size_t)s->accumulators, P = (size_t)s->passes, R = (size_t)group_of(s), visits = s->paired ? T * G : 0;
    return t->state_in_weight_length == (T - 1) * 2 * K * G * 9 && t->state_in_bias_length == (T - 1) * 2 * K
           && t->state_weight_length == 2 * K * K && t->feature_weight_length == F * K * 9 && t->feature_bias_length == T * P * F
           && t->context_weight_length == T * (P - 1) * F * G * 9 && t->output_weight_length == T * P * R * F
           && t->output_bias_length == T * P * R && t->accumulator_weight_length == (T - 1) * 2 * S * G && t->accumulator_scale_length == T - 1
           && t->accumulator_input_weight_length == 2 * K * S && t->accumulator_output_weight_length == (T - 1) * P * R * 2 * S
           && t->coefficient_length == visits && t->level_length == visits;
}

/* ---- Packing ---- */

/* Weights of one strip, to be filled. */
typedef struct {
    uint8_t *bytes;
    size_t quads;
    int wide;
} pack;

static pack new_pack(rnc_arena *arena, const rnc_compute *compute, size_t blocks, size_t quads) {
    size_t count = blocks * quads * 4 * RNC_OUTPUTS, item = compute->wide_weights ? 2 : 1;
    pack made = {rnc_take(arena, count, item), quads, compute->wide_weights};
    if (made.bytes) memset(made.bytes, 0, count * item);
    return made;
}

static void put(pack *to, size_t output, size_t input, int8_t weight) {
    static const uint8_t place[4] = {0, 2, 1, 3};
    size_t at = ((output / RNC_OUTPUTS * to->quads + input / 4) * RNC_OUTPUTS + output % RNC_OUTPUTS) * 4;
    if (to->wide) {
        int16_t value = weight;
        memcpy(to->bytes + 2 * (at + place[input % 4]), &value, 2);
    } else {
        memcpy(to->bytes + at + input % 4, &weight, 1);
    }
}

static int32_t *new_bias(rnc_arena *arena, size_t blocks) {
    int32_t *bias = rnc_take(arena, blocks * RNC_OUTPUTS, sizeof *bias);
    if (bias) memset(bias, 0, blocks * RNC_OUTPUTS * sizeof *bias);
    return bias;
}

/* The output of the gates at which channel c of 2K comes: four updates, then the candidates of the same channels. */
static size_t gate_output(size_t c, size_t K) { return c < K ? c / 4 * 8 + c % 4 : (c - K) / 4 * 8 + 4 + (c - K) % 4; }

/* ---- IterationSchedule ---- */

/* Fills in that all channels are active. */
static void use_all(rnc_entropy_model *model, int index) {
    rnc_iteration *it = &model->iteration[index];
    it->active = model->shape.channels;
    it->quads = model->most_quads = (it->active + 3) / 4;
    for (int c = 0; c < it->active; c++) {
        it->channel[c] = (uint8_t)c;
        it->level[c] = 1;
    }
}

/* Fills in which pairs are active. Returns 0 if the tables are not those of a schedule. */
static int read_visits(rnc_entropy_model *model, const rnc_entropy_tensors *t, int index, int *of_coefficient) {
    rnc_iteration *it = &model->iteration[index];
    const float *coefficient = t->coefficient + (size_t)index * (size_t)model->shape.channels;
    const float *level = t->level + (size_t)index * (size_t)model->shape.channels;
    uint8_t visited[RNC_COEFFICIENTS] = {0};
    it->active = 0;
    for (int p = 0; p < model->shape.channels; p++) {
        int c;
        if (level[p] == NO_LEVEL) continue;
        if (!(coefficient[p] >= 0 && coefficient[p] < RNC_COEFFICIENTS) || coefficient[p] != (float)(int)coefficient[p]) return 0;
        c = (int)coefficient[p];
        if (level[p] == 1) {
            if (visited[c]) return 0;
            visited[c] = 1;
        } else if (!(p && level[p - 1] != NO_LEVEL && level[p] == level[p - 1] + 1 && coefficient[p] == coefficient[p - 1])) {
            return 0;
        }
        if (of_coefficient[c] < 0) of_coefficient[c] = model->coefficients++;
        it->channel[it->active] = (uint8_t)p;
        it->coefficient[it->active] = (uint8_t)of_coefficient[c];
        it->level[it->active] = level[p] == 1 ? 1 : 2;
        it->active++;
    }
    it->quads = (it->active + 3) / 4;
    if (it->quads > model->most_quads) model->most_quads = it->quads;
    return 1;
}

/* ---- Iterations ---- */

/* Accumulators in the order in which iterations first move them. order[n] is accumulator n in that order. */
static void order_accumulators(rnc_entropy_model *model, const rnc_entropy_tensors *t, int32_t *order) {
    size_t G = (size_t)model->shape.channels, S = (size_t)model->shape.accumulators;
    int found = 0;
    model->iteration[0].moved = 0;
    for (int i = 1; i < model->shape.iterations; i++) {
        const rnc_iteration *before = &model->iteration[i - 1];
        const int16_t *weight = t->accumulator_weight + (size_t)(i - 1) * 2 * S * G;
        for (size_t s = 0; s < S; s++) {
            int moves = 0, known = 0;
            for (int a = 0; a < before->active; a++)
                moves |= weight[s * G + before->channel[a]] | weight[(S + s) * G + before->channel[a]];
            for (int n = 0; n < found; n++) known |= order[n] == (int32_t)s;
            if (moves && !known) order[found++] = (int32_t)s;
        }
        model->iteration[i].moved = found;
    }
    for (int i = 0; i < model->shape.iterations; i++) model->iteration[i].moved_quads = (model->iteration[i].moved + 3) / 4;
    model->accumulators = found;
}

static void make_moves(rnc_entropy_model *model, const rnc_entropy_tensors *t, const int32_t *order, int index, rnc_arena *arena) {
    rnc_iteration *it = &model->iteration[index];
    const rnc_iteration *before = &model->iteration[index - 1];
    size_t G = (size_t)model->shape.channels, S = (size_t)model->shape.accumulators;
    const int16_t *weight = t->accumulator_weight + (size_t)(index - 1) * 2 * S * G;
    int count = 0;
    rnc_move *moves;
    for (int fill = 0; fill < 2; fill++) {
        moves = fill ? rnc_take(arena, (size_t)count, sizeof *moves) : NULL;
        if (fill && !moves) return;
        count = 0;
        for (int n = 0; n < it->moved; n++) {
            int first = 1;
            for (int a = 0; a < before->active; a++) {
                int32_t fresh = weight[(size_t)order[n] * G + before->channel[a]], known = weight[(S + (size_t)order[n]) * G + before->channel[a]];
                if (!fresh && !known) continue;
                if (fill) moves[count] = (rnc_move){n, a, {fresh, known}, first};
                first = 0;
                count++;
            }
        }
    }
    it->moves = count;
    it->move = moves;
    it->scale = t->accumulator_scale[index - 1];
    it->limit = (127 << 10) / it->scale + 1;
}

/* Weights before an iteration, and where what the offsets of bytes add to sums is taken off. */
static void pack_state(rnc_entropy_model *model, const rnc_entropy_tensors *t, const int32_t *order, int index, rnc_arena *arena) {
    rnc_iteration *it = &model->iteration[index];
    const rnc_iteration *before = &model->iteration[index - 1];
    size_t G = (size_t)model->shape.channels, S = (size_t)model->shape.accumulators, K = (size_t)model->shape.state_channels;
    size_t blocks = (size_t)model->state_quads;
    const int8_t *weight = t->state_in_weight + (size_t)(index - 1) * 2 * K * G * 9;
    int32_t *bias = new_bias(arena, blocks);
    pack taps[RNC_TAPS], accumulators = new_pack(arena, model->compute, blocks, (size_t)it->moved_quads);
    for (int tap = 0; tap < RNC_TAPS; tap++) taps[tap] = new_pack(arena, model->compute, blocks, (size_t)before->quads);
    if (arena->failed) return;
    for (size_t c = 0; c < 2 * K; c++) {
        size_t output = gate_output(c, K);
        bias[output] = t->state_in_bias[(size_t)(index - 1) * 2 * K + c];
        for (int a = 0; a < before->active; a++)
            for (int tap = 0; tap < RNC_TAPS; tap++) {
                int8_t w = weight[(c * G + before->channel[a]) * 9 + (size_t)tap];
                put(&taps[tap], output, (size_t)a, w);
                bias[output] -= 127 * w;
            }
        for (size_t j = 0; j < K; j++) bias[output] -= 128 * t->state_weight[c * K + j];
        for (int n = 0; n < it->moved; n++) put(&accumulators, output, (size_t)n, t->accumulator_input_weight[c * S + (size_t)order[n]]);
    }
    for (int tap = 0; tap < RNC_TAPS; tap++) it->state_in[tap] = taps[tap].bytes;
    it->accumulator_input = accumulators.bytes;
    it->state_bias = bias;
}

/* Which taps of a pass can meet bits of earlier ones, and of which channels; of the phases of its lattice together. */
static void find_taps(const rnc_entropy_model *model, const rnc_pass *passes, int p, rnc_pass *pass) {
    const int32_t *lattice = model->shape.lattice;
    unsigned here = rnc_phases_of(lattice[p]);
    pass->taps = 0;
    for (int tap = 0; tap < RNC_TAPS; tap++) {
        unsigned move = (unsigned)((tap / 3 & 1) ^ 1) << 1 | (unsigned)((tap % 3 & 1) ^ 1);
        int channels = 0; /* beyond them, nothing is known */
        for (int q = 0; q < p; q++)
            for (unsigned phase = 0; phase < 4; phase++)
                if (here >> phase & rnc_phases_of(lattice[q]) >> (phase ^ move) & 1 && passes[q].stop > channels) channels = passes[q].stop;
        if (!channels) continue;
        pass->tap_quads[pass->taps] = (channels + 3) / 4;
        pass->tap[pass->taps++] = tap;
    }
}

static void pack_pass(rnc_entropy_model *model, const rnc_entropy_tensors *t, const int32_t *order, int index, int p, rnc_arena *arena) {
    rnc_iteration *it = &model->iteration[index];
    rnc_pass *pass = &it->pass[p];
    size_t G = (size_t)model->shape.channels, S = (size_t)model->shape.accumulators, K = (size_t)model->shape.state_channels;
    size_t F = (size_t)model->shape.hidden_channels, P = (size_t)model->shape.passes, at = (size_t)index * P + (size_t)p;
    size_t R = (size_t)group_of(&model->shape), outputs, blocks = (size_t)model->hidden_blocks;
    int32_t *hidden_bias, *output_bias;
    pack taps[RNC_TAPS], output, accumulators;
    pass->first = model->shape.paired ? 0 : model->shape.first[p];
    pass->stop = model->shape.paired ? it->active : model->shape.stop[p];
    outputs = ceil_div((size_t)(pass->stop - pass->first), RNC_OUTPUTS);
    hidden_bias = new_bias(arena, blocks), output_bias = new_bias(arena, outputs);
    output = new_pack(arena, model->compute, outputs, 2 * blocks);
    accumulators = new_pack(arena, model->compute, outputs, 2 * (size_t)it->moved_quads);
    find_taps(model, it->pass, p, pass);
    for (int n = 0; n < pass->taps; n++) taps[n] = new_pack(arena, model->compute, blocks, (size_t)pass->tap_quads[n]);
    if (arena->failed) return;
    for (size_t f = 0; f < F; f++) {
        hidden_bias[f] = t->feature_bias[at * F + f];
        for (size_t j = 0; index && j < K * 9; j++) hidden_bias[f] -= 128 * t->feature_weight[f * K * 9 + j];
        for (int n = 0; n < pass->taps; n++) {
            const int8_t *weight = t->context_weight + (((size_t)index * (P - 1) + (size_t)p - 1) * F + f) * G * 9;
            for (int a = 0; a < it->active && a < 4 * pass->tap_quads[n]; a++) {
                int8_t w = weight[(size_t)it->channel[a] * 9 + (size_t)pass->tap[n]];
                put(&taps[n], f, (size_t)a, w);
                hidden_bias[f] -= 127 * w;
            }
        }
    }
    for (int a = pass->first; a < pass->stop; a++) {
        size_t row = at * R + it->channel[a] - (size_t)model->shape.first[p], to = (size_t)(a - pass->first);
        output_bias[to] = t->output_bias[row];
        for (size_t f = 0; f < F; f++) put(&output, to, f, t->output_weight[row * F + f]);
        for (int n = 0; index && n < it->moved; n++) {
            const int8_t *weight = t->accumulator_output_weight + (row - P * R) * 2 * S;
            put(&accumulators, to, (size_t)n, weight[order[n]]);
            put(&accumulators, to, 4 * (size_t)it->moved_quads + (size_t)n, weight[S + (size_t)order[n]]);
        }
    }
    for (int n = 0; n < pass->taps; n++) pass->context[n] = taps[n].bytes;
    pass->output = output.bytes;
    pass->accumulator_output = accumulators.bytes;
    pass->hidden_bias = hidden_bias;
    pass->output_bias = output_bias;
}

static void pack_shared(rnc_entropy_model *model, const rnc_entropy_tensors *t, rnc_arena *arena) {
    size_t K = (size_t)model->shape.state_channels, F = (size_t)model->shape.hidden_channels;
    pack state = new_pack(arena, model->compute, (size_t)model->state_quads, (size_t)model->state_quads), taps[RNC_TAPS];
    for (int tap = 0; tap < RNC_TAPS; tap++) taps[tap] = new_pack(arena, model->compute, (size_t)model->hidden_blocks, (size_t)model->state_quads);
    if (arena->failed) return;
    for (size_t c = 0; c < 2 * K; c++)
        for (size_t j = 0; j < K; j++) put(&state, gate_output(c, K), j, t->state_weight[c * K + j]);
    for (size_t f = 0; f < F; f++)
        for (size_t j = 0; j < K; j++)
            for (int tap = 0; tap < RNC_TAPS; tap++) put(&taps[tap], f, j, t->feature_weight[(f * K + j) * 9 + (size_t)tap]);
    model->state = state.bytes;
    for (int tap = 0; tap < RNC_TAPS; tap++) model->feature[tap] = taps[tap].bytes;
}

/* ---- Entry points ---- */

int rnc_entropy_model_size(const rnc_entropy_shape *shape, size_t *size) {
    size_t T, G4, R8, K4, F8, S4, P, quads;
    if (!legal_shape(shape)) return RNC_ERROR_MODEL;
    T = (size_t)shape->iterations, P = (size_t)shape->passes, G4 = ceil_div((size_t)shape->channels, 4), R8 = ceil_div((size_t)group_of(shape), 8);
    K4 = ceil_div((size_t)shape->state_channels, 4), F8 = ceil_div((size_t)shape->hidden_channels, 8), S4 = ceil_div((size_t)shape->accumulators, 4);
    /* Every channel active, all accumulators moved, all taps in each pass, int16. */
    quads = K4 * K4 + 9 * F8 * K4 + (T - 1) * K4 * (9 * G4 + S4) + T * P * (9 * F8 * G4 + R8 * (2 * F8 + 2 * S4));
    *size = RNC_ALIGNMENT + sizeof(rnc_entropy_model) + quads * 64
            + T * P * sizeof(rnc_pass)
            + 32 * ((T - 1) * K4 + T * P * (F8 + R8))                                    /* biases */
            + 4 * (size_t)shape->accumulators                                                 /* their order */
            + (T - 1) * (size_t)shape->accumulators * (size_t)shape->channels * sizeof(rnc_move) /* moves */
            + (RNC_ALIGNMENT + RNC_GAP) * (20 + T * (16 + P * 15));
    return RNC_OK;
}

int rnc_entropy_model_init(void *memory, size_t size, const rnc_entropy_shape *shape, const rnc_entropy_tensors *t, int isa) {
    rnc_arena arena = rnc_arena_over(memory, size);
    rnc_entropy_model *model = rnc_take(&arena, 1, sizeof *model);
    const rnc_compute *compute = rnc_compute_for(isa);
    int of_coefficient[RNC_COEFFICIENTS];
    int32_t *order;
    if (!compute) return RNC_ERROR_ARGUMENT;
    if (!legal_shape(shape) || !legal_lengths(shape, t)) return RNC_ERROR_MODEL;
    if (!model) return RNC_ERROR_MEMORY;
    memset(model, 0, sizeof *model);
    model->compute = compute;
    model->shape = *shape;
    model->state_quads = (shape->state_channels + 3) / 4;
    model->hidden_blocks = (shape->hidden_channels + 7) / 8;
    for (int i = 0; i < 256; i++) model->share[i] = rnc_share(rnc_probability[i]);
    for (int i = 0; i < RNC_COEFFICIENTS; i++) of_coefficient[i] = -1;
    for (int i = 0; i < shape->iterations - 1; i++)
        if (t->accumulator_scale[i] < 1 || t->accumulator_scale[i] > 65535) return RNC_ERROR_MODEL;
    for (int i = 0; i < shape->iterations; i++) {
        if (!shape->paired) use_all(model, i);
        else if (!read_visits(model, t, i, of_coefficient)) return RNC_ERROR_MODEL;
    }
    order = rnc_take(&arena, (size_t)shape->accumulators, sizeof *order);
    if (!order) return RNC_ERROR_MEMORY;
    order_accumulators(model, t, order);
    pack_shared(model, t, &arena);
    for (int i = 0; i < shape->iterations; i++) {
        if (i) {
            make_moves(model, t, order, i, &arena);
            pack_state(model, t, order, i, &arena);
        }
        model->iteration[i].pass = rnc_take(&arena, (size_t)shape->passes, sizeof(rnc_pass));
        if (!model->iteration[i].pass) return RNC_ERROR_MEMORY;
        for (int p = 0; p < shape->passes; p++) pack_pass(model, t, order, i, p, &arena);
    }
    if (arena.failed) return RNC_ERROR_MEMORY;
    model->magic = MAGIC;
    return RNC_OK;
}

const rnc_entropy_model *rnc_entropy_model_in(const void *memory) {
    const rnc_entropy_model *model = (const rnc_entropy_model *)(const void *)rnc_aligned(memory);
    return model->magic == MAGIC ? model : NULL;
}
