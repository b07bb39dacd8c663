"""ngspice as the reference: decks, solver, bank, recordings, circuits."""
