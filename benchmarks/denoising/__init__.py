"""How much noise the cleaned signal is rid of: see `python -m benchmarks.denoising`."""
