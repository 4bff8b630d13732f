"""What the same iteration costs without arrays: plain Python and its standard library."""
