"""The recurrent codec: encoder, binarizer and decoder with memory, as in Toderici et al. 2017."""
