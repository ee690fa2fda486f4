"""Layers that the networks of both codec families are built from."""
