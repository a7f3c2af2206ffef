"""What only the paper needs: its tables, its diagnosis of codes, and its model of images."""
