"""Automatic evaluation of style, content and fluency, beside the copied source and real text."""
