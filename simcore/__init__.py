"""Discrete-event mixed-signal system simulator."""
