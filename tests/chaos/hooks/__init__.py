"""What the workers of a storm load besides the product; see `sitecustomize`."""
