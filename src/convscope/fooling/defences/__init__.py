"""What helps against adversarial images, measured on networks small enough to be trained here and now."""
