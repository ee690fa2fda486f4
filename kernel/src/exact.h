/* For files that decide on codes: each operation rounds, as the build says to GCC and this to Clang. */

#ifndef RNC_EXACT_H
#define RNC_EXACT_H

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

#endif
