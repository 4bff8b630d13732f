"""Side-by-side benchmarks. They may import vemfast's public names; vemfast never imports them."""

import os
import sys

# `python -m benchmarks.run` puts the repository's root first on the path, where the source folder
# `vemfast`, which holds no compiled core, would shadow the installed package. The root goes last.
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _ROOT] + [_ROOT]
