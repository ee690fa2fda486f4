/* Intrinsics of the instruction set that a file is compiled for. */

#ifndef RNC_SIMD_H
#define RNC_SIMD_H

/* Every x86-64 has SSE2; MSVC does not say so, and its ARM64EC calls itself x64 too. */
#if defined(__SSE2__) || (defined(_M_X64) && !defined(_M_ARM64EC))
#define RNC_SSE2
#endif

#if defined(RNC_SSE2)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

#endif
