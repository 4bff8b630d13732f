"""EM loops of one's own over the kernels of vemfast."""
