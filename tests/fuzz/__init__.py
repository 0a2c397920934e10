"""A search for inputs that break the readers, the endpoints or the commands.

    python -m tests.fuzz --inputs 2000             # as the test suite does, with its seed
    python -m tests.fuzz --minutes 120 --seed 7    # for hours; --target bvh for one reader

Whole files are made by code, damaged by a random generator of a known seed, and given to a reader in a child process
with bounded memory and time. What is refused in a sentence, or accepted as a plausible motion, is right. Everything
else is kept, cut down, in a folder: a bare exception, a hang, too much memory, or nonsense that was accepted.
"""
