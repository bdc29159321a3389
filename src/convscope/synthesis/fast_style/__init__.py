"""Style in one forward pass: a network that was trained to do what style transfer would."""
