"""From a trained checkpoint to integers: lowering, ONNX files, and their verification."""
