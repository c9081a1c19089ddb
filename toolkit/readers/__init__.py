"""One reader a raw format: path -> SkeletonSequence or decoded frames, errors with their place."""
