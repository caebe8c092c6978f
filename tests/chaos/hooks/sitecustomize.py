"""Loaded by every Python below a pipeline of the run: lets the nemesis reach into its workers.

This folder is on their PYTHONPATH and on nobody else's: nothing of it lives in the product. Without
``VIGIE_CHAOS_SWITCHES`` it does nothing.
"""

import os

if os.environ.get("VIGIE_CHAOS_SWITCHES"):
    from tests.chaos.hooks.wrapping import install

    install(os.environ["VIGIE_CHAOS_SWITCHES"])
