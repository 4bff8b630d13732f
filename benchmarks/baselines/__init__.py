"""The same steps as a reader might write them: in lists and loops, and in Cython.

`*_lists.py` need Python's standard library alone; `loops.pyx` is Cython over memoryviews, compiled
by `compiled.py`; `steps.py` puts them beside the NumPy twins and the native models.
"""
