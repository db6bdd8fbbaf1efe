"""Stage ablation: what tracker errors cost, and what each part of the method is worth, on the replay."""
