"""`vigie demo`: a simulated plant, a broker, the pipeline, and an account of what came out."""
