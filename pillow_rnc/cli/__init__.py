"""The command ``rnc``."""
