/* decoder.c -- from the bytes of an .rnc file to its codes.

   Written from rnc-format.md alone, as a test of that text, and in its order. It has no dependencies, trusts the weights
   file, keeps everything in memory and is not optimized for speed.

       cc -std=c99 -O2 -o decoder decoder.c
       ./decoder WEIGHTS FILE

   prints one line for each tile and iteration: iteration, tile, coding, CRC-32 of the packed code plane. The exit status
   is 0, or one of the faults below; of a truncated file, the codes of the complete iterations are printed first.
   The alpha plane is checked as a chunk and not expanded. Bytes after the last ITER are a fault here, because codes are
   reported; a program that outputs the image should ignore them. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIGNATURE = 2, UNSUPPORTED = 3, CORRUPT = 4, TRUNCATED = 5, USAGE = 64 };
static const char *const FAULTS[] = {"", "", "signature", "unsupported", "corrupt", "truncated"};

static void fail(int fault, const char *what) {
    fflush(stdout);
    if (fault == USAGE) fprintf(stderr, "%s\n", what);
    else printf("%s: %s\n", FAULTS[fault], what);
    exit(fault);
}

static void *zeros(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) fail(USAGE, "out of memory");
    return memory;
}

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *stream = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t room = 0, got;
    if (!stream) fail(USAGE, "cannot read the file");
    *size = 0;
    do {
        if (!(data = realloc(data, room += 1 << 20))) fail(USAGE, "out of memory");
        *size += got = fread(data + *size, 1, room - *size, stream);
    } while (got);
    fclose(stream);
    return data;
}

/* ---- Conventions ---- */

static uint32_t u16(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }
static uint32_t u32(const uint8_t *p) { return u16(p) | u16(p + 2) << 16; }

/* The CRC of bytes that come after others; `crc` is the CRC of those, or 0. */
static uint32_t crc32(uint32_t crc, const uint8_t *data, size_t size) {
    crc = ~crc;
    while (size--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static uint32_t rotate(uint32_t x, int by) { return x >> by | x << (32 - by); }

/* SHA-256 (FIPS 180-4). */
static void sha256(const uint8_t *data, size_t size, uint8_t *digest) {
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t h[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint32_t w[64], s[8];
    size_t padded = (size + 9 + 63) / 64 * 64;
    uint8_t *message = zeros(padded, 1);
    memcpy(message, data, size);
    message[size] = 0x80;
    for (int i = 0; i < 8; i++) message[padded - 1 - i] = (uint8_t)((uint64_t)size * 8 >> 8 * i);
    for (const uint8_t *block = message; block < message + padded; block += 64) {
        for (int i = 0; i < 64; i++)
            w[i] = i < 16 ? (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3]
                          : w[i - 16] + w[i - 7] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3)
                                + (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
        memcpy(s, h, sizeof s);
        for (int i = 0; i < 64; i++) {
            uint32_t a = s[0], e = s[4];
            uint32_t one = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
            uint32_t two = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
            memmove(s + 1, s, 7 * sizeof *s);
            s[4] += one;
            s[0] = one + two;
        }
        for (int i = 0; i < 8; i++) h[i] += s[i];
    }
    for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(h[i / 4] >> 8 * (3 - i % 4));
    free(message);
}

/* ---- File ---- */

#define MAX_ITERATIONS 32

struct header {
    uint32_t width, height, mode, iterations, channels, stride, tile_size, overlap;
    const uint8_t *model_id;
};
struct segment { uint32_t coding, length, payload_crc, codes_crc, crc_before, plane_crc; const uint8_t *payload; };
struct tile { uint32_t rows, columns, cells, raw_length; }; /* of code cells */

static struct header head;
static struct tile *tiles;
static uint32_t tile_count;
static struct segment *units[MAX_ITERATIONS];
static uint32_t complete_units; /* units read so far; all are complete and valid */
static uint32_t crc_so_far; /* Codes_Crc of the last segment that was read; before the first, CRC of HEAD and ALPH */

/* ---- Tile grid ---- */

static uint32_t tiles_along(uint32_t edge) {
    uint32_t step = head.tile_size - head.overlap;
    return edge <= head.tile_size ? 1 : (edge - head.overlap + step - 1) / step;
}

static uint32_t cells_along(uint32_t edge, uint32_t i) {
    uint32_t rest = edge - i * (head.tile_size - head.overlap);
    uint32_t length = rest < head.tile_size ? rest : head.tile_size;
    return (length + 15) / 16 * 16 / head.stride;
}

static void make_grid(void) {
    uint32_t across = tiles_along(head.width), down = tiles_along(head.height);
    tile_count = across * down;
    tiles = zeros(tile_count, sizeof *tiles);
    for (uint32_t i = 0; i < tile_count; i++) {
        struct tile *t = tiles + i;
        t->rows = cells_along(head.height, i / across);
        t->columns = cells_along(head.width, i % across);
        t->cells = t->rows * t->columns;
        t->raw_length = (head.channels * t->cells + 7) / 8;
    }
}

/* ---- Header ---- */

static void cover_head(const uint8_t *data) {
    uint8_t covered[22];
    memcpy(covered, data, 22);
    covered[1] = covered[7] = 0;
    crc_so_far = crc32(0, covered, 22);
}

static void read_header(const uint8_t *data, size_t length) {
    if (data[0] != 1) fail(UNSUPPORTED, "Format_Major");
    if (length != 22) fail(CORRUPT, "length of HEAD");
    head = (struct header){u16(data + 2), u16(data + 4), data[6], data[7], data[8], data[9], u16(data + 10), data[12], data + 14};
    if (!head.width || !head.height) fail(CORRUPT, "Width or Height is 0");
    if (head.mode > 3) fail(UNSUPPORTED, "Mode");
    if (!head.iterations) fail(CORRUPT, "Iterations is 0");
    if (head.iterations > MAX_ITERATIONS) fail(UNSUPPORTED, "Iterations");
    if (!head.channels) fail(CORRUPT, "Code_Channels is 0");
    if (head.stride != 8 && head.stride != 16) fail(UNSUPPORTED, "Code_Stride");
    if (head.tile_size < 64 || head.tile_size > 4096 || head.tile_size % 16) fail(CORRUPT, "Tile_Size");
    if (head.overlap % 16 || head.overlap > head.tile_size / 2) fail(CORRUPT, "Overlap");
    if (data[13]) fail(UNSUPPORTED, "Flags");
    make_grid();
    cover_head(data);
}

/* ---- Units ---- */

/* Returns 0 when the file, of which `rest` bytes are left, ends before the table does. */
static int check_table(const uint8_t *data, uint64_t length, uint64_t rest) {
    uint64_t table = 13 * (uint64_t)tile_count;
    if (length < table) fail(CORRUPT, "ITER is shorter than its table");
    if (rest < table) return 0;
    length -= table;
    for (uint32_t i = 0; i < tile_count; i++) {
        uint32_t payload = u32(data + 13 * (size_t)i + 1);
        if (payload > length) fail(CORRUPT, "payloads are longer than the ITER");
        length -= payload;
    }
    if (length) fail(CORRUPT, "payloads are shorter than the ITER");
    return 1;
}

static void read_unit(const uint8_t *data) {
    const uint8_t *payload = data + 13 * (size_t)tile_count;
    struct segment *unit = units[complete_units] = zeros(tile_count, sizeof *unit);
    for (uint32_t i = 0; i < tile_count; i++) {
        const uint8_t *entry = data + 13 * (size_t)i;
        unit[i] = (struct segment){entry[0], u32(entry + 1), u32(entry + 5), u32(entry + 9), 0, 0, NULL};
    }
    for (uint32_t i = 0; i < tile_count; i++) {
        struct segment *s = unit + i;
        uint32_t raw_length = tiles[i].raw_length, padding = raw_length * 8 - head.channels * tiles[i].cells;
        s->payload = payload;
        payload += s->length;
        if (s->coding > 2) fail(UNSUPPORTED, "Coding");
        if (s->coding == 0 && (s->length % 4 || s->length < 4 || s->length > raw_length)) fail(CORRUPT, "Payload_Length");
        if (s->coding == 1 && s->length != raw_length) fail(CORRUPT, "Payload_Length, raw");
        if (s->coding == 2 && s->length) fail(CORRUPT, "stopped segment is not empty");
        if (s->coding == 2 && !complete_units) fail(CORRUPT, "stopped segment in iteration 0");
        if (s->coding != 2 && complete_units && units[complete_units - 1][i].coding == 2) fail(CORRUPT, "segment after a stopped one");
        if (crc32(0, s->payload, s->length) != s->payload_crc) fail(CORRUPT, "Payload_Crc");
        if (s->coding == 1 && s->payload[raw_length - 1] & ((1 << padding) - 1)) fail(CORRUPT, "padding bits");
        if (s->coding == 1 && crc32(crc_so_far, s->payload, s->length) != s->codes_crc) fail(CORRUPT, "Codes_Crc");
        if (s->coding == 2 && crc32(crc_so_far, (const uint8_t *)"", 1) != s->codes_crc) fail(CORRUPT, "Codes_Crc");
        s->crc_before = crc_so_far;
        crc_so_far = s->codes_crc;
    }
    complete_units++;
}

/* ---- Chunks ---- */

/* Returns 1 when the file is complete, 0 when it ends early. */
static int read_chunks(const uint8_t *data, size_t size) {
    static const char order[][5] = {"HEAD", "iccp", "exif", "xmpp", "comm", "dens", "ALPH", "ITER"};
    enum { HEAD, DENS = 5, ALPH = 6, ITER = 7, UNKNOWN = 8 };
    size_t at = 8, metadata = 0, optional = 0;
    int previous = -1;
    if (size < 8 || memcmp(data, "\x8aRNC\r\n\x1a\n", 8)) fail(SIGNATURE, "not an .rnc file");
    while (previous != ITER || complete_units < head.iterations) {
        if (size - at < 8) return 0;
        const uint8_t *type = data + at, *body = type + 8;
        size_t length = u32(type + 4), rest = size - at - 8;
        int known = 0, critical = !(type[0] & 32);
        while (known < UNKNOWN && memcmp(type, order[known], 4)) known++;
        /* Checks of Type and Length, before the rest is looked at */
        if (previous == -1 && known != HEAD) fail(CORRUPT, "first chunk is not HEAD");
        if (previous == ITER && known != ITER) fail(CORRUPT, "chunk after ITER");
        if (previous != -1 && known != ITER && ++optional > 64) fail(CORRUPT, "more than 64 chunks before ITER");
        if (known == ALPH) {
            if (length > 2 * (uint64_t)head.width * head.height + 1024) fail(CORRUPT, "ALPH too long");
        } else if (known != ITER) {
            if (length > 1048576 || (metadata += length) > 4194304) fail(CORRUPT, "chunk too long");
        }
        if (previous == -1 && (!length || (rest && length != 22 && body[0] == 1))) fail(CORRUPT, "length of HEAD");
        if (known == ITER && check_table(body, length, rest) == 0) return 0;
        if (rest < 4 || rest - 4 < length) return 0;
        if (crc32(0, type, length + 8) != u32(body + length)) fail(CORRUPT, "Crc of a chunk");
        /* Checks of the rest */
        for (int i = 0; i < 4; i++)
            if ((type[i] | 32) < 'a' || (type[i] | 32) > 'z') fail(CORRUPT, "Type is not four letters");
        if (known == UNKNOWN && critical) fail(UNSUPPORTED, "critical chunk");
        if (known < UNKNOWN && (known < previous || (known == previous && known != ITER))) fail(CORRUPT, "order of chunks");
        if (known < UNKNOWN && !length) fail(CORRUPT, "empty chunk");
        if (known == HEAD) read_header(body, length), metadata = 0;
        if (known == DENS && length != 16) fail(CORRUPT, "length of dens");
        for (int i = 0; known == DENS && i < 4; i++)
            if (!u32(body + 4 * i)) fail(CORRUPT, "zero in dens");
        if (known == ALPH && !(head.mode & 1)) fail(CORRUPT, "ALPH in a mode without alpha");
        if (known == ALPH && body[0] > 3) fail(CORRUPT, "Predictor");
        if (known == ALPH) crc_so_far = crc32(crc_so_far, body, length);
        if (known == ITER) read_unit(body);
        if (known < UNKNOWN) previous = known;
        at += length + 12;
    }
    if (at != size) fail(CORRUPT, "bytes after the last ITER");
    return 1;
}

/* ---- Weights file ---- */

struct tensor { const uint8_t *data; int shape[6]; };
static uint8_t *weights;
static const uint8_t *weights_data; /* behind the JSON text */

static const char *after(const char *text, const char *word) {
    if (!(text = strstr(text, word))) fail(USAGE, "the weights file lacks something");
    return text + strlen(word);
}

static struct tensor find_tensor(const char *json, const char *name) {
    struct tensor found = {NULL, {0}};
    char quoted[64];
    sprintf(quoted, "\"%s\"", name);
    json = after(json, quoted);
    char *end = (char *)after(after(json, "\"shape\""), "[");
    for (int i = 0; i < 6 && *end != ']'; i++) {
        found.shape[i] = (int)strtol(end, &end, 10);
        if (*end == ',') end++;
    }
    found.data = weights_data + strtol(after(after(json, "\"data_offsets\""), "["), NULL, 10);
    return found;
}

static struct tensor coefficients, levels, state_in_w, state_in_b, state_w, feature_w, feature_b, context_w, output_w, output_b;
static struct tensor accumulator_w, accumulator_s, accumulator_input_w, accumulator_output_w;
static struct { int lattice, first; } passes[64];
static int T, C, K, F, S, P;
static int G; /* channels of a pass */
static int M; /* context-coded channels: all of family recurrent, the magnitude bits of family embedded */

static int w8(struct tensor t, size_t index) { return (int8_t)t.data[index]; }
static int w16(struct tensor t, size_t index) { return (int16_t)u16(t.data + 2 * index); }
static int b32(struct tensor t, size_t index) { return (int32_t)u32(t.data + 4 * index); }

/* An integer stored as type F32. */
static int f32(struct tensor t, size_t index) {
    uint32_t bits = u32(t.data + 4 * index);
    float value;
    memcpy(&value, &bits, 4);
    return (int)value;
}

static void read_weights(const char *path) {
    size_t size;
    uint8_t digest[32];
    weights = read_file(path, &size);
    if (size < 8 || size - 8 < u32(weights)) fail(USAGE, "not a weights file");
    sha256(weights, size, digest);
    if (memcmp(digest, head.model_id, 8)) fail(UNSUPPORTED, "Model_Id");
    char *json = zeros(u32(weights) + 1, 1);
    memcpy(json, weights + 8, u32(weights));
    weights_data = weights + 8 + u32(weights);
    /* The config is JSON within a string of JSON */
    const char *family = after(after(json, "family"), ":"), *pass = after(after(json, "passes"), "[");
    family += strspn(family, " \\\"");
    int dense = !strncmp(family, "recurrent", 9);
    if (!dense && strncmp(family, "embedded", 8)) fail(UNSUPPORTED, "family");
    if (!dense) {
        coefficients = find_tensor(json, "network.quantizer.coefficient");
        levels = find_tensor(json, "network.quantizer.level");
    }
    state_in_w = find_tensor(json, "entropy.state_in.weight");
    state_in_b = find_tensor(json, "entropy.state_in.bias");
    state_w = find_tensor(json, "entropy.state.weight");
    feature_w = find_tensor(json, "entropy.feature.weight");
    feature_b = find_tensor(json, "entropy.feature.bias");
    context_w = find_tensor(json, "entropy.context.weight");
    output_w = find_tensor(json, "entropy.output.weight");
    output_b = find_tensor(json, "entropy.output.bias");
    accumulator_w = find_tensor(json, "entropy.accumulator.weight");
    accumulator_s = find_tensor(json, "entropy.accumulator.scale");
    accumulator_input_w = find_tensor(json, "entropy.accumulator_input.weight");
    accumulator_output_w = find_tensor(json, "entropy.accumulator_output.weight");
    T = output_w.shape[0], P = output_w.shape[1], G = output_w.shape[2], F = output_w.shape[3];
    K = state_w.shape[1], S = accumulator_w.shape[2], M = accumulator_w.shape[3];
    C = dense ? M : 2 * M;
    if (P > 64) fail(USAGE, "too many passes");
    for (int p = 0; p < P; p++) {
        char *next;
        passes[p].lattice = (int)strtol(pass = after(pass, "["), &next, 10);
        passes[p].first = (int)strtol(next + 1, NULL, 10);
    }
    uint32_t stride = (uint32_t)strtol(after(after(json, "code_stride"), ":"), NULL, 10);
    if (stride != head.stride) fail(UNSUPPORTED, "Code_Stride is not that of the model");
    if ((uint32_t)C != head.channels) fail(UNSUPPORTED, "Code_Channels are not those of the model");
    if ((uint32_t)T < head.iterations) fail(UNSUPPORTED, "Iterations above those of the model");
    free(json);
}

/* ---- Iteration schedule ---- */

enum { COEFFICIENTS = 192, IDLE = 1000000, NEVER = MAX_ITERATIONS };

static int rows, columns, cells; /* of the tile in work */
static uint8_t *since; /* of each coefficient and cell: the first iteration in which it is significant */

static int significant(int t, int p, int i) {
    return since[(size_t)f32(coefficients, (size_t)t * M + p) * cells + i] <= t;
}

/* Whether the bit of channel c at cell i is coded in iteration t; `codes` holds those that come before it. */
static int coded(const uint8_t *codes, int t, int c, int i) {
    if (M == C) return 1;
    int p = c % M, level = f32(levels, (size_t)t * M + p);
    if (level == IDLE) return 0;
    if (c >= M) return level == 1 && !significant(t, p, i) && codes[p * cells + i];
    return level == 1 || (!significant(t, p, i) && codes[(p - 1) * cells + i]);
}

/* The value of a magnitude bit, 127 times as `conv` takes it in. */
static int8_t value(const uint8_t *codes, int t, int p, int i) {
    if (codes[p * cells + i]) return 127;
    if (M == C) return -127;
    return coded(codes, t, p, i) && significant(t, p, i) ? -127 : 0;
}

static void check_raw(const uint8_t *codes, int t) {
    for (int c = 0; c < C; c++)
        for (int i = 0; i < cells; i++)
            if (codes[c * cells + i] && !coded(codes, t, c, i)) fail(CORRUPT, "an inferred bit is set");
}

/* What is significant after iteration t. */
static void advance(const uint8_t *codes, int t) {
    for (int p = 0; M < C && p < M; p++) {
        if (f32(levels, (size_t)t * M + p) != 1) continue;
        uint8_t *known = since + (size_t)f32(coefficients, (size_t)t * M + p) * cells;
        for (int i = 0; i < cells; i++)
            if (codes[p * cells + i] && known[i] == NEVER) known[i] = (uint8_t)(t + 1);
    }
}

/* ---- Entropy network ---- */

static const int16_t SIGMOID[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 9, 10,
    10, 11, 11, 12, 13, 14, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 26, 27, 29, 30, 32, 34, 36, 38, 40, 42, 44, 47, 49,
    51, 54, 57, 60, 62, 65, 69, 72, 75, 78, 82, 85, 89, 93, 96, 100, 104, 108, 112, 116, 120, 124, 128, 131, 135, 139,
    143, 147, 151, 155, 159, 162, 166, 170, 173, 177, 180, 183, 186, 190, 193, 195, 198, 201, 204, 206, 208, 211, 213,
    215, 217, 219, 221, 223, 225, 226, 228, 229, 231, 232, 233, 235, 236, 237, 238, 239, 240, 241, 241, 242, 243, 244,
    244, 245, 245, 246, 247, 247, 248, 248, 248, 249, 249, 249, 250, 250, 250, 251, 251, 251, 251, 252, 252, 252, 252,
    252, 253, 253, 253, 253, 253, 253, 253, 253, 253, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254,
    254, 254, 254, 254, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255,
};

static const int16_t TANH[256] = {
    -127, -127, -127, -127, -127, -127, -127, -127, -127, -127, -127, -127, -127, -127, -127, -127, -127, -127, -127,
    -127, -127, -127, -127, -127, -127, -127, -127, -127, -127, -126, -126, -126, -126, -126, -126, -126, -126, -126,
    -126, -126, -126, -126, -126, -126, -126, -126, -125, -125, -125, -125, -125, -125, -125, -125, -125, -124, -124,
    -124, -124, -124, -123, -123, -123, -123, -122, -122, -122, -122, -121, -121, -120, -120, -120, -119, -119, -118,
    -118, -117, -116, -116, -115, -114, -113, -113, -112, -111, -110, -109, -108, -107, -105, -104, -103, -101, -100,
    -98, -97, -95, -93, -91, -89, -87, -85, -83, -81, -78, -76, -73, -70, -68, -65, -62, -59, -56, -52, -49, -46, -42,
    -38, -35, -31, -27, -24, -20, -16, -12, -8, -4, 0, 4, 8, 12, 16, 20, 24, 27, 31, 35, 38, 42, 46, 49, 52, 56, 59, 62,
    65, 68, 70, 73, 76, 78, 81, 83, 85, 87, 89, 91, 93, 95, 97, 98, 100, 101, 103, 104, 105, 107, 108, 109, 110, 111,
    112, 113, 113, 114, 115, 116, 116, 117, 118, 118, 119, 119, 120, 120, 120, 121, 121, 122, 122, 122, 122, 123, 123,
    123, 123, 124, 124, 124, 124, 124, 125, 125, 125, 125, 125, 125, 125, 125, 125, 126, 126, 126, 126, 126, 126, 126,
    126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127,
    127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127,
};

static const uint16_t PROBABILITY[256] = {
    32, 32, 32, 32, 32, 32, 32, 34, 36, 39, 41, 44, 47, 50, 53, 56, 60, 64, 68, 72, 77, 82, 87, 92, 98, 105, 111, 119,
    126, 134, 143, 152, 162, 172, 184, 195, 208, 221, 236, 251, 267, 284, 302, 321, 342, 364, 387, 412, 439, 467, 497,
    528, 562, 598, 636, 677, 720, 766, 815, 867, 922, 980, 1042, 1109, 1179, 1253, 1333, 1417, 1506, 1601, 1701, 1808,
    1921, 2041, 2168, 2303, 2446, 2598, 2758, 2928, 3108, 3298, 3500, 3713, 3938, 4176, 4427, 4692, 4971, 5266, 5577,
    5904, 6249, 6611, 6992, 7392, 7812, 8252, 8714, 9197, 9702, 10230, 10782, 11357, 11955, 12579, 13226, 13898, 14595,
    15316, 16062, 16832, 17625, 18442, 19282, 20143, 21025, 21928, 22849, 23788, 24743, 25712, 26695, 27689, 28693,
    29705, 30723, 31744, 32768, 33792, 34813, 35831, 36843, 37847, 38841, 39824, 40793, 41748, 42687, 43608, 44511,
    45393, 46254, 47094, 47911, 48704, 49474, 50220, 50941, 51638, 52310, 52957, 53581, 54179, 54754, 55306, 55834,
    56339, 56822, 57284, 57724, 58144, 58544, 58925, 59287, 59632, 59959, 60270, 60565, 60844, 61109, 61360, 61598,
    61823, 62036, 62238, 62428, 62608, 62778, 62938, 63090, 63233, 63368, 63495, 63615, 63728, 63835, 63935, 64030,
    64119, 64203, 64283, 64357, 64427, 64494, 64556, 64614, 64669, 64721, 64770, 64816, 64859, 64900, 64938, 64974,
    65008, 65039, 65069, 65097, 65124, 65149, 65172, 65194, 65215, 65234, 65252, 65269, 65285, 65300, 65315, 65328,
    65341, 65352, 65364, 65374, 65384, 65393, 65402, 65410, 65417, 65425, 65431, 65438, 65444, 65449, 65454, 65459,
    65464, 65468, 65472, 65476, 65480, 65483, 65486, 65489, 65492, 65495, 65497, 65500, 65502, 65504, 65504, 65504,
    65504, 65504, 65504,
};

static int shift(int a, int s) { return a >= 0 ? a >> s : ~(~a >> s); }
static int clamp(int a, int low, int high) { return a < low ? low : a > high ? high : a; }

static int in_lattice(int lattice, int i) {
    int y = i / columns % 2, x = i % columns % 2;
    switch (lattice) {
    case 0: return y == x;
    case 1: return y != x;
    case 2: return !y && !x;
    default: return y && x;
    }
}

/* The cell that is neighbour j of cell i, or -1 outside the tile. */
static int neighbour(int i, int j) {
    static const int down[8] = {-1, -1, -1, 0, 0, 1, 1, 1}, right[8] = {-1, 0, 1, -1, 1, -1, 0, 1};
    int y = i / columns + down[j], x = i % columns + right[j];
    return y < 0 || y >= rows || x < 0 || x >= columns ? -1 : y * columns + x;
}

/* conv(W, X)[o, y, x]: the weights of output channel o begin at index `from` of tensor w; the map X has `inputs` channels. */
static int conv(struct tensor w, size_t from, const int8_t *map, int inputs, int y, int x) {
    int sum = 0;
    for (int i = 0; i < inputs; i++)
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 3; b++) {
                int row = y + a - 1, column = x + b - 1;
                if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
                sum += w8(w, from + (size_t)i * 9 + a * 3 + b) * map[i * cells + row * columns + column];
            }
    return sum;
}

/* An accumulator as iteration t sees it. The product can have more than 32 bits. */
static int8_t scaled(int q, int t) {
    int64_t product = (int64_t)q * b32(accumulator_s, (size_t)t - 1);
    int64_t v = product >= 0 ? product >> 10 : ~(~product >> 10);
    return (int8_t)(v < -127 || v > 127 ? 127 : v < 0 ? -v : v);
}

/* Adds the values x of iteration t - 1 to the accumulators q and computes the map r from them. */
static void accumulate(int *q, int8_t *r, const int8_t *x, int t) {
    int8_t *around = r + (size_t)S * cells;
    for (int s = 0; s < S; s++) {
        for (int i = 0; i < cells; i++) {
            size_t row = ((size_t)(t - 1) * 2 + (q[s * cells + i] != 0)) * S + s;
            for (int c = 0; c < M; c++) q[s * cells + i] += w16(accumulator_w, row * M + c) * (x[c * cells + i] / 127);
            r[s * cells + i] = scaled(q[s * cells + i], t);
        }
        for (int i = 0; i < cells; i++) {
            int sum = 0;
            for (int j = 0; j < 8; j++)
                if (neighbour(i, j) >= 0) sum += r[s * cells + neighbour(i, j)];
            around[s * cells + i] = (int8_t)(sum >> 3);
        }
    }
}

static void next_state(int8_t *state, int8_t *scratch, const int8_t *x, const int8_t *r, int t) {
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < columns; column++)
            for (int c = 0; c < K; c++) {
                int z[2], cell = row * columns + column;
                for (int half = 0; half < 2; half++) {
                    size_t out = half * K + c, layer = (size_t)(t - 1) * 2 * K + out;
                    z[half] = b32(state_in_b, layer) + conv(state_in_w, layer * M * 9, x, M, row, column);
                    for (int j = 0; j < K; j++) z[half] += w8(state_w, out * K + j) * state[j * cells + cell];
                    for (int s = 0; s < S; s++) z[half] += w8(accumulator_input_w, out * S + s) * r[s * cells + cell];
                }
                int u = SIGMOID[clamp(shift(z[0], 8), -128, 127) + 128];
                int n = TANH[clamp(shift(z[1], 7), -128, 127) + 128];
                int h = state[c * cells + cell];
                scratch[c * cells + cell] = (int8_t)(h + shift(u * (n - h) + 128, 8));
            }
    memcpy(state, scratch, (size_t)K * cells);
}

/* What is known of a tile before a pass: maps of features, of values, and r of the accumulators. */
struct known { const int *feature; int8_t *x; const int8_t *r; };

/* Writes p1_q16 of the G bits of pass p at cell i. */
static void probabilities(int *p1_q16, const struct known *known, int t, int p, int i) {
    int a[4096];
    for (int c = 0; c < F; c++) {
        size_t layer = ((size_t)t * P + p) * F + c;
        int z = b32(feature_b, layer) + known->feature[c * cells + i];
        if (p) z += conv(context_w, (((size_t)t * (P - 1) + p - 1) * F + c) * M * 9, known->x, M, i / columns, i % columns);
        a[c] = clamp(shift(z, 6), 0, 255);
    }
    for (int g = 0; g < G; g++) {
        size_t layer = ((size_t)t * P + p) * G + g;
        int sum = b32(output_b, layer);
        for (int c = 0; c < F; c++) sum += w8(output_w, layer * F + c) * a[c];
        for (int s = 0; t && s < 2 * S; s++)
            sum += w8(accumulator_output_w, (layer - (size_t)P * G) * 2 * S + s) * known->r[s * cells + i];
        p1_q16[g] = PROBABILITY[clamp(shift(sum, 7), -128, 127) + 128];
    }
}

/* ---- Range coder ---- */

static struct { const struct segment *segment; uint64_t low, width, point; uint32_t words, next; } coder;

static uint64_t word(uint32_t i) { return i < coder.words ? u32(coder.segment->payload + 4 * (size_t)i) : 0; }

static void start_segment(const struct segment *segment) {
    coder.segment = segment;
    coder.words = segment->length / 4;
    coder.low = 0;
    coder.width = UINT64_MAX;
    coder.point = word(0) << 32 | word(1);
    coder.next = 2;
}

static int read_bit(int p1_q16) {
    uint64_t share = ((uint64_t)(65536 - p1_q16) * 16777214 >> 16) + 1;
    uint64_t unit = coder.width >> 24;
    uint64_t q = (coder.point - coder.low) / unit;
    int bit = q >= share;
    if (q >= 1 << 24) fail(CORRUPT, "payload leaves the interval of the range coder");
    if (bit) coder.low += unit * share;
    coder.width = unit * (bit ? (1 << 24) - share : share);
    if (coder.width < (uint64_t)1 << 32) {
        coder.low <<= 32;
        coder.width <<= 32;
        coder.point = coder.point << 32 | word(coder.next++);
    }
    return bit;
}

static void end_segment(void) {
    uint64_t last = (coder.low + UINT32_MAX) >> 32, upper = (coder.low + coder.width) >> 32;
    uint32_t length = upper == last ? coder.next : coder.next - 1;
    if (coder.words != length || coder.point != last << 32) fail(CORRUPT, "payload is not the one of its codes");
}

/* ---- Codes ---- */

/* Decodes the codes of an entropy-coded segment. */
static void decode_segment(const struct segment *segment, uint8_t *codes, struct known *known, int t) {
    int *p1_q16 = zeros((size_t)G * cells, sizeof *p1_q16);
    memset(codes, 0, (size_t)C * cells);
    memset(known->x, 0, (size_t)M * cells);
    start_segment(segment);
    for (int p = 0; p < P; p++) {
        for (int i = 0; i < cells; i++) {
            int here[256];
            if (!in_lattice(passes[p].lattice, i)) continue;
            probabilities(here, known, t, p, i);
            for (int g = 0; g < G; g++) p1_q16[g * cells + i] = here[g];
        }
        for (int g = 0; g < G; g++)
            for (int i = 0, c = passes[p].first + g; i < cells; i++) {
                if (!in_lattice(passes[p].lattice, i)) continue;
                if (coded(codes, t, c, i)) codes[c * cells + i] = (uint8_t)read_bit(p1_q16[g * cells + i]);
                known->x[c * cells + i] = value(codes, t, c, i);
            }
    }
    for (int c = M; c < C; c++)
        for (int i = 0; i < cells; i++)
            if (coded(codes, t, c, i)) codes[c * cells + i] = (uint8_t)read_bit(32768);
    end_segment();
    free(p1_q16);
}

static void pack(uint8_t *plane, const uint8_t *codes, size_t raw_length) {
    memset(plane, 0, raw_length);
    for (int i = 0; i < C * cells; i++) plane[i / 8] |= codes[i] << (7 - i % 8);
}

static void decode_tile(uint32_t index) {
    struct tile tile = tiles[index];
    rows = (int)tile.rows, columns = (int)tile.columns, cells = (int)tile.cells;
    int8_t *state = zeros((size_t)K * cells, 1), *scratch = zeros((size_t)K * cells, 1), *x = zeros((size_t)M * cells, 1);
    int *feature = zeros((size_t)F * cells, sizeof *feature), *q = zeros((size_t)S * cells, sizeof *q);
    int8_t *r = zeros(2 * (size_t)S * cells, 1);
    struct known known = {feature, x, r};
    uint8_t *codes = zeros((size_t)C * cells, 1), *plane = zeros(tile.raw_length, 1);
    since = zeros((size_t)COEFFICIENTS * cells, 1);
    memset(since, NEVER, (size_t)COEFFICIENTS * cells);
    for (uint32_t n = 0; n < complete_units; n++) {
        struct segment *segment = &units[n][index];
        int t = (int)n;
        if (segment->coding == 2) break;
        if (t) {
            for (int i = 0; i < M * cells; i++) x[i] = value(codes, t - 1, i / cells, i % cells);
            advance(codes, t - 1);
            accumulate(q, r, x, t);
            next_state(state, scratch, x, r, t);
        }
        if (segment->coding == 1) {
            for (int i = 0; i < C * cells; i++) codes[i] = segment->payload[i / 8] >> (7 - i % 8) & 1;
            check_raw(codes, t);
        } else {
            for (int c = 0; c < F; c++)
                for (int i = 0; i < cells; i++)
                    feature[c * cells + i] = conv(feature_w, (size_t)c * K * 9, state, K, i / columns, i % columns);
            decode_segment(segment, codes, &known, t);
        }
        pack(plane, codes, tile.raw_length);
        if (crc32(segment->crc_before, plane, tile.raw_length) != segment->codes_crc) fail(CORRUPT, "Codes_Crc");
        segment->plane_crc = crc32(0, plane, tile.raw_length);
    }
    free(state), free(scratch), free(x), free(feature), free(q), free(r), free(codes), free(plane), free(since);
}

int main(int argc, char **argv) {
    static const char *const codings[] = {"entropy", "raw", "stopped"};
    size_t size;
    if (argc != 3) fail(USAGE, "usage: decoder WEIGHTS FILE");
    uint8_t *data = read_file(argv[2], &size);
    int complete = read_chunks(data, size);
    if (!complete_units) fail(TRUNCATED, "0 complete iterations");
    read_weights(argv[1]);
    for (uint32_t index = 0; index < tile_count; index++) decode_tile(index);
    for (uint32_t t = 0; t < complete_units; t++)
        for (uint32_t index = 0; index < tile_count; index++) {
            const struct segment *segment = &units[t][index];
            printf("%u %u %s %08x\n", t, index, codings[segment->coding], segment->plane_crc);
        }
    if (!complete) printf("truncated: %u complete iterations\n", complete_units);
    return complete ? 0 : TRUNCATED;
}
