"""A bundle as C99: text, body (statements), operators, trees, graph, header, export (the files)."""
