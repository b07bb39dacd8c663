"""Registered image data sets and spike encoding."""
