/* Parts of the memory that a caller gave. */

#ifndef RNC_ARENA_H
#define RNC_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define RNC_ALIGNMENT 64

typedef struct {
    uint8_t *base; /* NULL where only the size is asked for */
    size_t size, used;
    int failed;
} rnc_arena;

/* Where an object begins in memory that need not be aligned. */
static inline uint8_t *rnc_aligned(const void *memory) {
    return (uint8_t *)(((uintptr_t)memory + RNC_ALIGNMENT - 1) & ~(uintptr_t)(RNC_ALIGNMENT - 1));
}

static inline rnc_arena rnc_arena_over(void *memory, size_t size) {
    uint8_t *base = rnc_aligned(memory);
    size_t lost = (size_t)(base - (uint8_t *)memory);
    rnc_arena arena = {base, size < lost ? 0 : size - lost, 0, size < lost};
    return arena;
}

/* Returns an aligned part, NULL if there is not so much; its content is whatever was there. */
static inline void *rnc_take(rnc_arena *arena, size_t count, size_t item) {
    size_t bytes;
    if (arena->failed || (item && count > (SIZE_MAX - RNC_ALIGNMENT) / item)) goto fail;
    bytes = (count * item + RNC_ALIGNMENT - 1) & ~(size_t)(RNC_ALIGNMENT - 1);
    if (bytes > arena->size - arena->used) goto fail;
    arena->used += bytes;
    return arena->base ? arena->base + arena->used - bytes : NULL;
fail:
    arena->failed = 1;
    return NULL;
}

#endif
