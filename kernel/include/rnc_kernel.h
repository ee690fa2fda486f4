/* rnc_kernel.h -- the hot parts of pillow-rnc in C11: entropy coding, intervals, decoder network, pixels.

   Every object lives in memory that the caller provides and keeps; the library allocates nothing and has no global
   state. Objects of different memory may be used by different threads at once; an entropy model and a network are only
   read once they are made, and may be shared. Every length is checked before it is used. Memory need not be aligned.

   The twin of each function is NumPy code of the package, named beside it. What is integer there is the same here bit
   by bit, on every instruction set.

   Lines between the two marks below are also read by cffi. */

#ifndef RNC_KERNEL_H
#define RNC_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/* cffi begin */
enum rnc_status {
    RNC_OK = 0,
    RNC_ERROR_ARGUMENT = -1, /* a length or an option does not fit */
    RNC_ERROR_MODEL = -2,    /* the tensors are not those of a legal model */
    RNC_ERROR_MEMORY = -3,   /* less memory was given than was asked for */
    RNC_ERROR_PAYLOAD = -4,  /* the payload is not the one of its bits */
    RNC_ERROR_INFERRED = -5, /* an inferred bit is 1 */
    RNC_ERROR_ITERATION = -6, /* the model codes no further iteration */
    RNC_ERROR_SELF_CHECK = -7 /* the payload just written does not decode to its bits */
};

enum rnc_isa { RNC_ISA_AUTO = -1, RNC_ISA_PLAIN = 0, RNC_ISA_AVX2 = 1, RNC_ISA_AVXVNNI = 2, RNC_ISA_AVX512 = 3, RNC_ISA_COUNT = 4 };

/* Bit i is set if this machine can run the instruction set i of rnc_isa. */
unsigned rnc_isa_supported(void);

/* Sizes of an entropy network; spec, "Sizes and passes". `channels` counts those that are context-coded: pairs of a
   magnitude and a sign where there is a schedule, otherwise all code channels. */
enum rnc_limits { RNC_MAX_PASSES = 24 };
typedef struct {
    int32_t iterations, channels, state_channels, hidden_channels, accumulators, passes;
    int32_t lattice[24], first[24], stop[24]; /* of each pass, in coding order */
    int32_t paired; /* whether there is a schedule; each pass codes all magnitudes of its cells then */
} rnc_entropy_shape;

/* Tensors of the weights file, row-major; lengths in elements. */
typedef struct {
    const int8_t *state_in_weight;
    size_t state_in_weight_length;
    const int32_t *state_in_bias;
    size_t state_in_bias_length;
    const int8_t *state_weight;
    size_t state_weight_length;
    const int8_t *feature_weight;
    size_t feature_weight_length;
    const int32_t *feature_bias;
    size_t feature_bias_length;
    const int8_t *context_weight;
    size_t context_weight_length;
    const int8_t *output_weight;
    size_t output_weight_length;
    const int32_t *output_bias;
    size_t output_bias_length;
    const int16_t *accumulator_weight;
    size_t accumulator_weight_length;
    const int32_t *accumulator_scale;
    size_t accumulator_scale_length;
    const int8_t *accumulator_input_weight;
    size_t accumulator_input_weight_length;
    const int8_t *accumulator_output_weight;
    size_t accumulator_output_weight_length;
    const float *coefficient; /* of each pair of each iteration; spec, "IterationSchedule"; none without a schedule */
    size_t coefficient_length;
    const float *level;
    size_t level_length;
} rnc_entropy_tensors;

/* Twin: pillow_rnc.entropy.model.EntropyModel. `size` receives the bytes that a model takes. */
int rnc_entropy_model_size(const rnc_entropy_shape *shape, size_t *size);
int rnc_entropy_model_init(void *model, size_t size, const rnc_entropy_shape *shape, const rnc_entropy_tensors *tensors, int isa);

/* Twins: pillow_rnc.entropy.tile_coder.TileDecoder and TileEncoder. One tile of rows x columns cells, from iteration 0
   on; the model must outlive it. Planes are uint8 [code channels][rows][columns], each 0 or 1. A tile is of no use after an
   error, but for RNC_ERROR_INFERRED, RNC_ERROR_ITERATION and RNC_ERROR_ARGUMENT, which leave it as it was. */
int rnc_entropy_tile_size(const void *model, int32_t rows, int32_t columns, size_t *size);
int rnc_entropy_tile_init(void *tile, size_t size, const void *model, int32_t rows, int32_t columns);
/* Decodes the next iteration. */
int rnc_entropy_tile_decode(void *tile, const uint8_t *payload, size_t payload_length, uint8_t *plane, size_t plane_length);
/* Encodes the next iteration. `length` receives the length of the payload, or SIZE_MAX if it exceeds the capacity; the
   plane is taken in either way. RNC_ERROR_INFERRED: `inferred` receives how many inferred bits are 1. */
int rnc_entropy_tile_encode(void *tile, const uint8_t *plane, size_t plane_length, uint8_t *payload, size_t capacity, size_t *length, size_t *inferred);
/* Takes in the codes of the next iteration, which were stored raw. */
int rnc_entropy_tile_take(void *tile, const uint8_t *plane, size_t plane_length, size_t *inferred);

/* Twins: pillow_rnc.entropy.range_coder.SegmentEncoder and SegmentDecoder, for tests. Probabilities k / 65536 of a one,
   k in 1..65535. */
int rnc_range_encode(const uint8_t *bits, const uint16_t *k, size_t count, uint8_t *payload, size_t capacity, size_t *length);
int rnc_range_decode(const uint8_t *payload, size_t payload_length, const uint16_t *k, size_t count, uint8_t *bits);
/* Sizes of a decoder network; spec, "Weights file". */
typedef struct {
    int32_t iterations, pairs, decoder_channels, context_channels, decoder_steps;
} rnc_network_shape;

/* Operands of pillow_rnc.models.embedded.numpy_weights, row-major; lengths in elements. T, G, d and c are the sizes
   above; n is c for the context and d for the detail. */
typedef struct {
    const float *input_kernel; /* [3, 3, n] */
    size_t input_kernel_length;
    const float *hidden_kernel; /* [3, 3, n] */
    size_t hidden_kernel_length;
    const float *hidden_shift; /* [n] */
    size_t hidden_shift_length;
    const float *gates; /* [2 n + 1, 2 n] */
    size_t gates_length;
    const float *candidate; /* [2 n + 1, n] */
    size_t candidate_length;
} rnc_cell_tensors;

typedef struct {
    const float *projection; /* [384, d] */
    size_t projection_length;
    const float *down; /* [4 d + 1, c] */
    size_t down_length;
    const float *up; /* [c + 1, 4 d] */
    size_t up_length;
    const float *output; /* [d + 1, 192] */
    size_t output_length;
    rnc_cell_tensors context, detail;
    const float *gain; /* [T] */
    size_t gain_length;
    const float *bias; /* [T, d] */
    size_t bias_length;
    const float *shift; /* [T, 192] */
    size_t shift_length;
    const float *coefficient; /* [T, G], as are the next two */
    size_t coefficient_length;
    const float *level;
    size_t level_length;
    const float *step;
    size_t step_length;
    float masking_exponent, masking_floor;
    /* The block transform: cosines [8][8] by frequency, weights of the coefficients, R, G, B to Y, Cb, Cr and back,
       what becomes of the differences around a border before blocks are transformed and afterwards, lifting steps and
       gain of the wavelet. */
    const float *cosines;
    size_t cosines_length;
    const float *weights;
    size_t weights_length;
    const float *colours;
    size_t colours_length;
    const float *colours_back;
    size_t colours_back_length;
    const float *overlap;
    size_t overlap_length;
    const float *overlap_back;
    size_t overlap_back_length;
    const float *lifting;
    size_t lifting_length;
} rnc_network_tensors;

/* Twin: pillow_rnc.models.embedded.numpy_weights.NetworkWeights. */
int rnc_network_size(const rnc_network_shape *shape, size_t *size);
int rnc_network_init(void *network, size_t size, const rnc_network_shape *shape, const rnc_network_tensors *tensors, int isa);

/* Twin: pillow_rnc.models.embedded.numpy_network.NumpyTiles, for one tile of rows x columns cells of 8 by 8 pixels, both
   even; the network must outlive it. `encodes` is 1 for a tile that gets a target, otherwise 0. */
int rnc_network_tile_size(const void *network, int32_t rows, int32_t columns, int encodes, size_t *size);
int rnc_network_tile_init(void *tile, size_t size, const void *network, int32_t rows, int32_t columns, int encodes);
/* pixels [8 rows][8 columns][3] */
int rnc_network_tile_set_target(void *tile, const uint8_t *pixels, size_t length);
/* Writes the codes of the next iteration, which are taken in. */
int rnc_network_tile_encode(void *tile, uint8_t *plane, size_t plane_length);
/* Takes the codes of the next iteration; any byte but 0 is a one. */
int rnc_network_tile_decode(void *tile, const uint8_t *plane, size_t plane_length);
/* Writes the samples [8 rows][8 columns][3], a part of the work at each call until `done` is 1. */
int rnc_network_tile_pixels(void *tile, float *pixels, size_t length, int *done);
/* Twin: pillow_rnc.models.reduction.IntervalTiles. Writes samples [side rows][side columns][3] at side / 8 of the size,
   side 1 or 2, from the intervals alone. `taken` [3][side][8] is what each sample along a line takes from the
   frequencies of the block before, of its own, and of the one after. */
int rnc_network_tile_reduced(void *tile, int side, const float *taken, size_t taken_length, float *pixels, size_t length);

/* Twin: pillow_rnc.codec.blending. Adds a part of a tile to the rows of an image, three values to a pixel: rows +=
   across * down * tile. Lengths and strides of rows in values. */
int rnc_blend(int isa, float *rows, size_t rows_length, size_t rows_stride, const float *tile, size_t tile_length,
              size_t tile_stride, const float *across, size_t columns, const float *down, size_t count);
/* Rounds and limits a part of a tile to 0..255; to one value a pixel if grey. Lengths and strides of rows in values.
   `finite` receives whether all values are finite numbers. */
int rnc_round(int isa, uint8_t *out, size_t out_length, size_t out_stride, const float *values, size_t length,
              size_t stride, size_t columns, size_t count, int grey, int *finite);
/* cffi end */

#endif
