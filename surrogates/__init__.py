"""Trained surrogates: data set, families, training, ONNX bundles, run time."""
