"""Word n-gram language models: training, sentence probabilities, and incremental scoring."""
