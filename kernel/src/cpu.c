/* Which instruction sets this machine has. */

#include "compute.h"
#include "network_compute.h"
#include "rnc_kernel.h"

#ifdef __wasm_relaxed_simd__
#include <wasm_simd128.h>
#endif

#ifdef RNC_X86
#ifdef _MSC_VER
#include <intrin.h>
static void cpuid(unsigned leaf, unsigned subleaf, unsigned r[4]) { __cpuidex((int *)r, (int)leaf, (int)subleaf); }
static uint64_t xcr0(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(unsigned leaf, unsigned subleaf, unsigned r[4]) {
    if (!__get_cpuid_count(leaf, subleaf, &r[0], &r[1], &r[2], &r[3])) r[0] = r[1] = r[2] = r[3] = 0;
}
static uint64_t xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}
#endif

/* Whether the bits are all set. */
static int has(uint64_t word, uint64_t bits) { return (word & bits) == bits; }

unsigned rnc_isa_supported(void) {
    unsigned found = 1u << RNC_ISA_PLAIN, one[4], seven[4], seven_one[4];
    cpuid(1, 0, one);
    if (!has(one[2], 1u << 27 | 1u << 28 | 1u << 12)) return found; /* OSXSAVE, AVX, FMA */
    uint64_t saved = xcr0();
    cpuid(7, 0, seven);
    if (!has(saved, 0x6) || !has(seven[1], 1u << 5)) return found; /* AVX2 */
    found |= 1u << RNC_ISA_AVX2;
    cpuid(7, 1, seven_one);
    if (seven[0] >= 1 && has(seven_one[0], 1u << 4)) found |= 1u << RNC_ISA_AVXVNNI;
    if (has(saved, 0xe6) && has(seven[1], 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31) /* F, DQ, BW, VL */
        && has(seven[2], 1u << 1 | 1u << 11)) /* VBMI, VNNI */
        found |= 1u << RNC_ISA_AVX512;
    return found;
}
#else
unsigned rnc_isa_supported(void) { return 1u << RNC_ISA_PLAIN; }
#endif

/* The instruction set to use, -1 if there is none such. */
static int settle(int isa) {
    unsigned supported = rnc_isa_supported();
    if (isa == RNC_ISA_AUTO)
        for (isa = RNC_ISA_COUNT - 1; !(supported >> isa & 1); isa--) {}
    return isa >= 0 && isa < RNC_ISA_COUNT && supported >> isa & 1 ? isa : -1;
}

#ifdef RNC_X86
#define CHOOSE(isa, table) \
    switch (settle(isa)) { \
    case RNC_ISA_PLAIN: return &table##plain; \
    case RNC_ISA_AVX2: return &table##avx2; \
    case RNC_ISA_AVXVNNI: return &table##avxvnni; \
    case RNC_ISA_AVX512: return &table##avx512; \
    default: return NULL; \
    }
#else
#define CHOOSE(isa, table) return settle(isa) == RNC_ISA_PLAIN ? &table##plain : NULL;
#endif

#ifdef __wasm_relaxed_simd__
/* Whether the engine multiplies bytes in one instruction: one that needs several on x86-64 saturates pairs of products,
   where the operands leave the range that has a defined result. There int16 is faster. */
static int multiplies_bytes(void) {
    volatile int8_t weight = -128, byte = -1; /* 255; what a compiler does not know it does not compute */
    v128_t zero = wasm_i32x4_splat(0), found = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(wasm_i8x16_splat(weight), wasm_i8x16_splat(byte), zero);
    return wasm_i32x4_extract_lane(found, 0) != 2 * INT16_MIN;
}

const rnc_compute *rnc_compute_for(int isa) { return settle(isa) != RNC_ISA_PLAIN ? NULL : multiplies_bytes() ? &rnc_compute_bytes : &rnc_compute_plain; }
#else
const rnc_compute *rnc_compute_for(int isa) { CHOOSE(isa, rnc_compute_) }
#endif
const rnc_network_compute *rnc_network_compute_for(int isa) { CHOOSE(isa, rnc_network_) }
const rnc_intervals_compute *rnc_intervals_compute_for(int isa) { CHOOSE(isa, rnc_intervals_) }
