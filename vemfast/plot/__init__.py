"""Pictures of fits, on matplotlib axes (the extra ``plot``).

Every function takes axes or makes some, draws, and returns them; nothing is shown or saved. May
import whatever the package has, and matplotlib only when a function is called.
"""

from vemfast.plot.autoencoders import latent, loss_curve, manifold, reconstructions
from vemfast.plot.chains import decoded, transitions
from vemfast.plot.fits import ellipses, trace
from vemfast.plot.ladders import ladder
from vemfast.plot.topics import held_out, top_words, topic_proportions

__all__ = [
    "decoded",
    "ellipses",
    "held_out",
    "ladder",
    "latent",
    "loss_curve",
    "manifold",
    "reconstructions",
    "top_words",
    "topic_proportions",
    "trace",
    "transitions",
]
