/* The range coder of the specification, section "Range coder", in 64-bit integers. */

#ifndef RNC_RANGE_CODER_H
#define RNC_RANGE_CODER_H

#include <stddef.h>
#include <stdint.h>

#define RNC_TOTAL_BITS 24

/* The part of a zero among 2^24, for P(1) = k / 65536. */
static inline uint32_t rnc_share(uint32_t k) { return (uint32_t)(((uint64_t)(65536u - k) * 16777214u) >> 16) + 1u; }

static inline uint32_t rnc_read_word(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static inline void rnc_write_word(uint8_t *bytes, uint32_t word) {
    bytes[0] = (uint8_t)word;
    bytes[1] = (uint8_t)(word >> 8);
    bytes[2] = (uint8_t)(word >> 16);
    bytes[3] = (uint8_t)(word >> 24);
}

/* `offset` is `point - low` of the specification. Once a payload has left its interval, offset >= width holds after
   every bit until the next word is read, so it is looked at there and at the end. */
typedef struct {
    uint64_t offset, width, point;
    const uint8_t *payload;
    size_t words, next;
    int left_interval;
} rnc_decoder;

static inline uint64_t rnc_decoder_word(const rnc_decoder *d, size_t i) {
    return i < d->words ? rnc_read_word(d->payload + 4 * i) : 0;
}

/* `length` must be a multiple of 4. */
static inline void rnc_decoder_start(rnc_decoder *d, const uint8_t *payload, size_t length) {
    d->payload = payload;
    d->words = length / 4;
    d->point = rnc_decoder_word(d, 0) << 32 | rnc_decoder_word(d, 1);
    d->offset = d->point;
    d->width = UINT64_MAX;
    d->next = 2;
    d->left_interval = 0;
}

static inline void rnc_decoder_refill(rnc_decoder *d) {
    uint64_t word = rnc_decoder_word(d, d->next++);
    d->left_interval |= d->offset >= d->width;
    d->offset = d->offset << 32 | word;
    d->point = d->point << 32 | word;
    d->width <<= 32;
}

static inline unsigned rnc_decode_bit(rnc_decoder *d, uint32_t share) {
    uint64_t unit = d->width >> RNC_TOTAL_BITS, bound = unit * share;
    unsigned bit;
    if (d->offset < bound) {
        d->width = bound;
        bit = 0;
    } else {
        d->offset -= bound;
        d->width = (unit << RNC_TOTAL_BITS) - bound;
        bit = 1;
    }
    if (d->width >> 32 == 0) rnc_decoder_refill(d);
    return bit;
}

/* The same for a bit that nobody can predict, a branch on which would be mispredicted half of the time. */
static inline unsigned rnc_decode_even_bit(rnc_decoder *d, uint32_t share) {
    uint64_t unit = d->width >> RNC_TOTAL_BITS, bound = unit * share, one = d->offset >= bound, all = 0 - one;
    d->offset -= bound & all;
    d->width = bound + (((unit << RNC_TOTAL_BITS) - 2 * bound) & all);
    if (d->width >> 32 == 0) rnc_decoder_refill(d);
    return (unsigned)one;
}

/* Whether the payload is exactly the one of the decoded bits. */
static inline int rnc_decoder_finish(const rnc_decoder *d) {
    uint64_t low = d->point - d->offset;
    uint64_t last = (low + UINT32_MAX) >> 32, upper = (low + d->width) >> 32;
    size_t length = upper == last ? d->next : d->next - 1;
    return !d->left_interval && d->offset < d->width && d->words == length && d->point == last << 32;
}

/* Words beyond the capacity are counted and dropped. */
typedef struct {
    uint64_t low, width;
    uint8_t *payload;
    size_t capacity, words;
} rnc_encoder;

static inline void rnc_encoder_start(rnc_encoder *e, uint8_t *payload, size_t capacity) {
    e->low = 0;
    e->width = UINT64_MAX;
    e->payload = payload;
    e->capacity = capacity / 4;
    e->words = 0;
}

/* Adds one to the number that the words before make up. If some were dropped the payload is not used anyway. */
static inline void rnc_encoder_carry(rnc_encoder *e) {
    if (e->words > e->capacity) return;
    for (size_t i = e->words; i-- > 0;) {
        uint32_t word = rnc_read_word(e->payload + 4 * i) + 1u;
        rnc_write_word(e->payload + 4 * i, word);
        if (word) return;
    }
}

static inline void rnc_encoder_emit(rnc_encoder *e, uint32_t word) {
    if (e->words < e->capacity) rnc_write_word(e->payload + 4 * e->words, word);
    e->words++;
}

static inline void rnc_encode_bit(rnc_encoder *e, uint32_t share, unsigned bit) {
    uint64_t unit = e->width >> RNC_TOTAL_BITS, bound = unit * share;
    if (bit) {
        e->low += bound;
        if (e->low < bound) rnc_encoder_carry(e);
        e->width = (unit << RNC_TOTAL_BITS) - bound;
    } else {
        e->width = bound;
    }
    if (e->width >> 32 == 0) {
        rnc_encoder_emit(e, (uint32_t)(e->low >> 32));
        e->low <<= 32;
        e->width <<= 32;
    }
}

/* Returns the length of the payload in bytes, SIZE_MAX if it exceeds the capacity. */
static inline size_t rnc_encoder_finish(rnc_encoder *e) {
    uint64_t last = e->low + UINT32_MAX, upper = e->low + e->width;
    if (last < e->low) rnc_encoder_carry(e);
    rnc_encoder_emit(e, (uint32_t)(last >> 32));
    if (last >> 32 == upper >> 32) rnc_encoder_emit(e, 0);
    return e->words > e->capacity ? SIZE_MAX : 4 * e->words;
}

#endif
