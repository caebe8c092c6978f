"""What the workers of a run load besides the product; see `sitecustomize`."""
