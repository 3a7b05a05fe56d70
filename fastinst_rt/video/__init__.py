"""Video: sources of frames, sinks for what comes out, and the pipeline between them."""
