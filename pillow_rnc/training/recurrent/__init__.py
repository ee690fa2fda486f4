"""Training of models of the recurrent family, and of the paper's entropy coder."""
