"""Networks on analog circuits: mapping, weights, architectures, data sets."""
