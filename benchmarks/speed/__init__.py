"""How fast the engine is, beside the published way, a compiled loop, the flop limit and ngspice."""
