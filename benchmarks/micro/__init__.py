"""Single kernels, without a model round them. May import `benchmarks.timing` and `.machine`."""
