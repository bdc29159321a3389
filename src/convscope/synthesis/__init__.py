"""What would the network like to see? Images that are optimized: preferred images, inversions, dreams, textures."""
