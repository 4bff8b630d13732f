"""Pictures of fits, on matplotlib axes (the extra ``plot``).

Every function takes axes or makes some, draws, and returns them; nothing is shown or saved. May
import whatever the package has, and matplotlib only when a function is called.
"""

from vemfast.plot.fits import ellipses, trace
from vemfast.plot.ladders import ladder

__all__ = ["ellipses", "ladder", "trace"]
