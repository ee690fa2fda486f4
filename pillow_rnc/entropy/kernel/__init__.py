"""The native kernel, if it was built: entropy coding, quantizer, decoder network and pixels in C.

It computes what the NumPy modules compute: codes bit for bit, samples within rounding. The C sources are in `kernel/`
of the repository.
"""
