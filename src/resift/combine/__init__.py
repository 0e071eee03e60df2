"""Several orders or scorers made into one: fused, averaged, spread out, or one standing in for another."""

from resift.combine.diversity import diversify
from resift.combine.ensemble import Ensemble, Fused
from resift.combine.fallback import Fallback
from resift.combine.fusion import fuse

__all__ = ["Ensemble", "Fallback", "Fused", "diversify", "fuse"]
