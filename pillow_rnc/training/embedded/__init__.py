"""Training of models of the embedded family."""
