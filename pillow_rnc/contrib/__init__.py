"""Host programs that keep their own list of formats, one module each.

Programs that ask Pillow need nothing from here: importing `pillow_rnc` is enough.
Each module needs its host, and nothing else in the package needs any of them.
"""
