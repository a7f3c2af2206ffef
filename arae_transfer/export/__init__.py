"""Export of trained models to folders that run without PyTorch: ONNX graphs, tokenizer, description, card."""
