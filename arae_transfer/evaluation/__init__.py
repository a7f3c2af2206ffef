"""How good rewrites are: style, content and fluency, always beside the copied source and real text."""
