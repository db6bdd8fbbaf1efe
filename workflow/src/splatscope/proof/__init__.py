"""Stage proof: networks trained on real, on synthetic and on both kinds of frames, tested on an unseen recording."""
