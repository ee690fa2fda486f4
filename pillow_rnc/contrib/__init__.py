"""Integration with programs that have a list of formats of their own, one module each.

Programs that rely on Pillow need none of this: importing `pillow_rnc` is enough.
Each module imports its host program, and nothing else in the package imports any of them.
"""
