"""Pillow images <-> the codec: image file, options, modes, metadata, rate control."""
