/* The tables of the entropy network: spec, section "Tables". */

#ifndef RNC_TABLES_H
#define RNC_TABLES_H

#include <stdint.h>

extern const uint8_t rnc_sigmoid[256];
extern const uint8_t rnc_tanh_offset[256]; /* TANH + 128 */
extern const uint16_t rnc_probability[256];

#endif
