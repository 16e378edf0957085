"""Prompt search over a frozen generative spoken language model (SpeechPrompt, arXiv 2203.16773)."""
