"""The paper's model of images (binarised MNIST), from files to an export."""
