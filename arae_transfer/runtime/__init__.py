"""Using an exported model: numpy, sentencepiece and onnxruntime, never torch."""
