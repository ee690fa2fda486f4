/* Parts of the memory that a caller gave. */

#ifndef RNC_ARENA_H
#define RNC_ARENA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RNC_ALIGNMENT 64

/* AddressSanitizer sees what leaves the memory of a caller; with a poisoned gap behind each part it sees what leaves a
   part, too. */
#if defined(__SANITIZE_ADDRESS__)
#define RNC_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RNC_POISON 1
#endif
#endif
#ifdef RNC_POISON
#include <sanitizer/asan_interface.h>
#define RNC_GAP RNC_ALIGNMENT
#else
#define RNC_GAP 0
#endif

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
#ifdef RNC_POISON
    __asan_unpoison_memory_region(memory, size); /* of what lay there before */
#endif
    return arena;
}

/* Returns an aligned part, NULL if there is not so much; its content is whatever was there. */
static inline void *rnc_take(rnc_arena *arena, size_t count, size_t item) {
    size_t bytes;
    if (arena->failed || (item && count > (SIZE_MAX - 2 * RNC_ALIGNMENT) / item)) goto fail;
    bytes = ((count * item + RNC_ALIGNMENT - 1) & ~(size_t)(RNC_ALIGNMENT - 1)) + RNC_GAP;
    if (bytes > arena->size - arena->used) goto fail;
    arena->used += bytes;
    if (!arena->base) return NULL;
#ifdef RNC_POISON
    __asan_unpoison_memory_region(arena->base + arena->used - bytes, bytes);
    __asan_poison_memory_region(arena->base + arena->used - bytes + count * item, bytes - count * item);
#endif
    return arena->base + arena->used - bytes;
fail:
    arena->failed = 1;
    return NULL;
}

/* Sets memory to 0, gaps included. */
static inline void rnc_clear(uint8_t *from, size_t bytes) {
#ifdef RNC_POISON
    for (size_t i = 0; i < bytes; i++)
        if (!__asan_address_is_poisoned(from + i)) from[i] = 0;
#else
    memset(from, 0, bytes);
#endif
}

#endif
