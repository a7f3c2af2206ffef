"""Word n-gram language models: training, the probability of sentences, and of one word after another."""
