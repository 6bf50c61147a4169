"""The computations behind constants that the pipeline ships."""
