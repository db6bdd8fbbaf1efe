"""Camera poses: structure from motion, import of known poses, metric scale and hand-eye against the tracker."""
