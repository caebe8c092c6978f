"""What the latent space is good for: see `python -m benchmarks.latent`."""
