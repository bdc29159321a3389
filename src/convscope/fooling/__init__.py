"""How little changes its mind? Adversarial images, fooling images, linear explanations."""
