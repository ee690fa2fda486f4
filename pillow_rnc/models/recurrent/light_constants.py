"""Constants of the light network with code cells of 16x16 pixels, in torch and in NumPy."""

GAIN_REACH = 3.0
"""The gain of a block stays within exp(+-this) of that of the iteration."""

INPUT_UNIT = 28.0
"""8-bit levels; recurrent parts see coefficients divided by sqrt(this * their deviation), in 8-bit levels."""
