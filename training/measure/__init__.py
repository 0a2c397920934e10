"""Measurements of trained networks: tables, checks of prompts, seeds, the scaling law."""
