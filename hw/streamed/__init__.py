"""Weight-streamed mode: one layer's hardware for all layers, its constants loaded in turn."""
