"""Training of styles: a LoRA on a folder of real frames, a ControlNet on frames with exact maps."""
