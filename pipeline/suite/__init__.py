"""What a phone must give again: tokens, windows, answers, refusals. Made here, read by every app."""
