"""How good the bundles of a circuit are: what `simcore surrogate evaluate` measures and writes."""
