"""A seeded storm of faults over a running pipeline, and checks of what came out of it.

`schedule` says what happens when, `nemesis` does it, `pipeline`, `cluster`, `proxy` and `disk` are what
it happens to; `load` writes the readings and `reader` follows the outputs. Afterwards `reference`
says what must have come out and `checkers` compare. `experiment` is the whole;
`python -m tests.chaos --help` runs it.
"""
