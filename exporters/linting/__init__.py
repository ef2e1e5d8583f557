"""What exporters.lint looks with: one file a format reads programs into one record, one holds the rules."""
