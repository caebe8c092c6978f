"""The latent space of a model, seen through files: maps, and windows that are made in it."""
