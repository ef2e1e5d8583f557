"""From a BERT-family teacher to a verified int8 bundle for a phone."""

__version__ = "0.1.0"
