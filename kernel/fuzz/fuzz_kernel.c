/* Any bytes through the kernel: it must refuse them or give what its encoder writes, and touch nothing else.

   The first bytes choose a small random model, an instruction set and a grid; then come codings, lengths and payloads as
   in fuzz/fuzz_tile_coder.py. Whatever decodes must encode to the same payload, and its codes are made into samples.

   With libFuzzer: cmake -DCMAKE_C_COMPILER=clang -DRNC_KERNEL_FUZZER=ON. Otherwise a driver:

       fuzz_kernel ROUNDS FILE... */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnc_kernel.h"

#define PAIRS 5
#define ITERATIONS 4
#define MAX_EDGE 12
#define MODELS 10
#define PAIRED 6 /* models of pairs; the others have as many code channels, all of whose bits are coded */

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

static uint32_t next_random(uint32_t *state) { return *state = *state * 1664525u + 1013904223u, *state >> 8; }

static void *room(size_t size) {
    void *memory = malloc(size ? size : 1);
    CHECK(memory);
    memset(memory, 0xa5, size); /* nothing may rely on zeros */
    return memory;
}

/* ---- Models ---- */

typedef struct {
    void *memory[ITERATIONS * 20];
    int count;
    uint32_t state;
} maker;

static void *kept(maker *m, size_t size) {
    void *memory = room(size);
    m->memory[m->count++] = memory;
    return memory;
}

static const int8_t *bytes_of(maker *m, size_t count, size_t *length, int most) {
    int8_t *to = kept(m, count);
    for (size_t i = 0; i < count; i++) to[i] = (int8_t)((int)(next_random(&m->state) % (uint32_t)(2 * most + 1)) - most);
    *length = count;
    return to;
}

static const int32_t *words_of(maker *m, size_t count, size_t *length, int32_t low, int32_t high) {
    int32_t *to = kept(m, 4 * count);
    for (size_t i = 0; i < count; i++) to[i] = low + (int32_t)(next_random(&m->state) % (uint32_t)(high - low + 1));
    *length = count;
    return to;
}

static const float *floats_of(maker *m, size_t count, size_t *length, float most) {
    float *to = kept(m, 4 * count);
    for (size_t i = 0; i < count; i++) to[i] = most * ((float)(next_random(&m->state) % 2001) / 1000.0f - 1.0f);
    *length = count;
    return to;
}

static const float *numbers_of(maker *m, const float *from, size_t count, size_t *length) {
    float *to = kept(m, 4 * count);
    memcpy(to, from, 4 * count);
    *length = count;
    return to;
}

/* Several levels, also of what may be significant already, schedule again, idle pairs. */
static const float COEFFICIENT[ITERATIONS][PAIRS] = {{0, 0, 0, 64, 5}, {0, 9, 9, 0, 128}, {9, 0, 0, 64, 191}, {0, 64, 9, 9, 9}};
static const float LEVEL[ITERATIONS][PAIRS] = {{1, 2, 3, 1, 1}, {1, 1, 2, 1e6f, 1}, {1, 1e6f, 1, 1, 1}, {1e6f, 1, 1, 2, 3}};
static const float STEP[ITERATIONS][PAIRS] = {{400, 400, 400, 300, 90}, {200, 100, 100, 1, 70}, {50, 1, 100, 150, 20}, {1, 75, 25, 25, 25}};

static void *new_entropy_model(int number, int isa) {
    static const int32_t lattices[3][3] = {{2, 3, 1}, {1, 3, 2}, {0, 1, 0}};
    static const int32_t passes[MODELS - PAIRED][8][3] = { /* lattice, first, stop */
        {{2, 0, 5}, {3, 0, 5}, {1, 0, 5}, {2, 5, 10}, {3, 5, 10}, {1, 5, 10}},
        {{0, 0, 10}, {1, 0, 10}},
        {{1, 5, 10}, {2, 0, 5}, {0, 5, 10}, {3, 0, 5}, {1, 0, 5}}, /* the last group comes first */
        {{0, 8, 10}, {0, 0, 2}, {0, 2, 4}, {0, 4, 6}, {0, 6, 8}},
    };
    static const int32_t sizes[3][3] = {{8, 8, 6}, {1, 1, 1}, {13, 17, 9}};
    const int32_t *size_of = sizes[number / 2 % 3];
    rnc_entropy_shape shape = {ITERATIONS, PAIRS, size_of[0], size_of[1], size_of[2], number % 3 == 2 ? 2 : 3, {0}, {0}, {0}, 1};
    rnc_entropy_tensors t;
    maker m = {{0}, 0, (uint32_t)number};
    size_t T = ITERATIONS, G = PAIRS, R = PAIRS, K = (size_t)size_of[0], F = (size_t)size_of[1], S = (size_t)size_of[2], P, size;
    int most = number % 2 ? 127 : 30;
    int16_t *moves;
    void *model;
    if (number < PAIRED) {
        memcpy(shape.lattice, lattices[number % 3], sizeof lattices[0]);
        for (int p = 0; p < shape.passes; p++) shape.stop[p] = PAIRS;
    } else {
        shape.channels = 2 * PAIRS, shape.paired = 0, shape.passes = 0, G = 2 * PAIRS;
        for (const int32_t(*one)[3] = passes[number - PAIRED]; shape.passes < 8 && (*one)[2]; one++, shape.passes++)
            shape.lattice[shape.passes] = (*one)[0], shape.first[shape.passes] = (*one)[1], shape.stop[shape.passes] = (*one)[2];
        if (number == MODELS - 1) /* five groups, the odd cells of all of them at last */
            for (; shape.passes < 10; shape.passes++)
                shape.lattice[shape.passes] = 1, shape.first[shape.passes] = 2 * (shape.passes - 5), shape.stop[shape.passes] = 2 * (shape.passes - 4);
        R = (size_t)(shape.stop[0] - shape.first[0]);
    }
    P = (size_t)shape.passes;
    t.state_in_weight = bytes_of(&m, (T - 1) * 2 * K * G * 9, &t.state_in_weight_length, most);
    t.state_in_bias = words_of(&m, (T - 1) * 2 * K, &t.state_in_bias_length, -20000, 20000);
    t.state_weight = bytes_of(&m, 2 * K * K, &t.state_weight_length, most);
    t.feature_weight = bytes_of(&m, F * K * 9, &t.feature_weight_length, most);
    t.feature_bias = words_of(&m, T * P * F, &t.feature_bias_length, -9000, 9000);
    t.context_weight = bytes_of(&m, T * (P - 1) * F * G * 9, &t.context_weight_length, most);
    t.output_weight = bytes_of(&m, T * P * R * F, &t.output_weight_length, most);
    t.output_bias = words_of(&m, T * P * R, &t.output_bias_length, -9000, 9000);
    moves = kept(&m, 2 * (T - 1) * 2 * S * G);
    for (size_t i = 0; i < (T - 1) * 2 * S * G; i++) moves[i] = (int16_t)(next_random(&m.state) % 3 ? 0 : (int)(next_random(&m.state) % 65535) - 32767);
    t.accumulator_weight = moves;
    t.accumulator_weight_length = (T - 1) * 2 * S * G;
    t.accumulator_scale = words_of(&m, T - 1, &t.accumulator_scale_length, 1, number % 2 ? 65535 : 300);
    t.accumulator_input_weight = bytes_of(&m, 2 * K * S, &t.accumulator_input_weight_length, most);
    t.accumulator_output_weight = bytes_of(&m, (T - 1) * P * R * 2 * S, &t.accumulator_output_weight_length, most);
    t.coefficient = numbers_of(&m, COEFFICIENT[0], T * PAIRS, &t.coefficient_length);
    t.level = numbers_of(&m, LEVEL[0], T * PAIRS, &t.level_length);
    if (!shape.paired) t.coefficient_length = t.level_length = 0;
    shape.stop[1]++; /* a bit is coded twice, or is none of the model */
    CHECK(rnc_entropy_model_size(&shape, &size) == RNC_ERROR_MODEL);
    shape.stop[1]--;
    CHECK(rnc_entropy_model_size(&shape, &size) == RNC_OK);
    model = room(size);
    CHECK(rnc_entropy_model_init(model, size / 3, &shape, &t, isa) == RNC_ERROR_MEMORY);
    t.state_weight_length--;
    CHECK(rnc_entropy_model_init(model, size, &shape, &t, isa) == RNC_ERROR_MODEL);
    t.state_weight_length++;
    CHECK(rnc_entropy_model_init(model, size, &shape, &t, isa) == RNC_OK);
    while (m.count) free(m.memory[--m.count]);
    return model;
}

static void give_cell(maker *m, rnc_cell_tensors *t, size_t n) {
    t->input_kernel = floats_of(m, 9 * n, &t->input_kernel_length, 0.5f);
    t->hidden_kernel = floats_of(m, 9 * n, &t->hidden_kernel_length, 0.5f);
    t->hidden_shift = floats_of(m, n, &t->hidden_shift_length, 0.5f);
    t->gates = floats_of(m, (2 * n + 1) * 2 * n, &t->gates_length, 0.5f);
    t->candidate = floats_of(m, (2 * n + 1) * n, &t->candidate_length, 0.5f);
}

static void *new_network(int number, int isa) {
    rnc_network_shape shape = {ITERATIONS, PAIRS, number % 2 ? 10 : 96, number % 3 ? 13 : 8, 1 + number % 4};
    rnc_network_tensors t;
    maker m = {{0}, 0, (uint32_t)number + 77};
    size_t d = (size_t)shape.decoder_channels, c = (size_t)shape.context_channels, size;
    float weights[192], cosines[64];
    void *network;
    for (int i = 0; i < 192; i++) weights[i] = 0.5f + (float)(i % 7);
    for (int i = 0; i < 64; i++) cosines[i] = (float)cos(0.39269908169872414 * (0.5 + i % 8) * (i / 8)) / 2;
    t.projection = floats_of(&m, 384 * d, &t.projection_length, 1);
    t.down = floats_of(&m, (4 * d + 1) * c, &t.down_length, 0.5f);
    t.up = floats_of(&m, (c + 1) * 4 * d, &t.up_length, 0.5f);
    t.output = floats_of(&m, (d + 1) * 192, &t.output_length, 0.5f);
    give_cell(&m, &t.context, c);
    give_cell(&m, &t.detail, d);
    t.gain = floats_of(&m, ITERATIONS, &t.gain_length, 0);
    for (int i = 0; i < ITERATIONS; i++) ((float *)t.gain)[i] = 0.01f + (float)i;
    t.bias = floats_of(&m, ITERATIONS * d, &t.bias_length, 1);
    t.shift = floats_of(&m, ITERATIONS * 192, &t.shift_length, 1);
    t.coefficient = numbers_of(&m, COEFFICIENT[0], ITERATIONS * PAIRS, &t.coefficient_length);
    t.level = numbers_of(&m, LEVEL[0], ITERATIONS * PAIRS, &t.level_length);
    t.step = numbers_of(&m, STEP[0], ITERATIONS * PAIRS, &t.step_length);
    t.masking_exponent = 0.3f;
    t.masking_floor = 900;
    t.cosines = numbers_of(&m, cosines, 64, &t.cosines_length);
    t.weights = numbers_of(&m, weights, 192, &t.weights_length);
    t.colours = floats_of(&m, 9, &t.colours_length, 1);
    t.colours_back = floats_of(&m, 9, &t.colours_back_length, 1);
    t.overlap = floats_of(&m, 16, &t.overlap_length, 1);
    t.overlap_back = floats_of(&m, 16, &t.overlap_back_length, 1);
    t.lifting = floats_of(&m, 5, &t.lifting_length, 1);
    ((float *)t.lifting)[4] = 1.15f;
    CHECK(rnc_network_size(&shape, &size) == RNC_OK);
    network = room(size);
    CHECK(rnc_network_init(network, size / 3, &shape, &t, isa) == RNC_ERROR_MEMORY);
    t.up_length++;
    CHECK(rnc_network_init(network, size, &shape, &t, isa) == RNC_ERROR_MODEL);
    t.up_length--;
    CHECK(rnc_network_init(network, size, &shape, &t, isa) == RNC_OK);
    while (m.count) free(m.memory[--m.count]);
    return network;
}

/* Of all codes that came out: the same on every machine. */
static uint32_t digest = 2166136261u;

static void *models[MODELS][RNC_ISA_COUNT], *networks[MODELS][RNC_ISA_COUNT];

static void make_models(void) {
    unsigned supported = rnc_isa_supported();
    if (models[0][0]) return;
    for (int number = 0; number < MODELS; number++)
        for (int isa = 0; isa < RNC_ISA_COUNT; isa++)
            if (supported >> isa & 1) {
                models[number][isa] = new_entropy_model(number, isa);
                networks[number][isa] = number < PAIRED ? new_network(number, isa) : NULL;
            }
}

/* ---- One input ---- */

static void *new_entropy_tile(const void *model, int32_t rows, int32_t columns) {
    size_t size;
    void *tile;
    CHECK(rnc_entropy_tile_size(model, rows, columns, &size) == RNC_OK);
    tile = room(size);
    CHECK(rnc_entropy_tile_init(tile, size, model, rows, columns) == RNC_OK);
    return tile;
}

/* Takes the planes into a network, and makes samples of them. */
static void show(const void *network, const uint8_t *planes, int count, int32_t rows, int32_t columns, int encodes) {
    size_t size, length = 2 * PAIRS * (size_t)rows * (size_t)columns, samples = (size_t)rows * (size_t)columns * 192;
    void *tile;
    float *pixels = room(4 * samples);
    uint8_t *bytes = room(samples), *plane = room(length);
    float taken[48];
    int done = 0, finite;
    for (int i = 0; i < 48; i++) taken[i] = 0.1f * (float)(i % 5);
    CHECK(rnc_network_tile_size(network, rows, columns, encodes, &size) == RNC_OK);
    tile = room(size);
    CHECK(rnc_network_tile_init(tile, size, network, rows, columns, encodes) == RNC_OK);
    for (int i = 0; i < count; i++) CHECK(rnc_network_tile_decode(tile, planes + (size_t)i * length, length) == RNC_OK);
    CHECK(rnc_network_tile_pixels(tile, pixels, samples, &done) == RNC_OK); /* and is begun anew after these */
    for (int side = 1; side <= 2; side++) {
        size_t reduced = samples / 64 * (size_t)(side * side);
        float *small = room(4 * reduced);
        CHECK(rnc_network_tile_reduced(tile, side, taken, 24 * (size_t)side, small, reduced) == RNC_OK);
        CHECK(rnc_network_tile_reduced(tile, side, taken, 24 * (size_t)side, small, reduced - 1) == RNC_ERROR_ARGUMENT);
        free(small);
    }
    for (done = 0; !done;) CHECK(rnc_network_tile_pixels(tile, pixels, samples, &done) == RNC_OK);
    size_t width = samples / 3 / 8; /* as if the samples were those of one row of blocks */
    CHECK(rnc_round(RNC_ISA_AUTO, bytes, samples, 3 * width, pixels, samples, 3 * width, width, 8, 0, &finite) == RNC_OK);
    CHECK(rnc_round(RNC_ISA_AUTO, bytes, samples, 3 * width, pixels, samples, 3 * width, width / 2, 8, 1, &finite) == RNC_OK);
    CHECK(rnc_round(RNC_ISA_AUTO, bytes, samples, 3 * width, pixels, samples - 1, 3 * width, width, 8, 0, &finite) == RNC_ERROR_ARGUMENT);
    CHECK(rnc_round(RNC_ISA_AUTO, bytes, samples, 3 * width - 1, pixels, samples, 3 * width, width, 8, 0, &finite) == RNC_ERROR_ARGUMENT);
    CHECK(rnc_network_tile_set_target(tile, bytes, samples) == (encodes ? RNC_OK : RNC_ERROR_ARGUMENT));
    if (encodes) CHECK(rnc_network_tile_encode(tile, plane, length) == (count < ITERATIONS ? RNC_OK : RNC_ERROR_ITERATION));
    CHECK(rnc_network_tile_decode(tile, planes, length - 1) == RNC_ERROR_ARGUMENT);
    free(tile), free(pixels), free(bytes), free(plane);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int number, isa, count = 0;
    int32_t rows, columns;
    size_t position = 4, length, raw;
    void *decoder, *encoder;
    uint8_t *planes;
    if (size < 4) return 0;
    make_models();
    number = data[2] % MODELS, isa = data[3] % RNC_ISA_COUNT;
    if (!models[number][isa]) isa = 0;
    rows = 1 + data[0] % MAX_EDGE, columns = 1 + data[1] % MAX_EDGE;
    if (data[2] & 64) columns += 60;
    length = 2 * PAIRS * (size_t)rows * (size_t)columns, raw = (length + 7) / 8;
    decoder = new_entropy_tile(models[number][isa], rows, columns);
    encoder = new_entropy_tile(models[number][isa ? 0 : isa], rows, columns); /* another instruction set */
    planes = room(length * (ITERATIONS + 1));
    while (position + 1 < size) {
        int coding = data[position] % 2;
        size_t wanted = data[position + 1], left = size - position - 2, inferred, written;
        uint8_t *plane = planes + length * (size_t)count, *given, *payload = room(raw);
        int status;
        if (wanted > left) wanted = left;
        given = room(wanted); /* of exactly that size */
        memcpy(given, data + position + 2, wanted);
        position += 2 + wanted;
        if (coding) {
            for (size_t i = 0; i < length; i++) plane[i] = (uint8_t)(i / 8 < wanted ? given[i / 8] >> (7 - i % 8) & 1 : 0);
            status = rnc_entropy_tile_take(decoder, plane, length, &inferred);
            if (status == RNC_ERROR_INFERRED) { /* leaves the tile as it was */
                CHECK(inferred);
                memset(plane, 0, length);
                status = rnc_entropy_tile_take(decoder, plane, length, &inferred);
            }
            CHECK(status == (count < ITERATIONS ? RNC_OK : RNC_ERROR_ITERATION));
        } else {
            status = rnc_entropy_tile_decode(decoder, given, wanted, plane, length);
            CHECK(status == RNC_OK || status == RNC_ERROR_PAYLOAD || (status == RNC_ERROR_ITERATION && count == ITERATIONS));
        }
        if (status == RNC_OK) {
            CHECK(rnc_entropy_tile_encode(encoder, plane, length, payload, raw, &written, &inferred) == RNC_OK);
            if (!coding && wanted <= raw) CHECK(written == wanted && !memcmp(payload, given, wanted));
            for (size_t i = 0; i < length; i++) digest = (digest ^ plane[i]) * 16777619u;
            count++;
        }
        free(given), free(payload);
        if (status != RNC_OK) break;
    }
    if (count && networks[number][isa] && rows % 2 == 0 && columns % 2 == 0) show(networks[number][isa], planes, count, rows, columns, data[2] >> 7);
    free(decoder), free(encoder), free(planes);
    return 0;
}

#ifndef RNC_LIBFUZZER

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *stream = fopen(path, "rb");
    uint8_t *data = room(1 << 20);
    CHECK(stream);
    *size = fread(data, 1, 1 << 20, stream);
    fclose(stream);
    return data;
}

/* Payloads that the encoder writes, so that more than the first bits is decoded; some of them altered. */
static size_t write_input(uint8_t *to, uint32_t *state) {
    size_t size = 4, length, raw;
    int number, count = 1 + (int)(next_random(state) % ITERATIONS);
    void *encoder;
    uint8_t *plane, *payload;
    make_models();
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)next_random(state);
    number = to[2] % MODELS;
    length = 2 * PAIRS * (size_t)(1 + to[0] % MAX_EDGE) * (size_t)(1 + to[1] % MAX_EDGE + (to[2] & 64 ? 60 : 0)), raw = (length + 7) / 8;
    encoder = new_entropy_tile(models[number][0], 1 + to[0] % MAX_EDGE, 1 + to[1] % MAX_EDGE + (to[2] & 64 ? 60 : 0));
    plane = room(length), payload = room(raw);
    for (int i = 0; i < count; i++) {
        uint32_t rare = 1 + next_random(state) % 30;
        size_t written = SIZE_MAX, inferred, cells = length / 2;
        for (size_t k = 0; k < length; k++) plane[k] = k < cells && next_random(state) % rare == 0;
        /* levels and signs as they come: those that may not be are dropped until all may */
        if (rnc_entropy_tile_encode(encoder, plane, length, payload, raw, &written, &inferred) == RNC_ERROR_INFERRED) {
            memset(plane, 0, length);
            CHECK(rnc_entropy_tile_encode(encoder, plane, length, payload, raw, &written, &inferred) == RNC_OK);
        }
        if (written == SIZE_MAX || written > 255) break;
        to[size] = 0, to[size + 1] = (uint8_t)written;
        memcpy(to + size + 2, payload, written);
        size += 2 + written;
    }
    free(encoder), free(plane), free(payload);
    if (next_random(state) % 2)
        for (uint32_t i = next_random(state) % 3; i < 3; i++) to[next_random(state) % size] ^= (uint8_t)(1u << next_random(state) % 8);
    return next_random(state) % 8 ? size : next_random(state) % (size + 1);
}

int main(int argc, char **argv) {
    uint32_t state = 1;
    uint8_t *input = room(4096);
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 1000;
    for (int i = 2; i < argc; i++) {
        size_t size;
        uint8_t *data = read_file(argv[i], &size), *exact;
        exact = room(size);
        memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(data), free(exact);
    }
    for (long i = 0; i < rounds; i++) {
        size_t size = write_input(input, &state);
        uint8_t *exact = room(size);
        memcpy(exact, input, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    free(input);
    for (int number = 0; number < MODELS; number++)
        for (int isa = 0; isa < RNC_ISA_COUNT; isa++) free(models[number][isa]), free(networks[number][isa]);
    printf("%d files and %ld random inputs, digest of their codes %08x\n", argc > 2 ? argc - 2 : 0, rounds, (unsigned)digest);
    return 0;
}

#endif
