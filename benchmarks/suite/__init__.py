"""What is measured: workloads and their data. Needs NumPy alone: peers' interpreters use it."""
