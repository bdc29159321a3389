"""Pixels: read, write, resize, and the recipe by which a picture can be made again."""
